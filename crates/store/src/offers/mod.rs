//! The Offers table: offers, requests for pushes, idempotency keys, and the test messages of previews. Append-only, but for
//! the latter.
//!
//! Its stream is the transactional outbox: pushes start because their requests are stored here.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | how an offer is stored and listed | this file |
//! | how an offer is created once, however often a caller repeats the request | `create` |
//! | requests for pushes | `push_requests` |
//! | how many test messages previews may send, and their record | `test_messages` |

mod create;
mod push_requests;
mod test_messages;

use aws_sdk_dynamodb::Client;
use domain::channel::Channels;
use domain::offer::{Announcement, Offer};
use domain::{OfferId, RuleText, Sources};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::StoreError;
use crate::attributes::{Item, key, millis_serde, text};
use crate::cursor::{Cursor, InvalidCursor, Page, fits};
use crate::list::{self, Part, Reading};
use crate::table::Table;

pub use create::{CreateResult, IDEMPOTENCY_HOURS, Idempotency};
pub use push_requests::{PushRequest, push_of_key};
pub use test_messages::{TEST_RECORD_DAYS, TestMessages, TestRecord, TestReservation};

/// The index of offers and of requests for pushes, each in the order of their time.
const BY_TIME: &str = "byTime";
const OFFER_SK: &str = "offer";
/// The value of `kind` for offers, the partition key of the index.
const OFFER_KIND: &str = "offer";
/// The key of the index and that of the table.
const CURSOR_KEY: [&str; 4] = ["kind", "at", "pk", "sk"];

/// How much a page of offers holds, in bytes as JSON: Lambda returns 6 MB at most.
const PAGE_BYTES: usize = 4_000_000;

/// The Offers table.
#[derive(Debug, Clone)]
pub struct Offers {
    table: Table,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct OfferItem {
    pk: OfferId,
    sk: String,
    kind: String,
    at: String,
    code: String,
    #[serde(flatten)]
    announcement: Announcement,
    #[serde(skip_serializing_if = "Option::is_none")]
    eligibility: Option<RuleText>,
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
            announcement: offer.announcement.clone(),
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
            announcement: item.announcement,
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
    /// Opens the table named `table`.
    pub fn new(client: Client, table: impl Into<String>, sources: Sources) -> Self {
        Self { table: Table::new(client, table, sources) }
    }

    /// One offer, read consistently.
    pub async fn get(&self, id: OfferId) -> Result<Option<Offer>, StoreError> {
        self.table.get(key(id, OFFER_SK)).await?.map(|item| self.offer(item)).transpose()
    }

    /// Offers, newest first. A new one may take a moment to be listed.
    pub async fn list(&self, limit: u16, after: Option<Cursor>) -> Result<Page<Offer>, StoreError> {
        let query = self
            .table
            .query()
            .index_name(BY_TIME)
            .key_condition_expression("kind = :kind")
            .expression_attribute_values(":kind", text(OFFER_KIND))
            .scan_index_forward(false);
        let reading = Reading { key: &CURSOR_KEY, is_filtered: false, limit };
        let page = list::page(&self.table, [Part { query, start: None }], reading, after).await?;
        page.try_map(|item| self.offer(item)).map(within_a_response)
    }

    /// The cursor with which a list continues after this offer.
    pub(crate) fn cursor_after(offer: &Offer) -> Cursor {
        let mut key = key(offer.id, OFFER_SK);
        key.insert("kind".to_owned(), text(OFFER_KIND));
        key.insert("at".to_owned(), text(sortable(offer.created_at, offer.id)));
        Cursor::from_key(&key)
    }

    /// Checks that [`Offers::list`] returned this cursor.
    pub fn check_cursor(cursor: &Cursor) -> Result<(), InvalidCursor> {
        let of_offers = cursor.part("kind") == Some(OFFER_KIND);
        (fits(cursor, &CURSOR_KEY) && of_offers).then_some(()).ok_or(InvalidCursor)
    }

    fn offer(&self, item: Item) -> Result<Offer, StoreError> {
        self.table.read::<OfferItem>(item).map(Offer::from)
    }
}

/// The page, or as much of it as a response can hold. At least one offer.
fn within_a_response(mut page: Page<Offer>) -> Page<Offer> {
    let mut bytes = 0;
    let fitting = page.items.iter().take_while(|offer| {
        bytes += serde_json::to_vec(offer).map_or(0, |json| json.len());
        bytes <= PAGE_BYTES
    });
    let fitting = fitting.count().max(1);
    if fitting < page.items.len() {
        page.items.truncate(fitting);
        page.next = page.items.last().map(Offers::cursor_after);
    }
    page
}

/// A time as text that sorts chronologically: always with three digits for the milliseconds.
fn sortable_time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// The sort key of the index: by time, and by id within a millisecond.
fn sortable(at: Timestamp, id: OfferId) -> String {
    format!("{}#{id}", sortable_time(at))
}

fn to_item(item: impl Serialize) -> Item {
    let mut item: Item = serde_dynamo::to_item(item).expect("strings, numbers and lists of strings are attributes");
    item.retain(|_, value| !value.is_null());
    item
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::types::AttributeValue;

    use super::*;
    use crate::attributes::number;

    fn stored(eligibility: &str, subject: &str, description: &str) -> Item {
        let id = "01980000-0000-7000-8000-000000000001";
        let mut item = key(id, OFFER_SK);
        for (name, value) in [
            ("kind", OFFER_KIND),
            ("at", "2026-06-01T12:00:00.000Z#01980000-0000-7000-8000-000000000001"),
            ("code", "CASHBK"),
            ("eligibility", eligibility),
            ("subject", subject),
            ("description", description),
            ("createdBy", "bank"),
        ] {
            item.insert(name.to_owned(), text(value));
        }
        item.insert("channels".to_owned(), AttributeValue::L(vec![text("email")]));
        item.insert("createdAt".to_owned(), number(1_780_315_200_000_i64));
        item
    }

    #[test]
    fn offer_keeps_its_stored_form() {
        let item = stored("customer.tier == 'gold'", "Save", "Dear {{ customer.name }}");
        let offer = Offer::from(serde_dynamo::from_item::<_, OfferItem>(item.clone()).unwrap());
        assert_eq!(to_item(OfferItem::from(&offer)), item);
    }

    /// A list of offers is read with all of them or not at all, so one must not make the others unreadable.
    #[test]
    fn offer_that_is_no_longer_valid_is_read() {
        let item = stored("customer.tier ==", "{name}", "}} Hello");
        let offer = Offer::from(serde_dynamo::from_item::<_, OfferItem>(item).unwrap());
        assert_eq!(offer.eligibility.unwrap().source(), "customer.tier ==");
        assert_eq!(
            (offer.announcement.subject.source(), offer.announcement.description.source()),
            ("{name}", "}} Hello")
        );
    }
}
