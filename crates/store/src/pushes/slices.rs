//! Scanning a slice, page by page.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_dynamodb::types::AttributeValue;
use domain::push::{PushState, ScanCounts};
use domain::{Channel, CustomerId, OfferId, PushId};
use jiff::Timestamp;
use serde::Deserialize;

use super::batch_number::{CHANNELS, PAGE_BATCHES, channel_of};
use super::{Conditional, PUSH_SK, PushItem, Pushes, UNPUBLISHED};
use crate::StoreError;
use crate::attributes::{millis_serde, number, text};

pub(super) const SLICE_PREFIX: &str = "slice#";

/// One slice's walk, opened by one walker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SliceScan {
    /// Which push.
    pub push: PushId,
    /// Which slice of it.
    pub slice: u32,
    /// Which walk of the slice.
    pub generation: u32,
    /// After whom the next page begins.
    pub after: Option<CustomerId>,
    version: u32,
    walker: String,
}

impl SliceScan {
    /// The numbers that this page has for batches of a channel, [`PAGE_BATCHES`] of them.
    pub fn batch_numbers(&self, channel: Channel) -> impl Iterator<Item = u32> {
        let first = self.version * PAGE_BATCHES * CHANNELS;
        (first..first + PAGE_BATCHES * CHANNELS).filter(move |number| channel_of(*number) == channel)
    }
}

/// What became of opening a slice or turning its page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScanStep {
    /// Go on from here.
    Continue(SliceScan),
    /// The walk is at its end.
    Finished,
    /// Another walker took the slice over: stop.
    Superseded,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct SliceItem {
    pub(super) generation: u32,
    pub(super) version: u32,
    pub(super) walker: String,
    pub(super) resume_after: Option<CustomerId>,
    pub(super) walked: bool,
    /// `batchesOpen` in the table.
    #[serde(rename = "batchesOpen")]
    pub(super) outstanding_batches: BTreeSet<u32>,
    #[serde(with = "millis_serde::option")]
    pub(super) heartbeat: Option<Timestamp>,
    pub(super) customers_read: u64,
    pub(super) customers_eligible: u64,
    pub(super) customers_unevaluable: u64,
    pub(super) notifications: u64,
    pub(super) sent: u64,
    pub(super) failed: u64,
    pub(super) suppressed: u64,
    pub(super) opted_out: u64,
    pub(super) expired: u64,
    pub(super) cancelled: u64,
    pub(super) already_served: u64,
}

impl SliceItem {
    pub(super) fn is_done(&self) -> bool {
        self.walked && self.outstanding_batches.is_empty()
    }

    pub(super) fn outstanding_by_channel(&self) -> BTreeMap<Channel, usize> {
        let mut open = BTreeMap::new();
        for number in &self.outstanding_batches {
            *open.entry(channel_of(*number)).or_default() += 1;
        }
        open
    }
}

impl Pushes {
    /// Opens a slice's walk, where it stands. Whoever opens it takes it over from an earlier walker.
    ///
    /// # Errors
    /// If the store is out of reach or the item unreadable.
    pub async fn start_scan(&self, push: PushId, slice: u32, generation: u32) -> Result<ScanStep, StoreError> {
        // Unique: ids of this kind are the time and 74 random bits.
        let walker = OfferId::generate().to_string();
        let call = self
            .update(push, slice_sk(slice))
            .update_expression(
                "SET generation = :generation, heartbeat = :now, walker = :walker, \
                 walked = if_not_exists(walked, :false) ADD version :one",
            )
            .expression_attribute_values(":walker", text(&walker))
            .condition_expression("attribute_not_exists(pk) OR (generation = :generation AND walked = :false)")
            .expression_attribute_values(":generation", number(generation))
            .expression_attribute_values(":false", AttributeValue::Bool(false))
            .expression_attribute_values(":one", number(1));
        match self.conditionally(call).await? {
            Conditional::Done(item) => {
                let item: SliceItem = self.read(item)?;
                Ok(ScanStep::Continue(SliceScan {
                    push,
                    slice,
                    generation,
                    after: item.resume_after,
                    version: item.version,
                    walker,
                }))
            }
            Conditional::Refused(item) => {
                let item: SliceItem = self.read(item)?;
                if item.generation != generation {
                    return Ok(ScanStep::Superseded);
                }
                // Whoever walked it to its end may not have come to closing it.
                self.mark_slice_done_if_finished(push, slice, &item).await?;
                Ok(ScanStep::Finished)
            }
        }
    }

    /// Whether somebody has opened a slice, in whatever generation.
    ///
    /// # Errors
    /// If the store is out of reach.
    pub async fn is_started(&self, push: PushId, slice: u32) -> Result<bool, StoreError> {
        Ok(self.item(push, slice_sk(slice)).await?.is_some())
    }

    /// Turns the page: its batches are queued, the walk goes on after `next` or is over. The batches have numbers of
    /// [`SliceScan::batch_numbers`].
    ///
    /// # Errors
    /// If the store is out of reach or the item unreadable.
    pub async fn commit_page(
        &self,
        walk: &SliceScan,
        found: ScanCounts,
        batches: &[u32],
        next: Option<CustomerId>,
    ) -> Result<ScanStep, StoreError> {
        let place = if next.is_some() { "resumeAfter = :resumeAfter" } else { "walked = :true REMOVE resumeAfter" };
        let open = if !batches.is_empty() { ", batchesOpen :open" } else { "" };
        let mut call = self
            .update(walk.push, slice_sk(walk.slice))
            .update_expression(format!(
                "ADD version :one, customersRead :read, customersEligible :eligible, \
                 customersUnevaluable :unevaluable, notifications :notifications, batches :batches{open} \
                 SET heartbeat = :now, {place}"
            ))
            .condition_expression("version = :version AND generation = :generation")
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":version", number(walk.version))
            .expression_attribute_values(":generation", number(walk.generation))
            .expression_attribute_values(":read", number(found.customers_read))
            .expression_attribute_values(":eligible", number(found.customers_eligible))
            .expression_attribute_values(":unevaluable", number(found.customers_unevaluable))
            .expression_attribute_values(":notifications", number(found.notifications))
            .expression_attribute_values(":batches", number(batches.len()));
        if !batches.is_empty() {
            let numbers = batches.iter().map(u32::to_string).collect();
            call = call.expression_attribute_values(":open", AttributeValue::Ns(numbers));
        }
        call = match &next {
            Some(next) => call.expression_attribute_values(":resumeAfter", text(next)),
            None => call.expression_attribute_values(":true", AttributeValue::Bool(true)),
        };
        let item: SliceItem = match self.conditionally(call).await? {
            Conditional::Done(item) => self.read(item)?,
            Conditional::Refused(item) => {
                let item: SliceItem = self.read(item)?;
                // Our own write, whose answer was lost, so that the client made it again.
                if item.walker != walk.walker || item.version != walk.version + 1 {
                    return Ok(ScanStep::Superseded);
                }
                item
            }
        };
        if item.walked {
            self.mark_slice_done_if_finished(walk.push, walk.slice, &item).await?;
            return Ok(ScanStep::Finished);
        }
        Ok(ScanStep::Continue(SliceScan { after: next, version: item.version, ..walk.clone() }))
    }

    /// The slice that is done last completes the push. Every step may be repeated.
    pub(super) async fn mark_slice_done_if_finished(
        &self,
        push: PushId,
        slice: u32,
        item: &SliceItem,
    ) -> Result<(), StoreError> {
        if item.is_done() { self.mark_slice_done(push, slice).await } else { Ok(()) }
    }

    /// Counts a slice that is done as done, should whoever finished it not have come to that.
    ///
    /// # Errors
    /// If the store is out of reach.
    pub async fn mark_slice_done(&self, push: PushId, slice: u32) -> Result<(), StoreError> {
        let call = self
            .update(push, PUSH_SK)
            .update_expression("ADD slicesDone :slices")
            .condition_expression("attribute_exists(pk)")
            .expression_attribute_values(":slices", AttributeValue::Ns(vec![slice.to_string()]));
        let (Conditional::Done(item) | Conditional::Refused(item)) = self.conditionally_without_now(call).await?;
        let item: PushItem = self.read(item)?;
        if item.slices_done.len() < item.slices as usize {
            return Ok(());
        }
        let call = self
            .update(push, PUSH_SK)
            .update_expression("SET #state = :completed, completedAt = :now, unpublished = :unpublished REMOVE #open")
            .expression_attribute_values(":unpublished", text(UNPUBLISHED))
            .condition_expression("#state = :running")
            .expression_attribute_names("#state", "state")
            .expression_attribute_names("#open", "open")
            .expression_attribute_values(":completed", text(PushState::Completed))
            .expression_attribute_values(":running", text(PushState::Running));
        self.conditionally(call).await.map(|_| ())
    }
}

pub(super) fn slice_sk(slice: u32) -> String {
    format!("{SLICE_PREFIX}{slice:04}")
}
