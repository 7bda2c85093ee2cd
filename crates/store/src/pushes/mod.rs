//! The Pushes table: the progress of each push.
//!
//! A push has one item, and each of its slices has one. The counts are on the slices, so that concurrent writers do not
//! meet on one item.
//!
//! Committing a page adds the numbers of its batches to the slice's outstanding batches. A batch that reports removes
//! its number, under the condition that it is there. So counts are exact however often a message is delivered. A number
//! contains the slice's version, which every scanner that starts and every committed page increases: a page that is
//! scanned again (because its scanner died, or another one took the slice over) has batches with other numbers, and
//! batches of a page that was never committed are not counted. A number also contains the batch's channel, so that an
//! outage of one channel does not hide that batches of the other one are lost.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | creating, starting, cancelling and listing pushes | this file |
//! | scanning a slice: start, commit a page, end | `slices` |
//! | counting the slices that are done, completing the push | `completion` |
//! | what the number of a batch contains | `batch_number` |
//! | what a batch reports | `report` |
//! | what a batch reports while it is deferred | `partial` |
//! | the sums that callers read | `progress` |
//! | what the sweep reads and restarts | `recovery` |
//! | where the sweep goes on | `places` |
//! | which events are unpublished | `outbox` |

mod batch_number;
mod completion;
mod outbox;
mod partial;
mod places;
mod progress;
mod recovery;
mod report;
mod slices;

use std::collections::{BTreeSet, HashSet};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use domain::event::EventKind;
use domain::push::PushState;
use domain::{PushId, Sources};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::StoreError;
use crate::attributes::{Item, key, millis, millis_serde, number, text};
use crate::cursor::{Cursor, InvalidCursor, Page, fits};
use crate::list::{self, Part, Reading};
use crate::offers::PushRequest;
use crate::table::{Conditional, Consistency, Table, never_own};

pub use batch_number::PAGE_BATCHES;
pub use outbox::push_of_key;
pub use partial::{MAX_PARTIALS, PartialReport};
pub use progress::Progress;
pub use recovery::{SliceState, SliceStatus};
pub use report::{Report, ReportResult};
pub use slices::{FIRST_GENERATION, ScanStep, SliceScan};

/// The sparse index of open pushes.
const OPEN_PUSHES: &str = "openPushes";
/// The value of `open`, the partition key of that index.
const OPEN: &str = "open";
/// The key of that index and that of the table.
const OPEN_CURSOR_KEY: [&str; 3] = ["open", "pk", "sk"];
/// The value of `unpublished`, the partition key of the index of pushes with unpublished events.
const UNPUBLISHED: &str = "yes";
const PUSH_SK: &str = "push";

/// The Pushes table.
#[derive(Debug, Clone)]
pub struct Pushes {
    table: Table,
}

/// A push without the counts of its slices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    /// The offer and the push's number.
    pub id: PushId,
    /// Its state.
    pub state: PushState,
    /// The number of its slices; 0 while scheduled.
    pub slices: u32,
    /// How many of them are counted as done: scanned, without outstanding batches.
    pub slices_done: u32,
    /// The caller who requested it.
    pub requested_by: String,
    /// When it was requested.
    pub requested_at: Timestamp,
    /// When it may start, if not immediately.
    pub starts_at: Option<Timestamp>,
    /// When it started.
    pub started_at: Option<Timestamp>,
    /// The caller who cancelled it, if it was cancelled.
    pub cancelled_by: Option<String>,
    /// When its last notification had an outcome, or it was cancelled.
    pub completed_at: Option<Timestamp>,
    /// The events that were published about it.
    pub published: BTreeSet<EventKind>,
}

impl Push {
    /// The events to publish about it, in order.
    pub fn unpublished(&self) -> impl Iterator<Item = EventKind> {
        EventKind::of(self.id, self.state).filter(|kind| !self.published.contains(kind))
    }
}

/// When a push starts, and with how many slices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// Not before this time.
    At(Timestamp),
    /// Now.
    Now {
        /// The number of slices, at least 1.
        slices: u32,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PushItem {
    pk: String,
    sk: String,
    state: PushState,
    #[serde(default)]
    slices: u32,
    /// The release before stored the set of their numbers instead, as `slicesDone`.
    #[serde(default, skip_serializing_if = "is_zero")]
    slices_counted: u32,
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
    /// Present while the push is open, so that the index lists only open pushes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    open: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    published: BTreeSet<String>,
    /// Present while events are unpublished, so that the index lists only those pushes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unpublished: Option<String>,
}

impl Pushes {
    /// Opens the table named `table`.
    pub fn new(client: Client, table: impl Into<String>, sources: Sources) -> Self {
        Self { table: Table::new(client, table, sources) }
    }

    /// Creates a push unless it exists. Returns the stored one, so that a repeated request finds the same slices.
    pub async fn create(&self, request: &PushRequest, plan: Plan) -> Result<Push, StoreError> {
        let (state, slices, starts_at, started_at) = match plan {
            Plan::At(starts_at) => (PushState::Scheduled, 0, Some(starts_at), None),
            Plan::Now { slices } => (PushState::Running, slices, None, Some(self.table.now())),
        };
        let item = PushItem {
            pk: request.push.to_string(),
            sk: PUSH_SK.to_owned(),
            state,
            slices,
            slices_counted: 0,
            requested_by: request.requested_by.clone(),
            requested_at: request.requested_at,
            starts_at,
            started_at,
            completed_at: None,
            cancelled_by: None,
            open: Some(OPEN.to_owned()),
            published: BTreeSet::new(),
            // The first push of an offer has an event to publish: that the offer was created.
            unpublished: (request.push.number == 1).then(|| UNPUBLISHED.to_owned()),
        };
        let put = self.table.put(self.table.to_item(&item)?).condition_expression("attribute_not_exists(pk)");
        // Its own repeated write finds what it would have returned.
        match self.table.put_if(put, never_own).await? {
            Conditional::Done(()) => self.push(item),
            Conditional::NotMet(stored) => self.push(stored),
        }
    }

    /// Starts a scheduled push. Returns the stored one, which has other slices if another caller started it first, or
    /// `None` if there is no such push.
    pub async fn start(&self, push: PushId, slices: u32) -> Result<Option<Push>, StoreError> {
        let start = self
            .update_now(push, PUSH_SK)
            .update_expression("SET #state = :running, slices = :slices, startedAt = :now")
            .condition_expression("#state = :scheduled")
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":running", text(PushState::Running))
            .expression_attribute_values(":scheduled", text(PushState::Scheduled))
            .expression_attribute_values(":slices", number(slices));
        // Its own repeated write finds the push as it would have returned it.
        match self.table.update_if(start, never_own).await? {
            Conditional::NotMet(None) => Ok(None),
            Conditional::Done(item) | Conditional::NotMet(Some(item)) => self.push(item).map(Some),
        }
    }

    /// A push without its counts, read consistently.
    pub async fn get(&self, id: PushId) -> Result<Option<Push>, StoreError> {
        self.table.get(key(id, PUSH_SK)).await?.map(|item| self.push(self.table.read(item)?)).transpose()
    }

    /// Whether a push is cancelled, read consistently.
    ///
    /// # Errors
    /// If there is no such push.
    pub async fn is_cancelled(&self, id: PushId) -> Result<bool, StoreError> {
        let push = self.get(id).await?.ok_or_else(|| self.table.unreadable("the push is missing"))?;
        Ok(push.state == PushState::Cancelled)
    }

    /// Those of these pushes that exist, read consistently: up to 100.
    pub async fn existing(&self, ids: &[PushId]) -> Result<HashSet<PushId>, StoreError> {
        let keys = ids.iter().map(|id| key(id, PUSH_SK)).collect();
        Ok(self.table.get_many(keys, Consistency::Strong).await?.iter().filter_map(id_of).collect())
    }

    /// Cancels a push if it is open. A push that is requested but not created yet is created as cancelled. Returns the
    /// stored push.
    pub async fn cancel(&self, request: &PushRequest, by: &str) -> Result<Push, StoreError> {
        let cancel = self
            .update_now(request.push, PUSH_SK)
            .update_expression(
                "SET #state = :cancelled, cancelledBy = :by, completedAt = :now, \
                 requestedBy = if_not_exists(requestedBy, :requestedBy), \
                 requestedAt = if_not_exists(requestedAt, :requestedAt), unpublished = :unpublished REMOVE #open",
            )
            .condition_expression("attribute_not_exists(pk) OR #state IN (:scheduled, :running)")
            .expression_attribute_names("#state", "state")
            .expression_attribute_names("#open", "open")
            .expression_attribute_values(":cancelled", text(PushState::Cancelled))
            .expression_attribute_values(":scheduled", text(PushState::Scheduled))
            .expression_attribute_values(":running", text(PushState::Running))
            .expression_attribute_values(":by", text(by))
            .expression_attribute_values(":requestedBy", text(&request.requested_by))
            .expression_attribute_values(":requestedAt", millis(request.requested_at))
            .expression_attribute_values(":unpublished", text(UNPUBLISHED));
        // Its own repeated write finds the push cancelled.
        match self.table.update_if(cancel, never_own).await? {
            Conditional::Done(item) | Conditional::NotMet(Some(item)) => self.push(item),
            Conditional::NotMet(None) => Err(self.table.unreadable("the push is missing")),
        }
    }

    /// Open pushes, oldest first. A new one may take a moment to be listed.
    pub async fn list_open(&self, limit: u16, after: Option<Cursor>) -> Result<Page<Push>, StoreError> {
        let query = self
            .table
            .query()
            .index_name(OPEN_PUSHES)
            .key_condition_expression("#open = :open")
            .expression_attribute_names("#open", "open")
            .expression_attribute_values(":open", text(OPEN));
        let reading = Reading { key: &OPEN_CURSOR_KEY, is_filtered: false, limit };
        let page = list::page(&self.table, [Part { query, start: None }], reading, after).await?;
        page.try_map(|item| self.push(self.table.read(item)?))
    }

    /// Checks that [`Pushes::list_open`] returned this cursor.
    pub fn check_cursor(cursor: &Cursor) -> Result<(), InvalidCursor> {
        (fits(cursor, &OPEN_CURSOR_KEY) && cursor.part("open") == Some(OPEN)).then_some(()).ok_or(InvalidCursor)
    }

    fn update(&self, push: PushId, sk: impl ToString) -> UpdateItemFluentBuilder {
        self.table.update(key(push, sk))
    }

    /// An update with the current time as `:now`.
    fn update_now(&self, push: PushId, sk: impl ToString) -> UpdateItemFluentBuilder {
        self.update(push, sk).expression_attribute_values(":now", millis(self.table.now()))
    }

    fn push(&self, item: PushItem) -> Result<Push, StoreError> {
        Ok(Push {
            id: item.pk.parse().map_err(|error| self.table.unreadable(error))?,
            state: item.state,
            slices: item.slices,
            slices_done: if item.state == PushState::Completed { item.slices } else { item.slices_counted },
            requested_by: item.requested_by,
            requested_at: item.requested_at,
            starts_at: item.starts_at,
            started_at: item.started_at,
            completed_at: item.completed_at,
            cancelled_by: item.cancelled_by,
            // Events that only a later release knows are left out.
            published: item.published.iter().filter_map(|kind| kind.parse().ok()).collect(),
        })
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// The push that an item belongs to. Reads the key only, so that it works for an item that is otherwise unreadable.
fn id_of(item: &Item) -> Option<PushId> {
    item.get("pk")?.as_s().ok()?.parse().ok()
}

/// Whether an item is a push's own, and not a slice's.
fn is_push(item: &Item) -> bool {
    item.get("sk").is_some_and(|sk| *sk == text(PUSH_SK))
}
