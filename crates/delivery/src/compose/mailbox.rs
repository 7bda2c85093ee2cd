//! An address with a display name, as the header of an e-mail has it.

use std::fmt;
use std::str::FromStr;

use domain::EmailAddress;
use domain::email_address::InvalidEmailAddress;
use domain::fields::{Lines, parse_text};

use super::headers::ENCODED;

/// Maximum length of a display name, in characters, as of a customer's name.
const NAME_LIMIT: usize = 200;

/// An address, with or without a display name.
///
/// It is read leniently: in `Banco "Ágil", S.A. <offers@bank.example>`, which RFC 5322, 3.4, would have quoted, the
/// name is everything before the last `<`. The header has it in the right form.
#[derive(Clone, PartialEq, Eq)]
pub struct Mailbox {
    name: Option<String>,
    address: EmailAddress,
}

/// Why a string is not a mailbox.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMailbox {
    /// Its address is none.
    #[error(transparent)]
    Address(#[from] InvalidEmailAddress),
    /// Its display name cannot be shown to people.
    #[error("has a display name that is no name: it {0}")]
    Name(String),
}

impl Mailbox {
    /// A mailbox with this display name.
    pub fn named(name: String, address: EmailAddress) -> Self {
        Self { name: Some(name).filter(|name| !name.is_empty()), address }
    }

    /// The display name.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The address. Personal data: not for logs.
    pub fn address(&self) -> &str {
        self.address.as_str()
    }

    /// The address. Personal data: not for logs.
    pub fn email_address(&self) -> &EmailAddress {
        &self.address
    }

    /// The domain of the address.
    pub fn domain(&self) -> &str {
        self.address.domain()
    }
}

impl FromStr for Mailbox {
    type Err = InvalidMailbox;

    fn from_str(string: &str) -> Result<Self, Self::Err> {
        let string = string.trim();
        let Some((name, address)) = string.strip_suffix('>').and_then(|rest| rest.rsplit_once('<')) else {
            return Ok(Self { name: None, address: string.parse()? });
        };
        let address = address.parse()?;
        let name = unquoted(name.trim());
        if name.is_empty() {
            return Ok(Self { name: None, address });
        }
        let name = parse_text(&name, NAME_LIMIT, Lines::One).map_err(InvalidMailbox::Name)?;
        // It would be encoded once more, and shown as it is.
        if name.contains(ENCODED) {
            return Err(InvalidMailbox::Name(format!("must not contain {ENCODED}; write the name as it is shown")));
        }
        Ok(Self { name: Some(name), address })
    }
}

/// The content of a quoted string (RFC 5322, 3.2.4); any other text as it is.
fn unquoted(text: &str) -> String {
    let inner = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let content = inner.and_then(|inner| {
        let mut content = String::new();
        let mut characters = inner.chars();
        while let Some(character) = characters.next() {
            match character {
                '"' => return None,
                '\\' => content.push(characters.next()?),
                other => content.push(other),
            }
        }
        Some(content)
    });
    content.map_or_else(|| text.to_owned(), |content| content.trim().to_owned())
}

/// Without its content, so that no address is logged by accident.
impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mailbox(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_is_everything_before_the_last_angle_bracket() {
        for (string, name) in [
            ("offers@bank.example", None),
            ("<offers@bank.example>", None),
            (" A Bank <offers@bank.example> ", Some("A Bank")),
            ("A Bank<offers@bank.example>", Some("A Bank")),
            ("\"A Bank\" <offers@bank.example>", Some("A Bank")),
            (r#""Banco \"Ágil\", S.A." <offers@bank.example>"#, Some("Banco \"Ágil\", S.A.")),
            ("Banco \"Ágil\", S.A. <offers@bank.example>", Some("Banco \"Ágil\", S.A.")),
            ("\"A\" or \"B\" <offers@bank.example>", Some("\"A\" or \"B\"")),
            ("\"\" <offers@bank.example>", None),
            ("\" <offers@bank.example>", Some("\"")),
            (r#""A\" <offers@bank.example>"#, Some(r#""A\""#)),
            ("A <x@y.example> <offers@bank.example>", Some("A <x@y.example>")),
            ("بنك <offers@bank.example>", Some("بنك")),
        ] {
            let mailbox: Mailbox = string.parse().unwrap();
            assert_eq!((mailbox.name(), mailbox.address()), (name, "offers@bank.example"), "{string}");
            assert_eq!(mailbox.domain(), "bank.example");
        }
    }

    #[test]
    fn what_is_no_mailbox_is_refused_with_what_is_wrong() {
        for (string, what) in [
            ("", "is not an e-mail address"),
            ("A Bank", "is not an e-mail address"),
            ("A Bank <>", "is not an e-mail address"),
            ("A Bank <offers@bank.example> and more", "is not an e-mail address"),
            ("a@b.example, c@d.example", "is not an e-mail address"),
            ("Bank\r\nBcc: spy@example.net <offers@bank.example>", "must not contain a line break"),
            ("a\u{0}b <offers@bank.example>", "must not contain a control character"),
            ("=?utf-8?Q?A?= <offers@bank.example>", "write the name as it is shown"),
            ("\"A =?utf-8?Q?B?=\" <offers@bank.example>", "write the name as it is shown"),
            (&format!("{} <offers@bank.example>", "n".repeat(201)), "at most 200 characters"),
        ] {
            let error = string.parse::<Mailbox>().unwrap_err().to_string();
            assert!(error.contains(what), "{string}: {error}");
        }
    }
}
