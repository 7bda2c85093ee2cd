//! JSON whose values arrive as they were meant: what `serde_json` reads without a word, but not as it was written, is a
//! fault of its field.
//!
//! - A number that cannot be kept exactly. It would be rounded: an account number of 20 digits would become another one.
//! - A name that an object has twice. The last value would win, and the first, perhaps a `false`, would be lost.
//!
//! `serde_json` can keep numbers as text (`arbitrary_precision`), but that changes every `Value` in the program, and those
//! within enums and flattened structs fail. So the text is scanned beside it, token by token.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};

use domain::Faults;
use domain::faults::FIELD_LIMIT;
use serde::de::IgnoredAny;
use serde_json::{Number, Value};

/// How deep `serde_json` reads. Deeper bodies are refused.
const DEPTH_LIMIT: usize = 128;
/// Entries of a list that have faults of their own; more are not taken in a list.
const ENTRIES_LIMIT: usize = 1_000;

/// A JSON text, and what is wrong with its values.
#[derive(Debug)]
pub(crate) struct Json {
    /// Meaningful where there is no fault.
    pub(crate) value: Value,
    /// All faults; of a list's entry as `[3].attributes.fee`.
    pub(crate) faults: Faults,
    /// The faults of a list's entries, by position, as `attributes.fee`.
    pub(crate) faults_of_entries: BTreeMap<usize, Faults>,
}

impl Json {
    /// Reads a JSON text.
    ///
    /// # Errors
    /// If it is not JSON.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let mut scan = Scan {
            bytes,
            at: 0,
            path: Vec::new(),
            faults: Faults::default(),
            of_entries: BTreeMap::new(),
            huge: Vec::new(),
        };
        scan.run();
        let mut patched = Cow::Borrowed(bytes);
        // A number beyond doubles would hide the faults of all other fields. The blanks keep the positions in messages.
        for huge in scan.huge {
            let literal = &mut patched.to_mut()[huge];
            literal.fill(b' ');
            literal[0] = b'0';
        }
        Ok(Self { value: serde_json::from_slice(&patched)?, faults: scan.faults, faults_of_entries: scan.of_entries })
    }
}

/// A list or an object that is not closed yet.
enum Frame<'b> {
    /// The position in a list.
    List(usize),
    /// The names of an object, and the last of them.
    Object { names: HashSet<Cow<'b, str>>, last: Cow<'b, str> },
}

/// Goes over the tokens of a text. Of a text that is not JSON, what it finds means nothing.
struct Scan<'b> {
    bytes: &'b [u8],
    at: usize,
    path: Vec<Frame<'b>>,
    faults: Faults,
    of_entries: BTreeMap<usize, Faults>,
    /// Where numbers are that no double comes near.
    huge: Vec<std::ops::Range<usize>>,
}

impl Scan<'_> {
    fn run(&mut self) {
        let mut expects_name = false;
        while let Some(&byte) = self.bytes.get(self.at) {
            let start = self.at;
            self.at += 1;
            match byte {
                b'{' => self.path.push(Frame::Object { names: HashSet::new(), last: Cow::default() }),
                b'[' => self.path.push(Frame::List(0)),
                b'}' | b']' => drop(self.path.pop()),
                b',' => {
                    if let Some(Frame::List(position)) = self.path.last_mut() {
                        *position += 1;
                    }
                }
                b'"' => {
                    self.skip_string();
                    if expects_name {
                        self.name(start);
                    }
                }
                b'-' | b'0'..=b'9' => self.number(start),
                _ => {}
            }
            if self.path.len() > DEPTH_LIMIT {
                return;
            }
            if !byte.is_ascii_whitespace() {
                expects_name = matches!(byte, b'{' | b',') && matches!(self.path.last(), Some(Frame::Object { .. }));
            }
        }
    }

    /// Goes past the end of a string whose first quote has been read.
    fn skip_string(&mut self) {
        while let Some(&byte) = self.bytes.get(self.at) {
            self.at += if byte == b'\\' { 2 } else { 1 };
            if byte == b'"' {
                return;
            }
        }
    }

    fn name(&mut self, start: usize) {
        let quoted = self.bytes.get(start..self.at).unwrap_or_default();
        let Ok(name) = serde_json::from_slice::<String>(quoted) else { return };
        let Some(Frame::Object { names, last }) = self.path.last_mut() else { return };
        let is_new = names.insert(name.clone().into());
        *last = name.into();
        if !is_new {
            self.fault("is there more than once; leave one of them out");
        }
    }

    fn number(&mut self, start: usize) {
        let rest = &self.bytes[start..];
        let length = rest.iter().take_while(|b| b.is_ascii_digit() || b"+-.eE".contains(b)).count();
        self.at = start + length;
        let Ok(literal) = std::str::from_utf8(&rest[..length]) else { return };
        if serde_json::from_str::<IgnoredAny>(literal).is_err() {
            // It is no number, which the reading of the whole text finds as well.
            return;
        }
        let is_exact = serde_json::from_str(literal).map_or_else(
            |_| {
                self.huge.push(start..self.at);
                false
            },
            |kept| is_same(literal, &kept),
        );
        if !is_exact {
            self.fault("must be a number that can be kept exactly, with some 15 digits; send a longer one as a string");
        }
    }

    fn fault(&mut self, detail: &str) {
        self.faults.add_with(|| field(&self.path), detail);
        if let [Frame::List(entry), rest @ ..] = self.path.as_slice()
            && *entry < ENTRIES_LIMIT
        {
            self.of_entries.entry(*entry).or_default().add_with(|| field(rest), detail);
        }
    }
}

/// The name of a field for messages, such as `attributes.cards[1].fee`; `body` for the whole. No more of it is built than
/// messages show.
fn field(path: &[Frame<'_>]) -> String {
    let mut field = String::new();
    for frame in path {
        if field.chars().nth(FIELD_LIMIT).is_some() {
            break;
        }
        match frame {
            Frame::List(position) => field.push_str(&format!("[{position}]")),
            Frame::Object { last, .. } => {
                if !field.is_empty() {
                    field.push('.');
                }
                field.extend(last.chars().take(FIELD_LIMIT + 1));
            }
        }
    }
    #[cfg(test)]
    tests::BUILT.set(tests::BUILT.get() + field.len());
    if field.is_empty() { "body".to_owned() } else { field }
}

/// Whether a number that was read has the value that was written.
fn is_same(literal: &str, kept: &Number) -> bool {
    decimal(literal) == decimal(&kept.to_string())
}

/// A decimal number as its sign, its digits without zeros at either end, and its exponent: one form for each value.
fn decimal(number: &str) -> (bool, String, i128) {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{}{fraction}", whole.trim_start_matches('-'));
    let significant = digits.trim_end_matches('0');
    let zeros = digits.len() - significant.len();
    let significant = significant.trim_start_matches('0');
    if significant.is_empty() {
        return (false, String::new(), 0);
    }
    let scale = i128::try_from(zeros).unwrap_or_default() - i128::try_from(fraction.len()).unwrap_or_default();
    // An exponent too long to be read is beyond every number that can be kept, and equals none.
    let exponent = exponent.parse::<i64>().map_or(i128::MAX, |exponent| i128::from(exponent) + scale);
    (mantissa.starts_with('-'), significant.to_owned(), exponent)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    thread_local! {
        /// The bytes of the names of fields that were built.
        pub(super) static BUILT: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
    }

    #[test]
    fn names_of_fields_are_built_only_as_far_as_they_are_shown() {
        let text = format!(r#"[{{"{}": [{}1]}}]"#, "k".repeat(128 * 1024), "1e400,".repeat(21_000));
        let read = Json::read(text.as_bytes()).unwrap();
        assert_eq!((read.faults.count(), read.faults_of_entries[&0].count()), (21_000, 21_000));
        assert!(BUILT.get() <= 2 * 100 * 2 * FIELD_LIMIT, "{}", BUILT.get());
        assert!(read.faults.into_vec()[0].field.ends_with("k…"));
    }

    fn faulty(text: &str) -> Vec<String> {
        Json::read(text.as_bytes()).unwrap().faults.into_vec().into_iter().map(|fault| fault.field).collect()
    }

    /// Case D6.
    #[test]
    fn number_that_cannot_be_kept_exactly_is_refused() {
        for (literal, kept) in [
            ("0", true),
            ("-0", true),
            ("0e999999999999999999999", true),
            ("1E5", true),
            ("2.50", true),
            ("2.0", true),
            ("-0.1", true),
            ("100.00000000000000000000000", true),
            ("9007199254740993", true),
            ("18446744073709551615", true),
            ("-9223372036854775808", true),
            ("2e22", true),
            ("1e-130", true),
            ("0.12345678901234568", true),
            ("0.12345678901234567", false),
            ("12345678901234567890123", false),
            ("18446744073709551616", false),
            ("-9223372036854775809", false),
            ("9007199254740993.0", false),
            ("0.1234567890123456789012", false),
            ("123456789.123456789", false),
            ("1e400", false),
            ("-1e400", false),
            ("1e-400", false),
            ("1e99999999999999999999999", false),
        ] {
            let fields: &[&str] = if kept { &[] } else { &["attributes.fee"] };
            assert_eq!(faulty(&format!(r#"{{"attributes": {{"fee": {literal}, "b": 1}}}}"#)), fields, "{literal}");
        }
    }

    #[test]
    fn every_place_is_named() {
        let text =
            r#" [ {"a": 1}, {"a\u002eb": [[], {"x": "1e400, \"1e400", "y": [1, 1e400]}], "c": {"d": 1e400}}, 1e400 ] "#;
        assert_eq!(faulty(text), ["[1].a.b[1].y[1]", "[1].c.d", "[2]"]);
        let read = Json::read(text.as_bytes()).unwrap();
        let of_entries: Vec<_> = read
            .faults_of_entries
            .into_iter()
            .map(|(i, faults)| (i, faults.into_vec().into_iter().map(|fault| fault.field).collect::<Vec<_>>()))
            .collect();
        assert_eq!(of_entries, [(1, vec!["a.b[1].y[1]".to_owned(), "c.d".to_owned()]), (2, vec!["body".to_owned()])]);
        assert_eq!(faulty("1e400"), ["body"]);
    }

    #[test]
    fn name_that_is_given_twice_is_refused() {
        assert_eq!(faulty(r#"{"a": 1, "b": {"a": 2, "A": 3}, "c": [{"a": 1}, {"a": 1}]}"#), [""; 0]);
        assert_eq!(faulty(r#"{"a": 1, "b": {"c": [0, {"d": 1, "d": 2}]}, "\u0061" : 3}"#), ["b.c[1].d", "a"]);
        assert_eq!(faulty(r#"{"a": "b", "b": "a", "c": ["a", "a"]}"#), [""; 0]);
    }

    #[test]
    fn text_that_is_not_json_is_an_error_with_its_position() {
        for (text, place) in [
            ("", "line 1 column 0"),
            ("{", "line 1 column 1"),
            (r#"{"a": 1e400, "b" 2}"#, "line 1 column 18"),
            (r#"{"a": 1.2.3}"#, "line 1 column 10"),
            (r#"{"a": 01}"#, "line 1 column 8"),
            (r#""\"#, "line 1 column 2"),
            (&"[".repeat(200), "line 1 column 128"),
        ] {
            let error = Json::read(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(place), "{text} {error}");
        }
        assert!(Json::read(b"{\"a\xff\": 1e400}").is_err());
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_filter_map("finite", |float| Number::from_f64(float).map(Value::Number)),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..6).prop_map(|map| json!(map)),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_json_that_was_written_from_values_is_read_as_it_was(value in any_json()) {
            for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
                let read = Json::read(text.as_bytes()).unwrap();
                prop_assert!(read.faults.is_empty(), "{text} {}", read.faults);
                prop_assert_eq!(&read.value, &value);
            }
        }

        #[test]
        fn any_bytes_are_refused_or_read_as_serde_reads_them(text in r#"[\[\]{},:"\\ a0-9eE.+-]{0,40}"#) {
            if let (Ok(read), Ok(plain)) = (Json::read(text.as_bytes()), serde_json::from_str::<Value>(&text)) {
                prop_assert!(!read.faults.is_empty() || read.value == plain, "{text}");
            }
        }
    }
}
