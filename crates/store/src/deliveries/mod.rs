//! The Deliveries table: what became of each notification, and who may send it now.
//!
//! A delivery is claimed with one conditional write before anything is sent, and its outcome written only by whoever
//! holds the claim. That is what makes redelivered messages, retries and pushing again safe.

mod claim;
mod feedback;
mod query;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use domain::{Channel, CustomerId, OfferId};
use jiff::Timestamp;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::StoreError;
use crate::attributes::{Item, key, millis_serde};

pub use claim::{Claim, ClaimResult, FinalOutcome, RecordResult, Release, ResendPolicy, Route};
pub use feedback::{Feedback, FeedbackKind};
pub use query::Delivery;

/// Partitions of one offer's deliveries, so that none gets more writes than DynamoDB's 1,000 a second at our rates.
const SHARDS: u8 = 16;

/// The Deliveries table.
#[derive(Debug, Clone)]
pub struct Deliveries {
    client: Client,
    table: String,
}

/// Which notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryId {
    /// The offer.
    pub offer: OfferId,
    /// To whom.
    pub customer: CustomerId,
    /// How.
    pub channel: Channel,
}

impl DeliveryId {
    fn key(&self) -> Item {
        key(format!("{}#{:x}", self.offer, shard_of(&self.customer)), format!("{}#{}", self.customer, self.channel))
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
    reason: Option<String>,
    provider_message_id: Option<String>,
    #[serde(with = "millis_serde")]
    updated_at: Timestamp,
    #[serde(default, with = "millis_serde::option")]
    lease_until: Option<Timestamp>,
    lease_token: Option<String>,
    #[serde(default)]
    unanswered: u32,
    /// When it was last handed over without an answer.
    #[serde(default, with = "millis_serde::option")]
    unanswered_at: Option<Timestamp>,
    feedback: Option<String>,
    #[serde(default)]
    feedback_detail: String,
    #[serde(default, with = "millis_serde::option")]
    feedback_at: Option<Timestamp>,
}

impl Deliveries {
    /// A handle on the table named `table`.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self { client, table: table.into() }
    }

    /// The item that did not meet a condition.
    fn refused(&self, error: SdkError<UpdateItemError>) -> Result<DeliveryItem, StoreError> {
        let item = match error {
            SdkError::ServiceError(error) => match error.into_err() {
                UpdateItemError::ConditionalCheckFailedException(failed) => failed.item,
                error => return Err(StoreError::unavailable("UpdateItem", &self.table, &error)),
            },
            error => return Err(StoreError::unavailable("UpdateItem", &self.table, &error)),
        };
        let item =
            item.ok_or_else(|| StoreError::unreadable(&self.table, "a failed condition came without its item"))?;
        self.read(item)
    }

    async fn write_if(&self, call: UpdateItemFluentBuilder) -> Result<RecordResult, StoreError> {
        match call.send().await {
            Ok(_) => Ok(RecordResult::Recorded),
            Err(SdkError::ServiceError(error)) if error.err().is_conditional_check_failed_exception() => {
                Ok(RecordResult::LeaseLost)
            }
            Err(error) => Err(StoreError::unavailable("UpdateItem", &self.table, &error)),
        }
    }

    fn read(&self, item: Item) -> Result<DeliveryItem, StoreError> {
        serde_dynamo::from_item(item).map_err(|error| StoreError::unreadable(&self.table, error))
    }
}

fn shard_of(customer: &CustomerId) -> u8 {
    Sha256::digest(customer.as_str())[0] % SHARDS
}
