//! Creating an offer once, however often a caller repeats the request.

use std::time::Duration;

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{Put, TransactWriteItem};
use domain::offer::Offer;
use domain::{OfferId, PushId, TraceId};
use jiff::SignedDuration;
use serde::Deserialize;

use super::push_requests::{PushRequest, PushRequestItem};
use super::{OfferItem, Offers, to_item};
use crate::StoreError;
use crate::attributes::{Item, key, number, text};

/// How long an idempotency key is remembered.
pub const IDEMPOTENCY_HOURS: i64 = 24;

const IDEMPOTENCY_SK: &str = "idempotency";
/// Attempts at a transaction that conflicts with another one on the same key.
const CONFLICT_ATTEMPTS: u32 = 3;

/// Identifies a request that a caller may repeat.
#[derive(Debug, Clone)]
pub struct Idempotency {
    /// The caller that the key belongs to. Another caller may use the same key for another request.
    pub owner: String,
    /// The caller's `Idempotency-Key`.
    pub key: String,
    /// A hash of the request, which detects a key that is reused for another request.
    pub fingerprint: String,
}

impl Idempotency {
    fn item_key(&self) -> Item {
        let Self { owner, key: idempotency_key, .. } = self;
        // The length shows where the owner ends: both may contain a `#`.
        key(format!("idempotency#{}#{owner}#{idempotency_key}", owner.len()), IDEMPOTENCY_SK)
    }
}

/// The result of creating an offer.
#[derive(Debug)]
pub enum CreateResult {
    /// The offer and the request for its first push are stored.
    Stored,
    /// The key was used before for the same request, which stored this offer.
    Replayed(Box<Offer>),
    /// The key was used before for another request.
    KeyReused,
    /// Another request with the same key is in progress.
    Contended,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct IdempotencyItem {
    fingerprint: String,
    offer_id: OfferId,
    /// Seconds since 1970, the unit of DynamoDB's time to live.
    expires_at: i64,
}

impl Offers {
    /// Stores an offer and the request for its first push, both or neither.
    ///
    /// # Errors
    /// After [`StoreError::Unavailable`], either nothing is stored, or everything is and only the response was lost.
    /// With an idempotency key the caller can safely repeat the request.
    pub async fn create(
        &self,
        offer: &Offer,
        idempotency: Option<&Idempotency>,
        trace: TraceId,
    ) -> Result<CreateResult, StoreError> {
        for attempt in 1.. {
            let cancelled = match self.try_create(offer, idempotency, trace).await {
                Ok(()) => return Ok(CreateResult::Stored),
                Err(SdkError::ServiceError(error)) => match error.into_err() {
                    TransactWriteItemsError::TransactionCanceledException(cancelled) => cancelled,
                    error => return Err(StoreError::call_failed("TransactWriteItems", self.table.name(), &error)),
                },
                Err(error) => {
                    // Without a response, the offer may be stored all the same.
                    return match self.get(offer.id).await {
                        Ok(Some(_)) => Ok(CreateResult::Stored),
                        _ => Err(self.table.call_failed("TransactWriteItems", &error)),
                    };
                }
            };
            let has_reason =
                |code: &str| cancelled.cancellation_reasons().iter().any(|reason| reason.code() == Some(code));
            if let Some(idempotency) = idempotency
                && has_reason("ConditionalCheckFailed")
            {
                return Ok(self.find_replay(idempotency).await?.unwrap_or(CreateResult::Contended));
            }
            if !has_reason("TransactionConflict") {
                return Err(StoreError::call_failed("TransactWriteItems", self.table.name(), &cancelled));
            }
            if attempt == CONFLICT_ATTEMPTS {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20 << attempt)).await;
        }
        Ok(CreateResult::Contended)
    }

    async fn try_create(
        &self,
        offer: &Offer,
        idempotency: Option<&Idempotency>,
        trace: TraceId,
    ) -> Result<(), SdkError<TransactWriteItemsError>> {
        let request = PushRequest {
            push: PushId { offer: offer.id, number: 1 },
            requested_by: offer.created_by.clone(),
            requested_at: offer.created_at,
            retry_rejected: false,
            lost_deliveries: 0,
            trace: Some(trace),
        };
        let mut call = self
            .table
            .client()
            .transact_write_items()
            .transact_items(self.insert(to_item(OfferItem::from(offer))))
            .transact_items(self.insert(to_item(PushRequestItem::from(&request))));
        if let Some(idempotency) = idempotency {
            call = call.transact_items(self.remember(idempotency, offer));
        }
        call.send().await.map(|_| ())
    }

    fn insert(&self, item: Item) -> TransactWriteItem {
        let put = Put::builder()
            .table_name(self.table.name())
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(pk)")
            .build()
            .expect("table and item are set");
        TransactWriteItem::builder().put(put).build()
    }

    fn remember(&self, idempotency: &Idempotency, offer: &Offer) -> TransactWriteItem {
        let now = offer.created_at;
        let expires_at = now + SignedDuration::from_hours(IDEMPOTENCY_HOURS);
        let put = Put::builder()
            .table_name(self.table.name())
            .set_item(Some(idempotency.item_key()))
            .item("fingerprint", text(&idempotency.fingerprint))
            .item("offerId", text(offer.id))
            .item("expiresAt", number(expires_at.as_second()))
            // DynamoDB removes expired items within days, not immediately.
            .condition_expression("attribute_not_exists(pk) OR expiresAt <= :now")
            .expression_attribute_values(":now", number(now.as_second()))
            .build()
            .expect("table and item are set");
        TransactWriteItem::builder().put(put).build()
    }

    /// The result of an earlier request with the same key, if there was one in the last [`IDEMPOTENCY_HOURS`]. Makes up
    /// to two calls.
    pub async fn find_replay(&self, idempotency: &Idempotency) -> Result<Option<CreateResult>, StoreError> {
        let Some(item) = self.table.get(idempotency.item_key()).await? else {
            return Ok(None);
        };
        let item: IdempotencyItem = self.table.read(item)?;
        if item.expires_at <= self.table.now().as_second() {
            return Ok(None);
        }
        if item.fingerprint != idempotency.fingerprint {
            return Ok(Some(CreateResult::KeyReused));
        }
        let offer = self
            .get(item.offer_id)
            .await?
            .ok_or_else(|| self.table.unreadable("an idempotency key names an offer that does not exist"))?;
        Ok(Some(CreateResult::Replayed(Box::new(offer))))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_owner_has_its_own_keys() {
        let item_key = |owner: &str, key: &str| {
            let idempotency = Idempotency { owner: owner.to_owned(), key: key.to_owned(), fingerprint: "f".to_owned() };
            idempotency.item_key()["pk"].as_s().unwrap().clone()
        };
        let of_role = item_key("arn:aws:sts::111122223333:assumed-role/offers", "order-1");
        assert_eq!(of_role, "idempotency#45#arn:aws:sts::111122223333:assumed-role/offers#order-1");
        let pairs = [("a", "order-1"), ("b", "order-1"), ("a#b", "c"), ("a", "b#c"), ("a", "2#b#c"), ("", "a#b#c")];
        let distinct: HashSet<_> = pairs.iter().map(|(owner, key)| item_key(owner, key)).collect();
        assert_eq!(distinct.len(), pairs.len(), "{distinct:?}");
    }
}
