//! The messages in queues. Each has a type and a version, so that functions of two releases can share a queue.
//!
//! For a new version, add a variant and keep reading the old one until no queue can hold it any more (14 days).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::channel::Channel;
use crate::ids::{CustomerId, PushId};
use crate::offer::Offer;
use crate::push::OutcomeCounts;
use crate::trace::TraceId;

/// Maximum number of notifications in one batch.
pub const BATCH_LIMIT: usize = 50;

/// A message in the audience queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum AudienceMessage {
    /// Scan a slice, from the checkpoint in the Pushes table.
    #[serde(rename = "slice.v1")]
    SliceV1(Slice),
}

/// The API call that caused a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Origin {
    /// When the push was requested.
    pub requested_at: Timestamp,
    /// The trace id of its log lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceId>,
}

/// One slice of the customer table: a segment of a parallel scan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Slice {
    /// The push that the slice belongs to.
    pub push: PushId,
    /// The offer that is pushed.
    pub offer: Offer,
    /// Which slice, from 0: the scan's segment.
    #[serde(rename = "slice")]
    pub index: u32,
    /// How many slices the push has: the scan's total segments.
    pub slices: u32,
    /// Which scan of the slice, from 1: a restarted scan has a new generation.
    pub generation: u32,
    /// Whether to send again to customers whose notification was rejected in an earlier push.
    #[serde(default)]
    pub retry_rejected: bool,
    /// The API call that caused it, for log lines and metrics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
}

/// A message in the queue of a channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum ChannelMessage {
    /// Deliver a batch.
    #[serde(rename = "batch.v1")]
    BatchV1(Batch),
}

/// Up to [`BATCH_LIMIT`] notifications of one channel from one slice, with the offer.
///
/// It lists customers, not addresses. Addresses are read from the Customers table before sending, so that a queue holds
/// no personal data and a change of address or consent takes effect immediately.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Batch {
    /// The push that the batch belongs to.
    pub push: PushId,
    /// The offer to announce.
    pub offer: Offer,
    /// The slice that it comes from.
    pub slice: u32,
    /// The generation of that slice's scan.
    pub generation: u32,
    /// Its number within slice and generation; what it encodes is known to the store.
    #[serde(rename = "batch")]
    pub number: u32,
    /// The channel of its notifications.
    pub channel: Channel,
    /// The customers to notify. A deferred batch lists only those who are left.
    pub customers: Vec<CustomerId>,
    /// The outcomes of the customers that it listed before it was deferred. They are final, so they need not be read again.
    #[serde(rename = "tally", default, skip_serializing_if = "OutcomeCounts::is_empty")]
    pub counts: OutcomeCounts,
    /// Whether to send again to customers whose notification was rejected in an earlier push.
    #[serde(default)]
    pub retry_rejected: bool,
    /// Consecutive deferrals without progress. Kept in the message so that SQS's receive count reflects only crashes.
    #[serde(rename = "attempt", default)]
    pub deferrals: u32,
    /// The API call that caused it, for log lines and metrics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn offer() -> serde_json::Value {
        json!({
            "id": "01980000-0000-7000-8000-000000000001", "code": "CASHBK", "description": "5%", "subject": "Save",
            "channels": ["email"], "createdAt": "2026-01-01T00:00:00Z", "createdBy": "bank"
        })
    }

    /// Functions of two releases share the queues: a field must keep its name.
    #[test]
    fn slice_message_keeps_its_wire_format() {
        let message = json!({
            "type": "slice.v1", "push": {"offer": "01980000-0000-7000-8000-000000000001", "number": 1}, "offer": offer(),
            "slice": 3, "slices": 8, "generation": 1, "retryRejected": false,
        });
        let parsed: AudienceMessage = serde_json::from_value(message.clone()).unwrap();
        let AudienceMessage::SliceV1(slice) = &parsed;
        assert_eq!((slice.index, slice.slices), (3, 8));
        assert_eq!(serde_json::to_value(parsed).unwrap(), message);
    }

    /// As above.
    #[test]
    fn batch_message_keeps_its_wire_format() {
        let message = json!({
            "type": "batch.v1", "push": {"offer": "01980000-0000-7000-8000-000000000001", "number": 1}, "offer": offer(),
            "slice": 3, "generation": 1, "batch": 7, "channel": "email", "customers": ["c-1"],
            "tally": {"sent": 49, "failed": 0, "suppressed": 0, "optedOut": 0, "expired": 0, "cancelled": 0, "alreadyServed": 0},
            "retryRejected": true, "attempt": 2,
        });
        let parsed: ChannelMessage = serde_json::from_value(message.clone()).unwrap();
        let ChannelMessage::BatchV1(batch) = &parsed;
        assert_eq!((batch.number, batch.counts.sent, batch.deferrals), (7, 49, 2));
        assert_eq!(serde_json::to_value(parsed).unwrap(), message);
    }

    #[test]
    fn unknown_version_is_an_error() {
        assert!(serde_json::from_str::<ChannelMessage>(r#"{"type":"batch.v9"}"#).is_err());
    }

    #[test]
    fn message_with_an_offer_that_is_no_longer_valid_is_read() {
        let mut offer = offer();
        for (field, text) in [("eligibility", "customer.tier =="), ("subject", "{name}"), ("description", "}} Hello")] {
            offer[field] = text.into();
        }
        let push = json!({"offer": "01980000-0000-7000-8000-000000000001", "number": 1});
        let slice = json!({"type": "slice.v1", "push": push, "offer": offer, "slice": 3, "slices": 8, "generation": 1});
        let AudienceMessage::SliceV1(slice) = serde_json::from_value(slice).unwrap();
        let batch = json!({
            "type": "batch.v1", "push": push, "offer": offer, "slice": 3, "generation": 1, "batch": 7, "channel": "email",
            "customers": ["c-1"], "attempt": 0,
        });
        let ChannelMessage::BatchV1(batch) = serde_json::from_value(batch).unwrap();
        for read in [slice.offer, batch.offer] {
            assert_eq!(serde_json::to_value(read).unwrap(), offer);
        }
    }
}
