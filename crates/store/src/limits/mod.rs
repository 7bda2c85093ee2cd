//! The Pacing table: how fast a transport may be called, and whether at all, for every function at once.
//!
//! The rate is kept by GCRA, the generic cell rate algorithm (ITU-T I.371): one number, the time at which the next send may
//! go. Who wants to send moves it on by as many sends, with one conditional write, and has the time in between for its own.
//!
//! When a transport cannot be reached, one write blocks it for all. When the time is over, one conditional write gives one
//! caller the right to probe; it clears the block, or lengthens it. If that caller dies, its right runs out.

mod breaker;
mod rate;
mod status;

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use domain::TransportId;
use jiff::Timestamp;
use serde::Deserialize;

use crate::StoreError;
use crate::attributes::{Item, millis_serde, text};

pub use breaker::{BreakerState, Probe};
pub use domain::push::waiting::Delay;
pub use rate::{Reservation, Slot};

/// Characters of a reason that are kept.
const LONGEST_REASON: usize = 500;

/// The Pacing table.
#[derive(Debug, Clone)]
pub struct TransportLimits {
    client: Client,
    table: String,
    /// How long the last reservation's longest call took, in microseconds.
    took: Arc<AtomicI64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LimitsItem {
    /// In microseconds since 1970: at a thousand sends a second, milliseconds would be too coarse.
    #[serde(default)]
    next_send: Option<i64>,
    #[serde(default, with = "millis_serde::option")]
    blocked_until: Option<Timestamp>,
    #[serde(default)]
    failures: u32,
    #[serde(default)]
    last_error: Option<String>,
    #[serde(default, with = "millis_serde::option")]
    refused_at: Option<Timestamp>,
}

impl TransportLimits {
    /// A handle on the table named `table`.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self { client, table: table.into(), took: Arc::default() }
    }

    fn update(&self, transport: TransportId) -> UpdateItemFluentBuilder {
        self.client.update_item().table_name(&self.table).key("pk", text(transport))
    }

    /// Whether the condition held.
    async fn write(&self, call: UpdateItemFluentBuilder) -> Result<bool, StoreError> {
        match call.send().await {
            Ok(_) => Ok(true),
            Err(SdkError::ServiceError(error)) if error.err().is_conditional_check_failed_exception() => Ok(false),
            Err(error) => Err(StoreError::unavailable("UpdateItem", &self.table, &error)),
        }
    }

    async fn get(&self, transport: TransportId) -> Result<Option<LimitsItem>, StoreError> {
        let call = self.client.get_item().table_name(&self.table).key("pk", text(transport)).consistent_read(true);
        let answer = call.send().await.map_err(|error| StoreError::unavailable("GetItem", &self.table, &error))?;
        answer.item.map(|item| self.read(item)).transpose()
    }

    fn read(&self, item: Item) -> Result<LimitsItem, StoreError> {
        serde_dynamo::from_item(item).map_err(|error| StoreError::unreadable(&self.table, error))
    }
}

/// As much of a reason as is kept.
fn kept(reason: &str) -> String {
    reason.chars().take(LONGEST_REASON).collect()
}
