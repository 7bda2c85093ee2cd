//! `cargo xtask`: checks that the machine has what is needed, then hands over to `local/stack`.
//!
//! It depends on nothing, so it is built in a second: whoever lacks something hears of it before a long build.

use std::env;
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
    // These start a stack, from what is in the working tree. The others use the stack that is there, and the tool.
    let starts = arguments.first().is_some_and(|command| command == "up" || command == "test");
    if starts {
        let missing = missing();
        if !missing.is_empty() {
            eprintln!("This machine lacks something:\n");
            for Missing { what, install } in missing {
                eprintln!("  {what}\n    {install}\n");
            }
            return ExitCode::FAILURE;
        }
    }
    if (starts || !tool.exists()) && !build() {
        return ExitCode::FAILURE;
    }
    let error = Command::new(&tool).args(arguments).exec();
    eprintln!("cannot run {}: {error}", tool.display());
    ExitCode::FAILURE
}

/// Builds everything at once: in parts, the parts would be built with other features, and then again.
fn build() -> bool {
    eprintln!("\x1b[1m==>\x1b[0m Building (the first time takes a few minutes)");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the repository");
    let status = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
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

/// What the machine lacks, each with how to get it.
fn missing() -> Vec<Missing> {
    let python = env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let works = |program: &str, arguments: &[&str]| {
        let status = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    let mut missing = Vec::new();
    if !works("cc", &["--version"]) {
        missing.push(Missing {
            what: "A C compiler (cc), for the cryptography.",
            install: install("build-essential", "gcc", "xcode-select --install"),
        });
    }
    if !works(&python, &["-c", "import sys; sys.exit(sys.version_info < (3, 10))"]) {
        missing.push(Missing {
            what: "Python 3.10 or newer (python3, or name another in PYTHON), for the local AWS stack.",
            install: install("python3 python3-venv", "python3", "brew install python"),
        });
    } else if !works(&python, &["-c", "import venv, ensurepip"]) {
        missing.push(Missing {
            what: "Python's venv module, for the local AWS stack.",
            install: install("python3-venv", "python3", "brew install python"),
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
