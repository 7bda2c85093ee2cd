//! E-mail addresses of customers, in the one form that is stored, hashed and sent to.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use idna::AsciiDenyList;
use idna::uts46::{DnsLength, Hyphens, Uts46};

/// Maximum length of an address, in bytes: what fits an SMTP path (RFC 5321, 4.5.3.1.3, less the angle brackets).
pub(crate) const EMAIL_LIMIT: usize = 254;
/// Maximum length of what precedes the `@`, in bytes (RFC 5321, 4.5.3.1.1).
const LOCAL_LIMIT: usize = 64;
/// Maximum length of a label of a domain, in bytes (RFC 1035, 2.3.4).
const LABEL_LIMIT: usize = 63;

/// An e-mail address that providers accept: ASCII, with a domain name that can exist, no display name.
///
/// The domain is lower-case, and in Punycode if it is an international one (UTS 46, non-transitional). What precedes the
/// `@` is as it was written, and ASCII only: few servers accept anything else (RFC 6531). No type here shows its content in
/// `Debug`, so that none is logged by accident.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EmailAddress(String);

impl EmailAddress {
    /// The address as text. Personal data: not for logs.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The domain, in its normal form.
    pub fn domain(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(_, domain)| domain)
    }

    /// An address from a table. Earlier releases stored any dot-atom with a dotted domain, unchanged (RFC 5322, 3.4.1), and
    /// what was stored then is read as it is.
    ///
    /// # Errors
    /// If not even an earlier release would have stored it.
    pub fn stored(string: String) -> Result<Self, InvalidEmailAddress> {
        let (local, domain) = string.split_once('@').ok_or(InvalidEmailAddress::NotAnAddress)?;
        check_local(local)?;
        let is_label = |label: &str| (1..=LABEL_LIMIT).contains(&label.len()) && label.bytes().all(is_atom_byte);
        if string.len() > EMAIL_LIMIT || !domain.contains('.') || !domain.split('.').all(is_label) {
            return Err(InvalidEmailAddress::Domain);
        }
        Ok(Self(string))
    }

    /// An address that a customer may have: in the form that is stored today or, if it is refused today, as an earlier
    /// release stored it.
    ///
    /// # Errors
    /// If no release would have stored it.
    pub fn parse_or_stored(string: &str) -> Result<Self, InvalidEmailAddress> {
        string.parse().or_else(|error| Self::stored(string.to_owned()).map_err(|_| error))
    }
}

impl FromStr for EmailAddress {
    type Err = InvalidEmailAddress;

    fn from_str(string: &str) -> Result<Self, Self::Err> {
        let (local, domain) = string.rsplit_once('@').ok_or(InvalidEmailAddress::NotAnAddress)?;
        check_local(local)?;
        let domain = check_domain(domain)?;
        let address = format!("{local}@{domain}");
        if address.len() > EMAIL_LIMIT { Err(InvalidEmailAddress::TooLong) } else { Ok(Self(address)) }
    }
}

impl fmt::Debug for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EmailAddress(…)")
    }
}

/// Checks what precedes the `@`: a dot-atom (RFC 5322, 3.2.3). Quoted ones are legal but unused in practice, and can hide a
/// header injection.
fn check_local(local: &str) -> Result<(), InvalidEmailAddress> {
    if local.is_empty()
        || local.bytes().any(|b| b.is_ascii_whitespace() || b.is_ascii_control() || b"<>,;:@".contains(&b))
    {
        Err(InvalidEmailAddress::NotAnAddress)
    } else if !local.is_ascii() {
        Err(InvalidEmailAddress::LocalNotAscii)
    } else if local.contains(['"', '\\', '(', ')', '[', ']']) {
        Err(InvalidEmailAddress::LocalQuoted)
    } else if local.len() > LOCAL_LIMIT {
        Err(InvalidEmailAddress::LocalTooLong)
    } else if local.split('.').any(str::is_empty) {
        Err(InvalidEmailAddress::LocalDots)
    } else {
        // Every other ASCII character is allowed in an atom.
        Ok(())
    }
}

/// Whether a character may be part of an atom (RFC 5322, 3.2.3).
pub fn is_atom_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b)
}

/// A domain in the form that it has in addresses.
pub(crate) fn normal_domain(domain: &str) -> Result<String, InvalidEmailAddress> {
    check_domain(domain).map(Cow::into_owned)
}

/// The domain's one form, if providers accept it.
fn check_domain(domain: &str) -> Result<Cow<'_, str>, InvalidEmailAddress> {
    if domain.starts_with('[') {
        return Err(InvalidEmailAddress::NumericDomain);
    }
    let is_symbol = |c: char| c.is_ascii() && !c.is_ascii_alphanumeric() && !matches!(c, '.' | '-');
    if domain.contains(is_symbol) {
        return Err(InvalidEmailAddress::Domain);
    }
    let converted = Uts46::new()
        .to_ascii(domain.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast, DnsLength::Verify)
        .map_err(|_| {
            let is_international =
                !domain.is_ascii() || domain.split('.').any(|label| label.to_ascii_lowercase().starts_with("xn--"));
            if is_international { InvalidEmailAddress::InternationalDomain } else { InvalidEmailAddress::Domain }
        })?;
    // Hyphens in the third and fourth place are fine in a plain label, but not in an international one (RFC 5891, 4.2.3.1).
    let is_international = |label: &&str| label.starts_with("xn--");
    let is_valid = |label: &str| {
        Uts46::new().to_ascii(label.as_bytes(), AsciiDenyList::STD3, Hyphens::Check, DnsLength::Verify).is_ok()
    };
    if !converted.split('.').filter(is_international).all(is_valid) {
        return Err(InvalidEmailAddress::InternationalDomain);
    }
    match converted.rsplit_once('.') {
        Some((_, top)) if top.bytes().all(|b| b.is_ascii_digit()) => Err(InvalidEmailAddress::NumericDomain),
        // So is a whole number, which some read as an IP address.
        None if converted.bytes().all(|b| b.is_ascii_digit()) => Err(InvalidEmailAddress::NumericDomain),
        None => Err(InvalidEmailAddress::SingleLabel),
        Some(_) => Ok(converted),
    }
}

/// Why a string is not an e-mail address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEmailAddress {
    /// It has no `@`, or it is more than an address.
    #[error("is not an e-mail address; expected something like asha@example.com")]
    NotAnAddress,
    /// It is too long in all.
    #[error("must have at most {EMAIL_LIMIT} characters, with an international domain in Punycode")]
    TooLong,
    /// What precedes the `@` is too long.
    #[error("must have at most {LOCAL_LIMIT} characters before the @")]
    LocalTooLong,
    /// What precedes the `@` begins or ends with a dot, or has two in a row.
    #[error("must not begin with a dot, have two dots in a row, or have a dot before the @")]
    LocalDots,
    /// What precedes the `@` is not ASCII.
    #[error("must have only ASCII characters before the @; only domains may be international")]
    LocalNotAscii,
    /// What precedes the `@` has quotes, brackets or a backslash.
    #[error("must not have quotes, brackets or backslashes before the @")]
    LocalQuoted,
    /// The domain is an IP address, or its last part is a number.
    #[error("must have a domain name after the @, such as example.com, not an IP address or a number")]
    NumericDomain,
    /// The domain has no dot.
    #[error("must have a complete domain after the @, such as example.com")]
    SingleLabel,
    /// The domain has a character, a hyphen or a length that domain names do not have.
    #[error(
        "must have a domain name after the @: parts of 1 to {LABEL_LIMIT} letters, digits and hyphens between dots; \
         no hyphen at the start or end of a part"
    )]
    Domain,
    /// The domain is international, or in Punycode, but not valid.
    #[error("has a domain that is not a valid international domain name; check its characters, and any part with xn--")]
    InternationalDomain,
}

#[cfg(test)]
mod tests {
    use super::*;
    use InvalidEmailAddress as Invalid;

    #[test]
    fn only_one_plain_mailbox_is_an_address() {
        let long = |local: usize, label: usize| format!("{}@{}.example", "a".repeat(local), "b".repeat(label));
        for good in [
            "a@b.example",
            "first.last+offers@mail.bank.example",
            "name/surname=%?#!{x}|~`^'*$&@example.com",
            "x@3com.com",
            "x@1.2.3.4.example",
            "x@a-b.xn--fiqs8s",
            "x@my--shop.example",
            "x@eu--mail.bank.example",
            &long(64, 63),
        ] {
            assert_eq!(good.parse::<EmailAddress>().map(|address| address.0).as_deref(), Ok(good));
        }
        for (bad, why) in [
            ("", Invalid::NotAnAddress),
            ("nobody", Invalid::NotAnAddress),
            ("@b.example", Invalid::NotAnAddress),
            ("a@b.example, c@d.example", Invalid::NotAnAddress),
            ("a@b.example\r\nBcc: c@d.example", Invalid::NotAnAddress),
            ("Asha <a@b.example>", Invalid::NotAnAddress),
            ("a@b@c.example", Invalid::NotAnAddress),
            ("\"a\"@c.example", Invalid::LocalQuoted),
            ("a(x)@c.example", Invalid::LocalQuoted),
            ("ü@b.example", Invalid::LocalNotAscii),
            (".a@b.example", Invalid::LocalDots),
            ("a.@b.example", Invalid::LocalDots),
            ("a..b@c.example", Invalid::LocalDots),
            ("a@[127.0.0.1]", Invalid::NumericDomain),
            ("a@[IPv6:::1]", Invalid::NumericDomain),
            ("a@127.0.0.1", Invalid::NumericDomain),
            ("a@2130706433", Invalid::NumericDomain),
            ("a@example.42", Invalid::NumericDomain),
            ("a@b", Invalid::SingleLabel),
            ("a@", Invalid::Domain),
            ("a@-b.example", Invalid::Domain),
            ("a@b-.example", Invalid::Domain),
            ("a@b..example", Invalid::Domain),
            ("a@.example", Invalid::Domain),
            ("a@b.example.", Invalid::Domain),
            ("a@b.example ", Invalid::Domain),
            ("a@b c.example", Invalid::Domain),
            ("a@ex%61mple.com", Invalid::Domain),
            ("a@b.xn--", Invalid::InternationalDomain),
            ("a@xn--abc.example", Invalid::InternationalDomain),
            ("a@my--shop.xn--abc.example", Invalid::InternationalDomain),
            ("a@bü--cher.example", Invalid::InternationalDomain),
            ("a@ex\u{ad}am\u{202e}ple.com", Invalid::InternationalDomain),
            (&long(65, 3), Invalid::LocalTooLong),
            (&long(3, 64), Invalid::Domain),
            (&format!("{}@{}example", "a".repeat(64), "b.".repeat(95)), Invalid::TooLong),
        ] {
            assert_eq!(bad.parse::<EmailAddress>(), Err(why), "{bad}");
        }
    }

    /// Case D1.
    #[test]
    fn domain_that_no_provider_accepts_is_refused() {
        for (bad, why) in [
            ("email@123.123.123.123", Invalid::NumericDomain),
            ("x@dom_ain.com", Invalid::Domain),
            ("x@exam|ple.com", Invalid::Domain),
            ("x@xn---something.com", Invalid::InternationalDomain),
        ] {
            assert_eq!(bad.parse::<EmailAddress>(), Err(why), "{bad}");
        }
    }

    /// Case D1b.
    #[test]
    fn international_domain_has_one_form() {
        for (written, stored) in [
            ("japanese-info@例え.テスト", "japanese-info@xn--r8jz45g.xn--zckzah"),
            ("japanese-info@例え。テスト", "japanese-info@xn--r8jz45g.xn--zckzah"),
            ("info@firma.vermögensberatung", "info@firma.xn--vermgensberatung-pwb"),
            ("Info@Firma.VERMÖGENSBERATUNG", "Info@firma.xn--vermgensberatung-pwb"),
            ("info@firma.XN--vermgensberatung-pwb", "info@firma.xn--vermgensberatung-pwb"),
            ("a@straße.example", "a@xn--strae-oqa.example"),
            ("Asha.X@Example.COM", "Asha.X@example.com"),
        ] {
            assert_eq!(written.parse::<EmailAddress>().map(|address| address.0).as_deref(), Ok(stored), "{written}");
            assert_eq!(stored.parse::<EmailAddress>().map(|address| address.0).as_deref(), Ok(stored), "{stored}");
        }
    }

    #[test]
    fn address_that_an_earlier_release_stored_is_read_unchanged() {
        for stored in ["email@123.123.123.123", "x@Dom_ain.com", "x@exam|ple.com", "x@xn---something.com", "a@-b.c"] {
            assert_eq!(EmailAddress::stored(stored.to_owned()).map(|address| address.0).as_deref(), Ok(stored));
        }
        for never in
            ["", "nobody", "a@b", "a b@c.example", "a@b.example\r\n", "ü@b.example", "a@b@c.example", "a@b..example"]
        {
            assert!(EmailAddress::stored(never.to_owned()).is_err(), "{never}");
        }
    }

    #[test]
    fn debug_output_hides_the_address() {
        let address: EmailAddress = "a@b.example".parse().unwrap();
        assert!(!format!("{address:?}").contains('@'));
    }
}
