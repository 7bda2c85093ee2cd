//! Parsing of what a provider sends, with errors that can be logged.

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::error::Category;

/// Why a payload cannot be parsed. An error of `serde_json` can quote a value, such as a phone number or an address, so
/// only its category and position are kept. The position is in the payload's compact form.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem} at line {line}, column {column}")]
pub(crate) struct InvalidPayload {
    problem: &'static str,
    line: usize,
    column: usize,
}

impl From<serde_json::Error> for InvalidPayload {
    fn from(error: serde_json::Error) -> Self {
        let problem = match error.classify() {
            Category::Data => "a field is missing or has an invalid value",
            Category::Syntax => "the JSON is invalid",
            Category::Eof => "the JSON is incomplete",
            Category::Io => "the JSON cannot be read",
        };
        Self { problem, line: error.line(), column: error.column() }
    }
}

/// Parses a value from its text: an error then has a position, and `LogsEvent` borrows the names of its fields.
pub(crate) fn parse_value<T: DeserializeOwned>(value: &Value) -> Result<T, InvalidPayload> {
    Ok(serde_json::from_str(&value.to_string())?)
}
