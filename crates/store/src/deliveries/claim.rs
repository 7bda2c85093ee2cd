//! Claiming a delivery under a lease.

use std::fmt;

use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use domain::notification::{DeliveryState, Outcome, ReasonCode};
use domain::offer::Offer;
use domain::{AddressHash, PushId, Sources, TransportId};
use jiff::{SignedDuration, Timestamp};

use super::holder::{HELD_FOR, MARGIN};
use super::{Deliveries, DeliveryId, DeliveryItem, HolderId, PastRefusal};
use crate::StoreError;
use crate::attributes::{millis, number, text};
use crate::table::{Attempts, Conditional};

/// Where there are two transports: how long a message that one of them did not respond to is reserved for it.
const RESERVED_FOR_TRANSPORT: SignedDuration = SignedDuration::from_mins(10);
/// How long an offer's deliveries are kept after its last push date.
const KEEP_DAYS: i64 = 30;

// Conditions on the stored delivery. `:push` is the number of the push that wants it.

/// It is not final, and no lease on it is running.
const AVAILABLE: &str = "attribute_not_exists(pk) OR #state = :retry OR (#state = :claimed AND leaseUntil < :now)";
/// Its holder has ended.
const ABANDONED: &str = "#state = :claimed AND heldBy = :ended AND heldUntil < :silentSince";
/// An earlier push ended it without handing it over: not rejected, and not left without a response.
const RESENDABLE: &str = "push < :push AND (#state IN (:suppressed, :optedOut, :expired, :cancelled) \
                          OR (#state = :failed AND attribute_not_exists(addressHash)))";
/// It failed in an earlier push, at another address.
const FAILED_AT_OTHER_ADDRESS: &str =
    "push < :push AND #state = :failed AND NOT addressHash IN (:addressHash, :unkeyed)";
/// It failed in an earlier push.
const FAILED: &str = "push < :push AND #state = :failed";

/// Identifies one claim. Two claims on one delivery never have the same: it holds the time and 74 random bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LeaseToken(pub(super) String);

impl LeaseToken {
    pub(super) fn generate(sources: &Sources) -> Self {
        Self(sources.uuid().to_string())
    }
}

impl fmt::Display for LeaseToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a claim is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease<'a> {
    /// The invocation that holds it. It must [beat](Deliveries::beat) within each half a minute.
    pub holder: &'a HolderId,
    /// When the lease ends whatever the holder shows: soon after the invocation's deadline.
    pub until: Timestamp,
    /// The invocation from which it may be taken over: the one that claimed the delivery before and
    /// [is ended](Deliveries::end_holder).
    pub after: Option<&'a HolderId>,
}

/// The right to send one notification until the claim ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The notification to send.
    pub id: DeliveryId,
    /// When the claim ends. The message must have been handed over by then; for its response, heartbeats prolong the claim.
    pub held_until: Timestamp,
    /// How often it was handed over without a response. The customer may have received it.
    pub unanswered: u32,
    /// The last refusal that did not make it final.
    pub refusal: Option<PastRefusal>,
    /// The transport that is going to send it.
    pub transport: TransportId,
    /// Whether nothing was stored of the delivery before, so that [its outcome](Deliveries::record_first) can be recorded together
    /// with others.
    pub is_first: bool,
    pub(super) token: LeaseToken,
}

/// A delivery that has its outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FinalDelivery {
    /// The number of the push that made it final.
    pub push: u32,
    /// Its outcome.
    pub outcome: Outcome,
    /// Why it was not sent. `None` if it was, or if a later release stored a code that is unknown here.
    pub code: Option<ReasonCode>,
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

/// Which final deliveries of earlier pushes a push may send again. What was sent is never sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResendPolicy {
    /// Those that were never handed over, and those that were rejected (or left without a response twice) at an address
    /// other than this one.
    Unsent(AddressHash),
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
    /// Claims a delivery.
    pub async fn claim(
        &self,
        id: DeliveryId,
        push: PushId,
        offer: &Offer,
        policy: ResendPolicy,
        route: Route,
        lease: Lease<'_>,
    ) -> Result<ClaimResult, StoreError> {
        self.claim_as(LeaseToken::generate(self.table.sources()), id, push, offer, policy, route, lease).await
    }

    /// Claims a delivery with this token. If it was claimed with the same one already, that is found.
    #[expect(clippy::too_many_arguments, reason = "those of `claim`, and the token")]
    pub(super) async fn claim_as(
        &self,
        token: LeaseToken,
        id: DeliveryId,
        push: PushId,
        offer: &Offer,
        policy: ResendPolicy,
        route: Route,
        lease: Lease<'_>,
    ) -> Result<ClaimResult, StoreError> {
        let failed = match policy {
            ResendPolicy::Unsent(_) => FAILED_AT_OTHER_ADDRESS,
            ResendPolicy::UnsentAndRejected => FAILED,
        };
        let mut condition = format!("{} OR ({failed})", available(lease.after));
        if route.other.is_some() {
            condition = format!(
                "({condition}) AND NOT (#state = :retry AND unansweredVia = :other AND unansweredAt > :reservedSince)"
            );
        }
        let held_until = self.table.now() + HELD_FOR;
        let mut update = self
            .update_available(&id, push, offer, &condition, lease.after)
            .update_expression(
                "SET #state = :claimed, push = :push, updatedAt = :now, expiresAt = :expiresAt, \
                 leaseUntil = :leaseUntil, leaseToken = :token, heldBy = :holder, heldUntil = :heldUntil, \
                 transport = :transport REMOVE reason, code, addressHash ADD attempts :one",
            )
            .expression_attribute_values(":leaseUntil", millis(lease.until))
            .expression_attribute_values(":holder", text(lease.holder))
            .expression_attribute_values(":heldUntil", millis(held_until))
            .expression_attribute_values(":token", text(&token))
            .expression_attribute_values(":transport", text(route.transport))
            .expression_attribute_values(":one", number(1));
        if let ResendPolicy::Unsent(address) = policy {
            update = update
                .expression_attribute_values(":addressHash", text(address))
                // As a release before keyed hashes stored it.
                .expression_attribute_values(":unkeyed", text(address.unkeyed().unwrap_or_default()));
        }
        if let Some(other) = route.other {
            update = update
                .expression_attribute_values(":other", text(other))
                .expression_attribute_values(":reservedSince", millis(self.table.now() - RESERVED_FOR_TRANSPORT));
        }
        let is_own = |item: &DeliveryItem, _: &Attempts| item.lease_token.as_ref() == Some(&token.0);
        match self.table.update_if(update, is_own).await? {
            Conditional::Done(item) => {
                let refusal = item.past_refusal();
                let (unanswered, transport) = (item.unanswered, route.transport);
                let is_first = false;
                Ok(ClaimResult::Granted(Claim { id, held_until, unanswered, refusal, transport, is_first, token }))
            }
            Conditional::NotMet(item) => self.unclaimable(item).map(ClaimResult::NotGranted),
        }
    }

    /// An update under a condition made of the constants above, with the values that they name.
    pub(super) fn update_available(
        &self,
        id: &DeliveryId,
        push: PushId,
        offer: &Offer,
        condition: &str,
        after: Option<&HolderId>,
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
        if let Some(after) = after {
            update = update
                .expression_attribute_values(":ended", text(after))
                .expression_attribute_values(":silentSince", millis(self.table.now() - MARGIN));
        }
        for outcome in resendable {
            update = update.expression_attribute_values(format!(":{outcome}"), text(outcome));
        }
        update
    }

    /// What a stored delivery is, to those who do not hold a claim on it.
    pub(super) fn unclaimable(&self, item: Option<DeliveryItem>) -> Result<Unclaimable, StoreError> {
        // Each condition holds for a delivery that does not exist.
        let item = item.ok_or_else(|| self.table.unreadable("the item is missing"))?;
        match item.state.parse() {
            Ok(DeliveryState::Final(outcome)) => Ok(Unclaimable::Final(item.final_delivery(outcome))),
            // `retry` if the item has changed since, or is reserved for the other transport: the caller should try
            // again.
            Ok(DeliveryState::Claimed | DeliveryState::Retry) => {
                let now = self.table.now();
                // Whether its holder lives is found then: at once, if that time is over.
                let held_until = item.held_until.map(|until| (until + MARGIN).max(now));
                let reserved_until = item.unanswered_at.map(|at| at + RESERVED_FOR_TRANSPORT);
                Ok(Unclaimable::Leased { until: held_until.or(item.lease_until).or(reserved_until).unwrap_or(now) })
            }
            Err(error) => Err(self.table.unreadable(format!("state {error}"))),
        }
    }
}

/// The condition that it is available, abandoned by this holder, or may be sent again.
pub(super) fn available(after: Option<&HolderId>) -> String {
    let or_abandoned = if after.is_some() { format!(" OR ({ABANDONED})") } else { String::new() };
    format!("{AVAILABLE}{or_abandoned} OR ({RESENDABLE})")
}

pub(super) fn keep_until(offer: &Offer) -> Timestamp {
    offer.last_push_date() + SignedDuration::from_hours(24 * KEEP_DAYS)
}
