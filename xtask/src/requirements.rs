//! What a machine needs and how to install it.

use std::env;
use std::path::Path;
use std::process::{Command, Stdio};

pub(crate) struct Missing {
    pub(crate) what: &'static str,
    pub(crate) install: String,
}

fn works(program: &str, arguments: &[&str]) -> bool {
    let status = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// The major version of the Java compiler: 17 if `javac -version` prints `javac 17.0.15`.
fn javac_version() -> Option<u32> {
    let output = Command::new("javac").arg("-version").output().ok()?;
    // Java 8 prints to stderr: `javac 1.8.0`.
    let printed = [output.stdout, output.stderr].concat();
    let printed = String::from_utf8_lossy(&printed);
    printed.split_once("javac ")?.1.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// A Python that the emulator runs on. LocalStack needs exactly 3.13.
pub(crate) fn python(localstack: bool) -> Option<String> {
    let preferred = env::var("PYTHON").ok().filter(|python| !python.is_empty());
    let usual = if localstack { vec!["python3.13", "python3"] } else { vec!["python3"] };
    let pyenv = Path::new(&env::var("HOME").unwrap_or_default()).join(".pyenv/versions");
    let versions = std::fs::read_dir(pyenv).into_iter().flatten().filter_map(Result::ok);
    let versions = versions.map(|version| version.path().join("bin/python3").display().to_string());
    let right = if localstack { "sys.version_info[:2] == (3, 13)" } else { "sys.version_info >= (3, 10)" };
    let check = format!("import sys; sys.exit(not {right})");
    let mut candidates = preferred.into_iter().chain(usual.into_iter().map(str::to_owned)).chain(versions);
    candidates.find(|python| works(python, &["-c", &check]))
}

/// What is missing on this machine, with installation commands.
pub(crate) fn missing(python: Option<&str>, localstack: bool) -> Vec<Missing> {
    let mut missing = Vec::new();
    if !works("cc", &["--version"]) {
        missing.push(Missing {
            what: "A C compiler (cc): some Rust dependencies contain C code.",
            install: install("build-essential", "gcc", "xcode-select --install"),
        });
    }
    match python {
        None if localstack => missing.push(Missing {
            what: "Python 3.13 for LocalStack (python3.13, or set PYTHON to its path).",
            install: install("python3.13 python3.13-venv", "python3.13", "brew install python@3.13"),
        }),
        None => missing.push(Missing {
            what: "Python 3.10 or newer for the AWS emulator (python3, or set PYTHON to its path).",
            install: install("python3 python3-venv", "python3", "brew install python"),
        }),
        Some(python) if !works(python, &["-c", "import venv, ensurepip"]) => missing.push(Missing {
            what: "Python's venv module for the AWS emulator.",
            install: install("python3-venv", "python3", "brew install python"),
        }),
        Some(_) => {}
    }
    if localstack && javac_version().is_none_or(|version| version < 17) {
        missing.push(Missing {
            what: "A Java development kit, 17 or newer, for LocalStack's DynamoDB (javac).",
            install: install("default-jdk-headless", "java-latest-openjdk-devel", "brew install openjdk"),
        });
    }
    if localstack && !works("npm", &["--version"]) {
        missing.push(Missing {
            what: "npm, to download LocalStack's DynamoDB.",
            install: install("npm", "npm", "brew install node"),
        });
    }
    missing
}

fn install(debian: &str, fedora: &str, mac: &str) -> String {
    let exists = |path: &str| Path::new(path).exists();
    if cfg!(target_os = "macos") {
        mac.to_owned()
    } else if exists("/etc/debian_version") {
        format!("sudo apt-get install {debian}")
    } else if exists("/usr/bin/dnf") {
        format!("sudo dnf install {fedora}")
    } else {
        format!("install it with your system's package manager: {fedora}")
    }
}
