//! Packaging the functions as zip archives for Lambda. `xtask` has compiled them.

use std::fs::{self, File};
use std::io::{Cursor, Write};
use std::path::Path;

use anyhow::{Context, Result};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use zip::CompressionMethod;
use zip::write::SimpleFileOptions;

use crate::stack_dir::StackDir;

/// A packaged function.
pub(crate) struct Package {
    /// The folder under `functions/`.
    pub(crate) function: String,
    /// SHA-256 of the archive, in hexadecimal.
    pub(crate) hash: String,
    pub(crate) zip: Vec<u8>,
}

/// The names of all functions: each has a folder under `functions/`.
pub(crate) fn functions(dir: &StackDir) -> Result<Vec<String>> {
    let mut names: Vec<String> = fs::read_dir(dir.workspace().join("functions"))?
        .filter_map(Result::ok)
        .filter(|entry| entry.path().join("Cargo.toml").exists())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    Ok(names)
}

pub(crate) fn all(dir: &StackDir) -> Result<Vec<Package>> {
    functions(dir)?
        .into_iter()
        .map(|function| {
            let program = dir.function(&function)?;
            let zip = zip_of(&program).with_context(|| format!("cannot package {}", program.display()))?;
            let hash = HEXLOWER.encode(&Sha256::digest(&zip));
            Ok(Package { function, hash, zip })
        })
        .collect()
}

fn zip_of(program: &Path) -> Result<Vec<u8>> {
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    // Not compressed: it does not leave this machine. A fixed time stamp, so that equal programs give equal archives.
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(zip::DateTime::default())
        .unix_permissions(0o755);
    archive.start_file("bootstrap", options)?;
    std::io::copy(&mut File::open(program)?, &mut archive)?;
    archive.flush()?;
    Ok(archive.finish()?.into_inner())
}
