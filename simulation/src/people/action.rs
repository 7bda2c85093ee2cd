//! What people may do.

use domain::Channel;
use domain::channel::Channels;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Person;
use crate::fault::millis;

/// What somebody does. `offer` is the code of an offer, `customer` the id of a customer, `queue` the logical id of a queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Action {
    PostOffer(Post),
    /// Cancels the last push of the offer that the operator knows of.
    Cancel {
        offer: String,
    },
    PushAgain {
        offer: String,
        retry_rejected: bool,
    },
    PutCustomer {
        customer: String,
        change: Change,
    },
    DeleteCustomer {
        customer: String,
    },
    /// The customer follows the link in an e-mail to the address that they have, and unsubscribes from e-mail.
    Unsubscribe {
        customer: String,
    },
    /// The customer answers STOP to a text message, which SNS notes.
    AnswerStop {
        customer: String,
    },
    /// An operator lifts the suppression of the address that the customer has.
    LiftSuppression {
        customer: String,
        channel: Channel,
    },
    /// A new key of links becomes the current one.
    RotateLinkKeys,
    /// The password of the mail server changes, there and in the secret.
    ChangeSmtpPassword,
    /// The parameter `SendingEnabled` becomes `false`, or `true` again.
    HoldSending,
    ResumeSending,
    /// A parameter changes. New processes have the new rate; others end when they are idle.
    ChangeRate {
        rate: Rate,
        per_second: u32,
    },
    /// Moves the messages of a dead-letter queue back to where they came from.
    Redrive {
        queue: String,
    },
    /// Deletes all messages of a queue: an operator's mistake.
    Purge {
        queue: String,
    },
    /// A release: idle processes are replaced.
    Deploy,
}

/// A rate that is a parameter of the template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Rate {
    Email,
    FallbackEmail,
    Sms,
}

/// What changes of a customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Change {
    Address {
        channel: Channel,
        address: String,
    },
    /// Consent to a channel is withdrawn.
    Withdraw {
        channel: Channel,
    },
    Consent {
        channel: Channel,
    },
    /// A new customer, or one who was deleted before.
    New(Person),
}

/// An offer that is posted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Post {
    /// `OFFER-<n>`, which each message contains.
    pub code: String,
    pub channels: Channels,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eligibility: Option<String>,
    /// From when it is posted, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts_after_ms: Option<u64>,
    /// From when it may start, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_for_ms: Option<u64>,
    /// Whether its text names the attribute `tier`, which some customers lack.
    #[serde(default)]
    pub names_tier: bool,
}

impl Post {
    /// The body by which it is posted at this time.
    pub fn body(&self, now: Timestamp) -> Value {
        let Self { code, channels, eligibility, starts_after_ms, valid_for_ms, names_tier } = self;
        let tier = if *names_tier { " for {{customer.tier}}" } else { "" };
        let mut body = json!({
            "code": code,
            "subject": format!("{code} is for {{{{customer.name}}}}"),
            "description": format!("{{{{customer.name}}}}, here is {code}{tier}."),
            "channels": channels,
        });
        if let Some(rule) = eligibility {
            body["eligibility"] = json!(rule);
        }
        let starts_at = now + millis(starts_after_ms.unwrap_or_default());
        if starts_after_ms.is_some() {
            body["validFrom"] = json!(starts_at);
        }
        if let Some(time) = valid_for_ms {
            body["validUntil"] = json!(starts_at + millis(*time));
        }
        body
    }
}

impl Change {
    /// The customer after the change. `None` if there is nobody to change.
    pub fn of(&self, before: Option<&Person>) -> Option<Person> {
        if let Self::New(person) = self {
            return Some(person.clone());
        }
        let mut person = before?.clone();
        match self {
            Self::Address { channel: Channel::Email, address } => person.email = Some(address.clone()),
            Self::Address { channel: Channel::Sms, address } => person.mobile = Some(address.clone()),
            Self::Withdraw { channel } => {
                person.channels.remove(channel);
            }
            Self::Consent { channel } => {
                person.channels.insert(*channel);
            }
            Self::New(_) => {}
        }
        Some(person)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_product_accepts_every_offer() {
        let post = Post {
            code: "OFFER-1".to_owned(),
            channels: Channel::ALL.into(),
            eligibility: Some(r#"customer.tier == "gold""#.to_owned()),
            starts_after_ms: Some(10_000),
            valid_for_ms: Some(30_000),
            names_tier: true,
        };
        let offer = testing::offer_posted(testing::clock::START, post.body(testing::clock::START));
        assert_eq!(offer.valid_from, Some(testing::clock::START + millis(10_000)));
        assert_eq!(offer.valid_until, Some(testing::clock::START + millis(40_000)));
        assert_eq!(offer.channels, Channel::ALL.into());
    }

    #[test]
    fn a_change_is_of_one_thing() {
        let person = Person::numbered(1);
        let after = Change::Withdraw { channel: Channel::Sms }.of(Some(&person)).unwrap();
        assert!(after.is_reachable_by(Channel::Email) && !after.is_reachable_by(Channel::Sms));
        assert_eq!(Change::Consent { channel: Channel::Sms }.of(Some(&after)), Some(person.clone()));
        assert_eq!(Change::Consent { channel: Channel::Sms }.of(None), None);
        assert_eq!(Change::New(person.clone()).of(None), Some(person));
    }
}
