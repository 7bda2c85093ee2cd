//! `sam build` compiles what the functions share once: every function wants the same features of it.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// What the functions are deployed to by default.
const TARGET: &str = "aarch64-unknown-linux-gnu";

#[test]
fn functions_want_equal_features_of_shared_crates() -> Result<()> {
    let functions = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../functions"));
    // Crate -> features -> the functions that want them.
    let mut wanted: BTreeMap<String, BTreeMap<String, Vec<String>>> = BTreeMap::new();
    for folder in fs::read_dir(functions)? {
        let folder = folder?;
        if !folder.path().join("Cargo.toml").exists() {
            continue;
        }
        let function = folder.file_name().to_string_lossy().into_owned();
        for (of, features) in crates(&function)? {
            wanted.entry(of).or_default().entry(features).or_default().push(function.clone());
        }
    }
    ensure!(wanted.keys().any(|of| of.starts_with("aws-runtime v")), "no function uses the AWS SDK");
    wanted.retain(|_, features| features.len() > 1);
    ensure!(
        wanted.is_empty(),
        "run `cargo hakari generate`; some functions want other features than the rest: {wanted:#?}"
    );
    Ok(())
}

/// The crates that a function is built from, with the features that are enabled for each.
fn crates(function: &str) -> Result<BTreeMap<String, String>> {
    let mut cargo = Command::new(env::var_os("CARGO").context("cargo sets CARGO for tests")?);
    cargo.args(["tree", "--locked", "--package", function, "--target", TARGET, "--edges", "normal,build"]);
    let output = cargo.args(["--prefix", "none", "--format", "{p} | {f}"]).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut crates: BTreeMap<String, String> = BTreeMap::new();
    for line in String::from_utf8(output.stdout)?.lines().filter(|line| !line.is_empty()) {
        let (of, features) = line.split_once(" | ").with_context(|| format!("no features in {line:?}"))?;
        let features = features.trim_end_matches(" (*)");
        let known = crates.entry(of.to_owned()).or_default();
        // Build scripts enable fewer features of some crates, and get a build of their own.
        if known.len() < features.len() {
            features.clone_into(known);
        }
    }
    Ok(crates)
}
