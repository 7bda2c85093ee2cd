//! One attempt to send a notification that is claimed.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use domain::AddressHash;
use domain::clock::now;
use domain::notification::Outcome;
use jiff::{SignedDuration, Timestamp};
use runtime::telemetry;
use store::StoreError;
use store::deliveries::{Claim, FinalOutcome, RecordResult, Release};
use store::suppressions::Reason;

use super::deferral::Unfinished;
use super::deliverer::Deliverer;
use super::round::{Counted, NotificationState, Round};
use crate::compose::Compose;
use crate::transport::{Accepted, SendError, Transport};

/// With less time than this, recording is not tried again: the longest that a try takes (the store client's operation
/// time-out of 8 s, and a wait before it), and then the batch must be put off.
const MIN_TIME_TO_RETRY: SignedDuration = SignedDuration::from_secs(20);
/// Handed over this often without an answer, a notification is not tried again.
const UNANSWERED_LIMIT: u32 = 2;
/// This many messages in a row without an answer are no accident: the provider is out of reach, and nobody else is tried.
const UNANSWERED_STREAK: u32 = 3;

impl<C, T> Deliverer<C, T>
where
    C: Compose,
    T: Transport<Message = C::Message>,
{
    pub(super) async fn send(
        &self,
        round: &Round<'_, T>,
        claim: &Claim,
        message: &C::Message,
        address_hash: AddressHash,
    ) -> Result<NotificationState, StoreError> {
        let began = Instant::now();
        let sent = round.selected.limited.transport.send(message, claim.lease_until).await;
        let duration_ms = telemetry::millis_since(began);
        round.latencies.lock().await.push(duration_ms);
        if let Err(SendError::OptedOut(_)) = &sent {
            self.suppressions.suppress(&address_hash, Reason::OptedOut, now(), round.selected.name.as_str()).await?;
        }
        let final_outcome = match &sent {
            Ok(accepted) => Some(FinalOutcome {
                outcome: Outcome::Sent,
                reason: None,
                provider_message_id: Some(accepted.message_id.clone()),
                address_hash: Some(address_hash),
            }),
            Err(SendError::Rejected(reason)) => {
                Some(FinalOutcome { address_hash: Some(address_hash), ..FinalOutcome::unsent(Outcome::Failed, reason) })
            }
            Err(SendError::OptedOut(reason)) => Some(FinalOutcome::unsent(Outcome::OptedOut, reason)),
            // She may have it: as with a refusal, pushing again does not try again by itself.
            Err(SendError::Unanswered(reason)) if claim.unanswered + 1 >= UNANSWERED_LIMIT => Some(FinalOutcome {
                address_hash: Some(address_hash),
                ..FinalOutcome::unsent(Outcome::Failed, format!("the answer was lost twice: {reason}"))
            }),
            // Others may have taken over: there is nothing of ours to give back.
            Err(SendError::TooLate) => return Ok(NotificationState::Unfinished(Unfinished::NoTime)),
            Err(SendError::Unanswered(_) | SendError::Throttled(_) | SendError::Unreachable(_)) => None,
        };
        let recording = match (&final_outcome, &sent) {
            (Some(final_outcome), _) => {
                retry_until(round.deadline, || self.deliveries.record(claim, final_outcome)).await?
            }
            (None, Err(error @ SendError::Unanswered(_))) => {
                let reason = error.to_string();
                retry_until(round.deadline, || self.deliveries.release(claim, &reason, Release::Unanswered)).await?
            }
            (None, Err(error)) => self.deliveries.release(claim, &error.to_string(), Release::Unsent).await?,
            (None, Ok(_)) => unreachable!("what was accepted has its ending"),
        };
        let is_silent = match &sent {
            Err(SendError::Unanswered(_)) => round.silent.fetch_add(1, Ordering::Relaxed) + 1 >= UNANSWERED_STREAK,
            _ => {
                round.silent.store(0, Ordering::Relaxed);
                false
            }
        };
        if let Err(SendError::Throttled(reason) | SendError::Unanswered(reason)) = &sent {
            *round.refusal.lock().await = Some(reason.clone());
        }
        if self.report_to_breaker(round.selected, &sent, is_silent).await? {
            round.blocked.store(true, Ordering::Relaxed);
        }
        log(claim, &sent, final_outcome.as_ref(), recording, duration_ms);
        Ok(match (final_outcome, recording, &sent) {
            (Some(final_outcome), RecordResult::Recorded, _) => {
                NotificationState::Final(Counted::Outcome(final_outcome.outcome))
            }
            (None, _, Err(SendError::Unreachable(_))) => NotificationState::Unfinished(Unfinished::Blocked),
            _ => NotificationState::Unfinished(Unfinished::Refused),
        })
    }
}

fn log(
    claim: &Claim,
    sent: &Result<Accepted, SendError>,
    final_outcome: Option<&FinalOutcome>,
    recording: RecordResult,
    duration_ms: u64,
) {
    let customer = &claim.id.customer;
    let state = final_outcome.map_or("retry", |final_outcome| final_outcome.outcome.as_str());
    match (sent, recording) {
        (_, RecordResult::LeaseLost) => tracing::warn!(
            customer.id = %customer, delivery.state = "unknown", duration_ms,
            "the lease ended while sending; whoever holds it now may send once more"
        ),
        (Ok(_), _) => tracing::debug!(
            customer.id = %customer, delivery.state = state, duration_ms, "sent"
        ),
        // One line tells of a transport that is out of reach, not one for each customer.
        (Err(SendError::Unreachable(_)), _) => {}
        (Err(error), _) => tracing::warn!(
            customer.id = %customer, delivery.state = state, duration_ms,
            error = %error, "not sent"
        ),
    }
}

/// Writes what became of a message that was handed over. Tries for as long as there is time: what is not written down is
/// sent again.
async fn retry_until<F>(deadline: Timestamp, write: impl Fn() -> F) -> Result<RecordResult, StoreError>
where
    F: Future<Output = Result<RecordResult, StoreError>>,
{
    let mut wait = Duration::from_millis(100);
    loop {
        match write().await {
            Err(StoreError::Unavailable { .. }) if now() + MIN_TIME_TO_RETRY < deadline => {
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(Duration::from_secs(2));
            }
            written => return written,
        }
    }
}
