//! The messages in queues. Each has a type and a version, so that functions of two releases can share a queue.
//!
//! A message names what is to be done and says nothing of its own: the offer, the number of a push's slices and what the
//! caller asked for are read from the tables. So a message that another principal wrote into a queue sends nothing that is not
//! stored, and a message is small whatever the offer.
//!
//! Messages of version 1 carried the offer, the number of slices and `retryRejected`. They are read for their ids, and
//! whatever else is in them is ignored. For a new version, keep reading the old one until no queue can hold it any more
//! (14 days).

use std::collections::HashSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::channel::Channel;
use crate::ids::{CustomerId, PushId};
use crate::push::{OutcomeCounts, Tally};

/// The maximum delay of a message in SQS (SQS quotas).
pub const MAX_DELAY: Duration = Duration::from_secs(900);
/// Maximum number of notifications in one batch.
pub const BATCH_LIMIT: usize = 50;

/// A message in the audience queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum AudienceMessage {
    /// Scan a slice, from the checkpoint in the Pushes table.
    #[serde(rename = "slice.v2", alias = "slice.v1")]
    Slice(Slice),
}

/// One slice of the customer table: a segment of a parallel scan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Slice {
    /// The push that the slice belongs to.
    pub push: PushId,
    /// Which slice, from 0: the scan's segment.
    #[serde(rename = "slice")]
    pub index: u32,
    /// Which scan of the slice, from 1: a restarted scan has a new generation.
    pub generation: u32,
}

/// A message in the queue of a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum ChannelMessage {
    /// Deliver a batch.
    #[serde(rename = "batch.v2", alias = "batch.v1")]
    Batch(Batch),
}

/// Up to [`BATCH_LIMIT`] notifications of one channel from one slice.
///
/// It lists customers, not addresses. Addresses are read from the Customers table before sending, so that a queue holds
/// no personal data and a change of address or consent takes effect immediately.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Batch {
    /// The push that the batch belongs to.
    pub push: PushId,
    /// The slice that it comes from.
    pub slice: u32,
    /// The generation of that slice's scan.
    pub generation: u32,
    /// Its number within slice and generation; what it encodes is known to the store.
    #[serde(rename = "batch")]
    pub number: u32,
    /// The channel of its notifications.
    pub channel: Channel,
    /// Its notifications.
    #[serde(flatten)]
    pub notifications: Notifications,
    /// Consecutive deferrals without progress. Kept in the message so that SQS's receive count reflects only crashes.
    #[serde(rename = "attempt", default)]
    pub deferrals: u32,
}

impl Batch {
    /// The customers to notify. A deferred batch lists only those who are left.
    pub fn customers(&self) -> &[CustomerId] {
        &self.notifications.customers
    }

    /// The outcomes of the customers that it listed before it was deferred. They are final, so they need not be read
    /// again.
    pub fn counts(&self) -> OutcomeCounts {
        self.notifications.tally.outcomes
    }

    /// The same with their reasons.
    pub fn tally(&self) -> Tally {
        self.notifications.tally
    }
}

/// The notifications of one batch: the customers who are left, each listed once, and the outcomes of the others. There are
/// 1 to [`BATCH_LIMIT`] in all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Listed")]
pub struct Notifications {
    customers: Vec<CustomerId>,
    #[serde(skip_serializing_if = "Tally::is_empty")]
    tally: Tally,
}

/// Why customers and counts are not the notifications of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidNotifications {
    /// A customer would be notified twice.
    #[error("a customer is listed twice")]
    RepeatedCustomer,
    /// There is none, or there are too many.
    #[error("its customers and its tally must be 1 to {BATCH_LIMIT} notifications together")]
    Number,
}

impl Notifications {
    /// The notifications of these customers and those that were counted.
    ///
    /// # Errors
    /// If a customer is listed twice, or there are not 1 to [`BATCH_LIMIT`] notifications in all.
    pub fn new(customers: Vec<CustomerId>, tally: impl Into<Tally>) -> Result<Self, InvalidNotifications> {
        // A message may have any number in it.
        let tally = tally.into().checked();
        if customers.iter().collect::<HashSet<_>>().len() < customers.len() {
            return Err(InvalidNotifications::RepeatedCustomer);
        }
        let counted = tally.outcomes.named().into_iter().map(|(_, count)| count).fold(0, u64::saturating_add);
        let number = counted.saturating_add(customers.len() as u64);
        if (1..=BATCH_LIMIT as u64).contains(&number) {
            Ok(Self { customers, tally })
        } else {
            Err(InvalidNotifications::Number)
        }
    }
}

#[derive(Deserialize)]
struct Listed {
    customers: Vec<CustomerId>,
    #[serde(default)]
    tally: Tally,
}

impl TryFrom<Listed> for Notifications {
    type Error = InvalidNotifications;

    fn try_from(Listed { customers, tally }: Listed) -> Result<Self, Self::Error> {
        Self::new(customers, tally)
    }
}

#[cfg(test)]
mod tests;
