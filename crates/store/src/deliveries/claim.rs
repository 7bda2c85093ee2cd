//! Claiming a delivery under a lease, and recording its outcome.

use std::collections::HashMap;
use std::fmt;

use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use domain::notification::{DeliveryState, Outcome};
use domain::offer::Offer;
use domain::{AddressHash, CustomerId, PushId, Sources, TransportId};
use jiff::{SignedDuration, Timestamp};

use super::{Deliveries, DeliveryId, DeliveryItem};
use crate::StoreError;
use crate::attributes::{millis, number, text};
use crate::table::{Attempts, Conditional, Consistency, never_own};

/// Where there are two transports: how long a message that one of them did not respond to is reserved for it.
const RESERVED_FOR_TRANSPORT: SignedDuration = SignedDuration::from_mins(10);
/// How long an offer's deliveries are kept after its last push date.
const KEEP_DAYS: i64 = 30;

// Conditions on the stored delivery. `:push` is the number of the push that wants it.

/// It is not final, and no lease on it is running.
const AVAILABLE: &str = "attribute_not_exists(pk) OR #state = :retry OR (#state = :claimed AND leaseUntil < :now)";
/// An earlier push ended it without handing it over: not rejected, and not left without a response.
const RESENDABLE: &str = "push < :push AND (#state IN (:suppressed, :optedOut, :expired, :cancelled) \
                          OR (#state = :failed AND attribute_not_exists(addressHash)))";
/// It failed in an earlier push, at another address.
const FAILED_AT_OTHER_ADDRESS: &str = "push < :push AND #state = :failed AND addressHash <> :addressHash";
/// It failed in an earlier push.
const FAILED: &str = "push < :push AND #state = :failed";

/// Identifies one claim. Two claims on one delivery never have the same: it holds the time and 74 random bits.
#[derive(Debug, Clone, PartialEq, Eq)]
struct LeaseToken(String);

impl LeaseToken {
    fn generate(sources: &Sources) -> Self {
        Self(sources.uuid().to_string())
    }
}

impl fmt::Display for LeaseToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The right to send one notification until the lease ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The notification to send.
    pub id: DeliveryId,
    /// When the lease ends. Nothing may be sent after that.
    pub lease_until: Timestamp,
    /// How often it was handed over without a response. The customer may have received it.
    pub unanswered: u32,
    token: LeaseToken,
}

/// A delivery that has its outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FinalDelivery {
    /// The number of the push that made it final.
    pub push: u32,
    /// Its outcome.
    pub outcome: Outcome,
}

/// Why a delivery cannot be claimed now, if ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unclaimable {
    /// It has its outcome.
    Final(FinalDelivery),
    /// Another invocation holds a claim on it, or it is reserved for the other transport.
    Leased {
        /// Until when, unless an outcome is recorded before.
        until: Timestamp,
    },
}

/// The result of claiming a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClaimResult {
    /// The caller holds the claim.
    Granted(Claim),
    /// It does not.
    NotGranted(Unclaimable),
}

/// The result of recording an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordResult {
    /// It is stored.
    Recorded,
    /// Another invocation has claimed the delivery since, and its outcome counts.
    LeaseLost,
}

/// What is known about a claimed delivery that is released without an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// It was certainly not sent.
    Unsent,
    /// It was handed over, but there was no response.
    Unanswered,
}

/// The outcome to record for a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinalOutcome {
    pub outcome: Outcome,
    /// Why it was not sent. Never contains an address.
    pub reason: Option<String>,
    /// The provider's id of the message, if it was sent.
    pub provider_message_id: Option<String>,
    /// The hash of the address that was tried, if the message was sent, rejected, or handed over twice without a
    /// response.
    pub address_hash: Option<AddressHash>,
}

impl FinalOutcome {
    /// The outcome of a delivery that was not sent.
    pub fn unsent(outcome: Outcome, reason: impl Into<String>) -> Self {
        Self { outcome, reason: Some(reason.into()), provider_message_id: None, address_hash: None }
    }
}

/// Which final deliveries of earlier pushes a push may send again. What was sent is never sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResendPolicy<'a> {
    /// Those that were never handed over, and those that were rejected (or left without a response twice) at an address
    /// other than this one.
    Unsent(&'a AddressHash),
    /// Those, and those that were rejected (or left without a response twice) at this address.
    UnsentAndRejected,
}

/// The transports that can send a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The transport that is going to send it.
    pub transport: TransportId,
    /// The channel's other transport, if there is one. A message that it did not respond to is reserved for it for ten
    /// minutes, because it may recognise the message.
    pub other: Option<TransportId>,
}

impl Deliveries {
    /// The deliveries among these that need no claim: they were sent, or this push made them final. Recent ones may be
    /// missing; claiming those returns their outcome.
    pub async fn find_final(
        &self,
        push: PushId,
        ids: &[DeliveryId],
    ) -> Result<HashMap<CustomerId, FinalDelivery>, StoreError> {
        let keys = ids.iter().map(DeliveryId::key).collect();
        let items = self.table.get_many(keys, Consistency::Eventual).await?;
        let mut finals = HashMap::new();
        for item in items {
            let id = item.get("sk").and_then(|sk| sk.as_s().ok()?.split_once('#')?.0.parse().ok());
            // An unreadable item must not stop the others. Claiming it reports the error.
            let Ok(item) = self.table.read::<DeliveryItem>(item) else {
                continue;
            };
            let Ok(DeliveryState::Final(outcome)) = item.state.parse() else {
                continue;
            };
            if let Some(id) = id.filter(|_| outcome == Outcome::Sent || item.push == push.number) {
                finals.insert(id, FinalDelivery { push: item.push, outcome });
            }
        }
        Ok(finals)
    }

    /// Claims a delivery until `lease_until`.
    pub async fn claim(
        &self,
        id: DeliveryId,
        push: PushId,
        offer: &Offer,
        policy: ResendPolicy<'_>,
        route: Route,
        lease_until: Timestamp,
    ) -> Result<ClaimResult, StoreError> {
        let failed = match policy {
            ResendPolicy::Unsent(_) => FAILED_AT_OTHER_ADDRESS,
            ResendPolicy::UnsentAndRejected => FAILED,
        };
        let mut condition = format!("{AVAILABLE} OR ({RESENDABLE}) OR ({failed})");
        if route.other.is_some() {
            condition = format!(
                "({condition}) AND NOT (#state = :retry AND unansweredVia = :other AND unansweredAt > :reservedSince)"
            );
        }
        let token = LeaseToken::generate(self.table.sources());
        let mut update = self
            .update_available(&id, push, offer, &condition)
            .update_expression(
                "SET #state = :claimed, push = :push, updatedAt = :now, expiresAt = :expiresAt, \
                 leaseUntil = :leaseUntil, leaseToken = :token, transport = :transport \
                 REMOVE reason, addressHash ADD attempts :one",
            )
            .expression_attribute_values(":leaseUntil", millis(lease_until))
            .expression_attribute_values(":token", text(&token))
            .expression_attribute_values(":transport", text(route.transport))
            .expression_attribute_values(":one", number(1));
        if let ResendPolicy::Unsent(address) = policy {
            update = update.expression_attribute_values(":addressHash", text(address));
        }
        if let Some(other) = route.other {
            update = update
                .expression_attribute_values(":other", text(other))
                .expression_attribute_values(":reservedSince", millis(self.table.now() - RESERVED_FOR_TRANSPORT));
        }
        let is_own = |item: &DeliveryItem, _: &Attempts| item.lease_token.as_ref() == Some(&token.0);
        match self.table.update_if(update, is_own).await? {
            Conditional::Done(item) => {
                Ok(ClaimResult::Granted(Claim { id, lease_until, unanswered: item.unanswered, token }))
            }
            Conditional::NotMet(item) => self.unclaimable(item).map(ClaimResult::NotGranted),
        }
    }

    /// Records the outcome of a delivery that is not sent, unless it is final already or another invocation is sending
    /// it. Returns what it is then. One write: a claim before it would be wasted.
    pub async fn record_unsent(
        &self,
        id: &DeliveryId,
        push: PushId,
        offer: &Offer,
        outcome: &FinalOutcome,
    ) -> Result<Unclaimable, StoreError> {
        let update = self
            .update_available(id, push, offer, &format!("{AVAILABLE} OR ({RESENDABLE})"))
            .update_expression(
                "SET #state = :final, push = :push, updatedAt = :now, expiresAt = :expiresAt, reason = :reason \
                 REMOVE leaseUntil, leaseToken, addressHash",
            )
            .expression_attribute_values(":final", text(outcome.outcome))
            .expression_attribute_values(":reason", text(outcome.reason.as_deref().unwrap_or_default()));
        // Its own repeated write finds what it would have returned.
        match self.table.update_if(update, never_own::<DeliveryItem>).await? {
            Conditional::Done(item) => self.unclaimable(Some(item)),
            Conditional::NotMet(item) => self.unclaimable(item),
        }
    }

    /// An update under a condition made of the constants above, with the values that they name.
    fn update_available(
        &self,
        id: &DeliveryId,
        push: PushId,
        offer: &Offer,
        condition: &str,
    ) -> UpdateItemFluentBuilder {
        let resendable =
            [Outcome::Suppressed, Outcome::OptedOut, Outcome::Expired, Outcome::Cancelled, Outcome::Failed];
        let mut update = self
            .table
            .update(id.key())
            .condition_expression(condition)
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":retry", text(DeliveryState::Retry.as_str()))
            .expression_attribute_values(":claimed", text(DeliveryState::Claimed.as_str()))
            .expression_attribute_values(":push", number(push.number))
            .expression_attribute_values(":now", millis(self.table.now()))
            .expression_attribute_values(":expiresAt", number(keep_until(offer).as_second()));
        for outcome in resendable {
            update = update.expression_attribute_values(format!(":{outcome}"), text(outcome));
        }
        update
    }

    /// What a stored delivery is, to those who do not hold a claim on it.
    fn unclaimable(&self, item: Option<DeliveryItem>) -> Result<Unclaimable, StoreError> {
        // Each condition holds for a delivery that does not exist.
        let item = item.ok_or_else(|| self.table.unreadable("the item is missing"))?;
        match item.state.parse() {
            Ok(DeliveryState::Final(outcome)) => Ok(Unclaimable::Final(FinalDelivery { push: item.push, outcome })),
            // `retry` if the item has changed since, or is reserved for the other transport: the caller should try
            // again.
            Ok(DeliveryState::Claimed | DeliveryState::Retry) => {
                let reserved_until = item.unanswered_at.map(|at| at + RESERVED_FOR_TRANSPORT);
                Ok(Unclaimable::Leased {
                    until: item.lease_until.or(reserved_until).unwrap_or_else(|| self.table.now()),
                })
            }
            Err(error) => Err(self.table.unreadable(format!("state {error}"))),
        }
    }

    /// Records the outcome of a claimed delivery, which is final: only a later push may change it, and never if it was
    /// sent.
    pub async fn record(&self, claim: &Claim, outcome: &FinalOutcome) -> Result<RecordResult, StoreError> {
        let mut set = "SET #state = :state, updatedAt = :now, recordedBy = :token".to_owned();
        let mut update = self.update_claimed(claim).expression_attribute_values(":state", text(outcome.outcome));
        for (name, value) in [
            ("reason", outcome.reason.clone()),
            ("providerMessageId", outcome.provider_message_id.clone()),
            ("addressHash", outcome.address_hash.as_ref().map(ToString::to_string)),
        ] {
            if let Some(value) = value {
                set.push_str(&format!(", {name} = :{name}"));
                update = update.expression_attribute_values(format!(":{name}"), text(value));
            }
        }
        self.write_claimed(claim, update.update_expression(set + " REMOVE leaseUntil, leaseToken")).await
    }

    /// Releases a claimed delivery, so that it can be claimed and tried again.
    pub async fn release(&self, claim: &Claim, reason: &str, release: Release) -> Result<RecordResult, StoreError> {
        let update = self
            .update_claimed(claim)
            .expression_attribute_values(":state", text(DeliveryState::Retry.as_str()))
            .expression_attribute_values(":reason", text(reason));
        let (unanswered, update) = match release {
            Release::Unsent => ("", update),
            Release::Unanswered => (
                ", unanswered = :unanswered, unansweredAt = :now, unansweredVia = transport",
                update.expression_attribute_values(":unanswered", number(claim.unanswered + 1)),
            ),
        };
        let expression = format!(
            "SET #state = :state, updatedAt = :now, recordedBy = :token, reason = :reason{unanswered} \
             REMOVE leaseUntil, leaseToken"
        );
        self.write_claimed(claim, update.update_expression(expression)).await
    }

    fn update_claimed(&self, claim: &Claim) -> UpdateItemFluentBuilder {
        self.table
            .update(claim.id.key())
            .condition_expression("leaseToken = :token")
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":token", text(&claim.token))
            .expression_attribute_values(":now", millis(self.table.now()))
    }

    async fn write_claimed(&self, claim: &Claim, update: UpdateItemFluentBuilder) -> Result<RecordResult, StoreError> {
        let is_own = |item: &DeliveryItem, _: &Attempts| item.recorded_by.as_ref() == Some(&claim.token.0);
        Ok(match self.table.write_if(update, is_own).await? {
            Conditional::Done(()) => RecordResult::Recorded,
            Conditional::NotMet(_) => RecordResult::LeaseLost,
        })
    }
}

fn keep_until(offer: &Offer) -> Timestamp {
    offer.last_push_date() + SignedDuration::from_hours(24 * KEEP_DAYS)
}
