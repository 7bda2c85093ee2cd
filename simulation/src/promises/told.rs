//! What people were told is so: what the API or the unsubscribe page confirmed is stored when it says so.
//!
//! The other checks begin with what was stored. A function that confirms and stores nothing is found here.

use std::collections::BTreeSet;

use domain::Channel;
use jiff::Timestamp;

use super::Violation;
use super::collect::Lift;
use super::facts::{Block, CustomerEvent, Facts, Push, Version};
use crate::people::{Entry, Person, What};

const PROMISE: &str = "what is confirmed is done";
/// As the table of events names them.
const UNSUBSCRIBED: &str = "customer.unsubscribed";

/// Something that was confirmed to whoever did it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub what: Confirmed,
    pub begun: Timestamp,
    /// When it was confirmed.
    pub at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Confirmed {
    /// From e-mail.
    Unsubscribed {
        customer: String,
    },
    /// By an answer to a text message, as the provider knows it.
    Stopped {
        customer: String,
    },
    Cancelled {
        offer: String,
        push: u32,
    },
    PushedAgain {
        offer: String,
        push: u32,
    },
    /// `None`: deleted.
    Customer {
        id: String,
        record: Option<Reachable>,
    },
}

/// How a customer can be reached, as they were put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reachable {
    /// In lower case.
    pub email: Option<String>,
    pub mobile: Option<String>,
    pub channels: BTreeSet<Channel>,
}

impl Reachable {
    fn of(person: &Person) -> Self {
        Self {
            email: person.email.as_deref().map(str::to_lowercase),
            mobile: person.mobile.clone(),
            channels: Channel::ALL.into_iter().filter(|channel| person.channels.contains(channel)).collect(),
        }
    }
}

impl Told {
    /// What an entry of the log confirms.
    pub fn of(entry: &Entry) -> Option<Self> {
        let what = match &entry.what {
            What::Unsubscribe { customer, .. } => Confirmed::Unsubscribed { customer: customer.clone() },
            What::Stop { customer } => Confirmed::Stopped { customer: customer.clone() },
            What::Cancel { offer, push, .. } => Confirmed::Cancelled { offer: offer.clone(), push: *push },
            What::PushAgain { offer, push, .. } => Confirmed::PushedAgain { offer: offer.clone(), push: (*push)? },
            What::Put { after, .. } => Confirmed::Customer { id: after.id.clone(), record: Some(Reachable::of(after)) },
            What::Delete { before } => Confirmed::Customer { id: before.id.clone(), record: None },
            _ => return None,
        };
        Some(Self { what, begun: entry.begun, at: entry.confirmed()? })
    }
}

/// What confirmed unsubscribes forbid: from the confirmation until the first lift or consent after they began.
pub fn blocks(told: &[Told], events: &[CustomerEvent], lifts: &[Lift]) -> Vec<Block> {
    let block = |Told { what, begun, at }: &Told| {
        let Confirmed::Unsubscribed { customer } = what else { return None };
        let is_again = |event: &&CustomerEvent| {
            event.kind == "customer.resubscribed"
                && event.customer == *customer
                && event.channel == Channel::Email
                && event.at >= *begun
        };
        let undoes = |lift: &&Lift| {
            lift.customer == *customer
                && lift.channel == Channel::Email
                && lift.ended.is_none_or(|ended| ended >= *begun)
        };
        let lifted = lifts.iter().filter(undoes).map(|lift| lift.begun);
        let until = events.iter().filter(is_again).map(|event| event.at).chain(lifted).min();
        until.is_none_or(|until| until > *at).then(|| Block {
            customer: customer.clone(),
            channel: Channel::Email,
            address: None,
            why: format!("{UNSUBSCRIBED}, as was confirmed,"),
            from: *at,
            until,
        })
    };
    told.iter().filter_map(block).collect()
}

/// A confirmed cancel counts as one at its end at the latest.
pub fn cancel(told: &[Told], push: &mut Push) {
    let confirmed = told.iter().filter(|told| {
        matches!(&told.what, Confirmed::Cancelled { offer, push: number } if *offer == push.offer && *number == push.number)
    });
    push.cancelled_at = confirmed.map(|told| told.at).chain(push.cancelled_at).min();
}

/// Checks the promise.
pub fn check(facts: &Facts) -> Vec<Violation> {
    let untrue = facts.told.iter().filter_map(|told| {
        let what = untrue(facts, told)?;
        Some(format!("{what}, as was confirmed at {}", told.at))
    });
    untrue.map(|what| Violation { promise: PROMISE, what }).collect()
}

/// What was confirmed and is not so.
fn untrue(facts: &Facts, told: &Told) -> Option<String> {
    match &told.what {
        Confirmed::Unsubscribed { customer } => {
            // Who opted out before has no second event.
            let is_event = |event: &CustomerEvent| {
                [UNSUBSCRIBED, "customer.complained"].contains(&event.kind.as_str())
                    && event.customer == *customer
                    && event.channel == Channel::Email
                    && event.at <= told.at
            };
            (!facts.customer_events.iter().any(is_event)).then(|| format!("{customer} is not stored as unsubscribed"))
        }
        // The provider's to keep: nothing is stored until a message to the number is refused.
        Confirmed::Stopped { .. } => None,
        Confirmed::Cancelled { offer, push: number } => {
            let push = facts.pushes.iter().find(|push| push.offer == *offer && push.number == *number);
            push.is_none_or(|push| push.state != "cancelled")
                .then(|| format!("push {number} of offer {offer} is not cancelled"))
        }
        Confirmed::PushedAgain { offer, push } => (!facts.requests.contains(&(offer.clone(), *push)))
            .then(|| format!("push {push} of offer {offer} is not stored as requested")),
        Confirmed::Customer { id, record } => {
            let versions = facts.customers.get(id).map_or(&[][..], Vec::as_slice);
            (!was_stored(versions, record.as_ref(), told)).then(|| {
                let what = if record.is_some() { "as they were put" } else { "as deleted" };
                format!("{id} was not stored {what} since {}", told.begun)
            })
        }
    }
}

/// Whether a customer was stored like this at some time between the request and its confirmation.
fn was_stored(versions: &[Version], record: Option<&Reachable>, told: &Told) -> bool {
    let is_it = |version: &Version| match (&version.record, record) {
        (None, None) => true,
        (Some(stored), Some(Reachable { email, mobile, channels })) => {
            stored.email == *email && stored.mobile == *mobile && stored.channels == *channels
        }
        _ => false,
    };
    let at_first = versions.iter().rfind(|version| version.from <= told.begun);
    let then = versions.iter().filter(|version| (told.begun..=told.at).contains(&version.from));
    at_first.map_or(record.is_none(), is_it) || then.into_iter().any(is_it)
}

#[cfg(test)]
mod tests {
    use super::super::allowed;
    use super::super::samples::{self, ADDRESS, OFFER, at, broken_by};
    use super::*;

    fn told(what: Confirmed) -> Told {
        Told { what, begun: at(2_000), at: at(3_000) }
    }

    fn unsubscribed() -> Told {
        told(Confirmed::Unsubscribed { customer: "c-1".to_owned() })
    }

    #[test]
    fn what_is_confirmed_and_not_stored_is_found() {
        let moved = Reachable {
            email: Some("zq2@person.example".to_owned()),
            mobile: None,
            channels: BTreeSet::from([Channel::Email]),
        };
        for (what, expected) in [
            (unsubscribed().what, "c-1 is not stored as unsubscribed"),
            (Confirmed::Cancelled { offer: OFFER.to_owned(), push: 1 }, "is not cancelled"),
            (Confirmed::PushedAgain { offer: OFFER.to_owned(), push: 2 }, "is not stored as requested"),
            (Confirmed::Customer { id: "c-1".to_owned(), record: None }, "not stored as deleted"),
            (Confirmed::Customer { id: "c-1".to_owned(), record: Some(moved) }, "not stored as they were put"),
        ] {
            let found = broken_by(check, |facts| facts.told.push(told(what)));
            assert!(found[0].contains(expected), "{found:?}");
        }
    }

    #[test]
    fn what_is_confirmed_and_stored_is_true() {
        let mut facts = samples::facts();
        let present =
            Reachable { email: Some(ADDRESS.to_owned()), mobile: None, channels: BTreeSet::from([Channel::Email]) };
        facts.pushes[0].state = "cancelled".to_owned();
        facts.customers.get_mut("c-1").unwrap().push(Version { from: at(2_500), record: None });
        facts.customer_events.push(CustomerEvent {
            id: "e-1".to_owned(),
            at: at(2_500),
            kind: UNSUBSCRIBED.to_owned(),
            customer: "c-1".to_owned(),
            channel: Channel::Email,
            offer: None,
        });
        facts.told = vec![
            unsubscribed(),
            told(Confirmed::Cancelled { offer: OFFER.to_owned(), push: 1 }),
            told(Confirmed::PushedAgain { offer: OFFER.to_owned(), push: 1 }),
            told(Confirmed::Customer { id: "c-1".to_owned(), record: None }),
            told(Confirmed::Customer { id: "c-1".to_owned(), record: Some(present) }),
        ];
        assert_eq!(check(&facts), []);
    }

    #[test]
    fn nothing_is_sent_after_what_was_confirmed() {
        let mut facts = samples::facts();
        facts.blocks = blocks(&[unsubscribed()], &[], &[]);
        assert_eq!(allowed::check(&facts).len(), 1);
        let lift = Lift {
            customer: "c-1".to_owned(),
            channel: Channel::Email,
            address: ADDRESS.to_owned(),
            begun: at(5_000),
            ended: None,
        };
        facts.blocks = blocks(&[unsubscribed()], &[], std::slice::from_ref(&lift));
        assert_eq!(allowed::check(&facts), []);
        let earlier = Lift { ended: Some(at(1_000)), ..lift };
        assert_eq!(blocks(&[unsubscribed()], &[], &[earlier])[0].until, None);
        let mut facts = samples::facts();
        cancel(&[told(Confirmed::Cancelled { offer: OFFER.to_owned(), push: 1 })], &mut facts.pushes[0]);
        assert_eq!(facts.pushes[0].cancelled_at, Some(at(3_000)));
        assert_eq!(allowed::check(&facts).len(), 1);
    }
}
