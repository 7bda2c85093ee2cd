//! Events about customers, to publish: stored together with the change that they report, so that neither is without the
//! other. The table's stream carries them on, and they expire after days.

use aws_sdk_dynamodb::types::{Put, TransactWriteItem};
use domain::event::CustomerEventKind;
use domain::{Channel, CustomerId, OfferId};
use jiff::{SignedDuration, Timestamp};

use super::Suppressions;
use crate::attributes::{millis, number, partition_key, text};

/// How long an event is stored. The stream keeps its records for a day.
const KEEP: SignedDuration = SignedDuration::from_hours(7 * 24);

/// An event about a customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CustomerEvent {
    pub(super) kind: CustomerEventKind,
    pub(super) customer: CustomerId,
    pub(super) channel: Channel,
    /// The offer whose message it is about, if that is known.
    pub(super) offer: Option<OfferId>,
    /// When it happened.
    pub(super) at: Timestamp,
}

impl Suppressions {
    /// A write that stores an event.
    pub(super) fn store_event(&self, event: &CustomerEvent) -> TransactWriteItem {
        let put = Put::builder()
            .table_name(self.table.name())
            .set_item(Some(partition_key(format!("event#{}", self.table.sources().uuid()))))
            .item("kind", text(event.kind))
            .item("customer", text(&event.customer))
            .item("channel", text(event.channel))
            .item("at", millis(event.at))
            .item("expiresAt", number((self.table.now() + KEEP).as_second()));
        let put = match event.offer {
            Some(offer) => put.item("offer", text(offer)),
            None => put,
        };
        TransactWriteItem::builder().put(put.build().expect("table and item are set")).build()
    }
}
