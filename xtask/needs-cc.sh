#!/bin/sh
# Runs rustc, once a C compiler is known to be there. Without one not even xtask can be linked, so it cannot say so.
if ! command -v cc >/dev/null 2>&1; then
    echo "This machine lacks a C compiler (cc). Rust links with it. To install it:" >&2
    if [ "$(uname)" = Darwin ]; then
        echo "    xcode-select --install" >&2
    elif [ -e /etc/debian_version ]; then
        echo "    sudo apt-get install build-essential" >&2
    elif command -v dnf >/dev/null 2>&1; then
        echo "    sudo dnf install gcc" >&2
    else
        echo "    your system's package manager, package gcc" >&2
    fi
    exit 1
fi
exec "$@"
