//! What one customer was sent, across offers.
//!
//! The Deliveries table has no index by customer: it would double what each delivery costs. So the offers are read,
//! newest first, and each offer's deliveries to the customer are looked up.

use std::time::Duration;

use domain::offer::Offer;
use domain::{Channel, CustomerId, OfferId, Sources};
use futures::{StreamExt, TryStreamExt, stream};

use crate::cursor::{Cursor, InvalidCursor, Page};
use crate::deliveries::Delivery;
use crate::{Deliveries, Offers, StoreError};

/// Offers that are read at a time, and kept in memory.
const OFFERS_AT_A_TIME: u16 = 32;
/// Offers that a page looks at, at most.
const MAX_OFFERS: usize = 512;
/// Offers whose deliveries are looked up at the same time.
const LOOKUPS_AT_A_TIME: usize = 16;
/// After this long, no more offers are read.
const TIME_LIMIT: Duration = Duration::from_secs(6);
/// The part of a cursor that names a channel: the list continues with the same offer, after this channel.
const CHANNEL: &str = "channel";

/// A delivery, and the offer it announces.
#[derive(Debug, Clone, PartialEq)]
pub struct OfferDelivery {
    /// The offer.
    pub offer: Offer,
    /// The delivery.
    pub delivery: Delivery,
}

/// What one customer was sent.
#[derive(Debug)]
pub struct CustomerHistory<'a> {
    /// The clock.
    pub sources: &'a Sources,
    /// The offers.
    pub offers: &'a Offers,
    /// Their deliveries.
    pub deliveries: &'a Deliveries,
}

impl CustomerHistory<'_> {
    /// One page of a customer's deliveries, those of the newest offer first. A page looks at up to 512 offers: it may be
    /// short, or empty, although there is a next one.
    pub async fn list(
        &self,
        customer: &CustomerId,
        limit: u16,
        after: Option<Cursor>,
    ) -> Result<Page<OfferDelivery>, StoreError> {
        let limit = usize::from(limit);
        let began = self.sources.now();
        let mut items: Vec<OfferDelivery> = Vec::new();
        if let Some((offer, channel)) = after.as_ref().and_then(continued) {
            let offer = self.offers.get(offer).await?;
            items.extend(
                self.look_up(customer, offer).await?.into_iter().filter(|item| item.delivery.channel > channel),
            );
        }
        let mut position = after.map(without_channel);
        let mut looked_at = 0;
        loop {
            if items.len() > limit {
                items.truncate(limit);
                let next = items.last().map(after_delivery);
                return Ok(Page { items, next });
            }
            if looked_at >= MAX_OFFERS || (looked_at > 0 && self.sources.age_of(began) >= TIME_LIMIT) {
                let last = items.last().filter(|_| items.len() == limit).map(after_delivery);
                return Ok(Page { items, next: last.or(position) });
            }
            let offers = self.offers.list(OFFERS_AT_A_TIME, position).await?;
            looked_at += offers.items.len();
            items.extend(self.look_up(customer, offers.items).await?);
            position = offers.next;
            if position.is_none() && items.len() <= limit {
                return Ok(Page { items, next: None });
            }
        }
    }

    /// The deliveries of these offers to a customer, in the order of the offers and, for each, of the channels.
    async fn look_up(
        &self,
        customer: &CustomerId,
        offers: impl IntoIterator<Item = Offer>,
    ) -> Result<Vec<OfferDelivery>, StoreError> {
        let lookups = offers.into_iter().map(async |offer| {
            let mut deliveries = self.deliveries.of_customer(offer.id, customer).await?;
            deliveries.sort_by_key(|delivery| delivery.channel);
            let items = deliveries.into_iter().map(|delivery| OfferDelivery { offer: offer.clone(), delivery });
            Ok::<_, StoreError>(items.collect::<Vec<_>>())
        });
        stream::iter(lookups).buffered(LOOKUPS_AT_A_TIME).try_concat().await
    }

    /// Checks that [`CustomerHistory::list`] returned this cursor.
    pub fn check_cursor(cursor: &Cursor) -> Result<(), InvalidCursor> {
        if cursor.part(CHANNEL).is_some() && continued(cursor).is_none() {
            return Err(InvalidCursor);
        }
        Offers::check_cursor(&without_channel(cursor.clone()))
    }
}

/// The cursor with which a list continues after this delivery: with the same offer, which may have more.
fn after_delivery(item: &OfferDelivery) -> Cursor {
    Offers::cursor_after(&item.offer).with(CHANNEL, item.delivery.channel)
}

/// The offer with which a list continues, and after which of its channels.
fn continued(cursor: &Cursor) -> Option<(OfferId, Channel)> {
    Some((cursor.part("pk")?.parse().ok()?, cursor.part(CHANNEL)?.parse().ok()?))
}

fn without_channel(cursor: Cursor) -> Cursor {
    cursor.without(CHANNEL)
}
