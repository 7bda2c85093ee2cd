//! `cargo xtask`: parses its arguments, checks the machine's requirements, builds, and runs `local/stack`, `local/package`,
//! `operator/offercast` or `simulation`.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | what a machine needs and how to install it | `requirements` |
//! | the message if there is no C compiler | `../needs-cc.sh` |
//! | the commands and their arguments | `local/commands` |
//! | what the commands do | `local/stack`; of operators, `operator/offercast` |
//! | the command `simulate` | `simulation` |
//! | the command `release` | `local/package` |
//!
//! With few dependencies, it builds in seconds, so missing requirements are reported before a long build.

mod requirements;

use std::env;
use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, ExitCode};

use clap::Parser;
use commands::{Arguments, Command, OF_OFFERCAST, Options, RELEASE, SIMULATE};
use requirements::{Missing, missing, python};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some(SIMULATE) => simulate(&arguments[1..]),
        Some(command) if OF_OFFERCAST.contains(&command) => hand_on(&arguments),
        Some(RELEASE) => release(&arguments),
        // Before anything is built.
        _ => develop(&Arguments::parse().command, &arguments),
    }
}

/// Runs a command for development. Those that start a stack build the working tree first.
fn develop(parsed: &Command, arguments: &[String]) -> ExitCode {
    let options = match parsed {
        Command::Up { options, .. } | Command::Demo { options, .. } | Command::Test { options, .. } => Some(options),
        Command::Bench { .. } => Some(&Options::default()),
        Command::Down | Command::Release { .. } => None,
    };
    let Some(tool) = beside("stack") else { return ExitCode::FAILURE };
    let mut run = process(&tool);
    if let Some(options) = options {
        let localstack = options.stack.as_deref() == Some("localstack");
        let python = python(localstack);
        let missing = missing(python.as_deref(), localstack);
        if !missing.is_empty() {
            eprintln!("Please install what is missing on this machine:\n");
            for Missing { what, install } in missing {
                eprintln!("  {what}\n    {install}\n");
            }
            return ExitCode::FAILURE;
        }
        run.env("PYTHON", python.unwrap_or_default());
    }
    let is_built = (options.is_none() && tool.exists()) || build(&["--bins"]);
    if is_built { replace_by(run.args(arguments)) } else { ExitCode::FAILURE }
}

/// Builds a release. Its arguments are parsed before anything is built.
fn release(arguments: &[String]) -> ExitCode {
    Arguments::parse();
    let Some(tool) = beside("release") else { return ExitCode::FAILURE };
    if build(&["--bin", "release"]) { replace_by(process(&tool).args(arguments)) } else { ExitCode::FAILURE }
}

/// Runs a command of `offercast`, which is built if it is missing.
fn hand_on(arguments: &[String]) -> ExitCode {
    let Some(tool) = beside("offercast") else { return ExitCode::FAILURE };
    let is_built = tool.exists() || build(&["--bin", "offercast"]);
    let mut run = process(&tool);
    run.env("OFFERCAST_TOOL", "cargo xtask");
    if is_built { replace_by(run.args(arguments)) } else { ExitCode::FAILURE }
}

/// A program of the workspace: cargo puts it beside this program, in any target folder.
fn beside(program: &str) -> Option<PathBuf> {
    let own = env::current_exe().inspect_err(|error| eprintln!("cannot find this program's own path: {error}"));
    Some(own.ok()?.with_file_name(program))
}

/// Runs a program in place of this one.
fn replace_by(run: &mut process::Command) -> ExitCode {
    let error = run.exec();
    eprintln!("cannot run {}: {error}", run.get_program().display());
    ExitCode::FAILURE
}

/// Runs the simulation, built with a profile of its own: optimised code is ten times faster, and a release takes minutes longer
/// to link.
fn simulate(arguments: &[String]) -> ExitCode {
    let mut command = cargo();
    command.args(["run", "--profile", "simulation", "--package", "simulation", "--manifest-path"]).arg(manifest());
    replace_by(command.arg("--").args(arguments))
}

fn manifest() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is in the repository").join("Cargo.toml")
}

/// Builds these programs. The whole workspace is selected in any case: separate builds would select other features and compile
/// dependencies twice.
fn build(programs: &[&str]) -> bool {
    anstream::eprintln!("\x1b[1m==>\x1b[0m Building (the first time takes a few minutes)");
    let status = cargo().args(["build", "--workspace"]).args(programs).arg("--manifest-path").arg(manifest()).status();
    match status {
        Ok(status) => status.success(),
        Err(error) => {
            eprintln!("cannot run cargo: {error}");
            false
        }
    }
}

fn cargo() -> process::Command {
    process(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// A command without the variables that cargo sets for this program: build scripts would see a change and rebuild.
fn process(program: impl AsRef<OsStr>) -> process::Command {
    let mut command = process::Command::new(program);
    let own = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_str().is_some_and(own)) {
        command.env_remove(name);
    }
    command
}
