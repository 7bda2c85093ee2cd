//! Recording the outcome of a delivery, or that it has none yet.

use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use domain::notification::{DeliveryState, Outcome, ReasonCode};
use domain::{AddressHash, Offer, PushId};

use super::claim::{Claim, Unclaimable, available};
use super::{Deliveries, DeliveryId, DeliveryItem, HolderId, PastRefusal};
use crate::StoreError;
use crate::attributes::{millis, number, text};
use crate::table::{Attempts, Conditional, never_own};

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
pub enum Release<'a> {
    /// It was certainly not sent.
    Unsent,
    /// The provider refused it at this address, perhaps not for good.
    Refused(&'a AddressHash),
    /// It was handed over, but there was no response.
    Unanswered,
}

/// The outcome to record for a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinalOutcome {
    pub outcome: Outcome,
    /// Why it was not sent, for programs. Absent if it was.
    pub code: Option<ReasonCode>,
    /// The same in words. Never contains an address.
    pub reason: Option<String>,
    /// The provider's id of the message, if it was sent.
    pub provider_message_id: Option<String>,
    /// The hash of the address that was tried, if the message was sent, rejected, or handed over twice without a
    /// response.
    pub address_hash: Option<AddressHash>,
}

impl FinalOutcome {
    /// The outcome of a delivery that was not sent. `reason` says why in words.
    pub fn unsent(code: ReasonCode, reason: impl Into<String>) -> Self {
        Self {
            outcome: code.outcome(),
            code: Some(code),
            reason: Some(reason.into()),
            provider_message_id: None,
            address_hash: None,
        }
    }
}

impl Deliveries {
    /// Records the outcome of a delivery that is not sent, unless it is final already or another invocation is sending
    /// it. Returns what it is then. `after` is as for [`Lease`](super::Lease). One write: a claim before it would be wasted.
    pub async fn record_unsent(
        &self,
        id: &DeliveryId,
        push: PushId,
        offer: &Offer,
        outcome: &FinalOutcome,
        after: Option<&HolderId>,
    ) -> Result<Unclaimable, StoreError> {
        let update = self.update_available(id, push, offer, &available(after), after);
        let set = "SET #state = :state, push = :push, updatedAt = :now, expiresAt = :expiresAt";
        let update = with_outcome(update, outcome, set);
        // Its own repeated write finds what it would have returned.
        match self.table.update_if(update, never_own::<DeliveryItem>).await? {
            Conditional::Done(item) => self.unclaimable(Some(item)),
            Conditional::NotMet(item) => self.unclaimable(item),
        }
    }

    /// Records the outcome of a claimed delivery, which is final: only a later push may change it, and never if it was
    /// sent.
    pub async fn record(&self, claim: &Claim, outcome: &FinalOutcome) -> Result<RecordResult, StoreError> {
        let update = self.update_claimed(claim);
        let set = "SET #state = :state, updatedAt = :now, recordedBy = :token";
        self.write_claimed(claim, with_outcome(update, outcome, set)).await
    }

    /// Releases a claimed delivery, so that it can be claimed and tried again.
    pub async fn release(
        &self,
        claim: &Claim,
        code: ReasonCode,
        reason: &str,
        release: Release<'_>,
    ) -> Result<RecordResult, StoreError> {
        let update = self
            .update_claimed(claim)
            .expression_attribute_values(":state", text(DeliveryState::Retry.as_str()))
            .expression_attribute_values(":code", text(code))
            .expression_attribute_values(":reason", text(reason));
        let (more, update) = match release {
            Release::Unsent => ("", update),
            Release::Unanswered => (
                ", unanswered = :unanswered, unansweredAt = :now, unansweredVia = transport",
                update.expression_attribute_values(":unanswered", number(claim.unanswered + 1)),
            ),
            Release::Refused(address) => {
                let before = claim.refusal.as_ref().filter(|refusal| refusal.is_at(address));
                let now = self.table.now();
                let of_this_kind =
                    |past: &&PastRefusal| past.code == Some(code) && past.transport == Some(claim.transport);
                let alike = before.filter(of_this_kind);
                (
                    ", refusedAt = :now, refusedSince = :since, refusals = :refusals, refusedAlikeSince = :alikeSince, \
                     refusedAddress = :address, refusedCode = :code, refusedReason = :reason, refusedVia = transport",
                    update
                        .expression_attribute_values(":since", millis(before.map_or(now, |past| past.since)))
                        .expression_attribute_values(
                            ":refusals",
                            number(alike.map_or(0, |past| past.count).saturating_add(1)),
                        )
                        .expression_attribute_values(":alikeSince", millis(alike.map_or(now, |past| past.alike_since)))
                        .expression_attribute_values(":address", text(address)),
                )
            }
        };
        let expression = format!(
            "SET #state = :state, updatedAt = :now, recordedBy = :token, code = :code, reason = :reason{more} \
             REMOVE {LEASE}"
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

/// What only a claimed delivery has.
pub(super) const LEASE: &str = "leaseUntil, leaseToken, heldBy, heldUntil";

/// What only a delivery without an outcome has. A later push starts anew.
const WITHOUT_OUTCOME: &str = "unanswered, unansweredAt, unansweredVia, refusedAt, refusedSince, refusals, \
                               refusedAlikeSince, refusedAddress, refusedCode, refusedReason, refusedVia";

/// An update that writes an outcome: `set`, and the parts that the outcome has. The parts that it lacks are removed, and
/// what only a delivery without an outcome has.
fn with_outcome(update: UpdateItemFluentBuilder, outcome: &FinalOutcome, set: &str) -> UpdateItemFluentBuilder {
    let mut set = set.to_owned();
    let mut remove = format!(" REMOVE {LEASE}, {WITHOUT_OUTCOME}");
    let mut update = update.expression_attribute_values(":state", text(outcome.outcome));
    for (name, value) in [
        ("code", outcome.code.map(|code| code.to_string())),
        ("reason", outcome.reason.clone()),
        ("providerMessageId", outcome.provider_message_id.clone()),
        ("addressHash", outcome.address_hash.as_ref().map(ToString::to_string)),
    ] {
        if let Some(value) = value {
            set.push_str(&format!(", {name} = :{name}"));
            update = update.expression_attribute_values(format!(":{name}"), text(value));
        } else {
            remove.push_str(&format!(", {name}"));
        }
    }
    update.update_expression(set + &remove)
}
