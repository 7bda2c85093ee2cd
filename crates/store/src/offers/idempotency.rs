//! Storing an offer once.

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem};
use domain::offer::Offer;
use domain::{OfferId, PushId, TraceId};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use super::push_requests::{PushRequest, PushRequestItem};
use super::{OfferItem, Offers, to_item};
use crate::StoreError;
use crate::attributes::{Item, key, text};

/// How long an idempotency key is remembered.
pub const IDEMPOTENCY_HOURS: i64 = 24;

const IDEMPOTENCY_SK: &str = "idempotency";
/// Tries of a transaction that met another one on the same key.
const CONFLICT_TRIES: u32 = 3;

/// A caller's promise that the same key means the same request.
#[derive(Debug, Clone)]
pub struct Idempotency {
    /// The caller's `Idempotency-Key`.
    pub key: String,
    /// A hash of the request, to tell a repetition from a mix-up.
    pub fingerprint: String,
}

/// What became of storing an offer.
#[derive(Debug)]
pub enum CreateResult {
    /// It is stored, and its first push requested.
    Stored,
    /// The key was used before for the same request: this is what was stored then.
    Replayed(Box<Offer>),
    /// The key was used before for another request.
    KeyReused,
    /// Another request with the same key is under way.
    Contended,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct IdempotencyItem {
    fingerprint: String,
    offer_id: OfferId,
    /// Seconds since 1970, as DynamoDB's time to live wants it.
    expires_at: i64,
}

impl Offers {
    /// Stores an offer and requests its first push, both or neither.
    ///
    /// # Errors
    /// If the store is out of reach. Then either nothing was stored, or all was and only the answer was lost; an
    /// idempotency key makes it safe to ask again.
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
                    error => return Err(StoreError::unavailable("TransactWriteItems", &self.table, &error)),
                },
                Err(error) => {
                    // No answer is not a no: it may be stored.
                    return match self.get(offer.id).await {
                        Ok(Some(_)) => Ok(CreateResult::Stored),
                        _ => Err(StoreError::unavailable("TransactWriteItems", &self.table, &error)),
                    };
                }
            };
            let because =
                |code: &str| cancelled.cancellation_reasons().iter().any(|reason| reason.code() == Some(code));
            if let Some(idempotency) = idempotency
                && because("ConditionalCheckFailed")
            {
                return Ok(self.find_replay(idempotency).await?.unwrap_or(CreateResult::Contended));
            }
            if !because("TransactionConflict") {
                return Err(StoreError::unavailable("TransactWriteItems", &self.table, &cancelled));
            }
            if attempt == CONFLICT_TRIES {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20 << attempt)).await;
        }
        Ok(CreateResult::Contended)
    }

    async fn try_create(
        &self,
        offer: &Offer,
        idempotency: Option<&Idempotency>,
        trace: TraceId,
    ) -> Result<(), SdkError<TransactWriteItemsError>> {
        let mut call = self
            .client
            .transact_write_items()
            .transact_items(self.insert(to_item(OfferItem::from(offer))))
            .transact_items(self.insert(to_item(PushRequestItem::from(&PushRequest {
                push: PushId { offer: offer.id, number: 1 },
                requested_by: offer.created_by.clone(),
                requested_at: offer.created_at,
                retry_rejected: false,
                trace: Some(trace),
            }))));
        if let Some(idempotency) = idempotency {
            let now = offer.created_at;
            let put = Put::builder()
                .table_name(&self.table)
                .set_item(Some(key(format!("idempotency#{}", idempotency.key), IDEMPOTENCY_SK)))
                .item("fingerprint", text(&idempotency.fingerprint))
                .item("offerId", text(offer.id))
                .item(
                    "expiresAt",
                    AttributeValue::N((now + SignedDuration::from_hours(IDEMPOTENCY_HOURS)).as_second().to_string()),
                )
                // DynamoDB removes expired items within days, not at once.
                .condition_expression("attribute_not_exists(pk) OR expiresAt <= :now")
                .expression_attribute_values(":now", AttributeValue::N(now.as_second().to_string()))
                .build()
                .expect("table and item are set");
            call = call.transact_items(TransactWriteItem::builder().put(put).build());
        }
        call.send().await.map(|_| ())
    }

    fn insert(&self, item: Item) -> TransactWriteItem {
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(pk)")
            .build()
            .expect("table and item are set");
        TransactWriteItem::builder().put(put).build()
    }

    /// What an earlier request with the same key stored, if there was one within [`IDEMPOTENCY_HOURS`]. Two calls.
    ///
    /// # Errors
    /// If the store is out of reach or an item unreadable.
    pub async fn find_replay(&self, idempotency: &Idempotency) -> Result<Option<CreateResult>, StoreError> {
        let Some(item) = self.get_item(format!("idempotency#{}", idempotency.key), IDEMPOTENCY_SK).await? else {
            return Ok(None);
        };
        let item: IdempotencyItem =
            serde_dynamo::from_item(item).map_err(|error| StoreError::unreadable(&self.table, error))?;
        if item.expires_at <= Timestamp::now().as_second() {
            return Ok(None);
        }
        if item.fingerprint != idempotency.fingerprint {
            return Ok(Some(CreateResult::KeyReused));
        }
        let offer = self.get(item.offer_id).await?.ok_or_else(|| {
            StoreError::unreadable(&self.table, "an idempotency key names an offer that is not there")
        })?;
        Ok(Some(CreateResult::Replayed(Box::new(offer))))
    }
}
