//! `test`: every test, with a stack of its own for those that need one.

use std::process::{Command, ExitCode, ExitStatus};

use anyhow::{Context, Result};
use client::STACK_VARIABLE;

use crate::place::Place;
use crate::up::{Stopped, end, prepare};
use crate::{Options, progress};

/// Runs every test of the workspace.
pub(crate) async fn test(options: &Options, arguments: &[String]) -> Result<ExitCode> {
    let place = Place::of_workspace("test-stack")?;
    let stopped = Stopped::listen()?;
    // Never on a stack that is up: tests may break theirs.
    end(&place)?;
    let tested = tokio::select! {
        tested = run(&place, options, arguments) => tested,
        () = stopped.wait() => Err(anyhow::anyhow!("stopped")),
    };
    end(&place)?;
    Ok(if tested?.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn run(place: &Place, options: &Options, arguments: &[String]) -> Result<ExitStatus> {
    prepare(place, options).await?;
    progress::step("Running the tests");
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .current_dir(place.workspace())
        .args(["test", "--workspace", "--no-fail-fast"])
        .args(arguments)
        .env(STACK_VARIABLE, place.stack_file());
    tokio::process::Command::from(command).kill_on_drop(true).status().await.context("cannot run cargo test")
}
