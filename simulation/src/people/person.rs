//! Customers, whose personal data is recognised wherever it turns up.

use domain::channel::Channels;
use domain::eligibility::Verdict;
use domain::{Channel, Customer, RuleText};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// What every name begins with. A number and the rest of it follow.
pub const NAME_MARK: &str = "Zq";
pub const NAME_REST: &str = "Name";
/// A part of every address of e-mail.
pub const EMAIL_MARK: &str = "@person";
/// What every number begins with: one of a German mobile network.
pub const MOBILE_MARK: &str = "+491512345";
/// The same without the plus, which a form encodes.
pub const MOBILE_DIGITS_MARK: &str = "491512345";
/// What begins the local part of an address that does not exist: a mail server refuses it at once, and SES accepts the e-mail,
/// which bounces.
pub const BOUNCES: &str = "bounces.";
/// What begins the local part of an address whose mailbox is full.
pub const BOUNCES_FOR_NOW: &str = "bounces-for-now.";
/// What begins the local part of an address whose owner complains after the e-mail was accepted.
pub const COMPLAINS: &str = "complains.";

/// A customer as the bank's own records have them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Person {
    pub id: String,
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mobile: Option<String>,
    pub channels: Channels,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub attributes: Map<String, Value>,
}

/// What becomes of e-mail at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mailbox {
    Reads,
    /// It does not exist.
    Bounces,
    /// It is full.
    BouncesForNow,
    Complains,
}

/// The address of e-mail of the customer with this number. Each `version` is another one.
pub fn email(number: u32, version: u32, mailbox: Mailbox) -> String {
    let prefix = match mailbox {
        Mailbox::Reads => "",
        Mailbox::Bounces => BOUNCES,
        Mailbox::BouncesForNow => BOUNCES_FOR_NOW,
        Mailbox::Complains => COMPLAINS,
    };
    format!("{prefix}zq{number}.v{version}{EMAIL_MARK}{number}.example")
}

/// Whether an address does not exist.
pub fn is_unknown(email: &str) -> bool {
    email.starts_with(BOUNCES)
}

/// The mobile number of the customer with this number, below 2,000. Each `version`, below 5, is another one.
pub fn mobile(number: u32, version: u32) -> String {
    format!("{MOBILE_MARK}{:04}", number + version * 2_000)
}

impl Person {
    /// The customer with this number, who consented to all channels.
    pub fn numbered(number: u32) -> Self {
        Self {
            id: format!("c{number}"),
            name: format!("{NAME_MARK}{number}Name"),
            email: Some(email(number, 0, Mailbox::Reads)),
            mobile: Some(mobile(number, 0)),
            channels: Channel::ALL.into(),
            attributes: Map::new(),
        }
    }

    /// The number in their id.
    pub fn number(&self) -> u32 {
        self.id.trim_start_matches('c').parse().unwrap_or_default()
    }

    /// The address on a channel.
    pub fn address(&self, channel: Channel) -> Option<&str> {
        match channel {
            Channel::Email => self.email.as_deref(),
            Channel::Sms => self.mobile.as_deref(),
        }
    }

    /// Whether the customer consented to this channel and has an address for it.
    pub fn is_reachable_by(&self, channel: Channel) -> bool {
        self.channels.contains(&channel) && self.address(channel).is_some()
    }

    /// The body by which the bank puts the customer.
    pub fn body(&self) -> Value {
        let Self { name, email, mobile, channels, attributes, .. } = self;
        let mut body = json!({"name": name, "channels": channels, "attributes": attributes});
        for (field, address) in [("email", email), ("mobile", mobile)] {
            if let Some(address) = address {
                body[field] = json!(address);
            }
        }
        body
    }

    /// As [`Person::body`], with the id, as in a list of customers.
    pub fn with_id(&self) -> Value {
        let mut body = self.body();
        body["id"] = json!(self.id);
        body
    }

    /// The customer as the product reads them.
    ///
    /// # Panics
    /// If the product refuses such a customer.
    pub fn customer(&self) -> Customer {
        Customer::parse(&self.id, self.body()).expect("a customer of the simulation is valid")
    }

    /// Whether an offer with this rule is for them.
    ///
    /// # Panics
    /// If the product refuses such a rule.
    pub fn is_eligible(&self, rule: Option<&str>) -> bool {
        let Some(rule) = rule else { return true };
        let rule = RuleText::parse(rule).and_then(|rule| rule.compile()).expect("a rule of the simulation is valid");
        rule.verdict(&self.customer()) == Verdict::Eligible
    }
}

/// The id of the customer whose name is in a text, if one is.
pub fn named(text: &str) -> Option<String> {
    let rest = text.split_once(NAME_MARK)?.1;
    let (number, _) = rest.split_once(NAME_REST)?;
    number.bytes().all(|byte| byte.is_ascii_digit()).then(|| format!("c{number}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promises::privacy::personal;

    #[test]
    fn the_product_accepts_every_customer() {
        for number in [1, 60, 999, 1_999] {
            for version in 0..5 {
                for mailbox in [Mailbox::Reads, Mailbox::Bounces, Mailbox::BouncesForNow, Mailbox::Complains] {
                    let mut person = Person::numbered(number);
                    person.email = Some(email(number, version, mailbox));
                    person.mobile = Some(mobile(number, version));
                    let customer = person.customer();
                    assert!(customer.reachable_by(Channel::Email) && customer.reachable_by(Channel::Sms));
                    assert_eq!(person.number(), number);
                }
            }
        }
    }

    #[test]
    fn personal_data_is_recognised() {
        let person = Person::numbered(7);
        assert_eq!(named(&format!("OFFER-1 is for {}", person.name)), Some(person.id.clone()));
        assert_eq!(named("OFFER-1 is for you"), None);
        let mobile = person.mobile.clone().unwrap();
        let encoded = mobile.replace('+', "%2B");
        for text in [&person.name, person.email.as_ref().unwrap(), &mobile, &encoded] {
            assert!(personal(&format!("sent to {text} now")).is_some(), "{text}");
        }
        for text in ["customer c7", "k1.aZqx0Zq", "person 7", "OFFER-1"] {
            assert_eq!(personal(text), None, "{text}");
        }
    }

    #[test]
    fn a_rule_selects_as_the_product_does() {
        let mut person = Person::numbered(1);
        assert!(person.is_eligible(None));
        assert!(!person.is_eligible(Some(r#"customer.tier == "gold""#)));
        person.attributes.insert("tier".to_owned(), json!("gold"));
        assert!(person.is_eligible(Some(r#"customer.tier == "gold""#)));
    }
}
