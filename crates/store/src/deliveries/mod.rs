//! The Deliveries table: the outcome of each notification, and which invocation may send it now.
//!
//! A delivery is claimed with one conditional write before anything is sent, and only the holder of the claim can
//! record its outcome. This makes redelivered messages, retries and repeated pushes safe.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | who may send a notification | `claim` |
//! | which invocations hold claims, and whether they live | `holder` |
//! | what is known of a notification before that | `known` |
//! | how its outcome is recorded | `outcome` |
//! | claims and outcomes of several in one call | `together` |
//! | what callers read about deliveries | `query` |
//! | what providers report after they accepted a message | `feedback` |
//! | which delivery a report to its return path is about | `return_path` |

mod claim;
mod feedback;
mod holder;
mod known;
mod outcome;
mod query;
mod return_path;
mod together;

use aws_sdk_dynamodb::Client;
use domain::{Channel, CustomerId, OfferId, Sources};
use jiff::Timestamp;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::attributes::{Item, key, millis_serde};
use crate::table::Table;

pub use claim::{Claim, ClaimResult, FinalDelivery, Lease, ResendPolicy, Route, Unclaimable};
pub use feedback::{Feedback, FeedbackKind, FeedbackResult};
pub use holder::{Held, HolderId};
pub use known::{KnownDeliveries, PastRefusal, PendingDelivery};
pub use outcome::{FinalOutcome, RecordResult, Release};
pub use query::{Delivery, DeliverySelection};
pub use return_path::TaggedDelivery;
pub use together::{FirstClaim, MAX_TOGETHER};

/// Partitions of one offer's deliveries. They keep each partition below DynamoDB's limit of 1,000 writes a second.
const SHARDS: u8 = 16;

/// The Deliveries table.
#[derive(Debug, Clone)]
pub struct Deliveries {
    table: Table,
}

impl Deliveries {
    /// Opens the table named `table`.
    pub fn new(client: Client, table: impl Into<String>, sources: Sources) -> Self {
        Self { table: Table::new(client, table, sources) }
    }
}

/// Identifies a notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryId {
    /// The offer it announces.
    pub offer: OfferId,
    /// Its recipient.
    pub customer: CustomerId,
    /// Its channel.
    pub channel: Channel,
}

impl DeliveryId {
    fn key(&self) -> Item {
        key(partition(self.offer, shard_of(&self.customer)), format!("{}#{}", self.customer, self.channel))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DeliveryItem {
    sk: String,
    state: String,
    push: u32,
    #[serde(default)]
    attempts: u32,
    /// Why it was not sent, or not yet: for programs, and in words.
    code: Option<String>,
    reason: Option<String>,
    provider_message_id: Option<String>,
    #[serde(with = "millis_serde")]
    updated_at: Timestamp,
    #[serde(default, with = "millis_serde::option")]
    lease_until: Option<Timestamp>,
    lease_token: Option<String>,
    held_by: Option<HolderId>,
    #[serde(default, with = "millis_serde::option")]
    held_until: Option<Timestamp>,
    /// The token of the claim that last recorded or released it.
    recorded_by: Option<String>,
    /// How often it was handed over without a response.
    #[serde(default)]
    unanswered: u32,
    /// When it was last handed over without a response.
    #[serde(default, with = "millis_serde::option")]
    unanswered_at: Option<Timestamp>,
    /// When it was last refused without an outcome, and first; how often alike, and since when; at which address; why; by
    /// which transport.
    #[serde(default, with = "millis_serde::option")]
    refused_at: Option<Timestamp>,
    #[serde(default, with = "millis_serde::option")]
    refused_since: Option<Timestamp>,
    #[serde(default)]
    refusals: u32,
    #[serde(default, with = "millis_serde::option")]
    refused_alike_since: Option<Timestamp>,
    refused_address: Option<String>,
    refused_code: Option<String>,
    refused_reason: Option<String>,
    refused_via: Option<String>,
    feedback: Option<String>,
    #[serde(default)]
    feedback_detail: String,
    #[serde(default, with = "millis_serde::option")]
    feedback_at: Option<Timestamp>,
}

fn partition(offer: OfferId, shard: u8) -> String {
    format!("{offer}#{shard:x}")
}

fn shard_of(customer: &CustomerId) -> u8 {
    Sha256::digest(customer.as_str())[0] % SHARDS
}
