//! Reads a JSON object field by field and collects every fault.
//!
//! `serde` stops at the first fault, but a caller should see all of them in one response.

use serde_json::{Map, Value};

use crate::characters::{self, is_blank, with_plain_breaks};
use crate::faults::Faults;

pub use crate::characters::Lines;

/// The fields of one JSON object, to be taken one by one.
#[derive(Debug)]
pub struct Fields {
    object: Map<String, Value>,
    faults: Faults,
}

impl Fields {
    /// The fields of a JSON object.
    ///
    /// # Errors
    /// If `value` is not an object.
    pub fn of(value: Value) -> Result<Self, Faults> {
        match value {
            Value::Object(object) => Ok(Self { object, faults: Faults::default() }),
            other => Err(Faults::one("body", format!("must be a JSON object, not {}", kind(&other)))),
        }
    }

    pub fn fault(&mut self, field: &str, detail: impl Into<String>) {
        self.faults.add(field, detail);
    }

    /// Whether a field is there, valid or not; `null` counts as absent.
    pub fn has(&self, field: &str) -> bool {
        self.object.get(field).is_some_and(|value| !value.is_null())
    }

    /// The raw value of a field; `null` counts as absent.
    pub fn take(&mut self, field: &str) -> Option<Value> {
        self.object.remove(field).filter(|value| !value.is_null())
    }

    /// A string field. `None` if it is absent, or if it is not a string, which adds a fault.
    pub fn string(&mut self, field: &str) -> Option<String> {
        match self.take(field)? {
            Value::String(string) => Some(string),
            other => {
                self.fault(field, format!("must be a string, not {}", kind(&other)));
                None
            }
        }
    }

    /// A string field that `parse` converts.
    pub fn parsed<T, E: ToString>(&mut self, field: &str, parse: impl FnOnce(&str) -> Result<T, E>) -> Option<T> {
        let string = self.string(field)?;
        match parse(&string) {
            Ok(parsed) => Some(parsed),
            Err(error) => {
                self.fault(field, error.to_string());
                None
            }
        }
    }

    /// A text to show to people, as [`parse_text`] reads it.
    pub fn text(&mut self, field: &str, limit: usize, lines: Lines) -> Option<String> {
        self.parsed(field, |string| parse_text(string, limit, lines))
    }

    /// A required field: its absence adds a fault.
    pub fn required<T>(&mut self, field: &str, take: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        if !self.has(field) {
            self.fault(field, "is required");
        }
        take(self)
    }

    /// A list of strings, each parsed by `parse`.
    pub fn list<T, E: ToString>(&mut self, field: &str, parse: impl Fn(&str) -> Result<T, E>) -> Option<Vec<T>> {
        let values = match self.take(field)? {
            Value::Array(values) => values,
            other => {
                self.fault(field, format!("must be a list of strings, not {}", kind(&other)));
                return None;
            }
        };
        let mut parsed = Vec::with_capacity(values.len());
        let mut valid = true;
        for (i, value) in values.iter().enumerate() {
            let entry = match value {
                Value::String(string) => parse(string).map_err(|error| error.to_string()),
                other => Err(format!("must be a string, not {}", kind(other))),
            };
            match entry {
                Ok(entry) => parsed.push(entry),
                Err(detail) => {
                    valid = false;
                    self.faults.add(format!("{field}[{i}]"), detail);
                }
            }
        }
        valid.then_some(parsed)
    }

    /// An object field.
    pub fn object(&mut self, field: &str) -> Option<Map<String, Value>> {
        match self.take(field)? {
            Value::Object(object) => Some(object),
            other => {
                self.fault(field, format!("must be an object, not {}", kind(&other)));
                None
            }
        }
    }

    /// A boolean field.
    pub fn boolean(&mut self, field: &str) -> Option<bool> {
        match self.take(field)? {
            Value::Bool(value) => Some(value),
            other => {
                self.fault(field, format!("must be true or false, not {}", kind(&other)));
                None
            }
        }
    }

    /// An object field with these fields of its own, which `read` takes. Their faults are named `field.inner`.
    pub fn nested<T>(&mut self, field: &str, known: &[&str], read: impl FnOnce(&mut Self) -> T) -> Option<T> {
        let object = self.object(field)?;
        let mut inner = Self { object, faults: Faults::default() };
        let value = read(&mut inner);
        if let Err(faults) = inner.finish(known) {
            self.faults.append_under(field, faults);
        }
        Some(value)
    }

    /// Adds a field, to be taken as the others are.
    pub fn put(&mut self, field: &str, value: Value) {
        self.object.insert(field.to_owned(), value);
    }

    /// Ends the reading. A field that was not taken is unknown, which is a fault; its message lists the `known` fields.
    ///
    /// # Errors
    /// If there is any fault, with all of them.
    pub fn finish(mut self, known: &[&str]) -> Result<(), Faults> {
        for field in self.object.keys().filter(|field| !known.contains(&field.as_str())) {
            self.faults.add(field, format!("is not a known field; expected one of: {}", known.join(", ")));
        }
        if self.faults.is_empty() { Ok(()) } else { Err(self.faults) }
    }
}

/// Reads a text to show to people: it shows something, has at most `limit` characters, and none of those that
/// [`characters`] forbids. Its line breaks become `\n`.
///
/// # Errors
/// What is wrong, to follow the field's name.
pub fn parse_text(string: &str, limit: usize, lines: Lines) -> Result<String, String> {
    let text = match lines {
        Lines::One => string.into(),
        Lines::Many => with_plain_breaks(string),
    };
    if is_blank(&text) {
        return Err("must not be empty, or have nothing that can be seen".to_owned());
    }
    let length = text.chars().count();
    if length > limit {
        return Err(format!("must have at most {limit} characters, not {length}"));
    }
    characters::check(&text, lines).map_err(|found| format!("must not contain {found}"))?;
    Ok(text.into_owned())
}

/// The JSON name of a value's type.
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
