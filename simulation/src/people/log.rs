//! What people did: when they began, what they were told and when.

use std::sync::{Mutex, MutexGuard, PoisonError};

use domain::Channel;
use jiff::Timestamp;
use tokio::sync::Notify;

use super::{Person, Rate};
use crate::world::World;

/// What people did, in the order in which they began it. By the true time.
#[derive(Debug, Default)]
pub struct Log {
    entries: Mutex<Vec<Entry>>,
    changed: Notify,
}

/// Something that was done, or tried.
///
/// It took effect at the earliest when it began. If it is done, it took effect at the latest when it ended. Otherwise it may
/// have taken effect or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Which action of the scenario it is. `None` for the customers of the beginning, and what is tidied up at the end.
    pub action: Option<usize>,
    pub what: What,
    pub begun: Timestamp,
    /// When it was done, or given up.
    pub ended: Option<Timestamp>,
    pub outcome: Option<Outcome>,
    /// Calls of a function.
    pub attempts: u32,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is confirmed.
    Done,
    /// The function refused it, with this status. One that was tried more than once may have taken effect before.
    Refused(u16),
    /// There was no answer to any attempt, or one that says to try again.
    Unknown,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// An offer was posted. Its id is known once that is confirmed.
    Post {
        code: String,
        offer: Option<String>,
    },
    Cancel {
        code: String,
        offer: String,
        push: u32,
    },
    /// The number of the push is known once that is confirmed.
    PushAgain {
        code: String,
        offer: String,
        push: Option<u32>,
        retry_rejected: bool,
    },
    /// A customer was put. `before` is what the bank knew of them before.
    Put {
        before: Option<Person>,
        after: Person,
    },
    Delete {
        before: Person,
    },
    /// The customer unsubscribed from e-mail, by a link of an e-mail to this address.
    Unsubscribe {
        customer: String,
        address: String,
    },
    /// The customer answered a text message with STOP: the provider sends no more to their number.
    Stop {
        customer: String,
    },
    /// The suppression of an address was lifted, which this customer had.
    Lift {
        customer: String,
        channel: Channel,
        address: String,
    },
    LinkKeysRotated,
    SmtpPasswordChanged,
    SendingHeld,
    SendingResumed,
    RateChanged {
        rate: Rate,
        before: u32,
        per_second: u32,
    },
    Redriven {
        queue: String,
    },
    Purged {
        queue: String,
    },
    Deployed,
}

impl Entry {
    /// When it was confirmed.
    pub fn confirmed(&self) -> Option<Timestamp> {
        self.ended.filter(|_| self.outcome == Some(Outcome::Done))
    }

    /// The address on this channel to which nothing may be sent any more, if the entry puts an end to that, because the
    /// address is another one, consent is withdrawn, or the customer is deleted or unsubscribed.
    pub fn ends(&self, customer: &str, channel: Channel) -> Option<&str> {
        match &self.what {
            What::Put { before: Some(before), after } if before.id == customer => {
                let address = before.address(channel).filter(|_| before.is_reachable_by(channel))?;
                let stays = after.is_reachable_by(channel) && after.address(channel) == Some(address);
                (!stays).then_some(address)
            }
            What::Delete { before } if before.id == customer => {
                before.address(channel).filter(|_| before.is_reachable_by(channel))
            }
            What::Unsubscribe { customer: unsubscribed, address } if unsubscribed == customer => {
                (channel == Channel::Email).then_some(address.as_str())
            }
            _ => None,
        }
    }
}

impl Log {
    /// Notes that something is begun. Returns its number.
    pub fn begin(&self, world: &World, action: Option<usize>, what: What) -> usize {
        let begun = world.clock.now();
        let mut entries = self.lock();
        entries.push(Entry { action, what, begun, ended: None, outcome: None, attempts: 0 });
        entries.len() - 1
    }

    /// Notes how it ended.
    pub fn end(&self, world: &World, number: usize, attempts: u32, outcome: Outcome) {
        let mut entries = self.lock();
        let entry = &mut entries[number];
        (entry.ended, entry.outcome, entry.attempts) = (Some(world.clock.now()), Some(outcome), attempts);
        if let Some(action) = entry.action {
            world.history.note(format_args!("people: action {action} ended after {attempts} calls: {outcome:?}"));
        }
        drop(entries);
        self.changed.notify_waiters();
    }

    /// Notes what became known.
    pub(super) fn learn(&self, number: usize, learn: impl FnOnce(&mut What)) {
        learn(&mut self.lock()[number].what);
    }

    /// All entries so far.
    pub fn entries(&self) -> Vec<Entry> {
        self.lock().clone()
    }

    /// The id of the offer with this code. Waits until somebody who posts it is told; `None` if they are not.
    pub(super) async fn offer(&self, code: &str) -> Option<String> {
        loop {
            let changed = self.changed.notified();
            let found = self.lock().iter().find_map(|entry| match &entry.what {
                What::Post { code: posted, offer } if posted == code => entry.ended.map(|_| offer.clone()),
                _ => None,
            });
            match found {
                Some(offer) => return offer,
                None => changed.await,
            }
        }
    }

    /// The number of the last push of an offer that is known.
    pub(super) fn last_push(&self, offer: &str) -> u32 {
        let numbers = self
            .lock()
            .iter()
            .filter_map(|entry| match &entry.what {
                What::PushAgain { offer: pushed, push, .. } if pushed == offer => *push,
                _ => None,
            })
            .max();
        numbers.unwrap_or(1)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Change;
    use super::*;

    fn entry(what: What) -> Entry {
        let begun = testing::clock::START;
        Entry { action: None, what, begun, ended: Some(begun), outcome: Some(Outcome::Done), attempts: 1 }
    }

    #[test]
    fn an_entry_says_which_address_nothing_may_be_sent_to() {
        let before = Person::numbered(1);
        let (email, mobile) = (before.email.clone().unwrap(), before.mobile.clone().unwrap());
        let put = |change: Change| {
            entry(What::Put { before: Some(before.clone()), after: change.of(Some(&before)).unwrap() })
        };
        let moved = Change::Address { channel: Channel::Email, address: "zq1.v1@person1.example".to_owned() };
        let unsubscribed = What::Unsubscribe { customer: "c1".to_owned(), address: email.clone() };
        for (entry, of_email, of_sms) in [
            (put(moved), true, false),
            (put(Change::Withdraw { channel: Channel::Sms }), false, true),
            (put(Change::Consent { channel: Channel::Sms }), false, false),
            (entry(What::Delete { before: before.clone() }), true, true),
            (entry(unsubscribed), true, false),
        ] {
            assert_eq!(entry.ends("c1", Channel::Email), of_email.then_some(email.as_str()), "{entry:?}");
            assert_eq!(entry.ends("c1", Channel::Sms), of_sms.then_some(mobile.as_str()), "{entry:?}");
            assert_eq!(entry.ends("c2", Channel::Email), None);
        }
    }
}
