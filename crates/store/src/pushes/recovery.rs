//! What the sweep reads and restarts.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use domain::{Channel, PushId};
use jiff::Timestamp;

use super::slices::{SLICE_PREFIX, SliceItem, slice_sk};
use super::{Conditional, Push, Pushes};
use crate::StoreError;
use crate::attributes::{number, text};

/// Where a slice stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SliceStatus {
    /// Which.
    pub slice: u32,
    /// Which walk of it; 0 before the first.
    pub generation: u32,
    /// When it last moved.
    pub heartbeat: Option<Timestamp>,
    /// How far it is.
    pub state: SliceState,
}

/// How far a slice is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SliceState {
    /// Nobody began it.
    NotStarted,
    /// Somebody walks it, or did.
    Scanning,
    /// It is walked, but not every batch has reported.
    Scanned {
        /// Changes with every page turned.
        version: u32,
        /// How many batches of each channel have not reported; of a channel that is not named, all have.
        outstanding_batches: BTreeMap<Channel, usize>,
    },
    /// Every batch has reported.
    Done,
}

impl Pushes {
    /// Where each slice of a push stands, those that nobody opened yet among them.
    ///
    /// # Errors
    /// If the store is out of reach or an item unreadable.
    pub async fn slices(&self, push: &Push) -> Result<Vec<SliceStatus>, StoreError> {
        let mut standings: Vec<_> = (0..push.slices)
            .map(|slice| SliceStatus { slice, generation: 0, heartbeat: None, state: SliceState::NotStarted })
            .collect();
        let mut pages = self
            .client
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .key_condition_expression("pk = :pk AND begins_with(sk, :slice)")
            .expression_attribute_values(":pk", text(push.id))
            .expression_attribute_values(":slice", text(SLICE_PREFIX))
            .into_paginator()
            .items()
            .send();
        while let Some(item) = pages.next().await {
            let item = item.map_err(|error| StoreError::unavailable("Query", &self.table, &error))?;
            let number =
                item.get("sk").and_then(|sk| sk.as_s().ok()?.strip_prefix(SLICE_PREFIX)?.parse::<usize>().ok());
            let slice: SliceItem = self.read(Some(item))?;
            if let Some(standing) = number.and_then(|number| standings.get_mut(number)) {
                standing.generation = slice.generation;
                standing.heartbeat = slice.heartbeat;
                standing.state = match (slice.walked, slice.is_done()) {
                    (_, true) => SliceState::Done,
                    (true, false) => SliceState::Scanned {
                        version: slice.version,
                        outstanding_batches: slice.outstanding_by_channel(),
                    },
                    (false, false) => SliceState::Scanning,
                };
            }
        }
        Ok(standings)
    }

    /// Readies a walked slice to be walked anew: a new generation, without counts. Answers the generation, or `None` if
    /// the slice has moved meanwhile.
    ///
    /// # Errors
    /// If the store is out of reach.
    pub async fn restart_scan(&self, push: PushId, standing: &SliceStatus) -> Result<Option<u32>, StoreError> {
        let SliceState::Scanned { version, outstanding_batches } = &standing.state else {
            return Ok(None);
        };
        let generation = standing.generation + 1;
        let call = self
            .update(push, slice_sk(standing.slice))
            .update_expression(
                "SET generation = :generation, walked = :false, heartbeat = :now \
                 REMOVE resumeAfter, batches, batchesOpen, customersRead, customersEligible, customersUnevaluable, \
                 notifications, sent, failed, suppressed, optedOut, expired, cancelled, alreadyServed \
                 ADD version :one",
            )
            // Nothing has reported since either: a slice that was done meanwhile is counted already.
            .condition_expression(
                "generation = :seen AND version = :version AND walked = :true AND size(batchesOpen) = :open",
            )
            .expression_attribute_values(":open", number(outstanding_batches.values().sum::<usize>()))
            .expression_attribute_values(":generation", number(generation))
            .expression_attribute_values(":seen", number(standing.generation))
            .expression_attribute_values(":version", number(version))
            .expression_attribute_values(":true", AttributeValue::Bool(true))
            .expression_attribute_values(":false", AttributeValue::Bool(false))
            .expression_attribute_values(":one", number(1));
        Ok(match self.conditionally(call).await? {
            Conditional::Done(_) => Some(generation),
            Conditional::Refused(_) => None,
        })
    }
}
