//! The Pacing table: whether a transport may be called at all, for every function at once.
//!
//! When a transport cannot be reached, one write blocks it for all. When the time is over, one conditional write gives one
//! caller the right to probe; it clears the block, or lengthens it. If that caller dies, its right runs out.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use domain::offer::now;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use crate::StoreError;
use crate::item::{millis, millis_serde, number, text};

/// The first block, doubled with every probe that fails.
const FIRST_BLOCK: SignedDuration = SignedDuration::from_secs(1);
/// The longest block: how long a provider that is back may stay unused.
const LONGEST_BLOCK: SignedDuration = SignedDuration::from_secs(60);
/// How long a probe may take before somebody else may probe.
const PROBE: SignedDuration = SignedDuration::from_secs(30);

/// The Pacing table.
#[derive(Debug, Clone)]
pub struct Pacing {
    client: Client,
    table: String,
}

/// Whether a transport may be called now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// It may.
    Open,
    /// It was out of reach: this caller alone may try, once.
    Probe(Probe),
    /// It is out of reach.
    Blocked {
        /// Until then nobody calls.
        until: Timestamp,
    },
}

/// The right to try a transport that was out of reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    until: Timestamp,
    level: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PacingItem {
    #[serde(default, with = "millis_serde::option")]
    blocked_until: Option<Timestamp>,
    #[serde(default)]
    failures: u32,
    #[serde(default)]
    last_error: Option<String>,
}

/// A transport that is out of reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outage {
    /// Nobody calls it before; then somebody probes.
    pub blocked_until: Timestamp,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
}

impl Pacing {
    /// A handle on the table named `table`.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self { client, table: table.into() }
    }

    /// Asks whether a transport may be called. Up to two calls.
    ///
    /// # Errors
    /// If the store is out of reach or the item unreadable.
    pub async fn gate(&self, transport: &str) -> Result<Gate, StoreError> {
        let Some(item) = self.get(transport).await? else {
            return Ok(Gate::Open);
        };
        let Some(seen) = item.blocked_until else {
            return Ok(Gate::Open);
        };
        let now = now();
        if seen > now {
            return Ok(Gate::Blocked { until: seen });
        }
        let until = now + PROBE;
        let won = self
            .update(transport)
            .update_expression("SET blockedUntil = :until")
            .condition_expression("blockedUntil = :seen")
            .expression_attribute_values(":until", millis(until))
            .expression_attribute_values(":seen", millis(seen));
        if self.write(won).await? {
            Ok(Gate::Probe(Probe { until, level: item.failures }))
        } else {
            Ok(Gate::Blocked { until })
        }
    }

    /// Whether a transport is out of reach, and why. Changes nothing.
    ///
    /// # Errors
    /// If the store is out of reach or the item unreadable.
    pub async fn outage(&self, transport: &str) -> Result<Option<Outage>, StoreError> {
        let item = self.get(transport).await?;
        Ok(item.and_then(|item| Some(Outage { blocked_until: item.blocked_until?, last_error: item.last_error })))
    }

    /// Blocks a transport that could not be reached; longer after a probe. Answers until when.
    ///
    /// # Errors
    /// If the store is out of reach.
    pub async fn block(&self, transport: &str, probe: Option<Probe>, reason: &str) -> Result<Timestamp, StoreError> {
        let level = probe.map_or(0, |probe| probe.level + 1);
        let now = now();
        let until = now + (FIRST_BLOCK * 2_i32.saturating_pow(level.min(16))).min(LONGEST_BLOCK);
        let call = self
            .update(transport)
            .update_expression("SET blockedUntil = :until, failures = :failures, lastError = :reason")
            .expression_attribute_values(":until", millis(until))
            .expression_attribute_values(":failures", number(level))
            .expression_attribute_values(":reason", text(reason));
        let call = match probe {
            Some(probe) => call
                .condition_expression("blockedUntil = :probe")
                .expression_attribute_values(":probe", millis(probe.until)),
            // Of many who fail at the same time, the first one blocks.
            None => call.condition_expression("attribute_not_exists(blockedUntil)"),
        };
        self.write(call).await?;
        Ok(until)
    }

    /// Lets everybody call again, after a probe that reached the transport.
    ///
    /// # Errors
    /// If the store is out of reach.
    pub async fn clear(&self, transport: &str, probe: Probe) -> Result<(), StoreError> {
        let call = self
            .update(transport)
            .update_expression("REMOVE blockedUntil, failures")
            .condition_expression("blockedUntil = :probe")
            .expression_attribute_values(":probe", millis(probe.until));
        self.write(call).await.map(|_| ())
    }

    fn update(&self, transport: &str) -> UpdateItemFluentBuilder {
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

    async fn get(&self, transport: &str) -> Result<Option<PacingItem>, StoreError> {
        let call = self.client.get_item().table_name(&self.table).key("pk", text(transport)).consistent_read(true);
        let answer = call.send().await.map_err(|error| StoreError::unavailable("GetItem", &self.table, &error))?;
        let item = answer.item.map(serde_dynamo::from_item).transpose();
        item.map_err(|error| StoreError::unreadable(&self.table, error))
    }
}
