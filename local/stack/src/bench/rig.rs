//! One process of `audience` and one of `email` by themselves, behind the fast AWS of `local/rig`.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};

use super::build::cargo;
use crate::progress;
use crate::stack_dir::StackDir;

/// What is measured: a heading, and the rig's arguments.
const CASES: [(&str, &[&str]); 2] = [
    ("as fast as it goes", &["--customers", "20000", "--pushes", "3"]),
    (
        "DynamoDB takes 4 ms, the mail server 20",
        &["--customers", "5000", "--pushes", "1", "--store-ms", "4", "--smtp-ms", "20"],
    ),
];

/// The rig, built.
pub(super) struct Rig;

impl Rig {
    const CARGO_ARGS: [&str; 5] = ["run", "--profile", "bench", "--package", "rig"];

    /// Builds it.
    pub(super) async fn build(dir: &StackDir) -> Result<Self> {
        let step = progress::step("Building the rig");
        let mut build = cargo(dir.workspace());
        build.args(["build", "--profile", "bench", "--package", "rig"]);
        ensure!(build.status().await.context("cannot run cargo")?.success(), "building the rig failed");
        step.done("built");
        Ok(Self)
    }

    /// Measures each case and returns the tables.
    pub(super) async fn measure(&self, dir: &StackDir) -> Result<String> {
        let functions = dir.function("email")?;
        let functions = functions.parent().context("a function is in a folder")?;
        let mut text = String::new();
        for (name, arguments) in CASES {
            let step = progress::step(&format!("One process of audience and one of email: {name}"));
            let mut rig = cargo(dir.workspace());
            rig.args(Self::CARGO_ARGS).arg("--").arg("--functions").arg(functions).args(arguments);
            let output = rig.stderr(Stdio::inherit()).output().await.context("cannot run cargo")?;
            ensure!(output.status.success(), "the rig failed");
            step.done("measured");
            text += &format!("{name}:\n\n{}\n", String::from_utf8(output.stdout)?);
        }
        Ok(text)
    }
}
