//! What is shared is compiled once: by `sam build`, since every function wants the same features of it, and by
//! `cargo test` and `cargo build`, since tests want no others.

use std::collections::{BTreeMap, BTreeSet};
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

/// `cargo xtask test` builds the programs without the tests, and then the tests. One feature more in the tests, of a crate that
/// all of the AWS SDK needs, and all of it is compiled twice.
#[test]
fn tests_want_no_other_features_than_builds() -> Result<()> {
    let every = |edges: &str| -> Result<BTreeSet<String>> {
        let listed = tree(&["--workspace", "--edges", edges])?;
        Ok(listed
            .lines()
            .filter(|line| !line.is_empty())
            .map(|line| line.trim_end_matches(" (*)").to_owned())
            .collect())
    };
    let (built, tested) = (every("normal,build")?, every("normal,build,dev")?);
    let twice: Vec<_> = built.difference(&tested).collect();
    ensure!(
        twice.is_empty(),
        "tests enable more features of these; leave them out in the tests, or let local/stack enable them too: {twice:#?}"
    );
    Ok(())
}

/// The crates that a function is built from, with the features that are enabled for each.
fn crates(function: &str) -> Result<BTreeMap<String, String>> {
    let listed = tree(&["--package", function, "--target", TARGET, "--edges", "normal,build"])?;
    let mut crates: BTreeMap<String, String> = BTreeMap::new();
    for line in listed.lines().filter(|line| !line.is_empty()) {
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

/// Lists crates, each with the features that are enabled for it: `serde v1.0.0 | default,std`.
fn tree(which: &[&str]) -> Result<String> {
    let mut cargo = Command::new(env::var_os("CARGO").context("cargo sets CARGO for tests")?);
    cargo.args(["tree", "--locked", "--prefix", "none", "--format", "{p} | {f}"]).args(which);
    let output = cargo.output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}
