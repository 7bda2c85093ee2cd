//! The Deliveries table: what became of each notification, and who may send it now.
//!
//! A delivery is claimed with one conditional write before anything is sent, and its outcome written only by whoever
//! holds the claim. That is what makes redelivered messages, retries and pushing again safe.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{ReturnValue, ReturnValuesOnConditionCheckFailure};
use domain::notification::{DeliveryState, Outcome};
use domain::offer::Offer;
use domain::{AddressHash, Channel, CustomerId, OfferId, PushId, TransportId};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::cursor::{Cursor, InvalidCursor, Page, fits};
use crate::item::{Item, key, millis, millis_serde, number, text};
use crate::{StoreError, batch};

/// Partitions of one offer's deliveries, so that none gets more writes than DynamoDB's 1,000 a second at our rates.
const SHARDS: u8 = 16;
/// How long what a transport left unanswered is left to that transport, where there are two.
const HELD: SignedDuration = SignedDuration::from_mins(10);
/// How long after an offer's last push date its deliveries are kept.
const KEEP_DAYS: i64 = 30;

/// The Deliveries table.
#[derive(Debug, Clone)]
pub struct Deliveries {
    client: Client,
    table: String,
}

/// Which notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryId {
    /// The offer.
    pub offer: OfferId,
    /// To whom.
    pub customer: CustomerId,
    /// How.
    pub channel: Channel,
}

impl DeliveryId {
    fn key(&self) -> Item {
        key(format!("{}#{:x}", self.offer, shard_of(&self.customer)), format!("{}#{}", self.customer, self.channel))
    }
}

/// The right to send one notification until the lease ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// What may be sent.
    pub id: DeliveryId,
    /// Until when. Nothing may be sent after it.
    pub lease_until: Timestamp,
    /// How often it was handed over already without an answer, so that the customer may have it.
    pub unanswered: u32,
    token: String,
}

/// What became of trying to claim a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClaimResult {
    /// It is ours.
    Granted(Claim),
    /// It is done, by the push with this number.
    Final {
        /// Which push of the offer did it.
        push: u32,
        /// How it ended.
        outcome: Outcome,
    },
    /// Somebody else holds it.
    Leased {
        /// Until then, if nothing becomes of it.
        until: Timestamp,
    },
}

/// Whether an outcome was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordResult {
    /// It stands in the table.
    Recorded,
    /// The lease had passed to somebody else, whose outcome counts.
    LeaseLost,
}

/// In what state a claimed delivery is put back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// Certainly not sent.
    Unsent,
    /// Handed over, but the answer was lost.
    Unanswered,
}

/// How a claimed delivery ended, to be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinalOutcome {
    /// How.
    pub outcome: Outcome,
    /// Why, if it was not sent. Never an address.
    pub reason: Option<String>,
    /// The provider's id of the message, if it was sent.
    pub provider_message_id: Option<String>,
    /// A hash of the address it went to, if it was sent or refused.
    pub address_hash: Option<AddressHash>,
}

impl FinalOutcome {
    /// An ending without sending.
    pub fn unsent(outcome: Outcome, reason: impl Into<String>) -> Self {
        Self { outcome, reason: Some(reason.into()), provider_message_id: None, address_hash: None }
    }
}

/// What the provider told later of a message that it had accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feedback {
    /// What happened.
    pub kind: FeedbackKind,
    /// The provider's words for it, without an address.
    pub detail: String,
    /// When.
    pub at: Timestamp,
}

domain::wire_enum! {
    /// What may happen to a message after the provider accepted it, the most severe last.
    pub enum FeedbackKind: "feedback" {
        /// It could not be delivered at that time.
        Delayed = "delayed",
        /// The provider refused to deliver it after all: it found a virus in it.
        Rejected = "rejected",
        /// It can never be delivered.
        Bounced = "bounced",
        /// The recipient marked it as spam.
        Complained = "complained",
    }
}

/// A delivery as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// To whom.
    pub customer: CustomerId,
    /// How.
    pub channel: Channel,
    /// Where it stands.
    pub state: DeliveryState,
    /// The number of the push that brought it there.
    pub push: u32,
    /// How often it was claimed.
    pub attempts: u32,
    /// Why it was not sent.
    pub reason: Option<String>,
    /// The provider's id of the message.
    pub provider_message_id: Option<String>,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// What the provider told later. It changes nothing of the state.
    pub feedback: Option<Feedback>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DeliveryItem {
    sk: String,
    state: String,
    push: u32,
    #[serde(default)]
    attempts: u32,
    reason: Option<String>,
    provider_message_id: Option<String>,
    #[serde(with = "millis_serde")]
    updated_at: Timestamp,
    #[serde(default, with = "millis_serde::option")]
    lease_until: Option<Timestamp>,
    lease_token: Option<String>,
    #[serde(default)]
    unanswered: u32,
    /// When it was last handed over without an answer.
    #[serde(default, with = "millis_serde::option")]
    unanswered_at: Option<Timestamp>,
    feedback: Option<String>,
    #[serde(default)]
    feedback_detail: String,
    #[serde(default, with = "millis_serde::option")]
    feedback_at: Option<Timestamp>,
}

/// Not done, and held by nobody: absent, put back, or held by somebody whose lease has ended.
const FREE: &str = "attribute_not_exists(pk) OR #state = :retry OR (#state = :claimed AND leaseUntil < :now)";
/// Ended without being sent by an earlier push, and not because it was refused.
const UNSENT: &str = "push < :push AND (#state IN (:suppressed, :optedOut, :expired, :cancelled) \
                      OR (#state = :failed AND attribute_not_exists(addressHash)))";
/// Refused by an earlier push, at another address.
const REFUSED_ELSEWHERE: &str = "push < :push AND #state = :failed AND addressHash <> :addressHash";
/// Refused by an earlier push.
const REFUSED: &str = "push < :push AND #state = :failed";

/// What a push may take up of what an earlier push ended. What was sent is never taken up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResendPolicy<'a> {
    /// What was not sent. What was refused only if it was at another address than this (as a hash).
    Unsent(&'a AddressHash),
    /// That, and what was refused at the same address.
    UnsentAndRejected,
}

/// What carries a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The transport's name.
    pub transport: TransportId,
    /// The other one's, if there is one. What that was handed without an answer is left to it for ten minutes: it may know
    /// the message again.
    pub other: Option<TransportId>,
}

impl Deliveries {
    /// A handle on the table named `table`.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self { client, table: table.into() }
    }

    /// What is known to be served, of one offer: sent, or ended otherwise by this push. What ended a moment ago may be
    /// missing; claiming it will tell.
    ///
    /// # Errors
    /// If the store is out of reach.
    pub async fn find_final(
        &self,
        push: PushId,
        ids: &[DeliveryId],
    ) -> Result<HashMap<CustomerId, ClaimResult>, StoreError> {
        let keys = ids.iter().map(DeliveryId::key).collect();
        let items = batch::get(&self.client, &self.table, keys, batch::Read::Eventual).await?;
        let mut served = HashMap::new();
        for item in items {
            let id = item.get("sk").and_then(|sk| sk.as_s().ok()?.split_once('#')?.0.parse().ok());
            // One that cannot be read is told by the attempt to claim it, and is no reason to stop the others.
            let Ok(item) = self.read(item) else {
                continue;
            };
            let Ok(DeliveryState::Final(outcome)) = item.state.parse() else {
                continue;
            };
            // No push takes these up.
            if let Some(id) = id.filter(|_| outcome == Outcome::Sent || item.push == push.number) {
                served.insert(id, ClaimResult::Final { push: item.push, outcome });
            }
        }
        Ok(served)
    }

    /// Claims a delivery until `lease_until`.
    ///
    /// # Errors
    /// If the store is out of reach or the item unreadable.
    pub async fn claim(
        &self,
        id: DeliveryId,
        push: PushId,
        offer: &Offer,
        take_up: ResendPolicy<'_>,
        via: Route,
        lease_until: Timestamp,
    ) -> Result<ClaimResult, StoreError> {
        // Unique for every claim that can ever meet this item: ids of this kind are 74 random bits and the time.
        let token = OfferId::generate().to_string();
        let take = |refused: &str| {
            let free = format!("{FREE} OR ({UNSENT}) OR ({refused})");
            match via.other {
                None => self.take(&id, push, offer, &free),
                Some(other) => self
                    .take(
                        &id,
                        push,
                        offer,
                        &format!(
                            "({free}) AND NOT (#state = :retry AND unansweredVia = :other AND unansweredAt > :held)"
                        ),
                    )
                    .expression_attribute_values(":other", text(other))
                    .expression_attribute_values(":held", millis(Timestamp::now() - HELD)),
            }
        };
        let call = match take_up {
            ResendPolicy::Unsent(hash) => {
                take(REFUSED_ELSEWHERE).expression_attribute_values(":addressHash", text(hash))
            }
            ResendPolicy::UnsentAndRejected => take(REFUSED),
        }
        .update_expression(
            "SET #state = :claimed, push = :push, updatedAt = :now, expiresAt = :expiresAt, \
             leaseUntil = :leaseUntil, leaseToken = :token, transport = :transport REMOVE reason ADD attempts :one",
        )
        .expression_attribute_values(":leaseUntil", millis(lease_until))
        .expression_attribute_values(":token", text(&token))
        .expression_attribute_values(":transport", text(via.transport))
        .expression_attribute_values(":one", number(1))
        .return_values(ReturnValue::AllNew);
        match call.send().await {
            Ok(updated) => {
                let unanswered = self.read(updated.attributes.unwrap_or_default())?.unanswered;
                Ok(ClaimResult::Granted(Claim { id, lease_until, unanswered, token }))
            }
            Err(error) => {
                let item = self.refused(error)?;
                // Our own write, whose answer was lost, so that the client made it again.
                if item.lease_token.as_ref() == Some(&token) {
                    return Ok(ClaimResult::Granted(Claim { id, lease_until, unanswered: item.unanswered, token }));
                }
                self.taken(&item)
            }
        }
    }

    /// Ends a delivery that nothing is sent for, in one step: claiming it first would be a write for nothing.
    ///
    /// # Errors
    /// If the store is out of reach or the item unreadable.
    pub async fn record_unsent(
        &self,
        id: &DeliveryId,
        push: PushId,
        offer: &Offer,
        ending: &FinalOutcome,
    ) -> Result<ClaimResult, StoreError> {
        let call = self
            .take(id, push, offer, &format!("{FREE} OR ({UNSENT})"))
            .update_expression(
                "SET #state = :final, push = :push, updatedAt = :now, expiresAt = :expiresAt, reason = :reason \
                 REMOVE leaseUntil, leaseToken",
            )
            .expression_attribute_values(":final", text(ending.outcome))
            .expression_attribute_values(":reason", text(ending.reason.as_deref().unwrap_or_default()));
        match call.send().await {
            Ok(_) => Ok(ClaimResult::Final { push: push.number, outcome: ending.outcome }),
            Err(error) => self.taken(&self.refused(error)?),
        }
    }

    fn take(&self, id: &DeliveryId, push: PushId, offer: &Offer, condition: &str) -> UpdateItemFluentBuilder {
        let unsent = [Outcome::Suppressed, Outcome::OptedOut, Outcome::Expired, Outcome::Cancelled, Outcome::Failed];
        let outcomes = unsent.map(|outcome| (format!(":{outcome}"), text(outcome)));
        let mut call = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(id.key()))
            .condition_expression(condition)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":retry", text(DeliveryState::Retry.as_str()))
            .expression_attribute_values(":claimed", text(DeliveryState::Claimed.as_str()))
            .expression_attribute_values(":push", number(push.number))
            .expression_attribute_values(":now", millis(Timestamp::now()))
            .expression_attribute_values(":expiresAt", number(keep_until(offer).as_second()));
        for (name, value) in outcomes {
            call = call.expression_attribute_values(name, value);
        }
        call
    }

    /// The item that did not meet a condition.
    fn refused(&self, error: SdkError<UpdateItemError>) -> Result<DeliveryItem, StoreError> {
        let item = match error {
            SdkError::ServiceError(error) => match error.into_err() {
                UpdateItemError::ConditionalCheckFailedException(failed) => failed.item,
                error => return Err(StoreError::unavailable("UpdateItem", &self.table, &error)),
            },
            error => return Err(StoreError::unavailable("UpdateItem", &self.table, &error)),
        };
        let item =
            item.ok_or_else(|| StoreError::unreadable(&self.table, "a failed condition came without its item"))?;
        self.read(item)
    }

    fn taken(&self, item: &DeliveryItem) -> Result<ClaimResult, StoreError> {
        match item.state.parse() {
            Ok(DeliveryState::Final(outcome)) => Ok(ClaimResult::Final { push: item.push, outcome }),
            // `retry` stands here if the item changed since, or the other transport must hand it over: asking again is right.
            Ok(DeliveryState::Claimed | DeliveryState::Retry) => {
                let held_until = item.unanswered_at.map(|at| at + HELD);
                Ok(ClaimResult::Leased { until: item.lease_until.or(held_until).unwrap_or_else(Timestamp::now) })
            }
            Err(error) => Err(StoreError::unreadable(&self.table, format!("state {error}"))),
        }
    }

    /// Records how a claimed delivery ended. Final: no later write changes it.
    ///
    /// # Errors
    /// If the store is out of reach.
    pub async fn record(&self, claim: &Claim, ending: &FinalOutcome) -> Result<RecordResult, StoreError> {
        let mut set = "SET #state = :state, updatedAt = :now".to_owned();
        let mut call = self.held(claim).expression_attribute_values(":state", text(ending.outcome));
        for (name, value) in [
            ("reason", ending.reason.clone()),
            ("providerMessageId", ending.provider_message_id.clone()),
            ("addressHash", ending.address_hash.as_ref().map(ToString::to_string)),
        ] {
            if let Some(value) = value {
                set.push_str(&format!(", {name} = :{name}"));
                call = call.expression_attribute_values(format!(":{name}"), text(value));
            }
        }
        self.write_if(call.update_expression(set + " REMOVE leaseUntil, leaseToken")).await
    }

    /// Puts a claimed delivery back, to be tried again by whoever comes first.
    ///
    /// # Errors
    /// If the store is out of reach.
    pub async fn release(&self, claim: &Claim, reason: &str, release: Release) -> Result<RecordResult, StoreError> {
        let call = self
            .held(claim)
            .expression_attribute_values(":state", text(DeliveryState::Retry.as_str()))
            .expression_attribute_values(":reason", text(reason));
        let (noted, call) = match release {
            Release::Unsent => ("", call),
            Release::Unanswered => (
                ", unanswered = :unanswered, unansweredAt = :now, unansweredVia = transport",
                call.expression_attribute_values(":unanswered", number(claim.unanswered + 1)),
            ),
        };
        let update =
            format!("SET #state = :state, updatedAt = :now, reason = :reason{noted} REMOVE leaseUntil, leaseToken");
        self.write_if(call.update_expression(update)).await
    }

    /// Notes beside the state what the provider told later. A complaint stays, whatever is told after it. Answers whether
    /// there is such a delivery to note it at.
    ///
    /// # Errors
    /// If the store is out of reach.
    pub async fn add_feedback(&self, id: &DeliveryId, feedback: &Feedback) -> Result<bool, StoreError> {
        let weightier = FeedbackKind::ALL.into_iter().filter(|kind| *kind > feedback.kind).map(FeedbackKind::as_str);
        let mut condition = "attribute_exists(pk)".to_owned();
        let mut call = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(id.key()))
            .update_expression("SET feedback = :kind, feedbackDetail = :detail, feedbackAt = :at")
            .expression_attribute_values(":kind", text(feedback.kind.as_str()))
            .expression_attribute_values(":detail", text(&feedback.detail))
            .expression_attribute_values(":at", millis(feedback.at));
        for kind in weightier {
            condition.push_str(&format!(" AND (attribute_not_exists(feedback) OR feedback <> :{kind})"));
            call = call.expression_attribute_values(format!(":{kind}"), text(kind));
        }
        Ok(self.write_if(call.condition_expression(condition)).await? == RecordResult::Recorded)
    }

    fn held(&self, claim: &Claim) -> UpdateItemFluentBuilder {
        self.client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(claim.id.key()))
            .condition_expression("leaseToken = :token")
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":token", text(&claim.token))
            .expression_attribute_values(":now", millis(Timestamp::now()))
    }

    async fn write_if(&self, call: UpdateItemFluentBuilder) -> Result<RecordResult, StoreError> {
        match call.send().await {
            Ok(_) => Ok(RecordResult::Recorded),
            Err(SdkError::ServiceError(error)) if error.err().is_conditional_check_failed_exception() => {
                Ok(RecordResult::LeaseLost)
            }
            Err(error) => Err(StoreError::unavailable("UpdateItem", &self.table, &error)),
        }
    }

    /// An offer's deliveries to one customer: one for each channel.
    ///
    /// # Errors
    /// If the store is out of reach or an item unreadable.
    pub async fn of_customer(&self, offer: OfferId, customer: &CustomerId) -> Result<Vec<Delivery>, StoreError> {
        let answer = self
            .client
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .key_condition_expression("pk = :pk AND begins_with(sk, :customer)")
            .expression_attribute_values(":pk", text(format!("{offer}#{:x}", shard_of(customer))))
            .expression_attribute_values(":customer", text(format!("{customer}#")))
            .send()
            .await
            .map_err(|error| StoreError::unavailable("Query", &self.table, &error))?;
        answer.items.unwrap_or_default().into_iter().map(|item| self.delivery(item)).collect()
    }

    /// An offer's deliveries, those in one state or all. A page may be short or empty and still have a next one. Up to
    /// one call for each of the 16 shards.
    ///
    /// # Errors
    /// If the store is out of reach or an item unreadable.
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
            let mut call = self
                .client
                .query()
                .table_name(&self.table)
                .key_condition_expression("pk = :pk")
                .expression_attribute_values(":pk", text(format!("{offer}#{shard:x}")))
                .limit(i32::try_from(usize::from(limit) - items.len()).unwrap_or(i32::from(limit)))
                .set_exclusive_start_key(after.take());
            if let Some(state) = state {
                call = call
                    .filter_expression("#state = :state")
                    .expression_attribute_names("#state", "state")
                    .expression_attribute_values(":state", text(state.as_str()));
            }
            let answer = call.send().await.map_err(|error| StoreError::unavailable("Query", &self.table, &error))?;
            for item in answer.items.unwrap_or_default() {
                items.push(self.delivery(item)?);
            }
            if let Some(key) = answer.last_evaluated_key {
                return Ok(Page { items, next: Some(Cursor::from_key(&key)) });
            }
            if items.len() >= usize::from(limit) && shard + 1 < SHARDS {
                // The next page begins with the next shard: no sort key is smaller than this one.
                let next = Cursor::from_key(&key(format!("{offer}#{:x}", shard + 1), " "));
                return Ok(Page { items, next: Some(next) });
            }
        }
        Ok(Page { items, next: None })
    }

    /// Checks that a cursor was given out by [`Deliveries::list`] for this offer.
    ///
    /// # Errors
    /// If it was not.
    pub fn check_cursor(cursor: &Cursor, offer: OfferId) -> Result<(), InvalidCursor> {
        let of_offer = cursor.part("pk").is_some_and(|pk| pk.starts_with(&format!("{offer}#")));
        (fits(cursor, &["pk", "sk"]) && of_offer).then_some(()).ok_or(InvalidCursor)
    }

    fn read(&self, item: Item) -> Result<DeliveryItem, StoreError> {
        serde_dynamo::from_item(item).map_err(|error| StoreError::unreadable(&self.table, error))
    }

    fn delivery(&self, item: Item) -> Result<Delivery, StoreError> {
        let item = self.read(item)?;
        let malformed = || StoreError::unreadable(&self.table, "the key or the state is malformed");
        let (customer, channel) = item.sk.split_once('#').ok_or_else(malformed)?;
        let kind =
            item.feedback.as_deref().and_then(|name| FeedbackKind::ALL.into_iter().find(|kind| kind.as_str() == name));
        let feedback =
            kind.zip(item.feedback_at).map(|(kind, at)| Feedback { kind, detail: item.feedback_detail.clone(), at });
        Ok(Delivery {
            customer: customer.parse().map_err(|_| malformed())?,
            channel: channel.parse().map_err(|_| malformed())?,
            state: item.state.parse().map_err(|_| malformed())?,
            push: item.push,
            attempts: item.attempts,
            reason: item.reason.filter(|reason| !reason.is_empty()),
            provider_message_id: item.provider_message_id,
            updated_at: item.updated_at,
            feedback,
        })
    }
}

fn keep_until(offer: &Offer) -> Timestamp {
    offer.last_push_date() + SignedDuration::from_hours(24 * KEEP_DAYS)
}

fn shard_of(customer: &CustomerId) -> u8 {
    Sha256::digest(customer.as_str())[0] % SHARDS
}
