//! The Offers table, append-only: offers, requests for pushes, and idempotency keys.
//!
//! Its stream is the transactional outbox. Whatever is told to anybody is told because an item stands here.

mod idempotency;
mod push_requests;

use aws_sdk_dynamodb::Client;
use domain::channel::Channels;
use domain::offer::Offer;
use domain::{OfferId, Rule, Text};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::StoreError;
use crate::attributes::{Item, key, millis_serde, text};
use crate::cursor::{Cursor, InvalidCursor, Page, fits};

pub use idempotency::{CreateResult, IDEMPOTENCY_HOURS, Idempotency};
pub use push_requests::{PushRequest, push_of_key};

const BY_TIME: &str = "byTime";
const OFFER_SK: &str = "offer";
/// What the index tells apart.
const OFFER_KIND: &str = "offer";

/// The Offers table.
#[derive(Debug, Clone)]
pub struct Offers {
    client: Client,
    table: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct OfferItem {
    pk: OfferId,
    sk: String,
    kind: String,
    at: String,
    code: String,
    subject: Text,
    description: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    eligibility: Option<Rule>,
    channels: Channels,
    #[serde(default, with = "millis_serde::option", skip_serializing_if = "Option::is_none")]
    valid_from: Option<Timestamp>,
    #[serde(default, with = "millis_serde::option", skip_serializing_if = "Option::is_none")]
    valid_until: Option<Timestamp>,
    #[serde(with = "millis_serde")]
    created_at: Timestamp,
    created_by: String,
}

impl From<&Offer> for OfferItem {
    fn from(offer: &Offer) -> Self {
        Self {
            pk: offer.id,
            sk: OFFER_SK.to_owned(),
            kind: OFFER_KIND.to_owned(),
            at: sortable(offer.created_at, offer.id),
            code: offer.code.clone(),
            subject: offer.subject.clone(),
            description: offer.description.clone(),
            eligibility: offer.eligibility.clone(),
            channels: offer.channels.clone(),
            valid_from: offer.valid_from,
            valid_until: offer.valid_until,
            created_at: offer.created_at,
            created_by: offer.created_by.clone(),
        }
    }
}

impl From<OfferItem> for Offer {
    fn from(item: OfferItem) -> Self {
        Self {
            id: item.pk,
            code: item.code,
            subject: item.subject,
            description: item.description,
            eligibility: item.eligibility,
            channels: item.channels,
            valid_from: item.valid_from,
            valid_until: item.valid_until,
            created_at: item.created_at,
            created_by: item.created_by,
        }
    }
}

impl Offers {
    /// A handle on the table named `table`.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self { client, table: table.into() }
    }

    /// One offer.
    ///
    /// # Errors
    /// If the store is out of reach or the item unreadable.
    pub async fn get(&self, id: OfferId) -> Result<Option<Offer>, StoreError> {
        self.get_item(id, OFFER_SK).await?.map(|item| self.offer(item)).transpose()
    }

    /// Offers, newest first. A new one may take a moment to be listed.
    ///
    /// # Errors
    /// If the store is out of reach or an item unreadable.
    pub async fn list(&self, limit: u16, after: Option<Cursor>) -> Result<Page<Offer>, StoreError> {
        let answer = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(BY_TIME)
            .key_condition_expression("kind = :kind")
            .expression_attribute_values(":kind", text(OFFER_KIND))
            .scan_index_forward(false)
            .limit(i32::from(limit))
            .set_exclusive_start_key(after.map(Cursor::into_key))
            .send()
            .await
            .map_err(|error| StoreError::unavailable("Query", &self.table, &error))?;
        Ok(Page {
            next: answer.last_evaluated_key.as_ref().map(Cursor::from_key),
            items: answer
                .items
                .unwrap_or_default()
                .into_iter()
                .map(|item| self.offer(item))
                .collect::<Result<_, _>>()?,
        })
    }

    /// Checks that a cursor was given out by [`Offers::list`].
    ///
    /// # Errors
    /// If it was not.
    pub fn check_cursor(cursor: &Cursor) -> Result<(), InvalidCursor> {
        let of_offers = cursor.part("kind") == Some(OFFER_KIND);
        (fits(cursor, &["kind", "at", "pk", "sk"]) && of_offers).then_some(()).ok_or(InvalidCursor)
    }

    async fn get_item(&self, pk: impl ToString, sk: impl ToString) -> Result<Option<Item>, StoreError> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(key(pk, sk)))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| StoreError::unavailable("GetItem", &self.table, &error))?;
        Ok(answer.item)
    }

    fn offer(&self, item: Item) -> Result<Offer, StoreError> {
        serde_dynamo::from_item::<_, OfferItem>(item)
            .map(Offer::from)
            .map_err(|error| StoreError::unreadable(&self.table, error))
    }
}

/// A time as text that sorts as time does: always three digits of seconds' fractions.
fn sortable_time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// The index's sort key: by time, and by id within a millisecond.
fn sortable(at: Timestamp, id: OfferId) -> String {
    format!("{}#{id}", sortable_time(at))
}

fn to_item(item: impl Serialize) -> Item {
    let mut item: Item = serde_dynamo::to_item(item).expect("strings, numbers and lists of strings are attributes");
    item.retain(|_, value| !value.is_null());
    item
}
