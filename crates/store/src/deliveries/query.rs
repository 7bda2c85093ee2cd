//! Reading the deliveries of an offer.

use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::Select;
use domain::notification::{DeliveryState, ReasonCode};
use domain::{Channel, CustomerId, OfferId};
use futures::future::try_join_all;
use jiff::Timestamp;

use super::{Deliveries, DeliveryItem, Feedback, FeedbackKind, SHARDS, partition, shard_of};
use crate::StoreError;
use crate::attributes::{Item, key, text};
use crate::cursor::{Cursor, InvalidCursor, Page, fits};
use crate::list::{self, Part, Reading};

/// The table's key.
const CURSOR_KEY: [&str; 2] = ["pk", "sk"];

/// A delivery as callers see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The recipient.
    pub customer: CustomerId,
    /// The channel.
    pub channel: Channel,
    /// The current state.
    pub state: DeliveryState,
    /// The number of the push that last changed the state.
    pub push: u32,
    /// How often it was claimed.
    pub attempts: u32,
    /// Why it was not sent, or not yet. `None` if a later release stored a code that is unknown here.
    pub code: Option<ReasonCode>,
    /// The same in words.
    pub reason: Option<String>,
    /// The provider's id of the message.
    pub provider_message_id: Option<String>,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// What the provider reported after it accepted the message. It does not change the state.
    pub feedback: Option<Feedback>,
}

/// Which of an offer's deliveries to list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeliverySelection {
    /// Those to this customer, or to any.
    pub customer: Option<CustomerId>,
    /// Those in this state, or in any.
    pub state: Option<DeliveryState>,
}

impl Deliveries {
    /// An offer's deliveries to one customer: one for each channel.
    pub async fn of_customer(&self, offer: OfferId, customer: &CustomerId) -> Result<Vec<Delivery>, StoreError> {
        let query = self
            .table
            .query()
            .consistent_read(true)
            .key_condition_expression("pk = :pk AND begins_with(sk, :customer)")
            .expression_attribute_values(":pk", text(partition(offer, shard_of(customer))))
            .expression_attribute_values(":customer", text(of_customer(customer)));
        let page = self.table.query_page(query).await?;
        page.items.unwrap_or_default().into_iter().map(|item| self.delivery(item)).collect()
    }

    /// One page of an offer's deliveries. Makes at least one call for each of the 16 shards that it reads.
    pub async fn list(
        &self,
        offer: OfferId,
        selection: &DeliverySelection,
        limit: u16,
        after: Option<Cursor>,
    ) -> Result<Page<Delivery>, StoreError> {
        let shards = match &selection.customer {
            Some(customer) => shard_of(customer)..shard_of(customer) + 1,
            None => after.as_ref().and_then(|cursor| shard_of_cursor(cursor, offer)).unwrap_or(0)..SHARDS,
        };
        let parts = shards.map(|shard| Part {
            query: self.query_shard(offer, shard, selection),
            // No sort key is smaller than this one.
            start: Some(key(partition(offer, shard), " ")),
        });
        let reading = Reading { key: &CURSOR_KEY, is_filtered: selection.state.is_some(), limit };
        list::page(&self.table, parts, reading, after).await?.try_map(|item| self.delivery(item))
    }

    fn query_shard(&self, offer: OfferId, shard: u8, selection: &DeliverySelection) -> QueryFluentBuilder {
        let mut query = self.table.query().expression_attribute_values(":pk", text(partition(offer, shard)));
        query = match &selection.customer {
            Some(customer) => query
                .key_condition_expression("pk = :pk AND begins_with(sk, :customer)")
                .expression_attribute_values(":customer", text(of_customer(customer))),
            None => query.key_condition_expression("pk = :pk"),
        };
        if let Some(state) = selection.state {
            query = query
                .filter_expression("#state = :state")
                .expression_attribute_names("#state", "state")
                .expression_attribute_values(":state", text(state.as_str()));
        }
        query
    }

    /// The number of an offer's deliveries in a state, read consistently. Reads all of its deliveries, the shards at the
    /// same time: of a million, which take some 300 MB, about 20 calls for each shard.
    pub async fn count(&self, offer: OfferId, state: DeliveryState) -> Result<u64, StoreError> {
        let counts = (0..SHARDS).map(|shard| self.count_in_shard(offer, shard, state));
        Ok(try_join_all(counts).await?.into_iter().sum())
    }

    async fn count_in_shard(&self, offer: OfferId, shard: u8, state: DeliveryState) -> Result<u64, StoreError> {
        let mut count = 0;
        let mut after = None;
        loop {
            let query = self
                .table
                .query()
                .consistent_read(true)
                .select(Select::Count)
                .key_condition_expression("pk = :pk")
                .filter_expression("#state = :state")
                .expression_attribute_names("#state", "state")
                .expression_attribute_values(":pk", text(partition(offer, shard)))
                .expression_attribute_values(":state", text(state.as_str()))
                .set_exclusive_start_key(after);
            let page = self.table.query_page(query).await?;
            count += u64::try_from(page.count).unwrap_or_default();
            after = page.last_evaluated_key;
            if after.is_none() {
                return Ok(count);
            }
        }
    }

    /// Checks that [`Deliveries::list`] returned this cursor for this offer and, if only one is listed, this customer.
    pub fn check_cursor(cursor: &Cursor, offer: OfferId, customer: Option<&CustomerId>) -> Result<(), InvalidCursor> {
        let shard = shard_of_cursor(cursor, offer).filter(|_| fits(cursor, &CURSOR_KEY)).ok_or(InvalidCursor)?;
        let is_of = |customer: &CustomerId| {
            shard == shard_of(customer) && cursor.part("sk").is_some_and(|sk| sk.starts_with(&of_customer(customer)))
        };
        customer.is_none_or(is_of).then_some(()).ok_or(InvalidCursor)
    }

    fn delivery(&self, item: Item) -> Result<Delivery, StoreError> {
        let item: DeliveryItem = self.table.read(item)?;
        let malformed = || self.table.unreadable("the key or the state is malformed");
        let (customer, channel) = item.sk.split_once('#').ok_or_else(malformed)?;
        // A kind of feedback that a later release stored is left out.
        let kind = item.feedback.as_deref().and_then(|name| name.parse::<FeedbackKind>().ok());
        let feedback =
            kind.zip(item.feedback_at).map(|(kind, at)| Feedback { kind, detail: item.feedback_detail.clone(), at });
        Ok(Delivery {
            customer: customer.parse().map_err(|_| malformed())?,
            channel: channel.parse().map_err(|_| malformed())?,
            state: item.state.parse().map_err(|_| malformed())?,
            push: item.push,
            attempts: item.attempts,
            code: item.reason_code(),
            reason: item.reason.filter(|reason| !reason.is_empty()),
            provider_message_id: item.provider_message_id,
            updated_at: item.updated_at,
            feedback,
        })
    }
}

/// The shard of an offer's deliveries in which a list continues.
fn shard_of_cursor(cursor: &Cursor, offer: OfferId) -> Option<u8> {
    (0..SHARDS).find(|shard| cursor.part("pk") == Some(partition(offer, *shard).as_str()))
}

/// How the sort keys of a customer's deliveries begin.
fn of_customer(customer: &CustomerId) -> String {
    format!("{customer}#")
}
