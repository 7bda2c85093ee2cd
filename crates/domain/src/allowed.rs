//! Which recipients test messages may go to, and which senders a direct invocation may name: lists of parameters of the
//! stack.
//!
//! A domain in a list means itself and its subdomains, as it does for links.

use std::str::FromStr;

use crate::email_address::{EmailAddress, normal_domain};
use crate::link::{entries, is_within_any};
use crate::mobile::Mobile;

/// Maximum number of digits of a phone number (ITU-T E.164, 6.2.1).
const NUMBER_LIMIT: usize = 15;

/// The recipients that test messages may go to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AllowedRecipients {
    domains: Vec<String>,
    /// The beginnings of numbers, each with its `+`.
    prefixes: Vec<String>,
}

impl AllowedRecipients {
    /// The addresses of this domain, which is in its normal form, and no numbers.
    pub fn of_domain(domain: &str) -> Self {
        Self { domains: vec![domain.to_owned()], prefixes: Vec::new() }
    }

    /// Checks that test messages may go to an address.
    ///
    /// # Errors
    /// If they may not. The text follows the field's name, and does not repeat the address.
    pub fn check_email(&self, address: &EmailAddress) -> Result<(), RecipientNotAllowed> {
        let is_allowed = is_within_any(address.domain(), &self.domains);
        if is_allowed { Ok(()) } else { Err(self.refusal("its domain")) }
    }

    /// Checks that test messages may go to a number.
    ///
    /// # Errors
    /// As [`AllowedRecipients::check_email`].
    pub fn check_mobile(&self, mobile: &Mobile) -> Result<(), RecipientNotAllowed> {
        let is_allowed = self.prefixes.iter().any(|prefix| mobile.as_str().starts_with(prefix.as_str()));
        if is_allowed { Ok(()) } else { Err(self.refusal("its first digits")) }
    }

    fn refusal(&self, missing: &'static str) -> RecipientNotAllowed {
        RecipientNotAllowed { allowed: listed(self.domains.iter().chain(&self.prefixes).map(String::as_str)), missing }
    }
}

impl FromStr for AllowedRecipients {
    type Err = String;

    /// Reads domains and the beginnings of numbers, with commas between them.
    fn from_str(string: &str) -> Result<Self, String> {
        let mut allowed = Self::default();
        for entry in entries(string) {
            let invalid = || {
                format!(
                    "has an entry that is neither a domain nor the beginning of a phone number: {entry}; \
                     expected something like bank.example,+351"
                )
            };
            match entry.strip_prefix('+') {
                Some(digits) if is_prefix(digits) => allowed.prefixes.push(entry.to_owned()),
                Some(_) => return Err(invalid()),
                None => allowed.domains.push(normal_domain(entry).map_err(|_| invalid())?),
            }
        }
        Ok(allowed)
    }
}

fn is_prefix(digits: &str) -> bool {
    (1..=NUMBER_LIMIT).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0')
}

/// Test messages may not go to this recipient.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be one that test messages may go to: the parameter AllowedTestRecipients of the stack allows {allowed}; \
     to allow this one, add {missing} to the parameter"
)]
pub struct RecipientNotAllowed {
    allowed: String,
    missing: &'static str,
}

/// The senders that a direct invocation may name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AllowedSenders {
    domains: Vec<String>,
    addresses: Vec<EmailAddress>,
}

impl AllowedSenders {
    /// The addresses of this domain, which is in its normal form.
    pub fn of_domain(domain: &str) -> Self {
        Self { domains: vec![domain.to_owned()], addresses: Vec::new() }
    }

    /// Checks that this address may be a sender. What precedes the `@` is compared with its case, as IAM compares
    /// `ses:FromAddress`.
    ///
    /// # Errors
    /// If it may not. The text follows the field's name.
    pub fn check(&self, address: &EmailAddress) -> Result<(), SenderNotAllowed> {
        if is_within_any(address.domain(), &self.domains) || self.addresses.contains(address) {
            return Ok(());
        }
        let addresses = self.addresses.iter().map(EmailAddress::as_str);
        Err(SenderNotAllowed { allowed: listed(self.domains.iter().map(String::as_str).chain(addresses)) })
    }
}

impl FromStr for AllowedSenders {
    type Err = String;

    /// Reads addresses and domains, with commas between them.
    fn from_str(string: &str) -> Result<Self, String> {
        let mut allowed = Self::default();
        for entry in entries(string) {
            let invalid = || {
                format!(
                    "has an entry that is neither an address nor a domain: {entry}; \
                     expected something like offers@bank.example,news.bank.example"
                )
            };
            // Legal before the @, but IAM reads them as a pattern or a variable.
            if entry.contains(['*', '?', '$']) {
                return Err(invalid());
            }
            if entry.contains('@') {
                allowed.addresses.push(entry.parse().map_err(|_| invalid())?);
            } else {
                allowed.domains.push(normal_domain(entry).map_err(|_| invalid())?);
            }
        }
        Ok(allowed)
    }
}

/// A direct invocation may not name this sender.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be an allowed sender: the parameter AllowedSenders of the stack allows {allowed}")]
pub struct SenderNotAllowed {
    allowed: String,
}

/// The entries of a parameter, for people.
fn listed<'a>(entries: impl Iterator<Item = &'a str>) -> String {
    let entries: Vec<_> = entries.collect();
    if entries.is_empty() { "none".to_owned() } else { entries.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipients(list: &str) -> AllowedRecipients {
        list.parse().unwrap()
    }

    fn address(address: &str) -> EmailAddress {
        address.parse().unwrap()
    }

    #[test]
    fn test_messages_go_to_allowed_domains_with_their_subdomains() {
        let allowed = recipients("bank.example, Test.Example,b\u{fc}cher.example");
        for good in ["a@bank.example", "a@mail.bank.example", "a@TEST.example", "a@xn--bcher-kva.example"] {
            assert_eq!(allowed.check_email(&address(good)), Ok(()), "{good}");
        }
        for bad in ["a@evil.example", "a@evilbank.example", "a@bank.example.evil.example", "bank.example@evil.example"]
        {
            let refusal = allowed.check_email(&address(bad)).unwrap_err().to_string();
            assert!(refusal.contains("AllowedTestRecipients") && refusal.contains("add its domain"), "{refusal}");
            assert!(!refusal.contains("evil"), "{refusal}");
        }
        assert_eq!(AllowedRecipients::of_domain("bank.example").check_email(&address("a@bank.example")), Ok(()));
        assert!(AllowedRecipients::default().check_email(&address("a@bank.example")).is_err());
    }

    #[test]
    fn test_messages_go_to_numbers_that_begin_as_allowed() {
        let number = |number: &str| number.parse::<Mobile>().unwrap();
        let allowed = recipients("bank.example,+35191,+861380");
        for good in ["+351912345678", "+8613801234567"] {
            assert_eq!(allowed.check_mobile(&number(good)), Ok(()), "{good}");
        }
        for bad in ["+351961234567", "+8613912345678", "+4915112345678"] {
            let refusal = allowed.check_mobile(&number(bad)).unwrap_err().to_string();
            assert!(refusal.contains("allows bank.example, +35191, +861380;"), "{refusal}");
            assert!(refusal.contains("add its first digits"), "{refusal}");
        }
        let by_default = AllowedRecipients::of_domain("bank.example").check_mobile(&number("+351912345678"));
        assert!(by_default.is_err(), "no numbers");
    }

    #[test]
    fn entry_that_is_neither_a_domain_nor_a_number_is_refused() {
        for bad in
            ["+", "+0351", "+35a", "+1234567890123456", "a@bank.example", "com", "10.0.0.1", "*.bank.example", "351"]
        {
            let error = bad.parse::<AllowedRecipients>().unwrap_err();
            assert!(error.contains(bad), "{error}");
        }
        assert_eq!(" , ".parse(), Ok(AllowedRecipients::default()));
    }

    #[test]
    fn sender_is_an_allowed_address_or_of_an_allowed_domain() {
        let allowed: AllowedSenders = "offers@bank.example,News.Bank.example".parse().unwrap();
        for good in ["offers@bank.example", "offers@BANK.example", "a@news.bank.example", "a@x.news.bank.example"] {
            assert_eq!(allowed.check(&address(good)), Ok(()), "{good}");
        }
        for bad in ["ceo@bank.example", "Offers@bank.example", "offers@x.bank.example", "a@badnews.bank.example"] {
            let refusal = allowed.check(&address(bad)).unwrap_err().to_string();
            let expected = "must be an allowed sender: the parameter AllowedSenders of the stack allows \
                            news.bank.example, offers@bank.example";
            assert_eq!(refusal, expected, "{bad}");
        }
        for bad in ["*@bank.example", "*.bank.example", "bank", "a@", "A Bank <a@bank.example>"] {
            assert!(bad.parse::<AllowedSenders>().unwrap_err().contains(bad));
        }
    }
}
