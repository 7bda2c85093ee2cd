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

/// Most notifications of one batch.
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
    pub slice: u32,
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
/// It names customers, not addresses. Addresses are read from the Customers table before sending, so that a queue holds
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
    /// Its number within slice and generation, from 0.
    pub batch: u32,
    /// The channel of its notifications.
    pub channel: Channel,
    /// The customers to notify. A deferred batch names only those who are left.
    pub customers: Vec<CustomerId>,
    /// Final outcomes of the customers that it named before it was deferred, so that they need not be read again.
    #[serde(default, skip_serializing_if = "OutcomeCounts::is_empty")]
    pub tally: OutcomeCounts,
    /// Whether to send again to customers whose notification was rejected in an earlier push.
    #[serde(default)]
    pub retry_rejected: bool,
    /// Consecutive deferrals without progress. Kept in the message so that SQS's receive count reflects only crashes.
    #[serde(default)]
    pub attempt: u32,
    /// The API call that caused it, for log lines and metrics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn message_has_its_type_and_version() {
        let message = json!({
            "type": "batch.v1",
            "push": {"offer": "01980000-0000-7000-8000-000000000001", "number": 1},
            "offer": {
                "id": "01980000-0000-7000-8000-000000000001", "code": "CASHBK", "description": "5%", "subject": "Save",
                "channels": ["email"], "createdAt": "2026-01-01T00:00:00Z", "createdBy": "bank"
            },
            "slice": 0, "generation": 1, "batch": 7, "channel": "email", "customers": ["c-1"]
        });
        let ChannelMessage::BatchV1(batch) = serde_json::from_value(message).unwrap();
        assert_eq!(batch.batch, 7);
        let again = serde_json::to_value(ChannelMessage::BatchV1(batch)).unwrap();
        assert_eq!(again["type"], "batch.v1");
    }

    #[test]
    fn unknown_version_is_an_error() {
        assert!(serde_json::from_str::<ChannelMessage>(r#"{"type":"batch.v9"}"#).is_err());
    }
}
