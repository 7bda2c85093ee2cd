//! Events about customers, to publish: stored together with the change that they report, so that neither is without the
//! other. The table's stream carries them on, and they expire after days.

use std::ops::Range;

use aws_sdk_dynamodb::types::{Put, TransactWriteItem};
use domain::event::{CustomerChange, CustomerEventKind};
use domain::{Channel, CustomerId, OfferId};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use super::Suppressions;
use crate::attributes::{millis, millis_serde, number, partition_key, text};
use crate::cursor::{Cursor, Page};
use crate::error::without_values;
use crate::{StoreError, attributes::Item};

/// How long an event is stored. The stream keeps its records for a day.
const KEEP: SignedDuration = SignedDuration::from_hours(7 * 24);
/// The beginning of an event's key. A UUIDv7 follows.
const PREFIX: &str = "event#";
/// The segments in which [`Suppressions::events_page`] reads the table. More of them would take more of the table's
/// capacity from the functions that send.
pub const EVENT_SEGMENTS: u16 = 4;

/// An event as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// A UUIDv7: unique, and the same however often the event is read.
    pub id: String,
    pub change: CustomerChange,
}

/// An item is no event that this release can read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the stored event is unreadable: {reason}")]
pub struct UnreadableEvent {
    /// The event's id, as far as it is known.
    pub id: String,
    /// Quotes no value.
    reason: String,
}

#[derive(Deserialize)]
struct EventItem {
    kind: CustomerEventKind,
    customer: CustomerId,
    channel: Channel,
    #[serde(default)]
    offer: Option<OfferId>,
    #[serde(with = "millis_serde")]
    at: Timestamp,
}

impl StoredEvent {
    /// The event in an item, as the table or its stream has it; `None` if the item is of another kind.
    pub fn read(item: impl Into<serde_dynamo::Item>) -> Option<Result<Self, UnreadableEvent>> {
        let item = item.into();
        let Some(serde_dynamo::AttributeValue::S(pk)) = item.get("pk") else { return None };
        let id = pk.strip_prefix(PREFIX)?.to_owned();
        let read: Result<EventItem, _> = serde_dynamo::from_item(item);
        Some(match read {
            Ok(EventItem { kind, customer, channel, offer, at }) => {
                Ok(Self { id, change: CustomerChange { kind, customer, channel, offer, at } })
            }
            Err(error) => Err(UnreadableEvent { id, reason: without_values(&error.to_string()).to_owned() }),
        })
    }
}

impl Suppressions {
    /// A write that stores an event.
    pub(super) fn store_event(&self, change: &CustomerChange) -> TransactWriteItem {
        let put = Put::builder()
            .table_name(self.table.name())
            .set_item(Some(partition_key(format!("{PREFIX}{}", self.table.sources().uuid()))))
            .item("kind", text(change.kind))
            .item("customer", text(&change.customer))
            .item("channel", text(change.channel))
            .item("at", millis(change.at))
            .item("expiresAt", number((self.table.now() + KEEP).as_second()));
        let put = match change.offer {
            Some(offer) => put.item("offer", text(offer)),
            None => put,
        };
        TransactWriteItem::builder().put(put.build().expect("table and item are set")).build()
    }

    /// Reads one page of a segment of the table (from 0, below [`EVENT_SEGMENTS`]): the events in it that were stored in
    /// this period, as far as they have not expired.
    pub async fn events_page(
        &self,
        stored: &Range<Timestamp>,
        segment: u16,
        after: Option<Cursor>,
    ) -> Result<Page<Result<StoredEvent, UnreadableEvent>>, StoreError> {
        let scan = self
            .table
            .client()
            .scan()
            .table_name(self.table.name())
            .segment(segment.into())
            .total_segments(EVENT_SEGMENTS.into())
            .set_exclusive_start_key(after.map(Cursor::into_key))
            .filter_expression("pk >= :since AND pk < :until")
            .expression_attribute_values(":since", text(key_at(stored.start)))
            .expression_attribute_values(":until", text(key_at(stored.end)))
            .send()
            .await;
        let page = scan.map_err(|error| self.table.call_failed("Scan", &error))?;
        let next = page.last_evaluated_key.as_ref().map(Cursor::from_key);
        let items: Vec<Item> = page.items.unwrap_or_default();
        Ok(Page { items: items.into_iter().filter_map(StoredEvent::read).collect(), next })
    }
}

/// The key below which no event is that was stored then or later. A UUIDv7 begins with the milliseconds since 1970 in 48
/// bits (RFC 9562, 5.7).
fn key_at(at: Timestamp) -> String {
    let millis = at.as_millisecond().clamp(0, (1 << 48) - 1);
    format!("{PREFIX}{:08x}-{:04x}", millis >> 16, millis & 0xffff)
}
