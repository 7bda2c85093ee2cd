//! `cargo xtask`: checks that the machine has what is needed, then hands over to `local/stack`.
//!
//! It depends on nothing, so it is built in a second: whoever lacks something hears of it before a long build.

use std::env;
use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    // The tool lies beside this program, whatever the target folder.
    let tool = env::current_exe().map(|own| own.with_file_name("stack"));
    let Ok(tool) = tool else {
        eprintln!("cannot tell where this program is");
        return ExitCode::FAILURE;
    };
    let mut command = command(&tool);
    // These start a stack, from what is in the working tree. The others use the stack that is there, and the tool.
    let starts = arguments.first().is_some_and(|command| ["up", "demo", "test", "bench"].contains(&command.as_str()));
    if starts {
        let localstack = arguments.iter().any(|argument| argument == "localstack" || argument == "--stack=localstack");
        let python = python(localstack);
        let missing = missing(python.as_deref(), localstack);
        if !missing.is_empty() {
            eprintln!("This machine lacks something:\n");
            for Missing { what, install } in missing {
                eprintln!("  {what}\n    {install}\n");
            }
            return ExitCode::FAILURE;
        }
        command.env("PYTHON", python.unwrap_or_default());
    }
    if (starts || !tool.exists()) && !build() {
        return ExitCode::FAILURE;
    }
    let error = command.args(arguments).exec();
    eprintln!("cannot run {}: {error}", tool.display());
    ExitCode::FAILURE
}

/// Builds everything at once: in parts, the parts would be built with other features, and then again.
fn build() -> bool {
    eprintln!("\x1b[1m==>\x1b[0m Building (the first time takes a few minutes)");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the repository");
    let status = command(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--workspace", "--bins", "--manifest-path"])
        .arg(root.join("Cargo.toml"))
        .status();
    match status {
        Ok(status) => status.success(),
        Err(error) => {
            eprintln!("cannot run cargo: {error}");
            false
        }
    }
}

struct Missing {
    what: &'static str,
    install: String,
}

/// A command without what cargo told this program of itself: build scripts would take it for a change, and build anew.
fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    let own = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_str().is_some_and(own)) {
        command.env_remove(name);
    }
    command
}

fn works(program: &str, arguments: &[&str]) -> bool {
    let status = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// A Python that the local AWS stack runs on: LocalStack runs on 3.13 alone.
fn python(localstack: bool) -> Option<String> {
    let asked = env::var("PYTHON").ok().filter(|python| !python.is_empty());
    let usual = if localstack { vec!["python3.13", "python3"] } else { vec!["python3"] };
    let pyenv = Path::new(&env::var("HOME").unwrap_or_default()).join(".pyenv/versions");
    let versions = std::fs::read_dir(pyenv).into_iter().flatten().filter_map(Result::ok);
    let versions = versions.map(|version| version.path().join("bin/python3").display().to_string());
    let right = if localstack { "sys.version_info[:2] == (3, 13)" } else { "sys.version_info >= (3, 10)" };
    let check = format!("import sys; sys.exit(not {right})");
    let mut candidates = asked.into_iter().chain(usual.into_iter().map(str::to_owned)).chain(versions);
    candidates.find(|python| works(python, &["-c", &check]))
}

/// What the machine lacks, each with how to get it.
fn missing(python: Option<&str>, localstack: bool) -> Vec<Missing> {
    let mut missing = Vec::new();
    if !works("cc", &["--version"]) {
        missing.push(Missing {
            what: "A C compiler (cc), for the cryptography.",
            install: install("build-essential", "gcc", "xcode-select --install"),
        });
    }
    match python {
        None if localstack => missing.push(Missing {
            what: "Python 3.13 (python3.13, or name another in PYTHON), for LocalStack.",
            install: install("python3.13 python3.13-venv", "python3.13", "brew install python@3.13"),
        }),
        None => missing.push(Missing {
            what: "Python 3.10 or newer (python3, or name another in PYTHON), for the local AWS stack.",
            install: install("python3 python3-venv", "python3", "brew install python"),
        }),
        Some(python) if !works(python, &["-c", "import venv, ensurepip"]) => missing.push(Missing {
            what: "Python's venv module, for the local AWS stack.",
            install: install("python3-venv", "python3", "brew install python"),
        }),
        Some(_) => {}
    }
    if localstack && !works("javac", &["--version"]) {
        missing.push(Missing {
            what: "A Java development kit, 17 or newer, for LocalStack's DynamoDB.",
            install: install("default-jdk-headless", "java-latest-openjdk-devel", "brew install openjdk"),
        });
    }
    if localstack && !works("npm", &["--version"]) {
        missing.push(Missing {
            what: "npm, which fetches LocalStack's DynamoDB.",
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
