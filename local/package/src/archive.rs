//! Zip archives that are the same for the same files.

use std::io::{Cursor, Read, Write};
use std::path::Path;
use std::{fs, io};

use anyhow::{Context, Result};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

/// A file of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its path in the archive.
    pub path: String,
    /// Its content.
    pub bytes: Vec<u8>,
    /// Whether it is a program.
    pub is_program: bool,
}

impl Entry {
    /// A file that is read by people and tools.
    pub fn file(path: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self { path: path.into(), bytes: bytes.into(), is_program: false }
    }

    /// A program.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn program(path: impl Into<String>, program: &Path) -> Result<Self> {
        let bytes = fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
        Ok(Self { path: path.into(), bytes, is_program: true })
    }
}

/// How the files are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// As they are: for an archive that does not leave this machine, or whose files are compressed.
    None,
    /// Deflated.
    Deflate,
}

/// An archive of these files, in this order. Its time stamps are fixed.
///
/// # Errors
/// If two files have the same path.
pub fn zip(entries: &[Entry], compression: Compression) -> Result<Vec<u8>> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let method = match compression {
        Compression::None => CompressionMethod::Stored,
        Compression::Deflate => CompressionMethod::Deflated,
    };
    let options = SimpleFileOptions::default().compression_method(method).last_modified_time(zip::DateTime::default());
    for Entry { path, bytes, is_program } in entries {
        archive.start_file(path.as_str(), options.unix_permissions(if *is_program { 0o755 } else { 0o644 }))?;
        io::copy(&mut bytes.as_slice(), &mut archive)?;
    }
    archive.flush()?;
    Ok(archive.finish()?.into_inner())
}

/// The files of an archive, in their order.
///
/// # Errors
/// If it is none.
pub fn unzip(archive: &[u8]) -> Result<Vec<Entry>> {
    let mut archive = ZipArchive::new(Cursor::new(archive))?;
    (0..archive.len())
        .map(|index| {
            let mut file = archive.by_index(index)?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            let is_program = file.unix_mode().is_some_and(|mode| mode & 0o100 != 0);
            Ok(Entry { path: file.name()?.into_owned(), bytes, is_program })
        })
        .collect()
}

/// The package of a function: its program under the name that Lambda looks for.
///
/// # Errors
/// If the program cannot be read.
pub fn function(program: &Path, compression: Compression) -> Result<Vec<u8>> {
    zip(&[Entry::program("bootstrap", program)?], compression)
}

/// The SHA-256 of some bytes, in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_files_make_the_same_archive_and_programs_can_be_run() {
        let entries = || {
            let program = Entry { is_program: true, ..Entry::file("bin/offercast", "x".repeat(1000)) };
            [Entry::file("README.md", "Hello"), program]
        };
        let archive = zip(&entries(), Compression::Deflate).unwrap();
        assert_eq!(archive, zip(&entries(), Compression::Deflate).unwrap());
        assert!(archive.len() < 1000, "it is compressed");
        assert_eq!(unzip(&archive).unwrap(), entries());
    }
}
