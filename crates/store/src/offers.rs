//! The Offers table, append-only: offers, requests for pushes, and idempotency keys.
//!
//! Its stream is the transactional outbox. Whatever is told to anybody is told because an item stands here.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem};
use domain::channel::Channels;
use domain::offer::Offer;
use domain::queue::Origin;
use domain::{OfferId, PushId, Rule, Text, TraceId};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::StoreError;
use crate::cursor::{Cursor, InvalidCursor, Page, fits};
use crate::item::{Item, key, millis_serde, text};

/// How long an idempotency key is remembered.
pub const IDEMPOTENCY_HOURS: i64 = 24;

const BY_TIME: &str = "byTime";
const OFFER_SK: &str = "offer";
/// What the index tells apart.
const OFFER_KIND: &str = "offer";
const PUSH_KIND: &str = "push";
const PUSH_PREFIX: &str = "push#";
const IDEMPOTENCY_SK: &str = "idempotency";
/// Tries of a transaction that met another one on the same key.
const CONFLICT_TRIES: u32 = 3;

/// The Offers table.
#[derive(Debug, Clone)]
pub struct Offers {
    client: Client,
    table: String,
}

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

/// A request for a push: who asked, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushRequest {
    /// Which push of which offer.
    pub push: PushId,
    /// The caller's principal.
    pub requested_by: String,
    /// When.
    pub requested_at: Timestamp,
    /// Whether to try again who was refused by an earlier push.
    pub retry_rejected: bool,
    /// What ties the log lines of this push together.
    pub trace: Option<TraceId>,
}

impl PushRequest {
    /// What the messages of this push say of where they come from.
    pub fn origin(&self) -> Origin {
        Origin { requested_at: self.requested_at, trace: self.trace }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PushRequestItem {
    pk: OfferId,
    sk: String,
    kind: String,
    at: String,
    requested_by: String,
    #[serde(with = "millis_serde")]
    requested_at: Timestamp,
    #[serde(default)]
    retry_rejected: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trace: Option<TraceId>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct IdempotencyItem {
    fingerprint: String,
    offer_id: OfferId,
    /// Seconds since 1970, as DynamoDB's time to live wants it.
    expires_at: i64,
}

impl From<&PushRequest> for PushRequestItem {
    fn from(request: &PushRequest) -> Self {
        Self {
            pk: request.push.offer,
            sk: push_sk(request.push.number),
            kind: PUSH_KIND.to_owned(),
            at: sortable(request.requested_at, request.push.offer),
            requested_by: request.requested_by.clone(),
            requested_at: request.requested_at,
            retry_rejected: request.retry_rejected,
            trace: request.trace,
        }
    }
}

impl Offers {
    /// A handle on the table named `table`.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self { client, table: table.into() }
    }

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

    /// One offer.
    ///
    /// # Errors
    /// If the store is out of reach or the item unreadable.
    pub async fn get(&self, id: OfferId) -> Result<Option<Offer>, StoreError> {
        self.get_item(id, OFFER_SK).await?.map(|item| self.offer(item)).transpose()
    }

    /// The request for a push.
    ///
    /// # Errors
    /// If the store is out of reach or the item unreadable.
    pub async fn push_request(&self, push: PushId) -> Result<Option<PushRequest>, StoreError> {
        let Some(item) = self.get_item(push.offer, push_sk(push.number)).await? else {
            return Ok(None);
        };
        let item: PushRequestItem =
            serde_dynamo::from_item(item).map_err(|error| StoreError::unreadable(&self.table, error))?;
        Ok(Some(PushRequest {
            push,
            requested_by: item.requested_by,
            requested_at: item.requested_at,
            retry_rejected: item.retry_rejected,
            trace: item.trace,
        }))
    }

    /// The number of the last push that was requested for an offer; `None` if there is no such offer.
    ///
    /// # Errors
    /// If the store is out of reach.
    pub async fn last_push_number(&self, offer: OfferId) -> Result<Option<u32>, StoreError> {
        let answer = self
            .client
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .key_condition_expression("pk = :pk AND begins_with(sk, :push)")
            .expression_attribute_values(":pk", text(offer))
            .expression_attribute_values(":push", text(PUSH_PREFIX))
            .scan_index_forward(false)
            .limit(1)
            .send()
            .await
            .map_err(|error| StoreError::unavailable("Query", &self.table, &error))?;
        let key =
            answer.items.unwrap_or_default().into_iter().next().and_then(|item| item.get("sk")?.as_s().ok().cloned());
        Ok(key.and_then(|sk| push_of_key(&offer.to_string(), &sk)).map(|push| push.number))
    }

    /// Requests a further push. Answers whether it was; not if the number is taken.
    ///
    /// # Errors
    /// If the store is out of reach.
    pub async fn request_push(&self, request: &PushRequest) -> Result<bool, StoreError> {
        let written = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(to_item(PushRequestItem::from(request))))
            .condition_expression("attribute_not_exists(pk)")
            .send()
            .await;
        match written {
            Ok(_) => Ok(true),
            Err(SdkError::ServiceError(error)) if error.err().is_conditional_check_failed_exception() => Ok(false),
            Err(error) => Err(StoreError::unavailable("PutItem", &self.table, &error)),
        }
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

    /// The pushes that were requested between two moments, oldest first, as far as the index has them already.
    ///
    /// # Errors
    /// If the store is out of reach.
    pub async fn requested_between(&self, from: Timestamp, to: Timestamp) -> Result<Vec<PushId>, StoreError> {
        let mut pushes = Vec::new();
        let mut items = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(BY_TIME)
            .key_condition_expression("kind = :kind AND #at BETWEEN :from AND :to")
            .expression_attribute_names("#at", "at")
            .expression_attribute_values(":kind", text(PUSH_KIND))
            .expression_attribute_values(":from", text(sortable_time(from)))
            .expression_attribute_values(":to", text(sortable_time(to)))
            .into_paginator()
            .items()
            .send();
        while let Some(item) = items.next().await {
            let item = item.map_err(|error| StoreError::unavailable("Query", &self.table, &error))?;
            let part = |name: &str| item.get(name).and_then(|part| part.as_s().ok());
            pushes.extend(part("pk").zip(part("sk")).and_then(|(pk, sk)| push_of_key(pk, sk)));
        }
        Ok(pushes)
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

/// Which push a stream record's key requests; `None` for the other items of the table.
pub fn push_of_key(pk: &str, sk: &str) -> Option<PushId> {
    Some(PushId { offer: pk.parse().ok()?, number: sk.strip_prefix(PUSH_PREFIX)?.parse().ok()? })
}

/// A time as text that sorts as time does: always three digits of seconds' fractions.
fn sortable_time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// The index's sort key: by time, and by id within a millisecond.
fn sortable(at: Timestamp, id: OfferId) -> String {
    format!("{}#{id}", sortable_time(at))
}

fn push_sk(number: u32) -> String {
    format!("{PUSH_PREFIX}{number:04}")
}

fn to_item(item: impl Serialize) -> Item {
    let mut item: Item = serde_dynamo::to_item(item).expect("strings, numbers and lists of strings are attributes");
    item.retain(|_, value| !value.is_null());
    item
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_record_names_its_push() {
        let offer = OfferId::generate();
        let push = push_of_key(&offer.to_string(), "push#0012").unwrap();
        assert_eq!((push.offer, push.number), (offer, 12));
        assert_eq!(push_of_key(&offer.to_string(), "offer"), None);
        assert_eq!(push_of_key("idempotency#1", "push#0001"), None);
    }

    #[test]
    fn times_are_stored_as_milliseconds() {
        let at: Timestamp = "2026-01-01T00:00:00.123Z".parse().unwrap();
        let push = PushId { offer: OfferId::generate(), number: 1 };
        let request =
            PushRequest { push, requested_by: "b".into(), requested_at: at, retry_rejected: false, trace: None };
        let item = to_item(PushRequestItem::from(&request));
        assert_eq!(item["requestedAt"], crate::item::millis(at));
        assert_eq!(item["at"], text(format!("2026-01-01T00:00:00.123Z#{}", push.offer)));
        assert!(sortable_time(at) < sortable_time("2026-01-01T00:00:00.2Z".parse().unwrap()));
    }
}
