//! The functions as packages for Lambda, and `cargo xtask release`.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | an archive | [`archive`] |
//! | the names of the functions | this file |
//! | the template of a release | [`template`] |
//! | what a release is built of | [`build`] |
//! | its files, checksums and provenance | [`release`] |

pub mod archive;
pub mod build;
pub mod release;
pub mod template;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// The names of all functions of a workspace: each has a folder under `functions/`.
///
/// # Errors
/// If the folder cannot be read.
pub fn functions(workspace: &Path) -> Result<Vec<String>> {
    let folder = workspace.join("functions");
    let mut names: Vec<String> = fs::read_dir(&folder)
        .with_context(|| format!("cannot read {}", folder.display()))?
        .filter_map(Result::ok)
        .filter(|entry| entry.path().join("Cargo.toml").exists())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    Ok(names)
}
