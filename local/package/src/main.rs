//! `cargo xtask release`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Parser;
use commands::{Arguments, Command};
use package::release::Release;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            anstream::eprintln!("\n\x1b[1;31mError:\x1b[0m {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let Command::Release { architectures, trial } = Arguments::parse().command else {
        bail!("this program builds releases only: cargo xtask release")
    };
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    let workspace = workspace.context("the workspace that this program was built from no longer exists")?;
    let folder = Release { architectures, is_trial: trial }.build(workspace)?;
    println!("\nThe release is in {}:", folder.display());
    let mut files: Vec<_> = std::fs::read_dir(&folder)?.collect::<Result<_, _>>()?;
    files.sort_by_key(std::fs::DirEntry::file_name);
    for file in files {
        println!("  {:>6.1} MB  {}", megabytes(file.metadata()?.len()), file.file_name().display());
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "it is shown with one digit after the point")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
