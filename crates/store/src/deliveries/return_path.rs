//! Finding the delivery that the tag of a return path was made for.

use domain::notification::DeliveryState;
use domain::return_path::{MIN_PREFIX, ReturnTag};
use domain::unsubscribe::KeyRing;
use domain::{AddressHash, Channel, CustomerId, HashKey};
use serde::Deserialize;

use super::{Deliveries, DeliveryId, SHARDS, partition};
use crate::StoreError;
use crate::attributes::{Item, text};

/// Maximum number of calls for a customer's id that is longer than a tag: one for each shard, and some for ids of which
/// many begin in the same way.
const CALLS: usize = 32;

/// What the tag of a return path belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaggedDelivery {
    /// A delivery.
    Found {
        /// Which one.
        id: DeliveryId,
        /// The hash of the address that the message went to, once it has its outcome.
        address: Option<AddressHash>,
        /// Whether the delivery has its outcome, or an invocation may still be sending it.
        is_claimed: bool,
    },
    /// We made the tag for a delivery that is not stored any more.
    Gone(DeliveryId),
    /// Nothing of ours.
    Forged,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AddressItem {
    state: String,
    address_hash: Option<String>,
}

impl Deliveries {
    /// The delivery that a tag was made for. One call, or several for a customer's id that is longer than the tag's
    /// prefix.
    pub async fn of_tag(
        &self,
        tag: &ReturnTag,
        ring: &KeyRing,
        hash_key: &HashKey,
    ) -> Result<TaggedDelivery, StoreError> {
        let id = |customer| DeliveryId { offer: tag.offer, customer, channel: Channel::Email };
        let whole: Option<CustomerId> = tag.prefix().parse().ok().filter(|customer| tag.is_of(customer, ring));
        if let Some(customer) = whole {
            let id = id(customer);
            return match self.table.get(id.key()).await? {
                Some(item) => self.found(id, item, hash_key),
                None => Ok(TaggedDelivery::Gone(id)),
            };
        }
        // Anyone can make up a tag; one that was cut would let many deliveries be read.
        if tag.prefix().len() < MIN_PREFIX {
            return Ok(TaggedDelivery::Forged);
        }
        let mut calls = 0;
        for shard in 0..SHARDS {
            let mut after = None;
            while calls < CALLS {
                calls += 1;
                let query = self
                    .table
                    .query()
                    .key_condition_expression("pk = :pk AND begins_with(sk, :prefix)")
                    .expression_attribute_values(":pk", text(partition(tag.offer, shard)))
                    .expression_attribute_values(":prefix", text(tag.prefix()))
                    .set_exclusive_start_key(after.take());
                let page = self.table.query_page(query).await?;
                for item in page.items.unwrap_or_default() {
                    if let Some(customer) = email_recipient(&item).filter(|customer| tag.is_of(customer, ring)) {
                        return self.found(id(customer), item, hash_key);
                    }
                }
                after = page.last_evaluated_key;
                if after.is_none() {
                    break;
                }
            }
        }
        Ok(TaggedDelivery::Forged)
    }

    fn found(&self, id: DeliveryId, item: Item, hash_key: &HashKey) -> Result<TaggedDelivery, StoreError> {
        let item: AddressItem = self.table.read(item)?;
        let address = item.address_hash.and_then(|hash| hash_key.stored_address(&hash));
        let is_claimed = item.state.parse() == Ok(DeliveryState::Claimed);
        Ok(TaggedDelivery::Found { id, address, is_claimed })
    }
}

fn email_recipient(item: &Item) -> Option<CustomerId> {
    let (customer, channel) = item.get("sk")?.as_s().ok()?.split_once('#')?;
    (channel == Channel::Email.as_str()).then(|| customer.parse().ok()).flatten()
}
