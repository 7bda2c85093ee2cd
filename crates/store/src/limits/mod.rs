//! The Pacing table: how fast each transport may be called, and whether at all, for all functions together.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | how sends are spread over time | `rate` |
//! | which push may reserve the next sends | `line` |
//! | when a transport that fails is left alone, and who tries it again | `breaker` |
//! | refusals in a row, and pushes that are held because of them | `hold` |
//! | what delays a push, for those who watch it | `status` |
//!
//! A transport has one item, which its rate limit and its circuit breaker share. A push whose messages a transport
//! refuses has one as well, for the time being.

mod breaker;
mod hold;
mod line;
mod rate;
mod status;

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use domain::notification::Suspect;
use domain::{PushId, Sources, TransportId};
use jiff::Timestamp;
use serde::Deserialize;

use crate::StoreError;
use crate::attributes::{millis_serde, partition_key};
use crate::table::Table;

pub use breaker::{BreakerState, OpenResult, Probe};
pub use domain::push::waiting::Delay;
pub use hold::{Checked, Evidence, RUN_LENGTH, scope_of};
pub use line::Line;
pub use rate::{Reservation, ReservedSlots};
pub use status::Outage;

/// Maximum length of a stored reason, in characters.
const REASON_LIMIT: usize = 500;

/// What a circuit breaker stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All sends through a transport.
    Transport(TransportId),
    /// The sends of one push through a transport.
    Push(PushId, TransportId),
}

impl From<TransportId> for Scope {
    fn from(transport: TransportId) -> Self {
        Self::Transport(transport)
    }
}

/// The partition key.
impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transport(transport) => transport.fmt(f),
            Self::Push(push, transport) => write!(f, "push#{push}#{transport}"),
        }
    }
}

/// Who reserves slots of a transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// The batches of a push, which share its turns.
    Push(PushId),
    /// The messages that are not of a push.
    Direct,
}

impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Push(push) => push.fmt(f),
            Self::Direct => f.write_str("direct"),
        }
    }
}

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
    #[serde(flatten)]
    line: Line,
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
    /// When a message was last accepted, as far as that was recorded.
    #[serde(default, with = "millis_serde::option")]
    accepted_at: Option<Timestamp>,
    /// The recipients who were refused ambiguously since then: their address hashes, up to the length of a run.
    #[serde(default)]
    refused: HashSet<String>,
    /// When the first block of the present outage began.
    #[serde(default, with = "millis_serde::option")]
    blocked_since: Option<Timestamp>,
    /// When the last block began.
    #[serde(default, with = "millis_serde::option")]
    opened_at: Option<Timestamp>,
    /// Of a push: what its refusals may be about.
    #[serde(default)]
    suspect: Option<Suspect>,
    /// Of a push: when other pushes' messages showed that the transport accepts ours.
    #[serde(default, with = "millis_serde::option")]
    cleared_at: Option<Timestamp>,
}

impl TransportLimits {
    /// Opens the table named `table`.
    pub fn new(client: Client, table: impl Into<String>, sources: Sources) -> Self {
        Self { table: Table::new(client, table, sources), last_latency: Arc::default() }
    }

    fn update(&self, scope: impl Into<Scope>) -> UpdateItemFluentBuilder {
        self.table.update(partition_key(scope.into()))
    }

    async fn get(&self, scope: impl Into<Scope>) -> Result<Option<LimitsItem>, StoreError> {
        self.table.get(partition_key(scope.into())).await?.map(|item| self.table.read(item)).transpose()
    }
}

pub(crate) fn truncate_reason(reason: &str) -> String {
    reason.chars().take(REASON_LIMIT).collect()
}
