//! One process of each function by itself, behind the fast AWS of `local/rig`, beside peers in other languages.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use offercast::output;

use super::build::cargo;
use crate::emulator::install_once;
use crate::process::run;
use crate::stack_dir::StackDir;

/// What is measured.
struct Case {
    heading: &'static str,
    /// Of the rig.
    arguments: &'static [&'static str],
    /// The peers are slow.
    has_peers: bool,
    /// Making control groups may take more rights than this process has.
    needs_control_groups: bool,
}

const PLAIN: Case = Case {
    heading: "As fast as it goes",
    // Few enough for the peer in Python, which sends 150 e-mails a second.
    arguments: &["--customers", "5000", "--pushes", "3"],
    has_peers: true,
    needs_control_groups: false,
};
const CASES: [Case; 5] = [
    PLAIN,
    Case {
        heading: "The same with calls of AWS over TLS",
        arguments: &["--customers", "5000", "--pushes", "3", "--tls"],
        ..PLAIN
    },
    Case {
        heading: "A bank of 200,000 customers",
        arguments: &["--customers", "200000", "--pushes", "1"],
        has_peers: false,
        ..PLAIN
    },
    Case {
        heading: "DynamoDB takes 4 ms, the mail server 20",
        arguments: &["--customers", "2000", "--pushes", "1", "--store-ms", "4", "--smtp-ms", "20"],
        ..PLAIN
    },
    Case {
        heading: "The same with 0.1447 of a processor, as 256 MB have",
        arguments: &[
            "--customers",
            "1000",
            "--pushes",
            "1",
            "--store-ms",
            "4",
            "--smtp-ms",
            "20",
            "--processor",
            "0.1447",
        ],
        needs_control_groups: true,
        ..PLAIN
    },
];

const PACKAGE: &str = include_str!("../../../rig/peers/package.json");
const NODE_PEER: &str = include_str!("../../../rig/peers/peer.mjs");
const PYTHON_PEER: &str = include_str!("../../../rig/peers/peer.py");
const PYTHON_PACKAGES: &str = include_str!("../../../rig/peers/requirements.txt");

/// The rig, built.
pub(super) struct Rig {
    /// The peers' folder, unless something that they need is missing.
    peers: Result<PathBuf>,
}

impl Rig {
    const CARGO_ARGS: [&str; 5] = ["run", "--profile", "bench", "--package", "rig"];

    /// Builds it, and installs the peers.
    pub(super) async fn build(dir: &StackDir) -> Result<Self> {
        let step = output::step("Building the rig");
        let mut build = cargo(dir.workspace());
        build.args(["build", "--profile", "bench", "--package", "rig"]);
        ensure!(build.status().await.context("cannot run cargo")?.success(), "building the rig failed");
        step.done("built");
        Ok(Self { peers: install_peers(dir) })
    }

    /// Measures each case and returns the tables.
    pub(super) async fn measure(&self, dir: &StackDir) -> Result<String> {
        let functions = dir.function("email")?;
        let functions = functions.parent().context("a function is in a folder")?;
        let mut text = String::new();
        for Case { heading, arguments, has_peers, needs_control_groups } in CASES {
            let step = output::step(&format!("One process of each function: {heading}"));
            let mut rig = cargo(dir.workspace());
            rig.args(Self::CARGO_ARGS).arg("--").arg("--functions").arg(functions).args(arguments);
            if let Ok(peers) = &self.peers
                && has_peers
            {
                rig.arg("--peers").arg(peers);
            }
            let output = rig.stderr(Stdio::inherit()).output().await.context("cannot run cargo")?;
            if output.status.success() {
                step.done("measured");
                text += &format!("{heading}:\n\n{}\n", String::from_utf8(output.stdout)?);
            } else {
                step.done("not measured");
                ensure!(needs_control_groups, "the rig failed");
                text += &format!("{heading}: not measured, see above.\n\n");
            }
        }
        if let Err(error) = &self.peers {
            text += &format!("No peers: {error:#}.\n");
        }
        Ok(text)
    }
}

/// Installs what the peers need. Needs Node.js with npm, and Python.
fn install_peers(dir: &StackDir) -> Result<PathBuf> {
    let folder = dir.workspace().join("target/local/peers");
    install_once(&folder.join("venv"), PYTHON_PACKAGES, "boto3, for the peer in Python (once, about 90 MB)", |_| {
        Ok(())
    })?;
    fs::write(folder.join("peer.py"), PYTHON_PEER)?;
    let is_installed = fs::read_to_string(folder.join("package.json")).is_ok_and(|package| package == PACKAGE);
    if !is_installed || !folder.join("node_modules").exists() {
        let step = output::step("Installing the AWS SDK and nodemailer, for the peer in Node.js (once, about 30 MB)");
        fs::write(folder.join("package.json"), PACKAGE)?;
        let installed = run("install the Node.js packages", npm(&folder).args(["install", "--no-audit", "--no-fund"]));
        step.done(if installed.is_ok() { "installed" } else { "not installed" });
        installed?;
    }
    fs::write(folder.join("peer.mjs"), NODE_PEER)?;
    // One file, as one would deploy it: it starts faster.
    let mut bundle = npm(&folder);
    bundle.args(["exec", "--", "esbuild", "peer.mjs", "--bundle", "--minify", "--platform=node", "--target=node20"]);
    run("bundle the peer in Node.js", bundle.arg("--outfile=peer.cjs"))?;
    Ok(folder)
}

fn npm(folder: &Path) -> Command {
    let mut npm = Command::new("npm");
    npm.arg("--silent").current_dir(folder);
    npm
}
