//! `cargo xtask`: checks that the machine has what is needed, then hands over to `local/stack`.
//!
//! | to change | open |
//! |---|---|
//! | what a machine needs, and how to install it | `requirements` |
//! | without a C compiler, which every build needs | `../needs-cc.sh` |
//!
//! It depends on nothing, so it is built in a second: whoever lacks something hears of it before a long build.

mod requirements;

use std::env;
use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use requirements::{Missing, missing, python};

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

/// A command without what cargo told this program of itself: build scripts would take it for a change, and build anew.
fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    let own = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_str().is_some_and(own)) {
        command.env_remove(name);
    }
    command
}
