//! Claiming a delivery, and recording its outcome.

use std::collections::HashMap;

use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{ReturnValue, ReturnValuesOnConditionCheckFailure};
use domain::notification::{DeliveryState, Outcome};
use domain::offer::Offer;
use domain::{AddressHash, CustomerId, OfferId, PushId, TransportId};
use jiff::{SignedDuration, Timestamp};

use super::{Deliveries, DeliveryId, DeliveryItem};
use crate::attributes::{millis, number, text};
use crate::{StoreError, batch};

/// How long what a transport left unanswered is left to that transport, where there are two.
const HELD: SignedDuration = SignedDuration::from_mins(10);
/// How long after an offer's last push date its deliveries are kept.
const KEEP_DAYS: i64 = 30;

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
}

fn keep_until(offer: &Offer) -> Timestamp {
    offer.last_push_date() + SignedDuration::from_hours(24 * KEEP_DAYS)
}
