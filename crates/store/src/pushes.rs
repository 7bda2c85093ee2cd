//! The Pushes table: how far each push is.
//!
//! One item tells of the push, one of each slice. Counts live on the slices, so that no item is written by everybody.
//!
//! Turning a page adds the numbers of its batches to those that are open; a batch that reports takes its number out, under
//! the condition that it is there. So counts are exact however often a message is delivered. A number holds the version of
//! the walk: when a page is walked again (because its walker died, or another one took the slice over), its batches have
//! other numbers, and those of the page that was never turned are not counted. It also tells the batch's channel, so that
//! one channel's outage does not hide that the other one's batches are missing.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure};
use domain::Channel;
use domain::channel::Channels;
use domain::event::EventKind;
use domain::push::{OutcomeCounts, PushState, ScanCounts};
use domain::{CustomerId, OfferId, PushId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::StoreError;
use crate::cursor::{Cursor, InvalidCursor, Page, fits};
use crate::item::{Item, key, millis, millis_serde, number, text};
use crate::offers::PushRequest;

const OPEN_PUSHES: &str = "openPushes";
const UNPUBLISHED_PUSHES: &str = "unpublishedPushes";
/// What the sparse index of those with something to tell holds.
const UNPUBLISHED: &str = "yes";
const OPEN: &str = "open";
const PUSH_SK: &str = "push";
const SLICE_PREFIX: &str = "slice#";

/// The Pushes table.
#[derive(Debug, Clone)]
pub struct Pushes {
    client: Client,
    table: String,
}

/// A push as a whole, without its slices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    /// Which.
    pub id: PushId,
    /// Where it stands.
    pub state: PushState,
    /// How many slices it was cut into; 0 while scheduled.
    pub slices: u32,
    /// How many of them are walked, with every batch reported.
    pub slices_done: u32,
    /// Who asked for it.
    pub requested_by: String,
    /// When.
    pub requested_at: Timestamp,
    /// When it may start, if not at once.
    pub starts_at: Option<Timestamp>,
    /// When it was cut.
    pub started_at: Option<Timestamp>,
    /// Who called it off, if anybody did.
    pub cancelled_by: Option<String>,
    /// When its last notification had its outcome, or it was called off.
    pub completed_at: Option<Timestamp>,
    /// What the bus was told of it.
    pub published: BTreeSet<EventKind>,
}

impl Push {
    /// What the bus has yet to be told of it, in order.
    pub fn unpublished(&self) -> impl Iterator<Item = EventKind> {
        EventKind::of(self.id, self.state).filter(|kind| !self.published.contains(kind))
    }
}

/// A push with the sums over its slices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The push as a whole.
    pub push: Push,
    /// What the walks found so far.
    pub scan: ScanCounts,
    /// What became of notifications so far.
    pub outcomes: OutcomeCounts,
    /// When a slice last moved.
    pub last_progress_at: Option<Timestamp>,
    /// The channels whose batches have not all reported.
    pub outstanding_channels: Channels,
}

impl Progress {
    /// Notifications without an outcome.
    pub fn pending(&self) -> u64 {
        self.scan.notifications.saturating_sub(self.outcomes.total())
    }
}

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

/// Most batches of one page and channel.
pub const PAGE_BATCHES: u32 = 32;
const CHANNELS: u32 = 2;
const _: () = assert!(Channel::ALL.len() == CHANNELS as usize);

impl SliceScan {
    /// The numbers that this page has for batches of a channel, [`PAGE_BATCHES`] of them.
    pub fn batch_numbers(&self, channel: Channel) -> impl Iterator<Item = u32> {
        let first = self.version * PAGE_BATCHES * CHANNELS;
        (first..first + PAGE_BATCHES * CHANNELS).filter(move |number| channel_of(*number) == channel)
    }
}

/// Which walk of its slice a batch's number comes from.
fn version_of(number: u32) -> u32 {
    number / (PAGE_BATCHES * CHANNELS)
}

/// Which channel a batch's number is of.
fn channel_of(number: u32) -> Channel {
    Channel::ALL[(number % CHANNELS) as usize]
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

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PushItem {
    pk: String,
    sk: String,
    state: PushState,
    #[serde(default)]
    slices: u32,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    slices_done: BTreeSet<u32>,
    requested_by: String,
    #[serde(with = "millis_serde")]
    requested_at: Timestamp,
    #[serde(default, with = "millis_serde::option", skip_serializing_if = "Option::is_none")]
    starts_at: Option<Timestamp>,
    #[serde(default, with = "millis_serde::option", skip_serializing_if = "Option::is_none")]
    started_at: Option<Timestamp>,
    #[serde(default, with = "millis_serde::option", skip_serializing_if = "Option::is_none")]
    completed_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cancelled_by: Option<String>,
    /// Present while the push is open: what makes the index sparse.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    open: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    published: BTreeSet<String>,
    /// Present while the bus has yet to be told something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unpublished: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct SliceItem {
    generation: u32,
    version: u32,
    walker: String,
    resume_after: Option<CustomerId>,
    walked: bool,
    /// `batchesOpen` in the table.
    #[serde(rename = "batchesOpen")]
    outstanding_batches: BTreeSet<u32>,
    #[serde(with = "millis_serde::option")]
    heartbeat: Option<Timestamp>,
    customers_read: u64,
    customers_eligible: u64,
    customers_unevaluable: u64,
    notifications: u64,
    sent: u64,
    failed: u64,
    suppressed: u64,
    opted_out: u64,
    expired: u64,
    cancelled: u64,
    already_served: u64,
}

impl SliceItem {
    fn is_done(&self) -> bool {
        self.walked && self.outstanding_batches.is_empty()
    }

    fn outstanding_by_channel(&self) -> BTreeMap<Channel, usize> {
        let mut open = BTreeMap::new();
        for number in &self.outstanding_batches {
            *open.entry(channel_of(*number)).or_default() += 1;
        }
        open
    }
}

impl Pushes {
    /// A handle on the table named `table`.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self { client, table: table.into() }
    }

    /// Notes a push, unless it is noted already; answers what stands then. Whoever replays the request finds the same
    /// cut.
    ///
    /// # Errors
    /// If the store is out of reach or the item unreadable.
    pub async fn create(&self, request: &PushRequest, plan: Plan) -> Result<Push, StoreError> {
        let (state, slices, starts_at, started_at) = match plan {
            Plan::At(starts_at) => (PushState::Scheduled, 0, Some(starts_at), None),
            Plan::Now { slices } => (PushState::Running, slices, None, Some(domain::clock::now())),
        };
        let item = PushItem {
            pk: request.push.to_string(),
            sk: PUSH_SK.to_owned(),
            state,
            slices,
            slices_done: BTreeSet::new(),
            requested_by: request.requested_by.clone(),
            requested_at: request.requested_at,
            starts_at,
            started_at,
            completed_at: None,
            cancelled_by: None,
            open: Some(OPEN.to_owned()),
            published: BTreeSet::new(),
            // Of the first push: that there is an offer.
            unpublished: (request.push.number == 1).then(|| UNPUBLISHED.to_owned()),
        };
        let written = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(serde_dynamo::to_item(&item).map_err(|error| StoreError::unreadable(&self.table, error))?))
            .condition_expression("attribute_not_exists(pk)")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        match written {
            Ok(_) => self.push(item),
            Err(SdkError::ServiceError(error)) => match error.into_err() {
                PutItemError::ConditionalCheckFailedException(failed) => self.push(self.read(failed.item)?),
                error => Err(StoreError::unavailable("PutItem", &self.table, &error)),
            },
            Err(error) => Err(StoreError::unavailable("PutItem", &self.table, &error)),
        }
    }

    /// Starts a scheduled push; answers what stands then, which is another cut if another caller was faster.
    ///
    /// # Errors
    /// If the store is out of reach or the item unreadable.
    pub async fn start(&self, push: PushId, slices: u32) -> Result<Option<Push>, StoreError> {
        let call = self
            .update(push, PUSH_SK)
            .update_expression("SET #state = :running, slices = :slices, startedAt = :now")
            .condition_expression("#state = :scheduled")
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":running", text(PushState::Running))
            .expression_attribute_values(":scheduled", text(PushState::Scheduled))
            .expression_attribute_values(":slices", number(slices));
        match self.conditionally(call).await? {
            Conditional::Done(item) => self.push(self.read(item)?).map(Some),
            Conditional::Refused(None) => Ok(None),
            Conditional::Refused(item) => self.push(self.read(item)?).map(Some),
        }
    }

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

    /// Reports a batch, all of whose notifications are final. Reporting it again changes nothing.
    ///
    /// # Errors
    /// If the store is out of reach or the item unreadable.
    pub async fn report(&self, report: &Report) -> Result<ReportResult, StoreError> {
        let OutcomeCounts { sent, failed, suppressed, opted_out, expired, cancelled, already_served } = report.counts;
        let call = self
            .update(report.push, slice_sk(report.slice))
            .update_expression(
                "DELETE batchesOpen :batches ADD sent :sent, failed :failed, suppressed :suppressed, \
                 optedOut :optedOut, expired :expired, cancelled :cancelled, alreadyServed :alreadyServed \
                 SET heartbeat = :now",
            )
            .condition_expression("generation = :generation AND contains(batchesOpen, :batch)")
            .expression_attribute_values(":generation", number(report.generation))
            .expression_attribute_values(":batch", number(report.batch))
            .expression_attribute_values(":batches", AttributeValue::Ns(vec![report.batch.to_string()]))
            .expression_attribute_values(":sent", number(sent))
            .expression_attribute_values(":failed", number(failed))
            .expression_attribute_values(":suppressed", number(suppressed))
            .expression_attribute_values(":optedOut", number(opted_out))
            .expression_attribute_values(":expired", number(expired))
            .expression_attribute_values(":cancelled", number(cancelled))
            .expression_attribute_values(":alreadyServed", number(already_served));
        let item: SliceItem = match self.conditionally(call).await? {
            // A batch that no walk of ours queued, such as a sample event's: nobody waits for its report.
            Conditional::Refused(None) => return Ok(ReportResult::Settled),
            Conditional::Refused(item) => {
                let item: SliceItem = self.read(item)?;
                if item.generation == report.generation && item.version == version_of(report.batch) && !item.walked {
                    return Ok(ReportResult::TooEarly);
                }
                item
            }
            Conditional::Done(item) => {
                self.mark_slice_done_if_finished(report.push, report.slice, &self.read(item)?).await?;
                return Ok(ReportResult::Counted);
            }
        };
        // Reported before, perhaps by somebody who died before closing the slice: so look either way.
        self.mark_slice_done_if_finished(report.push, report.slice, &item).await?;
        Ok(ReportResult::Settled)
    }

    /// The slice that is done last completes the push. Every step may be repeated.
    async fn mark_slice_done_if_finished(&self, push: PushId, slice: u32, item: &SliceItem) -> Result<(), StoreError> {
        if item.is_done() { self.mark_slice_done(push, slice).await } else { Ok(()) }
    }

    /// A push as a whole, as of now.
    ///
    /// # Errors
    /// If the store is out of reach or the item unreadable.
    pub async fn get(&self, id: PushId) -> Result<Option<Push>, StoreError> {
        self.item(id, PUSH_SK).await?.map(|item| self.push(self.read(Some(item))?)).transpose()
    }

    async fn item(&self, push: PushId, sk: impl ToString) -> Result<Option<Item>, StoreError> {
        let call = self.client.get_item().table_name(&self.table).set_key(Some(key(push, sk))).consistent_read(true);
        Ok(call.send().await.map_err(|error| StoreError::unavailable("GetItem", &self.table, &error))?.item)
    }

    /// Calls a push off, if it is open; one that was requested and not begun yet will not begin. Answers what stands
    /// then.
    ///
    /// # Errors
    /// If the store is out of reach or the item unreadable.
    pub async fn cancel(&self, request: &PushRequest, by: &str) -> Result<Push, StoreError> {
        let call = self
            .update(request.push, PUSH_SK)
            .update_expression(
                "SET #state = :cancelled, cancelledBy = :by, completedAt = :now, \
                 requestedBy = if_not_exists(requestedBy, :requestedBy), \
                 requestedAt = if_not_exists(requestedAt, :requestedAt), unpublished = :unpublished REMOVE #open",
            )
            .expression_attribute_values(":unpublished", text(UNPUBLISHED))
            .condition_expression("attribute_not_exists(pk) OR #state IN (:scheduled, :running)")
            .expression_attribute_names("#state", "state")
            .expression_attribute_names("#open", "open")
            .expression_attribute_values(":cancelled", text(PushState::Cancelled))
            .expression_attribute_values(":scheduled", text(PushState::Scheduled))
            .expression_attribute_values(":running", text(PushState::Running))
            .expression_attribute_values(":by", text(by))
            .expression_attribute_values(":requestedBy", text(&request.requested_by))
            .expression_attribute_values(":requestedAt", millis(request.requested_at));
        let (Conditional::Done(item) | Conditional::Refused(item)) = self.conditionally(call).await?;
        self.push(self.read(item)?)
    }

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

    /// A push with its counts, as of now.
    ///
    /// # Errors
    /// If the store is out of reach or an item unreadable.
    pub async fn progress(&self, id: PushId) -> Result<Option<Progress>, StoreError> {
        let mut push = None;
        let mut walk = ScanCounts::default();
        let mut outcomes = OutcomeCounts::default();
        let mut last_progress_at = None;
        let mut outstanding_channels = Channels::new();
        let mut pages = self
            .client
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", text(id))
            .into_paginator()
            .items()
            .send();
        while let Some(item) = pages.next().await {
            let item = item.map_err(|error| StoreError::unavailable("Query", &self.table, &error))?;
            if item.get("sk").is_some_and(|sk| *sk == text(PUSH_SK)) {
                push = Some(self.push(self.read(Some(item))?)?);
                continue;
            }
            let slice: SliceItem = self.read(Some(item))?;
            last_progress_at = last_progress_at.max(slice.heartbeat);
            outstanding_channels.extend(slice.outstanding_by_channel().into_keys());
            walk += ScanCounts {
                customers_read: slice.customers_read,
                customers_eligible: slice.customers_eligible,
                customers_unevaluable: slice.customers_unevaluable,
                notifications: slice.notifications,
            };
            outcomes += OutcomeCounts {
                sent: slice.sent,
                failed: slice.failed,
                suppressed: slice.suppressed,
                opted_out: slice.opted_out,
                expired: slice.expired,
                cancelled: slice.cancelled,
                already_served: slice.already_served,
            };
        }
        Ok(push.map(|push| Progress { push, scan: walk, outcomes, last_progress_at, outstanding_channels }))
    }

    /// Open pushes, oldest first. A new one may take a moment to be listed.
    ///
    /// # Errors
    /// If the store is out of reach or an item unreadable.
    pub async fn list_open(&self, limit: u16, after: Option<Cursor>) -> Result<Page<Push>, StoreError> {
        let answer = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(OPEN_PUSHES)
            .key_condition_expression("#open = :open")
            .expression_attribute_names("#open", "open")
            .expression_attribute_values(":open", text(OPEN))
            .limit(i32::from(limit))
            .set_exclusive_start_key(after.map(Cursor::into_key))
            .send()
            .await
            .map_err(|error| StoreError::unavailable("Query", &self.table, &error))?;
        let items = answer.items.unwrap_or_default();
        Ok(Page {
            next: answer.last_evaluated_key.as_ref().map(Cursor::from_key),
            items: items.into_iter().map(|item| self.push(self.read(Some(item))?)).collect::<Result<_, _>>()?,
        })
    }

    /// Notes that the bus was told these events of a push as it was read.
    ///
    /// # Errors
    /// If the store is out of reach.
    pub async fn mark_published(&self, push: &Push, kinds: &[EventKind]) -> Result<(), StoreError> {
        if kinds.is_empty() {
            return Ok(());
        }
        let call = |expression: &str| {
            self.update(push.id, PUSH_SK).update_expression(expression).expression_attribute_values(
                ":kinds",
                AttributeValue::Ss(kinds.iter().map(ToString::to_string).collect()),
            )
        };
        let is_all = push.unpublished().all(|kind| kinds.contains(&kind));
        if is_all {
            // If it has not moved on since, there is nothing more to tell.
            let all = call("ADD published :kinds REMOVE unpublished")
                .condition_expression("#state = :state")
                .expression_attribute_names("#state", "state")
                .expression_attribute_values(":state", text(push.state));
            if let Conditional::Done(_) = self.conditionally_without_now(all).await? {
                return Ok(());
            }
        }
        let some = call("ADD published :kinds").condition_expression("attribute_exists(pk)");
        self.conditionally_without_now(some).await.map(|_| ())
    }

    /// Pushes of which the bus has yet to be told something, as far as the index has them already.
    ///
    /// # Errors
    /// If the store is out of reach or an item unreadable.
    pub async fn list_unpublished(&self, limit: u16) -> Result<Vec<PushId>, StoreError> {
        let answer = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(UNPUBLISHED_PUSHES)
            .key_condition_expression("unpublished = :unpublished")
            .expression_attribute_values(":unpublished", text(UNPUBLISHED))
            .limit(i32::from(limit))
            .send()
            .await
            .map_err(|error| StoreError::unavailable("Query", &self.table, &error))?;
        let id = |item: Item| item.get("pk")?.as_s().ok()?.parse().ok();
        Ok(answer.items.unwrap_or_default().into_iter().filter_map(id).collect())
    }

    /// Checks that a cursor was given out by [`Pushes::list_open`].
    ///
    /// # Errors
    /// If it was not.
    pub fn check_cursor(cursor: &Cursor) -> Result<(), InvalidCursor> {
        (fits(cursor, &["open", "pk", "sk"]) && cursor.part("open") == Some(OPEN)).then_some(()).ok_or(InvalidCursor)
    }

    fn update(&self, push: PushId, sk: impl ToString) -> UpdateItemFluentBuilder {
        self.client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key(push, sk)))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
    }

    /// Runs a conditional update that notes the time, and tells its refusal apart from an error.
    async fn conditionally(&self, call: UpdateItemFluentBuilder) -> Result<Conditional, StoreError> {
        self.conditionally_without_now(call.expression_attribute_values(":now", millis(Timestamp::now()))).await
    }

    async fn conditionally_without_now(&self, call: UpdateItemFluentBuilder) -> Result<Conditional, StoreError> {
        match call.send().await {
            Ok(updated) => Ok(Conditional::Done(updated.attributes)),
            Err(SdkError::ServiceError(error)) => match error.into_err() {
                UpdateItemError::ConditionalCheckFailedException(failed) => Ok(Conditional::Refused(failed.item)),
                error => Err(StoreError::unavailable("UpdateItem", &self.table, &error)),
            },
            Err(error) => Err(StoreError::unavailable("UpdateItem", &self.table, &error)),
        }
    }

    fn read<T: for<'de> Deserialize<'de>>(&self, item: Option<Item>) -> Result<T, StoreError> {
        let item = item.ok_or_else(|| StoreError::unreadable(&self.table, "the item is missing"))?;
        serde_dynamo::from_item(item).map_err(|error| StoreError::unreadable(&self.table, error))
    }

    fn push(&self, item: PushItem) -> Result<Push, StoreError> {
        Ok(Push {
            id: item.pk.parse().map_err(|error| StoreError::unreadable(&self.table, error))?,
            state: item.state,
            slices: item.slices,
            slices_done: u32::try_from(item.slices_done.len()).unwrap_or(u32::MAX),
            requested_by: item.requested_by,
            requested_at: item.requested_at,
            starts_at: item.starts_at,
            started_at: item.started_at,
            completed_at: item.completed_at,
            cancelled_by: item.cancelled_by,
            // One that a later release told is none of ours.
            published: item.published.iter().filter_map(|kind| kind.parse().ok()).collect(),
        })
    }
}

/// Which push a stream record's key tells of; `None` for its slices.
pub fn push_of_key(pk: &str, sk: &str) -> Option<PushId> {
    (sk == PUSH_SK).then(|| pk.parse().ok())?
}

/// When and how a push begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// Not before then.
    At(Timestamp),
    /// Now, cut into this many slices.
    Now {
        /// At least 1.
        slices: u32,
    },
}

/// What became of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportResult {
    /// It counts.
    Counted,
    /// It did before, or never will because its page was walked anew.
    Settled,
    /// Its page is not turned yet: report it again in a moment.
    TooEarly,
}

/// What a batch reports, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// Which push.
    pub push: PushId,
    /// Which slice of it.
    pub slice: u32,
    /// Which walk of the slice.
    pub generation: u32,
    /// Which batch of the walk.
    pub batch: u32,
    /// What became of its notifications.
    pub counts: OutcomeCounts,
}

enum Conditional {
    Done(Option<Item>),
    Refused(Option<Item>),
}

fn slice_sk(slice: u32) -> String {
    format!("{SLICE_PREFIX}{slice:04}")
}
