//! Claims and outcomes of several deliveries in one call: what most notifications need, at a fraction of the work.
//!
//! Each is a statement of its own, which fails or takes effect by itself. Whatever does not clearly take effect (it was there
//! before, is throttled, or an earlier response was lost) is repeated as a single call under the same token, which knows its
//! own write. So there is one rule for what a claim or an outcome means, that of [`Deliveries::claim`] and
//! [`Deliveries::record`].

use aws_sdk_dynamodb::types::AttributeValue;
use domain::notification::DeliveryState;
use domain::{Offer, PushId};
use futures::future::join_all;
use jiff::Timestamp;

use super::claim::{Claim, ClaimResult, Lease, LeaseToken, ResendPolicy, Route, keep_until};
use super::holder::HELD_FOR;
use super::outcome::LEASE;
use super::{Deliveries, DeliveryId, FinalOutcome, HolderId, RecordResult};
use crate::StoreError;
use crate::attributes::{millis, number, text};
use crate::statement::Statement;

/// Maximum number of deliveries in one call (DynamoDB API reference, BatchExecuteStatement).
pub const MAX_TOGETHER: usize = 25;

/// A claim that is asked for on a delivery of which nothing is stored, as far as is known.
#[derive(Debug, Clone)]
pub struct FirstClaim<'o> {
    /// The notification to send.
    pub id: DeliveryId,
    /// The push that sends it.
    pub push: PushId,
    /// The offer of the push.
    pub offer: &'o Offer,
    /// What may be sent again, if something is stored after all.
    pub policy: ResendPolicy,
    /// The transports that can send it.
    pub route: Route,
    /// As of [`Lease`].
    pub holder: HolderId,
    /// As of [`Lease`].
    pub until: Timestamp,
}

impl Deliveries {
    /// Claims up to [`MAX_TOGETHER`] deliveries, each by itself: the results are in the order of the claims.
    pub async fn claim_first(&self, claims: Vec<FirstClaim<'_>>) -> Vec<Result<ClaimResult, StoreError>> {
        let held_until = self.table.now() + HELD_FOR;
        let tokens: Vec<_> = claims.iter().map(|_| LeaseToken::generate(self.table.sources())).collect();
        let done = match claims.len() {
            // The same work as a single call, and one more if something is stored after all.
            1 => Ok(vec![false]),
            _ => {
                let inserts = claims.iter().zip(&tokens).map(|(claim, token)| self.insert(claim, token, held_until));
                self.table.execute(inserts.collect()).await
            }
        };
        let done = match done {
            Ok(done) => done,
            Err(error) => return vec![Err(error); claims.len()],
        };
        let results = claims.into_iter().zip(tokens).zip(done).map(async |((claim, token), done)| {
            let FirstClaim { id, push, offer, policy, route, holder, until } = claim;
            if done {
                let (unanswered, refusal, transport) = (0, None, route.transport);
                let claim = Claim { id, held_until, unanswered, refusal, transport, is_first: true, token };
                return Ok(ClaimResult::Granted(claim));
            }
            let lease = Lease { holder: &holder, until, after: None };
            self.claim_as(token, id, push, offer, policy, route, lease).await
        });
        join_all(results).await
    }

    /// Stores the same item as a single claim would.
    fn insert(&self, claim: &FirstClaim<'_>, token: &LeaseToken, held_until: Timestamp) -> Statement {
        let attributes = [
            ("state", text(DeliveryState::Claimed.as_str())),
            ("push", number(claim.push.number)),
            ("updatedAt", millis(self.table.now())),
            ("expiresAt", number(keep_until(claim.offer).as_second())),
            ("leaseUntil", millis(claim.until)),
            ("leaseToken", text(token)),
            ("heldBy", text(&claim.holder)),
            ("heldUntil", millis(held_until)),
            ("transport", text(claim.route.transport)),
            ("attempts", number(1)),
        ];
        let attributes = attributes.into_iter().map(|(name, value)| (name.to_owned(), value));
        self.table.insert(claim.id.key().into_iter().chain(attributes))
    }

    /// Records the outcomes of up to [`MAX_TOGETHER`] deliveries whose claims [are the first](Claim::is_first), each by itself:
    /// the results are in the order of the outcomes.
    pub async fn record_first(&self, outcomes: Vec<(Claim, FinalOutcome)>) -> Vec<Result<RecordResult, StoreError>> {
        let done = match outcomes.len() {
            1 => Ok(vec![false]),
            _ => self.table.execute(outcomes.iter().map(|(claim, outcome)| self.set(claim, outcome)).collect()).await,
        };
        let done = match done {
            Ok(done) => done,
            Err(error) => return vec![Err(error); outcomes.len()],
        };
        let results = outcomes.iter().zip(done).map(async |((claim, outcome), done)| {
            if done { Ok(RecordResult::Recorded) } else { self.record(claim, outcome).await }
        });
        join_all(results).await
    }

    /// Leaves the same item as [`Deliveries::record`] would.
    fn set(&self, claim: &Claim, outcome: &FinalOutcome) -> Statement {
        let present = |value: Option<String>| value.map(AttributeValue::S);
        let set = [
            ("state", Some(text(outcome.outcome))),
            ("updatedAt", Some(millis(self.table.now()))),
            ("recordedBy", Some(text(&claim.token))),
            ("code", outcome.code.map(text)),
            ("reason", present(outcome.reason.clone())),
            ("providerMessageId", present(outcome.provider_message_id.clone())),
            ("addressHash", outcome.address_hash.map(text)),
        ];
        let set = set.into_iter().filter_map(|(name, value)| Some((name, value?)));
        self.table.set(
            set,
            LEASE.split(", "),
            claim.id.key().into_iter().chain([("leaseToken".to_owned(), text(&claim.token))]),
        )
    }
}
