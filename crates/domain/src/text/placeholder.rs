//! The syntax of placeholders.

use language::{Currency, DateLength};

use crate::customer::is_attribute_name;

/// A part of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part<'t> {
    Plain(&'t str),
    Value(Placeholder<'t>),
}

/// `{{ customer.<attribute> | … }}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Placeholder<'t> {
    /// The attribute's name.
    pub(crate) field: &'t str,
    /// What replaces a missing value.
    pub(crate) default: Option<&'t str>,
    pub(crate) format: Option<Format>,
}

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Number,
    Money(Currency),
    Date(DateLength),
}

/// As what a placeholder reads an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    /// As it is: a text, a number, or true or false.
    Text,
    Number,
    Date,
}

impl Reads {
    pub(crate) fn of(format: Option<Format>) -> Self {
        match format {
            None => Self::Text,
            Some(Format::Number | Format::Money(_)) => Self::Number,
            Some(Format::Date(_)) => Self::Date,
        }
    }
}

/// What is wrong with a text, and where. To follow the field's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("has {fault} at character {place}{}", fault.remedy())]
pub struct InvalidText {
    /// Its position, in characters from 1.
    pub place: usize,
    /// What is wrong.
    pub fault: TextFault,
}

/// What is wrong with a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TextFault {
    /// A brace that is not part of a placeholder.
    #[error("a brace")]
    Brace,
    /// A filter that does not exist.
    #[error("an unknown filter")]
    UnknownFilter,
    /// `default` without a text.
    #[error("a filter default without its text")]
    Default,
    /// `number` with an argument.
    #[error("a filter number with an argument")]
    Number,
    /// `money` without a currency.
    #[error("a filter money without a currency")]
    Money,
    /// `date` without a length.
    #[error("a filter date without its length")]
    Date,
    /// Two formats, or two defaults.
    #[error("a second filter of the same kind")]
    Repeated,
}

impl TextFault {
    fn remedy(self) -> &'static str {
        match self {
            Self::Brace => " that is not part of {{ customer.<attribute> }}",
            Self::UnknownFilter => "; the filters are default, number, money and date",
            Self::Default => r#"; write it as in {{ customer.name | default: "customer" }}"#,
            Self::Number => "; write it as in {{ customer.points | number }}",
            Self::Money => r#"; write a code of ISO 4217 in capitals, as in {{ customer.limit | money: "EUR" }}"#,
            Self::Date => r#"; write long, medium or short, as in {{ customer.renewal | date: "long" }}"#,
            Self::Repeated => "; a placeholder has at most one default, and one of number, money and date",
        }
    }
}

/// The parts of a text.
pub(crate) fn parts(source: &str) -> Result<Vec<Part<'_>>, InvalidText> {
    let mut parts = Vec::new();
    let mut rest = source;
    loop {
        let plain_end = rest.find(['{', '}']).unwrap_or(rest.len());
        let (plain, braced) = rest.split_at(plain_end);
        if !plain.is_empty() {
            parts.push(Part::Plain(plain));
        }
        if braced.is_empty() {
            return Ok(parts);
        }
        let at = |rest: &str, fault| InvalidText { place: place(source, rest), fault };
        let (inner, after) = braced
            .strip_prefix("{{")
            .and_then(|inner| inner.split_once("}}"))
            .ok_or_else(|| at(braced, TextFault::Brace))?;
        let field_end = inner.find('|').unwrap_or(inner.len());
        let (field, filters) = inner.split_at(field_end);
        let field = field.trim().strip_prefix("customer.").filter(|field| is_attribute_name(field));
        let mut placeholder =
            Placeholder { field: field.ok_or_else(|| at(braced, TextFault::Brace))?, default: None, format: None };
        let mut filters = filters;
        while let Some(filter) = filters.strip_prefix('|') {
            filters = placeholder.add(filter).map_err(|fault| at(filter.trim_start(), fault))?;
        }
        parts.push(Part::Value(placeholder));
        rest = after;
    }
}

/// The position of `rest`, which is the end of `source` or within it, in characters from 1.
fn place(source: &str, rest: &str) -> usize {
    let at = rest.as_ptr() as usize - source.as_ptr() as usize;
    source[..at].chars().count() + 1
}

impl<'t> Placeholder<'t> {
    /// Reads a filter, without the bar before it, and returns what follows: nothing, or the next bar.
    fn add(&mut self, filter: &'t str) -> Result<&'t str, TextFault> {
        let filter = filter.trim_start();
        let (name, rest) = filter.split_at(filter.bytes().take_while(u8::is_ascii_lowercase).count());
        let (argument, rest) = argument(rest.trim_start());
        let ends = rest.is_empty() || rest.starts_with('|');
        let format = match name {
            "default" => {
                let argument = argument.filter(|_| ends).ok_or(TextFault::Default)?;
                return match self.default.replace(argument) {
                    None => Ok(rest),
                    Some(_) => Err(TextFault::Repeated),
                };
            }
            "number" if ends && argument.is_none() => Format::Number,
            "number" => return Err(TextFault::Number),
            "money" => {
                let currency = argument.filter(|_| ends).and_then(|code| code.parse().ok());
                Format::Money(currency.ok_or(TextFault::Money)?)
            }
            "date" => {
                let length = argument.filter(|_| ends).and_then(|length| length.parse().ok());
                Format::Date(length.ok_or(TextFault::Date)?)
            }
            _ => return Err(TextFault::UnknownFilter),
        };
        match self.format.replace(format) {
            None => Ok(rest),
            Some(_) => Err(TextFault::Repeated),
        }
    }
}

/// The quoted text after a colon, if there is one, and what follows.
fn argument(rest: &str) -> (Option<&str>, &str) {
    let quoted = rest.strip_prefix(':').and_then(|after| after.trim_start().strip_prefix('"'));
    match quoted.and_then(|quoted| quoted.split_once('"')) {
        Some((argument, rest)) => (Some(argument), rest.trim_start()),
        None => (None, rest),
    }
}
