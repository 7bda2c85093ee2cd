//! A CSV file as banks have them: its encoding, what separates its cells, and its rows.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use csv::{Reader, ReaderBuilder, StringRecord};
use encoding_rs::{UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};
use encoding_rs_io::DecodeReaderBytesBuilder;
use flate2::read::MultiGzDecoder;

use super::rejected;

/// The first octets of every gzip file (RFC 1952, 2.3.1).
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// Octets of the beginning from which an encoding of two octets a character is recognised.
const START: usize = 64;

/// How a file's characters are encoded.
pub type Encoding = &'static encoding_rs::Encoding;

/// An encoding by its name (WHATWG Encoding Standard).
pub(super) fn parse_encoding(name: &str) -> Result<Encoding, &'static str> {
    encoding_rs::Encoding::for_label(name.as_bytes())
        .ok_or("expected an encoding such as utf-8, windows-1252 or iso-8859-2")
}

/// What the beginning of a file says of its encoding: by its byte order mark, or by the zeros that every other octet of Latin text
/// is in UTF-16.
fn encoding_of_start(start: &[u8]) -> Option<Encoding> {
    let zeros = |parity: usize| start.iter().skip(parity).step_by(2).filter(|byte| **byte == 0).count();
    match start {
        [0xef, 0xbb, 0xbf, ..] => Some(UTF_8),
        [0xff, 0xfe, ..] => Some(UTF_16LE),
        [0xfe, 0xff, ..] => Some(UTF_16BE),
        _ if zeros(1) > start.len() / 4 => Some(UTF_16LE),
        _ if zeros(0) > start.len() / 4 => Some(UTF_16BE),
        _ => None,
    }
}

/// A CSV file of which encoding and delimiter are known.
#[derive(Debug, Clone)]
pub(super) struct CsvFile {
    path: PathBuf,
    pub(super) encoding: Encoding,
    /// Whether the encoding is only what a file most likely has that is not UTF-8: what spreadsheets on Windows write in Western
    /// Europe, in which any octets are valid.
    pub(super) is_guessed: bool,
    pub(super) delimiter: u8,
    /// Whether its first line only says what the delimiter is, as `sep=;` does for Excel.
    names_delimiter: bool,
    /// How many columns at the left only say why the rows were rejected before.
    reasons: usize,
}

impl CsvFile {
    /// Finds out the delimiter and, unless it is known, the encoding. Reads the whole file.
    pub(super) fn open(path: &Path, encoding: Option<Encoding>) -> Result<Self> {
        let mut start = Vec::new();
        bytes(path)?.take(START as u64).read_to_end(&mut start).with_context(|| unreadable(path))?;
        let (encoding, is_guessed) = match encoding.or_else(|| encoding_of_start(&start)) {
            Some(encoding) => (encoding, false),
            None => match Utf8::of(LineFeeds::of(bytes(path)?)).with_context(|| unreadable(path))? {
                Utf8::Valid => (UTF_8, false),
                Utf8::Foreign => (WINDOWS_1252, true),
                Utf8::Broken(line) => bail!(
                    "{} is UTF-8, but for line {line}, which has an octet that is no character. Correct that line; or say how the \
                     file is encoded, as in --encoding windows-1252",
                    path.display()
                ),
            },
        };
        let mut file =
            Self { path: path.to_owned(), encoding, is_guessed, delimiter: b',', names_delimiter: false, reasons: 0 };
        let first = first_line(&mut BufReader::new(file.text()?)).with_context(|| unreadable(path))?;
        if first.trim().is_empty() {
            bail!("{} is empty, or begins with an empty line; its first line must name the columns", path.display());
        }
        if first.trim_start().starts_with(['{', '[']) {
            bail!(
                "{} looks like JSON. `load` reads CSV; the API takes customers as JSON, up to 100 a call (POST /customers)",
                path.display()
            );
        }
        (file.delimiter, file.names_delimiter) = match named_delimiter(&first) {
            Some(delimiter) => (delimiter, true),
            None => (delimiter_of(&first), false),
        };
        if rejected::is_header(&file.header()?) {
            file.reasons = rejected::COLUMNS.len();
        }
        Ok(file)
    }

    /// What separates the cells, in words.
    pub(super) fn separators(&self) -> &'static str {
        match self.delimiter {
            b';' => "semicolons",
            b'\t' => "tabs",
            _ => "commas",
        }
    }

    /// The first row, which names the columns.
    pub(super) fn header(&self) -> Result<StringRecord> {
        let first = self.all_rows()?.next().transpose()?;
        Ok(first.map(|row| row.cells).unwrap_or_default())
    }

    /// The rows after the first one. A row may have more or fewer cells than that.
    pub(super) fn rows(&self) -> Result<Rows> {
        let mut rows = self.all_rows()?;
        rows.next().transpose()?;
        Ok(rows)
    }

    fn all_rows(&self) -> Result<Rows> {
        let mut text = BufReader::new(self.text()?);
        if self.names_delimiter {
            first_line(&mut text).with_context(|| unreadable(&self.path))?;
        }
        let text: Box<dyn Read> = Box::new(text);
        let reader = ReaderBuilder::new().delimiter(self.delimiter).flexible(true).has_headers(false).from_reader(text);
        let lines_before = u64::from(self.names_delimiter);
        Ok(Rows { path: self.path.clone(), reader, lines_before, reasons: self.reasons })
    }

    /// The file's characters as UTF-8, without a byte order mark, in lines that end in a line feed.
    fn text(&self) -> Result<impl Read + use<>> {
        let mut decode = DecodeReaderBytesBuilder::new();
        decode.encoding(Some(self.encoding)).bom_override(true).strip_bom(true);
        Ok(LineFeeds::of(decode.build(bytes(&self.path)?)))
    }
}

/// A text whose lines all end in a line feed: the CSV reader counts the lines of a file with CRLF by one too few.
struct LineFeeds<R> {
    text: R,
    is_after_return: bool,
}

impl<R> LineFeeds<R> {
    fn of(text: R) -> Self {
        Self { text, is_after_return: false }
    }
}

impl<R: Read> Read for LineFeeds<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.text.read(buffer)?;
            let mut kept = 0;
            for i in 0..count {
                let byte = buffer[i];
                let is_second_half = byte == b'\n' && self.is_after_return;
                self.is_after_return = byte == b'\r';
                if !is_second_half {
                    buffer[kept] = if byte == b'\r' { b'\n' } else { byte };
                    kept += 1;
                }
            }
            if kept > 0 || count == 0 {
                return Ok(kept);
            }
        }
    }
}

/// The rows of a file.
pub(super) struct Rows {
    path: PathBuf,
    reader: Reader<Box<dyn Read>>,
    lines_before: u64,
    reasons: usize,
}

/// A row, and the line of the file that it begins in; if empty lines stand before it, the first of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Row {
    pub(super) line: u64,
    pub(super) cells: StringRecord,
}

impl Iterator for Rows {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut cells = StringRecord::new();
        match self.reader.read_record(&mut cells) {
            Ok(false) => None,
            Ok(true) => {
                let line = cells.position().map_or(0, csv::Position::line) + self.lines_before;
                let cells = if self.reasons == 0 { cells } else { cells.iter().skip(self.reasons).collect() };
                Some(Ok(Row { line, cells }))
            }
            Err(error) => Some(Err(error).with_context(|| unreadable(&self.path))),
        }
    }
}

fn unreadable(path: &Path) -> String {
    format!("cannot read {}", path.display())
}

/// The octets of a file, unpacked if it is a gzip file, whatever its name is.
fn bytes(path: &Path) -> Result<Box<dyn Read>> {
    let open = || File::open(path).with_context(|| unreadable(path));
    // It is read several times.
    ensure!(open()?.metadata()?.is_file(), "{} is no file on a disk; store what it has in one first", path.display());
    let mut start = Vec::new();
    open()?.take(GZIP.len() as u64).read_to_end(&mut start).with_context(|| unreadable(path))?;
    Ok(if start == GZIP { Box::new(MultiGzDecoder::new(open()?)) } else { Box::new(open()?) })
}

/// Whether octets are UTF-8.
#[derive(Debug, PartialEq, Eq)]
enum Utf8 {
    Valid,
    /// They are, but for this line: the first one with an octet that is no character, after lines with characters that are not ASCII.
    Broken(usize),
    /// They are in another encoding.
    Foreign,
}

impl Utf8 {
    fn of(mut bytes: impl Read) -> io::Result<Self> {
        let mut chunk = vec![0; 1 << 16];
        // Of a character that the chunk before ended in.
        let mut begun = 0;
        let (mut lines, mut has_foreign) = (1, false);
        loop {
            let read = bytes.read(&mut chunk[begun..])?;
            let filled = begun + read;
            let valid = match std::str::from_utf8(&chunk[..filled]) {
                Ok(_) => filled,
                Err(error) if error.error_len().is_none() && read > 0 => error.valid_up_to(),
                Err(error) => {
                    let before = &chunk[..error.valid_up_to()];
                    let line = lines + before.iter().filter(|byte| **byte == b'\n').count();
                    let is_broken = has_foreign || !before.is_ascii();
                    return Ok(if is_broken { Self::Broken(line) } else { Self::Foreign });
                }
            };
            if read == 0 {
                return Ok(Self::Valid);
            }
            lines += chunk[..valid].iter().filter(|byte| **byte == b'\n').count();
            has_foreign |= !chunk[..valid].is_ascii();
            begun = filled - valid;
            chunk.copy_within(valid..filled, 0);
        }
    }
}

/// Reads to the end of the first line that is not within quotation marks.
fn first_line(text: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    while text.read_until(b'\n', &mut line)? > 0 {
        if line.iter().filter(|byte| **byte == b'"').count().is_multiple_of(2) {
            break;
        }
    }
    Ok(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned())
}

fn named_delimiter(first: &str) -> Option<u8> {
    match first.trim().trim_matches('"').as_bytes() {
        [b's' | b'S', b'e' | b'E', b'p' | b'P', b'=', delimiter @ (b',' | b';' | b'\t')] => Some(*delimiter),
        _ => None,
    }
}

/// The one of comma, semicolon and tab that the line has most of, outside of quotation marks.
fn delimiter_of(line: &str) -> u8 {
    let unquoted: Vec<_> = line.split('"').step_by(2).collect();
    let count = |delimiter: u8| unquoted.iter().flat_map(|part| part.bytes()).filter(|byte| *byte == delimiter).count();
    // The last of those that are equally frequent.
    [b'\t', b';', b','].into_iter().max_by_key(|delimiter| count(*delimiter)).unwrap_or(b',')
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::write::GzEncoder;

    use super::*;

    fn file(name: &str, content: &[u8]) -> PathBuf {
        let path = std::env::temp_dir().join(format!("offercast-file-{}-{name}", std::process::id()));
        std::fs::write(&path, content).unwrap();
        path
    }

    fn utf16(text: &str, order: fn(u16) -> [u8; 2], mark: &[u8]) -> Vec<u8> {
        mark.iter().copied().chain(text.encode_utf16().flat_map(order)).collect()
    }

    fn cells(path: &Path) -> Vec<Vec<String>> {
        let rows = CsvFile::open(path, None).unwrap().all_rows().unwrap();
        rows.map(|row| row.unwrap().cells.iter().map(str::to_owned).collect()).collect()
    }

    #[test]
    fn each_encoding_gives_the_same_characters() {
        let text = "id;name\n1;Inês Müller\n";
        let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(text.as_bytes()).unwrap();
        for (name, content, encoding) in [
            ("utf8", text.as_bytes().to_vec(), UTF_8),
            ("gzip", gzip.finish().unwrap(), UTF_8),
            ("bom", [b"\xef\xbb\xbf", text.as_bytes()].concat(), UTF_8),
            ("utf16le", utf16(text, u16::to_le_bytes, &[0xff, 0xfe]), UTF_16LE),
            ("utf16be", utf16(text, u16::to_be_bytes, &[0xfe, 0xff]), UTF_16BE),
            ("utf16le-bare", utf16(text, u16::to_le_bytes, &[]), UTF_16LE),
            ("utf16be-bare", utf16(text, u16::to_be_bytes, &[]), UTF_16BE),
            ("windows", WINDOWS_1252.encode(text).0.into_owned(), WINDOWS_1252),
        ] {
            let path = file(name, &content);
            assert_eq!(CsvFile::open(&path, None).unwrap().encoding, encoding, "{name}");
            assert_eq!(cells(&path), [["id", "name"], ["1", "Inês Müller"]], "{name}");
        }
    }

    #[test]
    fn a_character_may_lie_at_the_end_of_any_chunk() {
        for before in (1 << 16) - 4..=(1 << 16) {
            let text = "x".repeat(before) + "🎁é";
            assert_eq!(Utf8::of(text.as_bytes()).unwrap(), Utf8::Valid);
            assert_eq!(Utf8::of(&text.as_bytes()[..text.len() - 1]).unwrap(), Utf8::Broken(1));
        }
    }

    #[test]
    fn a_file_with_one_broken_character_is_not_read_in_another_encoding() {
        let path = file("broken", b"id,name\n1,In\xc3\xaas\n2,\xff\n");
        let error = CsvFile::open(&path, None).unwrap_err().to_string();
        assert!(error.contains("is UTF-8, but for line 3"), "{error}");
        let known = CsvFile::open(&file("latin2", b"id,name\n1,\xa3ucja\n"), Some(encoding_rs::ISO_8859_2)).unwrap();
        assert_eq!(known.rows().unwrap().next().unwrap().unwrap().cells.get(1), Some("\u{141}ucja"));
    }

    #[test]
    fn the_delimiter_is_what_the_first_line_has_most_of() {
        for (first, delimiter) in
            [("id,name", b','), ("id;name;a,b", b';'), ("id\tname", b'\t'), ("\"a;b;c;d\",name", b','), ("id", b',')]
        {
            assert_eq!(delimiter_of(first), delimiter, "{first}");
        }
        assert_eq!(cells(&file("sep", b"sep=;\r\na,b;c\r\n1;2\r\n")), [["a,b", "c"], ["1", "2"]]);
    }

    #[test]
    fn rows_know_the_line_that_they_begin_in() {
        let path = file("lines", b"sep=,\nid,name\n1,\"two\nlines\"\n2,x,more\n");
        let rows = CsvFile::open(&path, None).unwrap().all_rows().unwrap();
        let rows: Vec<_> = rows.map(|row| row.map(|row| (row.line, row.cells.len())).unwrap()).collect();
        assert_eq!(rows, [(2, 2), (3, 2), (5, 3)]);
    }

    #[test]
    fn what_is_no_csv_file_is_refused_with_what_to_do() {
        for (name, content, expected) in [
            ("json", "{\"Address\": \"a@b.example\"}\n", "looks like JSON"),
            ("list", "[1]", "looks like JSON"),
            ("empty", "", "its first line must name the columns"),
            ("blank", "\nid\n", "its first line must name the columns"),
        ] {
            let error = CsvFile::open(&file(name, content.as_bytes()), None).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let error = format!("{:#}", CsvFile::open(Path::new("no-such.csv"), None).unwrap_err());
        assert!(error.contains("cannot read no-such.csv: No such file"), "{error}");
    }
}
