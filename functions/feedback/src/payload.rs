//! Parsing of what a provider sends, with errors that can be logged.

use std::fmt;

use serde::Deserialize;
use serde_json::Value;
use serde_json::error::Category;

/// Why a payload cannot be parsed. An error of `serde_json` can quote a value, such as a phone number or an address, so
/// only its category and position are kept.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}{position}")]
pub(crate) struct InvalidPayload {
    problem: &'static str,
    position: Position,
}

/// Where in a text the problem is. Both are 0 in a value that was parsed before: it has no positions.
#[derive(Debug, PartialEq, Eq)]
struct Position {
    line: usize,
    column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self { line: 0, .. } => Ok(()),
            Self { line, column } => write!(f, " at line {line}, column {column}"),
        }
    }
}

impl From<serde_json::Error> for InvalidPayload {
    fn from(error: serde_json::Error) -> Self {
        let problem = match error.classify() {
            Category::Data => "a field is missing or has an invalid value",
            Category::Syntax => "the JSON is invalid",
            Category::Eof => "the JSON is incomplete",
            Category::Io => "the JSON cannot be read",
        };
        Self { problem, position: Position { line: error.line(), column: error.column() } }
    }
}

/// Reads a value as `T`. It is borrowed, because `LogsEvent` borrows the names of its fields.
pub(crate) fn parse_value<'v, T: Deserialize<'v>>(value: &'v Value) -> Result<T, InvalidPayload> {
    Ok(T::deserialize(value)?)
}

#[cfg(test)]
mod tests {
    use aws_lambda_events::cloudwatch_logs::LogsEvent;
    use aws_lambda_events::sqs::SqsEvent;
    use serde_json::json;

    use super::*;

    #[test]
    fn events_of_both_sources_are_read() {
        let value = serde_json::from_str(include_str!("../../../events/feedback-sms-log.json")).unwrap();
        let logs: LogsEvent = parse_value(&value).unwrap();
        assert!(!logs.aws_logs.data.log_events.is_empty());
        let value = serde_json::from_str(include_str!("../../../events/feedback-queue.json")).unwrap();
        let queue: SqsEvent = parse_value(&value).unwrap();
        assert!(!queue.records.is_empty());
    }

    #[test]
    fn error_quotes_nothing_of_the_payload() {
        let in_value = parse_value::<Vec<u8>>(&json!("+351912345678")).unwrap_err();
        assert_eq!(in_value.to_string(), "a field is missing or has an invalid value");
        let in_text = serde_json::from_str::<Vec<u8>>(r#""+351912345678""#).map_err(InvalidPayload::from).unwrap_err();
        assert_eq!(in_text.to_string(), "a field is missing or has an invalid value at line 1, column 15");
        for error in [in_value, in_text] {
            assert!(!format!("{error:?}").contains("351912345678"), "{error:?}");
        }
    }
}
