//! The invocations that hold claims, and whether they still live.
//!
//! A claim names its holder and lasts for half a minute. A holder that is busy for longer shows with a heartbeat that it lives:
//! one item for all of its claims. When both are over, the next invocation that wants the delivery ends the holder, with one
//! conditional write. After that its heartbeats are refused, so that it notices, and its claims can be taken over.

use std::fmt;

use aws_sdk_dynamodb::types::AttributeValue;
use domain::Sources;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use super::Deliveries;
use crate::StoreError;
use crate::attributes::{Item, key, millis, number};
use crate::table::never_own;

/// How long a claim or a heartbeat lasts. A message begins to be handed over within that time or not at all.
pub(super) const HELD_FOR: SignedDuration = SignedDuration::from_secs(30);
/// A holder is taken for dead only so much later, since clocks differ.
pub(super) const MARGIN: SignedDuration = SignedDuration::from_secs(5);
/// How long a holder's item is kept. No claim lasts longer than an invocation.
const KEEP: SignedDuration = SignedDuration::from_hours(24);

/// Identifies an invocation that claims deliveries. Two never have the same: it holds the time and 74 random bits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(transparent)]
pub struct HolderId(String);

impl HolderId {
    /// A new one.
    pub fn generate(sources: &Sources) -> Self {
        Self(sources.uuid().to_string())
    }

    fn key(&self) -> Item {
        key(format!("holder#{self}"), "holder")
    }
}

impl fmt::Display for HolderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who holds a claim that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The invocation.
    pub by: HolderId,
    /// When the claim ends, unless heartbeats prolong it.
    pub until: Timestamp,
}

#[derive(Deserialize)]
struct HolderItem {}

impl Deliveries {
    /// Shows that an invocation lives: its claims last for another half a minute. Returns whether it still holds them.
    pub async fn beat(&self, holder: &HolderId) -> Result<bool, StoreError> {
        let now = self.table.now();
        let beat = self
            .table
            .update(holder.key())
            .update_expression("SET heldUntil = :until, expiresAt = :expiresAt")
            .condition_expression("attribute_not_exists(ended)")
            .expression_attribute_values(":until", millis(now + HELD_FOR))
            .expression_attribute_values(":expiresAt", number((now + KEEP).as_second()));
        // Its own repeated write meets the condition again.
        Ok(self.table.write_if(beat, never_own::<HolderItem>).await?.is_done())
    }

    /// Ends a holder that shows no sign of life, so that its claims can be taken over. Returns whether it is ended: not if it
    /// lives. Only for one that has a claim that [is over](Held::is_over).
    pub async fn end_holder(&self, holder: &HolderId) -> Result<bool, StoreError> {
        let now = self.table.now();
        let end = self
            .table
            .update(holder.key())
            .update_expression("SET ended = :true, expiresAt = :expiresAt")
            .condition_expression("attribute_not_exists(heldUntil) OR heldUntil < :before")
            .expression_attribute_values(":true", AttributeValue::Bool(true))
            .expression_attribute_values(":before", millis(now - MARGIN))
            .expression_attribute_values(":expiresAt", number((now + KEEP).as_second()));
        // Its own repeated write meets the condition again.
        Ok(self.table.write_if(end, never_own::<HolderItem>).await?.is_done())
    }
}

impl Held {
    /// Whether the claim has ended at `now`, if no heartbeat has prolonged it.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.until + MARGIN < now
    }
}
