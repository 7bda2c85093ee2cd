//! Text with placeholders: `{{ customer.name }}`, perhaps with filters, as in `{{ customer.limit | money: "EUR" }}`. There
//! is no other template syntax.
//!
//! | filter | writes |
//! |---|---|
//! | `default: "customer"` | this text, where the customer lacks the attribute or it is blank |
//! | `number` | a number, in the message's language and the customer's region |
//! | `money: "EUR"` | an amount of this currency (ISO 4217) |
//! | `date: "long"`, `"medium"`, `"short"` | a date, or a time's date in the customer's time zone |
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | what a text may be, and why one cannot be rendered | this file |
//! | the syntax of placeholders and filters | `placeholder` |
//! | the values that fill placeholders, and how they are written | `values` |

mod placeholder;
mod values;

use serde::{Deserialize, Serialize};

use crate::characters::{self, Forbidden, Lines, is_blank, with_plain_breaks};

pub use placeholder::{InvalidText, Reads, TextFault};
pub(crate) use placeholder::{Part, parts};
pub use values::Values;

/// A text of an offer, checked when the offer is posted.
///
/// Braces are allowed only in placeholders. Any other brace is refused, because a misspelt placeholder would otherwise be
/// sent to every customer as it is.
///
/// Reading a stored or queued one does not check it again. So an offer whose text a later release refuses can still be
/// read and listed; only rendering its text fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Text(String);

impl Text {
    /// Parses a text as callers post it.
    ///
    /// # Errors
    /// If it has a brace that is not part of a placeholder, or a placeholder with a filter that does not exist or has a
    /// wrong argument.
    pub fn parse(source: &str) -> Result<Self, InvalidText> {
        parts(source)?;
        Ok(Self(source.to_owned()))
    }

    /// The text as it was posted.
    pub fn source(&self) -> &str {
        &self.0
    }

    /// The attributes that it names with a default, one for each such placeholder. None if this release does not accept
    /// the text.
    pub fn fields_with_default(&self) -> Vec<&str> {
        let with_default = |part| match part {
            Part::Value(placeholder) => placeholder.default.map(|_| placeholder.field),
            Part::Plain(_) => None,
        };
        parts(&self.0).unwrap_or_default().into_iter().filter_map(with_default).collect()
    }

    /// The attributes that it names, and as what it reads each, one for each placeholder. None if this release does not accept
    /// the text.
    pub fn fields(&self) -> Vec<(&str, Reads)> {
        let field = |part| match part {
            Part::Value(placeholder) => Some((placeholder.field, Reads::of(placeholder.format))),
            Part::Plain(_) => None,
        };
        parts(&self.0).unwrap_or_default().into_iter().filter_map(field).collect()
    }

    /// What it says itself, without its placeholders. All of it if this release does not accept the text.
    pub fn without_values(&self) -> String {
        let plain = |part| match part {
            Part::Plain(plain) => plain,
            Part::Value(_) => "",
        };
        parts(&self.0).map_or_else(|_| self.0.clone(), |parts| parts.into_iter().map(plain).collect())
    }

    /// Its parts, if no character of it is forbidden.
    pub(crate) fn checked_parts(&self) -> Result<Vec<Part<'_>>, RenderError> {
        characters::check(&self.0, Lines::Many)?;
        Ok(parts(&self.0)?)
    }

    /// The text with a customer's values in place of its placeholders, of at most `limit` characters. No more than
    /// that is ever built, whatever the values are. Its line breaks, and theirs, are `\n`.
    ///
    /// # Errors
    /// If the customer lacks an attribute that the text names, if the attribute has no such form as text or a character
    /// that no text may have (as one that an earlier release stored may), if the text would be too long or show nothing, or
    /// if this release does not accept the text any more.
    pub fn render(&self, values: &Values<'_>, limit: usize) -> Result<String, RenderError> {
        let mut rendered = String::new();
        let mut left = Allowance::new(limit);
        for part in self.checked_parts()? {
            let text = match part {
                Part::Plain(plain) => with_plain_breaks(plain),
                Part::Value(placeholder) => values.fill(&placeholder)?.into(),
            };
            left.take(&text)?;
            rendered.push_str(&text);
        }
        if is_blank(&rendered) { Err(RenderError::Blank) } else { Ok(rendered) }
    }
}

/// How many characters a text may still have.
#[derive(Debug)]
pub(crate) struct Allowance {
    limit: usize,
    left: usize,
}

impl Allowance {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, left: limit }
    }

    /// Takes the length of a text from it.
    pub(crate) fn take(&mut self, text: &str) -> Result<(), RenderError> {
        let limit = self.limit;
        self.left = self.left.checked_sub(text.chars().count()).ok_or(RenderError::TooLong { limit })?;
        Ok(())
    }
}

/// Why a text cannot be rendered for a customer. Holds names of attributes, never values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// The customer has no such attribute.
    #[error("the customer has no {field}, which the text uses")]
    Missing {
        /// The attribute's name.
        field: String,
    },
    /// The attribute is a list or an object.
    #[error("the customer's {field} is {kind}, which cannot be part of a text")]
    NotText {
        /// The attribute's name.
        field: String,
        /// Its type.
        kind: &'static str,
    },
    /// The attribute is not what the filter writes.
    #[error("the customer's {field} is not {expected}, which the text's filter needs")]
    NotOfKind {
        /// The attribute's name.
        field: String,
        /// What it should be.
        expected: &'static str,
    },
    /// The attribute has a character that no text may have.
    #[error("the customer's {field} contains {found}, which no text may have; put the customer again without it")]
    ForbiddenValue {
        /// The attribute's name.
        field: String,
        /// The character.
        found: Forbidden,
    },
    /// The text is too long with this customer's values.
    #[error("with the customer's values, the text has more than {limit} characters")]
    TooLong {
        /// The most characters that are sent.
        limit: usize,
    },
    /// The text shows nothing with this customer's values, which may be empty.
    #[error("with the customer's values, the text shows nothing")]
    Blank,
    /// The text itself has a character that no text may have; an earlier release stored it.
    #[error("the text contains {0}, which no text may have; post the offer again without it")]
    Forbidden(#[from] Forbidden),
    /// This release does not accept the text, which an earlier one stored.
    #[error("the text {0}; post the offer again with a corrected text")]
    Invalid(#[from] InvalidText),
    /// This release does not accept the text's formatting or one of its links, which an earlier one stored.
    #[error("the text {0}; post the offer again with a corrected text")]
    InvalidMarkup(String),
}

#[cfg(test)]
mod tests;
