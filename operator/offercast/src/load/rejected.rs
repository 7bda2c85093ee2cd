//! The rows that were not stored, in a file of their own: to be corrected, and loaded again.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use csv::{StringRecord, Writer, WriterBuilder};

use super::file::Row;

/// The columns that stand before those of the file.
pub(super) const COLUMNS: [&str; 3] = ["line", "field", "reason"];
/// Says that a file is in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";
/// The end of the file's name.
const ENDING: &str = ".rejected.csv";

/// A row that was not stored, with the column and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rejection {
    pub(super) row: Row,
    pub(super) faults: Vec<(String, String)>,
}

/// A file beside this one that does not exist: people may be correcting the rows of an earlier load. The rejected rows of a file of
/// rejected rows take its place.
pub(super) fn path_for(path: &Path) -> PathBuf {
    let usual = usual_path_for(path);
    let is_free = |other: &PathBuf| *other == path || !other.exists();
    let name = usual.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let numbered = (2..).map(|number| usual.with_file_name(name.replace(ENDING, &format!("-{number}{ENDING}"))));
    std::iter::once(usual.clone()).chain(numbered).find(is_free).expect("there is always another number")
}

/// `customers.csv.gz` has its rejected rows in `customers.rejected.csv`. So has that file itself.
fn usual_path_for(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.strip_suffix(".gz").unwrap_or(&name);
    let stem = stem.strip_suffix(ENDING).or_else(|| stem.rsplit_once('.').map(|(stem, _)| stem)).unwrap_or(stem);
    path.with_file_name(format!("{stem}{ENDING}"))
}

/// Whether the first row is that of a file of rejected rows.
pub(super) fn is_header(header: &StringRecord) -> bool {
    COLUMNS.iter().zip(header.iter()).filter(|(expected, name)| *expected == name).count() == COLUMNS.len()
}

/// Writes the rows that were not stored. Under another name until all are written, since the file that is read may be this one.
pub(super) struct Rejected {
    path: PathBuf,
    unfinished: PathBuf,
    delimiter: u8,
    header: StringRecord,
    /// Begun with the first row.
    out: Option<Writer<File>>,
    pub(super) count: usize,
}

impl Rejected {
    /// Nothing is written yet.
    pub(super) fn new(path: PathBuf, delimiter: u8, header: StringRecord) -> Self {
        let unfinished = path.with_extension("csv.unfinished");
        Self { path, unfinished, delimiter, header, out: None, count: 0 }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn add(&mut self, rejection: &Rejection) -> Result<()> {
        let unwritable = || format!("cannot write {}", self.unfinished.display());
        let out = match &mut self.out {
            Some(out) => out,
            none => {
                // For its owner alone: it has customers.
                let mut options = OpenOptions::new();
                options.write(true).create_new(true).mode(0o600);
                // Of a load that was ended.
                let _ = std::fs::remove_file(&self.unfinished);
                let mut file = options.open(&self.unfinished).with_context(unwritable)?;
                // Excel takes a file without it for one in the machine's own encoding.
                file.write_all(BYTE_ORDER_MARK).with_context(unwritable)?;
                let mut out = WriterBuilder::new().delimiter(self.delimiter).flexible(true).from_writer(file);
                write(&mut out, COLUMNS, &self.header).with_context(unwritable)?;
                none.insert(out)
            }
        };
        let line = rejection.row.line.to_string();
        let join =
            |part: fn(&(String, String)) -> &str| rejection.faults.iter().map(part).collect::<Vec<_>>().join("; ");
        let (fields, reasons) = (join(|(field, _)| field), join(|(_, reason)| reason));
        write(out, [&line, &fields, &reasons], &rejection.row.cells).with_context(unwritable)?;
        self.count += 1;
        Ok(())
    }

    /// Gives the file its name. Without rejected rows there is none.
    pub(super) fn finish(mut self) -> Result<()> {
        let Some(out) = self.out.take() else { return Ok(()) };
        let mut file = out.into_inner().map_err(csv::IntoInnerError::into_error)?;
        file.flush()?;
        std::fs::rename(&self.unfinished, &self.path).with_context(|| format!("cannot write {}", self.path.display()))
    }
}

/// What an error has ended is not left behind.
impl Drop for Rejected {
    fn drop(&mut self) {
        if self.out.is_some() {
            let _ = std::fs::remove_file(&self.unfinished);
        }
    }
}

fn write(out: &mut Writer<File>, before: [&str; 3], cells: &StringRecord) -> csv::Result<()> {
    out.write_record(before.into_iter().chain(cells.iter()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rejected_rows_of_a_file_are_beside_it() {
        for (path, expected) in [
            ("a/customers.csv", "a/customers.rejected.csv"),
            ("customers.csv.gz", "customers.rejected.csv"),
            ("customers.rejected.csv", "customers.rejected.csv"),
            ("customers", "customers.rejected.csv"),
            ("a.b.txt", "a.b.rejected.csv"),
        ] {
            assert_eq!(usual_path_for(Path::new(path)), Path::new(expected));
        }
    }

    #[test]
    fn rows_that_somebody_may_be_correcting_are_not_replaced() {
        let folder = std::env::temp_dir().join(format!("offercast-rejected-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let source = folder.join("a.csv");
        assert_eq!(path_for(&source), folder.join("a.rejected.csv"));
        std::fs::write(folder.join("a.rejected.csv"), "x").unwrap();
        assert_eq!(path_for(&source), folder.join("a-2.rejected.csv"));
        assert_eq!(path_for(&folder.join("a.rejected.csv")), folder.join("a.rejected.csv"));
        std::fs::remove_dir_all(folder).unwrap();
    }
}
