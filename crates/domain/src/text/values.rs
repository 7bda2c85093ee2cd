//! The values that fill placeholders.

use jiff::civil;
use language::formats::plain_spaces;
use language::{Decimal, Formats, Sign};
use serde_json::Value;

use super::RenderError;
use super::placeholder::{Format, Placeholder};
use crate::characters::{self, Lines, is_blank, with_plain_breaks};
use crate::customer::{Customer, to_text};
use crate::locale::time_zone;
use crate::time::parse_time;

/// A customer's values, and how the message to them writes them.
#[derive(Debug)]
pub struct Values<'c> {
    customer: &'c Customer,
    formats: &'c Formats,
}

impl<'c> Values<'c> {
    /// The values of `customer`, in a message with these formats.
    pub fn new(customer: &'c Customer, formats: &'c Formats) -> Self {
        Self { customer, formats }
    }

    /// What a placeholder is replaced by. Its line breaks are `\n`, and its spaces are plain ones.
    pub(crate) fn fill(&self, placeholder: &Placeholder<'_>) -> Result<String, RenderError> {
        let Placeholder { field, default, format } = *placeholder;
        let value = self.customer.field(field).filter(|value| {
            // A blank value is a missing one only where a default replaces it.
            default.is_none() || !matches!(value, Value::Null) && value.as_str().is_none_or(|text| !is_blank(text))
        });
        let text = match (value, default) {
            (Some(value), _) => self.write(field, &value, format)?,
            (None, Some(default)) => return Ok(plain_spaces(default)),
            (None, None) => return Err(RenderError::Missing { field: field.to_owned() }),
        };
        characters::check(&text, Lines::Many)
            .map_err(|found| RenderError::ForbiddenValue { field: field.to_owned(), found })?;
        Ok(plain_spaces(&with_plain_breaks(&text)))
    }

    fn write(&self, field: &str, value: &Value, format: Option<Format>) -> Result<String, RenderError> {
        let text = to_text(value).map_err(|kind| RenderError::NotText { field: field.to_owned(), kind })?;
        let not = |expected| RenderError::NotOfKind { field: field.to_owned(), expected };
        let number = || parse_number(text.trim()).ok_or_else(|| not("a number"));
        match format {
            None => Ok(text),
            Some(Format::Number) => Ok(self.formats.number(&number()?)),
            Some(Format::Money(currency)) => Ok(self.formats.money(&number()?, currency)),
            Some(Format::Date(length)) => {
                let date = self
                    .date(text.trim())
                    .ok_or_else(|| not("a date such as 2026-12-24, or a time with its offset"))?;
                Ok(self.formats.date(date, length))
            }
        }
    }

    /// A date as RFC 3339 writes it (`full-date`), or the date at a time where the customer is.
    fn date(&self, text: &str) -> Option<civil::Date> {
        let is_date = text.len() == 10 && text.bytes().filter(|b| *b == b'-').count() == 2;
        if is_date {
            return text.parse().ok();
        }
        let time = parse_time(text).ok()?;
        Some(time_zone(self.customer.time_zone.as_deref()).to_datetime(time).date())
    }
}

/// A number as its digits say it, without leading zeros. No exponents: a few characters would be a text of any length.
fn parse_number(text: &str) -> Option<Decimal> {
    let mut number: Decimal = text.parse().ok().filter(|_| !text.contains(['e', 'E']))?;
    number.absolute.trim_start();
    if number.absolute.is_zero() {
        number.set_sign(Sign::None);
    }
    Some(number)
}
