#!/bin/sh
# Runs rustc after checking for a C compiler. Without one, not even xtask can be linked, so xtask cannot report it.
if ! command -v cc >/dev/null 2>&1; then
    echo "A C compiler (cc) is missing. Rust needs it for linking. To install it:" >&2
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
