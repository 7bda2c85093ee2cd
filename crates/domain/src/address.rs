//! Addresses of customers. No type here shows its content in `Debug`, so that none is logged by accident.

use std::fmt;
use std::str::FromStr;

use email_address::Options;

/// Maximum length of an address, in bytes: what fits an SMTP path (RFC 5321, 4.5.3.1.3, less the angle brackets).
pub(crate) const EMAIL_LIMIT: usize = 254;

/// An e-mail address that an SMTP envelope can carry: ASCII, with a dotted domain, no display name.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EmailAddress(String);

impl EmailAddress {
    /// The address as text. Personal data: not for logs.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EmailAddress {
    type Err = InvalidEmailAddress;

    fn from_str(string: &str) -> Result<Self, Self::Err> {
        let options = Options::default().without_display_text().without_domain_literal().with_required_tld();
        let parsed = email_address::EmailAddress::parse_with_options(string, options);
        // Quoted local parts are legal but unused in practice, and can hide a header injection.
        if string.is_ascii() && string.len() <= EMAIL_LIMIT && !string.contains('"') && parsed.is_ok() {
            Ok(Self(string.to_owned()))
        } else {
            Err(InvalidEmailAddress)
        }
    }
}

impl fmt::Debug for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EmailAddress(…)")
    }
}

/// The string is not an e-mail address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "is not an e-mail address; expected something like asha@example.com (plain ASCII, international domains in punycode)"
)]
pub struct InvalidEmailAddress;

/// A mobile number in E.164: `+`, country code, number, 7 to 15 digits in all.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Mobile(String);

impl Mobile {
    /// The number as text. Personal data: not for logs.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Mobile {
    type Err = InvalidMobile;

    fn from_str(string: &str) -> Result<Self, Self::Err> {
        let digits = string.strip_prefix('+').ok_or(InvalidMobile)?;
        let valid =
            (7..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
        if valid { Ok(Self(string.to_owned())) } else { Err(InvalidMobile) }
    }
}

impl fmt::Debug for Mobile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mobile(…)")
    }
}

/// The string is not a mobile number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a phone number in E.164 form; expected something like +351912345678")]
pub struct InvalidMobile;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_plain_mailbox_is_an_address() {
        for good in ["a@b.example", "first.last+offers@mail.bank.example"] {
            assert!(good.parse::<EmailAddress>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "nobody",
            "a@b",
            "a@b.example, c@d.example",
            "a@b.example\r\nBcc: c@d.example",
            "Asha <a@b.example>",
            "\"a b\"@c.example",
            "a@[127.0.0.1]",
            "ü@b.example",
        ] {
            assert_eq!(bad.parse::<EmailAddress>(), Err(InvalidEmailAddress), "{bad}");
        }
    }

    #[test]
    fn only_e164_is_a_mobile_number() {
        assert!("+351912345678".parse::<Mobile>().is_ok());
        for bad in ["351912345678", "+0351912345", "+12345", "+1234567890123456", "+35191234567x"] {
            assert_eq!(bad.parse::<Mobile>(), Err(InvalidMobile), "{bad}");
        }
    }

    #[test]
    fn debug_output_hides_the_address() {
        let address: EmailAddress = "a@b.example".parse().unwrap();
        let mobile: Mobile = "+351912345678".parse().unwrap();
        assert!(!format!("{address:?}{mobile:?}").contains(['@', '3']));
    }
}
