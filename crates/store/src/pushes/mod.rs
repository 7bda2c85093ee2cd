//! The Pushes table: how far each push is.
//!
//! One item tells of the push, one of each slice. Counts live on the slices, so that no item is written by everybody.
//!
//! Turning a page adds the numbers of its batches to those that are open; a batch that reports takes its number out, under
//! the condition that it is there. So counts are exact however often a message is delivered. A number holds the version of
//! the walk: when a page is walked again (because its walker died, or another one took the slice over), its batches have
//! other numbers, and those of the page that was never turned are not counted. It also tells the batch's channel, so that
//! one channel's outage does not hide that the other one's batches are missing.

mod batch_number;
mod outbox;
mod progress;
mod recovery;
mod report;
mod slices;

use std::collections::BTreeSet;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{ReturnValue, ReturnValuesOnConditionCheckFailure};
use domain::PushId;
use domain::event::EventKind;
use domain::push::PushState;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::StoreError;
use crate::attributes::{Item, key, millis, millis_serde, number, text};
use crate::cursor::{Cursor, InvalidCursor, Page, fits};
use crate::offers::PushRequest;

pub use batch_number::PAGE_BATCHES;
pub use outbox::push_of_key;
pub use progress::Progress;
pub use recovery::{SliceState, SliceStatus};
pub use report::{Report, ReportResult};
pub use slices::{ScanStep, SliceScan};

const OPEN_PUSHES: &str = "openPushes";
/// What the sparse index of those with something to tell holds.
const UNPUBLISHED: &str = "yes";
const OPEN: &str = "open";
const PUSH_SK: &str = "push";

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

impl Push {
    /// What the bus has yet to be told of it, in order.
    pub fn unpublished(&self) -> impl Iterator<Item = EventKind> {
        EventKind::of(self.id, self.state).filter(|kind| !self.published.contains(kind))
    }
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

enum Conditional {
    Done(Option<Item>),
    Refused(Option<Item>),
}
