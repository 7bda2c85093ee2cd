//! The Pacing table: how fast each transport may be called, and whether at all, for all functions together.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | how sends are spread over time | `rate` |
//! | when a transport that fails is left alone, and who tries it again | `breaker` |
//! | what delays a push, for those who watch it | `status` |
//!
//! A transport has one item, which its rate limit and its circuit breaker share.

mod breaker;
mod rate;
mod status;

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use domain::{Sources, TransportId};
use jiff::Timestamp;
use serde::Deserialize;

use crate::StoreError;
use crate::attributes::{millis_serde, partition_key};
use crate::table::Table;

pub use breaker::{BreakerState, OpenResult, Probe};
pub use domain::push::waiting::Delay;
pub use rate::{Reservation, ReservedSlots};

/// Maximum length of a stored reason, in characters.
const REASON_LIMIT: usize = 500;

/// The Pacing table.
#[derive(Debug, Clone)]
pub struct TransportLimits {
    table: Table,
    /// The longest call of the last reservation, in microseconds.
    last_latency: Arc<AtomicI64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LimitsItem {
    /// In microseconds since 1970: milliseconds are too coarse for a thousand sends a second.
    #[serde(default)]
    next_send: Option<i64>,
    /// Identifies the last reservation.
    #[serde(default)]
    reserved_by: Option<String>,
    #[serde(default, with = "millis_serde::option")]
    blocked_until: Option<Timestamp>,
    /// The end of the lease of the caller who probes.
    #[serde(default, with = "millis_serde::option")]
    probe_until: Option<Timestamp>,
    #[serde(default)]
    probe_token: Option<String>,
    /// Probes that failed in a row.
    #[serde(default)]
    failures: u32,
    #[serde(default)]
    last_error: Option<String>,
}

impl TransportLimits {
    /// Opens the table named `table`.
    pub fn new(client: Client, table: impl Into<String>, sources: Sources) -> Self {
        Self { table: Table::new(client, table, sources), last_latency: Arc::default() }
    }

    fn update(&self, transport: TransportId) -> UpdateItemFluentBuilder {
        self.table.update(partition_key(transport))
    }

    async fn get(&self, transport: TransportId) -> Result<Option<LimitsItem>, StoreError> {
        self.table.get(partition_key(transport)).await?.map(|item| self.table.read(item)).transpose()
    }
}

pub(crate) fn truncate_reason(reason: &str) -> String {
    reason.chars().take(REASON_LIMIT).collect()
}
