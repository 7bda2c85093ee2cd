//! A CSV file as banks have them: its encoding, what separates its cells, and its rows.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use csv::{Reader, ReaderBuilder, StringRecord};
use encoding_rs::{Encoding as Decoder, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};
use encoding_rs_io::DecodeReaderBytesBuilder;
use flate2::read::MultiGzDecoder;

use super::rejected;

/// The first octets of every gzip file (RFC 1952, 2.3.1).
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// Octets of the beginning from which an encoding of two octets a character is recognised.
const START: usize = 64;

/// How a file's characters are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Utf8,
    Utf16LittleEndian,
    Utf16BigEndian,
    /// What spreadsheets on Windows write in Western Europe. Any octets are valid, so it is what a file has that is not UTF-8.
    Windows1252,
}

impl Encoding {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "UTF-8",
            Self::Utf16LittleEndian | Self::Utf16BigEndian => "UTF-16",
            Self::Windows1252 => "Windows-1252",
        }
    }

    fn decoder(self) -> &'static Decoder {
        match self {
            Self::Utf8 => UTF_8,
            Self::Utf16LittleEndian => UTF_16LE,
            Self::Utf16BigEndian => UTF_16BE,
            Self::Windows1252 => WINDOWS_1252,
        }
    }

    /// What the beginning of a file says of its encoding: by its byte order mark, or by the zeros that every other octet of
    /// Latin text is in UTF-16.
    fn of_start(start: &[u8]) -> Option<Self> {
        let zeros = |parity: usize| start.iter().skip(parity).step_by(2).filter(|byte| **byte == 0).count();
        match start {
            [0xef, 0xbb, 0xbf, ..] => Some(Self::Utf8),
            [0xff, 0xfe, ..] => Some(Self::Utf16LittleEndian),
            [0xfe, 0xff, ..] => Some(Self::Utf16BigEndian),
            _ if zeros(1) > start.len() / 4 => Some(Self::Utf16LittleEndian),
            _ if zeros(0) > start.len() / 4 => Some(Self::Utf16BigEndian),
            _ => None,
        }
    }
}

/// A CSV file of which encoding and delimiter are known.
#[derive(Debug, Clone)]
pub(super) struct CsvFile {
    path: PathBuf,
    pub(super) encoding: Encoding,
    pub(super) delimiter: u8,
    /// Whether its first line only says what the delimiter is, as `sep=;` does for Excel.
    names_delimiter: bool,
    /// How many columns at the left only say why the rows were rejected before.
    reasons: usize,
}

impl CsvFile {
    /// Finds out the encoding and the delimiter. Reads the whole file.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let mut start = Vec::new();
        bytes(path)?.take(START as u64).read_to_end(&mut start).with_context(|| unreadable(path))?;
        let encoding = match Encoding::of_start(&start) {
            Some(encoding) => encoding,
            None if is_utf8(bytes(path)?).with_context(|| unreadable(path))? => Encoding::Utf8,
            None => Encoding::Windows1252,
        };
        let mut file = Self { path: path.to_owned(), encoding, delimiter: b',', names_delimiter: false, reasons: 0 };
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

    /// The file's characters as UTF-8, without a byte order mark.
    fn text(&self) -> Result<impl Read + use<>> {
        let mut decode = DecodeReaderBytesBuilder::new();
        decode.encoding(Some(self.encoding.decoder())).bom_override(true).strip_bom(true);
        Ok(decode.build(bytes(&self.path)?))
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
    let mut start = Vec::new();
    open()?.take(GZIP.len() as u64).read_to_end(&mut start).with_context(|| unreadable(path))?;
    Ok(if start == GZIP { Box::new(MultiGzDecoder::new(open()?)) } else { Box::new(open()?) })
}

fn is_utf8(mut bytes: impl Read) -> std::io::Result<bool> {
    let mut chunk = vec![0; 1 << 16];
    // Of a character that the chunk before ended in.
    let mut begun = 0;
    loop {
        let read = bytes.read(&mut chunk[begun..])?;
        let filled = begun + read;
        begun = match std::str::from_utf8(&chunk[..filled]) {
            Ok(_) => 0,
            Err(error) if error.error_len().is_none() && read > 0 => filled - error.valid_up_to(),
            Err(_) => return Ok(false),
        };
        if read == 0 {
            return Ok(true);
        }
        chunk.copy_within(filled - begun..filled, 0);
    }
}

/// Reads to the end of the first line that is not within quotation marks.
fn first_line(text: &mut impl BufRead) -> std::io::Result<String> {
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
        let rows = CsvFile::open(path).unwrap().all_rows().unwrap();
        rows.map(|row| row.unwrap().cells.iter().map(str::to_owned).collect()).collect()
    }

    #[test]
    fn each_encoding_gives_the_same_characters() {
        let text = "id;name\n1;Inês Müller\n";
        let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(text.as_bytes()).unwrap();
        for (name, content, encoding) in [
            ("utf8", text.as_bytes().to_vec(), Encoding::Utf8),
            ("gzip", gzip.finish().unwrap(), Encoding::Utf8),
            ("bom", [b"\xef\xbb\xbf", text.as_bytes()].concat(), Encoding::Utf8),
            ("utf16le", utf16(text, u16::to_le_bytes, &[0xff, 0xfe]), Encoding::Utf16LittleEndian),
            ("utf16be", utf16(text, u16::to_be_bytes, &[0xfe, 0xff]), Encoding::Utf16BigEndian),
            ("utf16le-bare", utf16(text, u16::to_le_bytes, &[]), Encoding::Utf16LittleEndian),
            ("utf16be-bare", utf16(text, u16::to_be_bytes, &[]), Encoding::Utf16BigEndian),
            ("windows", WINDOWS_1252.encode(text).0.into_owned(), Encoding::Windows1252),
        ] {
            let path = file(name, &content);
            assert_eq!(CsvFile::open(&path).unwrap().encoding, encoding, "{name}");
            assert_eq!(cells(&path), [["id", "name"], ["1", "Inês Müller"]], "{name}");
        }
    }

    #[test]
    fn a_character_may_lie_at_the_end_of_any_chunk() {
        for before in (1 << 16) - 4..=(1 << 16) {
            let text = "x".repeat(before) + "🎁é";
            assert!(is_utf8(text.as_bytes()).unwrap());
            assert!(!is_utf8(&text.as_bytes()[..text.len() - 1]).unwrap());
        }
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
        let rows = CsvFile::open(&path).unwrap().all_rows().unwrap();
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
            let error = CsvFile::open(&file(name, content.as_bytes())).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let error = format!("{:#}", CsvFile::open(Path::new("no-such.csv")).unwrap_err());
        assert!(error.contains("cannot read no-such.csv: No such file"), "{error}");
    }
}
