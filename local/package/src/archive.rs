//! Zip archives that are the same for the same files.

use std::io::{Cursor, Write};
use std::path::Path;
use std::{fs, io};

use anyhow::{Context, Result};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

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
        let mut read = zip::ZipArchive::new(Cursor::new(archive)).unwrap();
        let modes: Vec<_> = (0..2).map(|index| read.by_index(index).unwrap().unix_mode().unwrap() & 0o777).collect();
        assert_eq!(modes, [0o644, 0o755]);
        assert_eq!(read.by_name("README.md").unwrap().size(), 5);
    }
}
