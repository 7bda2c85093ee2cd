//! What travels in queues. Tagged and versioned, so that functions of two releases can share a queue.
//!
//! Add a variant for a new version and keep reading the old one until no queue can hold it any more (14 days).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::channel::Channel;
use crate::ids::{CustomerId, PushId};
use crate::offer::Offer;
use crate::push::OutcomeCounts;
use crate::trace::TraceId;

/// Most notifications of one batch.
pub const BATCH_LIMIT: usize = 50;

/// What the audience queue carries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum AudienceMessage {
    /// Walk a slice, from where its item in Pushes says.
    #[serde(rename = "slice.v1")]
    SliceV1(Slice),
}

/// The call that a message goes back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Origin {
    /// When the push was asked for.
    pub requested_at: Timestamp,
    /// What ties its log lines together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceId>,
}

/// One share of the customer table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Slice {
    /// The push that the slice belongs to.
    pub push: PushId,
    /// The offer that is pushed.
    pub offer: Offer,
    /// Which slice, from 0: the scan's segment.
    pub slice: u32,
    /// How many slices the push was cut into: the scan's total segments.
    pub slices: u32,
    /// Which walk of the slice, from 1.
    pub generation: u32,
    /// Whether to try again who was refused by an earlier push.
    #[serde(default)]
    pub retry_rejected: bool,
    /// The call behind it, for the log and the metrics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
}

/// What a channel's queue carries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum ChannelMessage {
    /// Deliver a batch.
    #[serde(rename = "batch.v1")]
    BatchV1(Batch),
}

/// Up to [`BATCH_LIMIT`] notifications of one channel from one slice, with the offer.
///
/// It names customers, not addresses: those are read from the Customers table when sending, so that a queue holds no
/// personal data and a change of address or consent takes effect at once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Batch {
    /// The push that the batch belongs to.
    pub push: PushId,
    /// The offer to announce.
    pub offer: Offer,
    /// Which slice it comes from.
    pub slice: u32,
    /// Which walk of that slice.
    pub generation: u32,
    /// Its number within slice and generation, from 0.
    pub batch: u32,
    /// How its notifications go out.
    pub channel: Channel,
    /// To whom. A batch that was put off names those who are left.
    pub customers: Vec<CustomerId>,
    /// What became of those whom it named before. Final, so that it need not be asked for again.
    #[serde(default, skip_serializing_if = "OutcomeCounts::is_empty")]
    pub tally: OutcomeCounts,
    /// Whether to try again who was refused by an earlier push.
    #[serde(default)]
    pub retry_rejected: bool,
    /// How often in a row it was put off without any progress. Counted here, so that the queue's own count tells of crashes alone.
    #[serde(default)]
    pub attempt: u32,
    /// The call behind it, for the log and the metrics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_message_says_its_type_and_version() {
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
    fn an_unknown_version_is_an_error() {
        assert!(serde_json::from_str::<ChannelMessage>(r#"{"type":"batch.v9"}"#).is_err());
    }
}
