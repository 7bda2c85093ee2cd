//! Reading the deliveries of an offer.

use aws_sdk_dynamodb::types::Select;
use domain::notification::{DeliveryState, ReasonCode};
use domain::{Channel, CustomerId, OfferId};
use futures::future::try_join_all;
use jiff::Timestamp;

use super::{Deliveries, DeliveryItem, Feedback, FeedbackKind, SHARDS, partition, shard_of};
use crate::StoreError;
use crate::attributes::{Item, key, text};
use crate::cursor::{Cursor, InvalidCursor, Page, fits};

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

impl Deliveries {
    /// An offer's deliveries to one customer: one for each channel.
    pub async fn of_customer(&self, offer: OfferId, customer: &CustomerId) -> Result<Vec<Delivery>, StoreError> {
        let query = self
            .table
            .query()
            .consistent_read(true)
            .key_condition_expression("pk = :pk AND begins_with(sk, :customer)")
            .expression_attribute_values(":pk", text(partition(offer, shard_of(customer))))
            .expression_attribute_values(":customer", text(format!("{customer}#")));
        let page = self.table.query_page(query).await?;
        page.items.unwrap_or_default().into_iter().map(|item| self.delivery(item)).collect()
    }

    /// An offer's deliveries, in one state or in any. A page may be short or empty although there is a next one. Makes
    /// up to one call for each of the 16 shards.
    pub async fn list(
        &self,
        offer: OfferId,
        state: Option<DeliveryState>,
        limit: u16,
        after: Option<Cursor>,
    ) -> Result<Page<Delivery>, StoreError> {
        let mut after = after.map(Cursor::into_key);
        let first = after
            .as_ref()
            .and_then(|key| u8::from_str_radix(key.get("pk")?.as_s().ok()?.rsplit('#').next()?, 16).ok())
            .unwrap_or(0);
        let mut items = Vec::new();
        for shard in first..SHARDS {
            let mut query = self
                .table
                .query()
                .key_condition_expression("pk = :pk")
                .expression_attribute_values(":pk", text(partition(offer, shard)))
                .limit(i32::try_from(usize::from(limit) - items.len()).unwrap_or(i32::from(limit)))
                .set_exclusive_start_key(after.take());
            if let Some(state) = state {
                query = query
                    .filter_expression("#state = :state")
                    .expression_attribute_names("#state", "state")
                    .expression_attribute_values(":state", text(state.as_str()));
            }
            let page = self.table.query_page(query).await?;
            for item in page.items.unwrap_or_default() {
                items.push(self.delivery(item)?);
            }
            if let Some(key) = page.last_evaluated_key {
                return Ok(Page { items, next: Some(Cursor::from_key(&key)) });
            }
            if let Some(next) = next_shard(shard, items.len(), limit) {
                // No sort key is smaller than this one.
                return Ok(Page { items, next: Some(Cursor::from_key(&key(partition(offer, next), " "))) });
            }
        }
        Ok(Page { items, next: None })
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

    /// Checks that [`Deliveries::list`] returned this cursor for this offer.
    pub fn check_cursor(cursor: &Cursor, offer: OfferId) -> Result<(), InvalidCursor> {
        let of_offer = cursor.part("pk").is_some_and(|pk| pk.starts_with(&format!("{offer}#")));
        (fits(cursor, &["pk", "sk"]) && of_offer).then_some(()).ok_or(InvalidCursor)
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
            code: item.code.and_then(|code| code.parse().ok()),
            reason: item.reason.filter(|reason| !reason.is_empty()),
            provider_message_id: item.provider_message_id,
            updated_at: item.updated_at,
            feedback,
        })
    }
}

/// The shard that the next page starts with, if the last item of `shard` fills this page. (DynamoDB itself then returns
/// a key of that shard.)
fn next_shard(shard: u8, items: usize, limit: u16) -> Option<u8> {
    let next = shard + 1;
    (items >= usize::from(limit) && next < SHARDS).then_some(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_page_ends_with_its_shard() {
        for (shard, items, limit, expected) in
            [(0, 6, 7, None), (0, 7, 7, Some(1)), (14, 7, 7, Some(15)), (15, 7, 7, None), (3, 8, 7, Some(4))]
        {
            assert_eq!(next_shard(shard, items, limit), expected, "{items} of {limit} at the end of {shard}");
        }
    }
}
