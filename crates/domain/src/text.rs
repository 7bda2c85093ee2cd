//! Text with `{{ customer.<attribute> }}` placeholders. There is no other template syntax.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::characters::{self, Forbidden, Lines, is_blank, with_plain_breaks};
use crate::customer::{Customer, is_attribute_name, to_text};

/// A subject or a description, checked when the offer is posted.
///
/// Braces are allowed only in placeholders such as `{{ customer.name }}`. Any other brace is refused, because a
/// misspelt placeholder would otherwise be sent to every customer as it is.
///
/// Reading a stored or queued one does not check it again. So an offer whose text a later release refuses can still be
/// read and listed; only rendering its text fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Text(String);

#[derive(Debug, PartialEq, Eq)]
enum Part<'t> {
    Plain(&'t str),
    Field(&'t str),
}

impl Text {
    /// Parses a text as callers post it.
    ///
    /// # Errors
    /// If it has a brace that is not part of `{{ customer.<attribute> }}`.
    pub fn parse(source: &str) -> Result<Self, InvalidText> {
        parts(source)?;
        Ok(Self(source.to_owned()))
    }

    /// The text as it was posted.
    pub fn source(&self) -> &str {
        &self.0
    }

    /// The text with this customer's values in place of its placeholders, of at most `limit` characters. No more than
    /// that is ever built, whatever the values are. Its line breaks, and theirs, are `\n`.
    ///
    /// # Errors
    /// If the customer lacks an attribute that the text names, if the attribute has no form as text or a character that no
    /// text may have (as one that an earlier release stored may), if the text would be too long or show nothing, or if this
    /// release does not accept the text any more.
    pub fn render(&self, customer: &Customer, limit: usize) -> Result<String, RenderError> {
        characters::check(&self.0, Lines::Many)?;
        let mut rendered = String::new();
        let mut left = limit;
        for part in parts(&self.0)? {
            let text = match part {
                Part::Plain(plain) => Cow::Borrowed(plain),
                Part::Field(field) => match customer.field(field).as_ref().map(to_text) {
                    Some(Ok(text)) => match characters::check(&text, Lines::Many) {
                        Ok(()) => Cow::Owned(text),
                        Err(found) => return Err(RenderError::ForbiddenValue { field: field.to_owned(), found }),
                    },
                    Some(Err(kind)) => return Err(RenderError::NotText { field: field.to_owned(), kind }),
                    None => return Err(RenderError::Missing { field: field.to_owned() }),
                },
            };
            let text = with_plain_breaks(&text);
            left = left.checked_sub(text.chars().count()).ok_or(RenderError::TooLong { limit })?;
            rendered.push_str(&text);
        }
        if is_blank(&rendered) { Err(RenderError::Blank) } else { Ok(rendered) }
    }
}

fn parts(source: &str) -> Result<Vec<Part<'_>>, InvalidText> {
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
        let fault = || InvalidText { place: source[..source.len() - braced.len()].chars().count() + 1 };
        let (inner, after) = braced.strip_prefix("{{").and_then(|inner| inner.split_once("}}")).ok_or_else(fault)?;
        let field =
            inner.trim().strip_prefix("customer.").filter(|field| is_attribute_name(field)).ok_or_else(fault)?;
        parts.push(Part::Field(field));
        rest = after;
    }
}

/// A brace that is not part of `{{ customer.<attribute> }}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("has a brace at character {place} that is not part of {{{{ customer.<attribute> }}}}")]
pub struct InvalidText {
    /// Its position, in characters from 1.
    pub place: usize,
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
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn asha() -> Customer {
        Customer::parse(
            "c-1",
            json!({"name": "Asha {{ customer.tier }}", "channels": [], "attributes": {"tier": "gold", "spend": 5000, "cards": []}}),
        )
        .unwrap()
    }

    #[test]
    fn placeholders_are_replaced_by_the_customers_values() {
        let text = Text::parse("{{customer.id}}: {{ customer.tier }}, {{ customer.spend }} 🎉").unwrap();
        assert_eq!(text.render(&asha(), 100).unwrap(), "c-1: gold, 5000 🎉");
    }

    #[test]
    fn placeholder_in_a_value_is_not_replaced() {
        let text = Text::parse("Dear {{ customer.name }}").unwrap();
        assert_eq!(text.render(&asha(), 100).unwrap(), "Dear Asha {{ customer.tier }}");
    }

    #[test]
    fn any_other_brace_is_refused_with_its_position() {
        for (source, place) in [
            ("é {name}", 3),
            ("{{ name }}", 1),
            ("{{ customer.tier | upper }}", 1),
            ("{% if x %}", 1),
            ("a }} b", 3),
            ("{{ customer.tier", 1),
            ("{{ customer.a.b }}", 1),
            ("{{{ customer.tier }}}", 1),
        ] {
            assert_eq!(Text::parse(source), Err(InvalidText { place }), "{source}");
        }
    }

    #[test]
    fn rendered_text_has_a_limit_in_characters() {
        let text = Text::parse("é{{ customer.tier }}").unwrap();
        assert_eq!(text.render(&asha(), 5).unwrap(), "égold");
        assert_eq!(text.render(&asha(), 4), Err(RenderError::TooLong { limit: 4 }));
    }

    #[test]
    fn missing_and_unrenderable_attributes_are_distinguished() {
        let render = |source: &str| Text::parse(source).unwrap().render(&asha(), 100);
        assert!(matches!(render("{{ customer.city }}"), Err(RenderError::Missing { .. })));
        assert!(matches!(render("{{ customer.cards }}"), Err(RenderError::NotText { .. })));
    }

    #[test]
    fn stored_text_that_no_longer_parses_is_read_but_not_rendered() {
        let text: Text = serde_json::from_value(json!("Dear {{ name }}")).unwrap();
        assert_eq!(serde_json::to_value(&text).unwrap(), json!("Dear {{ name }}"));
        let error = text.render(&asha(), 100).unwrap_err();
        assert_eq!(error, RenderError::Invalid(InvalidText { place: 6 }));
        assert_eq!(
            error.to_string(),
            "the text has a brace at character 6 that is not part of {{ customer.<attribute> }}; post the offer again \
             with a corrected text"
        );
    }

    #[test]
    fn forbidden_character_in_a_stored_value_is_not_sent() {
        for forbidden in ["\u{202E}", "\u{FFFE}", "\u{1B}", "\u{FEFF}"] {
            let mut customer = asha();
            customer.attributes.insert("city".to_owned(), json!(format!("Lis{forbidden}bon")));
            let error = Text::parse("{{ customer.city }}").unwrap().render(&customer, 100).unwrap_err();
            let message = error.to_string();
            assert!(message.starts_with("the customer's city contains") && !message.contains("Lis"), "{message}");
            assert!(matches!(error, RenderError::ForbiddenValue { field, .. } if field == "city"));
            customer.name = forbidden.to_owned();
            assert!(Text::parse("{{ customer.name }}").unwrap().render(&customer, 100).is_err());
        }
    }

    #[test]
    fn forbidden_character_in_a_stored_text_is_not_sent() {
        for forbidden in ['\u{202E}', '\u{2066}', '\u{FFFE}', '\u{FFFF}', '\u{1B}', '\u{FEFF}'] {
            let text: Text = serde_json::from_value(json!(format!("{{{{ customer.tier }}}}{forbidden}5%"))).unwrap();
            let error = text.render(&asha(), 100).unwrap_err();
            assert!(matches!(error, RenderError::Forbidden(_)), "{error}");
            let place = format!("(character 20, U+{:04X})", u32::from(forbidden));
            assert!(error.to_string().contains(&place), "{error}");
        }
        let text: Text = serde_json::from_value(json!("one\ttwo\nthree")).unwrap();
        assert_eq!(text.render(&asha(), 100).unwrap(), "one\ttwo\nthree");
    }

    #[test]
    fn every_line_break_is_one_newline_in_the_rendered_text() {
        let mut customer = asha();
        customer.attributes.insert("address".to_owned(), json!("1 High Street\r\nSpringfield\rUSA\n\t."));
        let text: Text = serde_json::from_value(json!("Dear\r{{ customer.address }}\r\n")).unwrap();
        assert_eq!(text.render(&customer, 100).unwrap(), "Dear\n1 High Street\nSpringfield\nUSA\n\t.\n");
    }
}
