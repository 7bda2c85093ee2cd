//! Offers for tests.

use domain::link::LinkDomains;
use domain::offer::{Policy, Posted};
use domain::{Offer, Text};
use jiff::Timestamp;
use language::Language;
use serde_json::Value;

use crate::clock::START;

/// The id of every offer of this module.
pub const OFFER: &str = "01980000-0000-7000-8000-000000000001";

/// As the parameters of a stack are by default.
///
/// # Panics
/// Never.
pub fn policy() -> Policy {
    Policy {
        default_subject: Text::parse("Save Cash On Transactions").expect("it has no brace"),
        default_language: Language::english(),
        link_domains: LinkDomains::default(),
    }
}

/// The offer with this body, posted at [`START`].
///
/// # Panics
/// If the body is no valid offer.
pub fn offer(body: Value) -> Offer {
    offer_posted(START, body)
}

/// The offer with this body, posted then.
///
/// # Panics
/// If the body is no valid offer.
pub fn offer_posted(at: Timestamp, body: Value) -> Offer {
    let id = OFFER.parse().expect("it is a UUID");
    let posted = Posted { id, at, by: "bank", policy: &policy() };
    Offer::parse(body, &posted).unwrap_or_else(|faults| {
        panic!("not a valid offer: {:?}", faults.into_vec().into_iter().map(|fault| fault.field).collect::<Vec<_>>())
    })
}
