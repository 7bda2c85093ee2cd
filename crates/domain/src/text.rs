//! Text with `{{ customer.<attribute> }}` placeholders. There is no other template syntax.

use serde::{Deserialize, Serialize};

use crate::customer::{Customer, is_attribute_name, to_text};

/// A subject or a description, checked when the offer is posted.
///
/// Braces are allowed only in placeholders such as `{{ customer.name }}`. Any other brace is refused, because a
/// misspelt placeholder would otherwise be sent to every customer as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Text {
    source: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Plain(String),
    Field(String),
}

impl Text {
    /// Parses a text as callers post it.
    ///
    /// # Errors
    /// If it has a brace that is not part of `{{ customer.<attribute> }}`.
    pub fn parse(source: &str) -> Result<Self, InvalidText> {
        let mut parts = Vec::new();
        let mut rest = source;
        loop {
            let plain_end = rest.find(['{', '}']).unwrap_or(rest.len());
            let (plain, braced) = rest.split_at(plain_end);
            if !plain.is_empty() {
                parts.push(Part::Plain(plain.to_owned()));
            }
            if braced.is_empty() {
                break;
            }
            let fault = || InvalidText { place: source[..source.len() - braced.len()].chars().count() + 1 };
            let (inner, after) =
                braced.strip_prefix("{{").and_then(|inner| inner.split_once("}}")).ok_or_else(fault)?;
            let field =
                inner.trim().strip_prefix("customer.").filter(|field| is_attribute_name(field)).ok_or_else(fault)?;
            parts.push(Part::Field(field.to_owned()));
            rest = after;
        }
        Ok(Self { source: source.to_owned(), parts })
    }

    /// The text as it was posted.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The text with this customer's values in place of its placeholders.
    ///
    /// # Errors
    /// If the customer lacks an attribute that the text names, or the attribute has no form as text.
    pub fn render(&self, customer: &Customer) -> Result<String, RenderError> {
        self.parts
            .iter()
            .map(|part| match part {
                Part::Plain(plain) => Ok(plain.clone()),
                Part::Field(field) => match customer.field(field).as_ref().map(to_text) {
                    Some(Ok(text)) => Ok(text),
                    Some(Err(kind)) => Err(RenderError::NotText { field: field.clone(), kind }),
                    None => Err(RenderError::Missing { field: field.clone() }),
                },
            })
            .collect()
    }
}

impl TryFrom<String> for Text {
    type Error = InvalidText;

    fn try_from(source: String) -> Result<Self, Self::Error> {
        Self::parse(&source)
    }
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        text.source
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
        assert_eq!(text.render(&asha()).unwrap(), "c-1: gold, 5000 🎉");
    }

    #[test]
    fn placeholder_in_a_value_is_not_replaced() {
        let text = Text::parse("Dear {{ customer.name }}").unwrap();
        assert_eq!(text.render(&asha()).unwrap(), "Dear Asha {{ customer.tier }}");
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
    fn missing_and_unrenderable_attributes_are_distinguished() {
        let render = |source: &str| Text::parse(source).unwrap().render(&asha());
        assert!(matches!(render("{{ customer.city }}"), Err(RenderError::Missing { .. })));
        assert!(matches!(render("{{ customer.cards }}"), Err(RenderError::NotText { .. })));
    }
}
