//! `cargo xtask`: checks the machine's requirements, builds, and runs `local/stack`, `operator/doctor` or `simulation`.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | what a machine needs and how to install it | `requirements` |
//! | the message if there is no C compiler | `../needs-cc.sh` |
//! | the command `doctor` | `operator/doctor` |
//! | the command `simulate` | `simulation` |
//! | the other commands | `local/stack` |
//!
//! Without dependencies, it builds in a second, so missing requirements are reported before a long build.

mod requirements;

use std::env;
use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use requirements::{Missing, missing, python};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if arguments.first().is_some_and(|command| command == "simulate") {
        return simulate(&arguments[1..]);
    }
    let doctor = arguments.first().is_some_and(|command| command == "doctor");
    // Cargo puts the tool beside this program, in any target folder.
    let tool = env::current_exe().map(|own| own.with_file_name(if doctor { "doctor" } else { "stack" }));
    let Ok(tool) = tool else {
        eprintln!("cannot find this program's own path");
        return ExitCode::FAILURE;
    };
    let mut command = command(&tool);
    // These commands build the working tree and start a stack. The others use the running stack and the existing tool.
    let starts = arguments.first().is_some_and(|command| ["up", "demo", "test", "bench"].contains(&command.as_str()));
    if starts {
        let localstack = arguments.iter().any(|argument| argument == "localstack" || argument == "--stack=localstack");
        let python = python(localstack);
        let missing = missing(python.as_deref(), localstack);
        if !missing.is_empty() {
            eprintln!("Please install what is missing on this machine:\n");
            for Missing { what, install } in missing {
                eprintln!("  {what}\n    {install}\n");
            }
            return ExitCode::FAILURE;
        }
        command.env("PYTHON", python.unwrap_or_default());
    }
    let built = if doctor { build(&["--bin", "doctor"]) } else { (!starts && tool.exists()) || build(&["--bins"]) };
    if !built {
        return ExitCode::FAILURE;
    }
    let error = command.args(arguments.iter().skip(usize::from(doctor))).exec();
    eprintln!("cannot run {}: {error}", tool.display());
    ExitCode::FAILURE
}

/// Runs the simulation, built with a profile of its own: optimised code is ten times faster, and a release takes minutes longer
/// to link.
fn simulate(arguments: &[String]) -> ExitCode {
    let mut command = cargo();
    command.args(["run", "--profile", "simulation", "--package", "simulation", "--manifest-path"]).arg(manifest());
    let error = command.arg("--").args(arguments).exec();
    eprintln!("cannot run cargo: {error}");
    ExitCode::FAILURE
}

fn manifest() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is in the repository").join("Cargo.toml")
}

/// Builds these programs. The whole workspace is selected in any case: separate builds would select other features and compile
/// dependencies twice.
fn build(programs: &[&str]) -> bool {
    eprintln!("\x1b[1m==>\x1b[0m Building (the first time takes a few minutes)");
    let status = cargo().args(["build", "--workspace"]).args(programs).arg("--manifest-path").arg(manifest()).status();
    match status {
        Ok(status) => status.success(),
        Err(error) => {
            eprintln!("cannot run cargo: {error}");
            false
        }
    }
}

fn cargo() -> Command {
    command(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// A command without the variables that cargo sets for this program: build scripts would see a change and rebuild.
fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    let own = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_str().is_some_and(own)) {
        command.env_remove(name);
    }
    command
}
