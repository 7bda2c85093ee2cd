//! Release builds of what is measured.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use offercast::output;
use tokio::process::Command;

use crate::stack_dir::StackDir;

/// The folder of release builds: beside the one that this program is in.
pub(super) fn release(dir: &StackDir) -> Result<PathBuf> {
    let own = dir.program("stack")?;
    let target = own.ancestors().nth(2).context("this program is not in a target folder")?;
    Ok(target.join("release"))
}

/// Builds the functions with the release profile for this machine's processor, and the empty function.
pub(super) async fn build(dir: &StackDir) -> Result<()> {
    let step = output::step("Building the functions with the release profile (the first time takes many minutes)");
    let functions = package::functions(dir.workspace())?;
    let mut cargo = cargo(dir.workspace());
    cargo.args(["build", "--release", "--bins", "--package", "empty"]);
    cargo.args(functions.iter().flat_map(|function| ["--package", function]));
    ensure!(cargo.status().await.context("cannot run cargo")?.success(), "building the functions failed");
    step.done("built");
    Ok(())
}

pub(super) fn cargo(workspace: &Path) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(workspace).kill_on_drop(true);
    cargo
}
