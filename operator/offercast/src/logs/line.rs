//! A log line of a function, as JSON or as text, and how it is printed.

use std::fmt::Write;
use std::str::FromStr;

use serde_json::{Map, Value};

/// How grave what a line says is. The order is that of gravity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

impl FromStr for Level {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Ok(match name {
            "TRACE" => Self::Trace,
            "DEBUG" => Self::Debug,
            "INFO" => Self::Info,
            "WARN" => Self::Warn,
            "ERROR" => Self::Error,
            _ => return Err(()),
        })
    }
}

impl Level {
    /// Five characters, in its colour.
    fn shown(self) -> &'static str {
        match self {
            Self::Trace => "TRACE",
            Self::Debug => "DEBUG",
            Self::Info => "INFO ",
            Self::Warn => "\x1b[33mWARN \x1b[0m",
            Self::Error => "\x1b[1;31mERROR\x1b[0m",
        }
    }
}

/// What a line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(super) level: Level,
    message: String,
    /// Names and values of the event, then those of the work that it belongs to.
    fields: Vec<(String, String)>,
}

/// Fields that say nothing about what happened: they are shown only if all are.
const OF_LAMBDA: [&str; 4] = ["requestId", "xrayTraceId", "trace.id", "name"];

impl Line {
    /// `None`: it is not one of ours, such as what the runtime prints when a process ends.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.starts_with('{') { Self::of_json(serde_json::from_str(text).ok()?) } else { Self::of_text(text) }
    }

    fn of_json(mut json: Value) -> Option<Self> {
        let level = json["level"].as_str()?.parse().ok()?;
        let Value::Object(mut event) = json["fields"].take() else { return None };
        let message = event.remove("message").map_or_else(String::new, shown);
        let mut fields = named(event);
        if let Value::Array(spans) = json["spans"].take() {
            fields.extend(spans.into_iter().filter_map(|span| Some(named(span.as_object()?.clone()))).flatten());
        }
        Some(Self { level, message, fields })
    }

    /// As in `2026-11-27T12:00:00Z  INFO invoke{requestId=…}:work{offer.id=…}: batch delivered sent=48`.
    fn of_text(text: &str) -> Option<Self> {
        let (_, rest) = text.split_once(' ')?;
        let (level, rest) = rest.trim_start().split_once(' ')?;
        let level = level.parse().ok()?;
        let (spans, event) = match rest.split_once("}: ") {
            Some((spans, event)) if spans.contains('{') => (spans, event),
            _ => ("", rest),
        };
        let words = words(event);
        let is_field = |word: &&str| word.split_once('=').is_some_and(|(name, _)| is_name(name));
        let message_words = words.iter().take_while(|word| !is_field(word));
        let message = message_words.copied().collect::<Vec<_>>().join(" ");
        let of_event = words.iter().skip_while(|word| !is_field(word));
        let of_spans =
            spans.split("}:").filter_map(|span| span.split_once('{')).flat_map(|(_, fields)| self::words(fields));
        let fields = of_event.copied().chain(of_spans).filter_map(|word| word.split_once('='));
        Some(Self { level, message, fields: fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect() })
    }

    /// The value of a field, without quotation marks around it.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let (_, value) = self.fields.iter().find(|(own, _)| own == name)?;
        Some(value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value))
    }

    /// Whether it is about this offer.
    pub(super) fn is_about(&self, offer: &str) -> bool {
        self.field("offer.id") == Some(offer)
    }

    /// What it says, first the message.
    pub(super) fn render(&self, shows_all: bool) -> String {
        let mut text = format!("{} {}", self.level.shown(), self.message);
        for (i, (name, value)) in self.fields.iter().enumerate() {
            // What counts nothing says nothing, and spans repeat what their event has.
            let is_of_use = value != "0" && !OF_LAMBDA.contains(&name.as_str());
            let is_repeated = |(own, said): &(String, String)| own == name && (!shows_all || said == value);
            if (shows_all || is_of_use) && !self.fields[..i].iter().any(is_repeated) {
                let _ = write!(text, " {name}={value}");
            }
        }
        text
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._".contains(&byte))
}

fn named(fields: Map<String, Value>) -> Vec<(String, String)> {
    fields.into_iter().map(|(name, value)| (name, shown(value))).collect()
}

fn shown(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// The words of a text. What is in quotation marks is of one word.
fn words(text: &str) -> Vec<&str> {
    let (mut words, mut start, mut is_quoted, mut is_escaped) = (Vec::new(), 0, false, false);
    for (i, byte) in text.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            b' ' if !is_quoted => {
                words.push(&text[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    words.push(&text[start..]);
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TEXT: &str = concat!(
        "2026-11-27T12:00:00.123456Z  WARN Lambda runtime invoke{requestId=\"5e7\" xrayTraceId=\"Root=1-2\"}:",
        "work{trace.id=t-1 offer.id=0198 push.number=1 channel=email}: batch delivered sent=48 error=\"no: a}: b\""
    );

    #[test]
    fn text_and_json_say_the_same() {
        let json = json!({
            "timestamp": "2026-11-27T12:00:00.123456Z", "level": "WARN",
            "fields": {"message": "batch delivered", "sent": 48, "error": "\"no: a}: b\""},
            "span": {"name": "work"},
            "spans": [
                {"requestId": "5e7", "xrayTraceId": "Root=1-2", "name": "Lambda runtime invoke"},
                {"trace.id": "t-1", "offer.id": "0198", "push.number": 1, "channel": "email", "name": "work"},
            ],
        });
        let (text, json) = (Line::parse(TEXT).unwrap(), Line::parse(&json.to_string()).unwrap());
        let sorted = |line: &Line| {
            let mut words: Vec<_> = line.render(false).split(' ').map(str::to_owned).collect();
            words.sort();
            words
        };
        assert_eq!(sorted(&text), sorted(&json));
        assert!(text.is_about("0198") && json.is_about("0198") && !text.is_about("5e7"));
        let expected = "\x1b[33mWARN \x1b[0m batch delivered sent=48 error=\"no: a}: b\" offer.id=0198 push.number=1 channel=email";
        assert_eq!(text.render(false), expected);
        assert!(text.render(true).contains("requestId=\"5e7\" xrayTraceId=\"Root=1-2\""));
    }

    #[test]
    fn a_line_without_work_or_fields_is_its_message() {
        let line = Line::parse("2026-11-27T12:00:00Z ERROR cannot start: SmtpUrl is missing").unwrap();
        assert_eq!((line.level, line.message.as_str()), (Level::Error, "cannot start: SmtpUrl is missing"));
    }

    #[test]
    fn what_is_not_ours_is_left_as_it_is() {
        for text in
            ["", "thread 'main' panicked at src/main.rs", "RequestId: 1 Error: Runtime exited", "{\"_aws\": {}}", "{"]
        {
            assert_eq!(Line::parse(text), None, "{text}");
        }
    }
}
