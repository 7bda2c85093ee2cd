//! One attempt to send a claimed notification: send, record, report to the circuit breaker, log.

use std::sync::atomic::Ordering;
use std::time::Duration;

use domain::AddressHash;
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

/// The minimum time left to retry a write. It covers the longest try (the operation timeout of the store's client,
/// 8 s, and a wait before it) and the deferral of the batch afterwards.
const MIN_TIME_TO_RETRY: SignedDuration = SignedDuration::from_secs(20);
/// A notification that was handed over this often without a response is not tried again.
const MAX_UNANSWERED: u32 = 2;
/// This many messages in a row without a response are no coincidence: the provider counts as unreachable.
const UNANSWERED_STREAK: u32 = 3;

/// What to write about an attempt.
enum Record {
    /// The notification is final.
    Final(FinalOutcome),
    /// The claim is released, and the notification is tried again.
    Retry(Release, String),
    /// Nothing: the lease has ended, and another invocation may hold the claim.
    Nothing,
}

impl Record {
    /// What the result of sending means for the delivery. `unanswered` counts earlier handovers without a response.
    fn of(sent: &Result<Accepted, SendError>, unanswered: u32, address_hash: AddressHash) -> Self {
        match sent {
            Ok(accepted) => Self::Final(FinalOutcome {
                outcome: Outcome::Sent,
                reason: None,
                provider_message_id: Some(accepted.message_id.clone()),
                address_hash: Some(address_hash),
            }),
            Err(SendError::Rejected(reason)) => Self::Final(FinalOutcome {
                address_hash: Some(address_hash),
                ..FinalOutcome::unsent(Outcome::Failed, reason)
            }),
            Err(SendError::OptedOut(reason)) => Self::Final(FinalOutcome::unsent(Outcome::OptedOut, reason)),
            // The customer may have it. As with a rejection, another push does not retry it by itself.
            Err(SendError::Unanswered(reason)) if unanswered + 1 >= MAX_UNANSWERED => Self::Final(FinalOutcome {
                address_hash: Some(address_hash),
                ..FinalOutcome::unsent(Outcome::Failed, format!("handed over twice without a response: {reason}"))
            }),
            Err(error @ SendError::Unanswered(_)) => Self::Retry(Release::Unanswered, error.to_string()),
            Err(error @ (SendError::Throttled(_) | SendError::Unreachable(_))) => {
                Self::Retry(Release::Unsent, error.to_string())
            }
            Err(SendError::TooLate) => Self::Nothing,
        }
    }

    /// The state of the notification once this is written.
    fn state(&self, result: RecordResult, sent: &Result<Accepted, SendError>) -> NotificationState {
        match (self, result, sent) {
            (Self::Final(written), RecordResult::Recorded, _) => {
                NotificationState::Final(Counted::Outcome(written.outcome))
            }
            (Self::Retry(..), _, Err(SendError::Unreachable(_))) => {
                NotificationState::Unfinished(Unfinished::BreakerOpen)
            }
            // Also a lost lease: the outcome of its new holder counts, and the next round reads it.
            _ => NotificationState::Unfinished(Unfinished::NotAccepted),
        }
    }

    fn state_name(&self) -> &'static str {
        match self {
            Self::Final(written) => written.outcome.as_str(),
            Self::Retry(..) | Self::Nothing => "retry",
        }
    }
}

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
        let began = self.sources.now();
        let sent = round.selected.limited.transport.send(message, claim.lease_until).await;
        let duration_ms = telemetry::millis_since(began, self.sources.now());
        round.latencies_ms.lock().await.push(duration_ms);
        if let Err(SendError::OptedOut(_)) = &sent {
            self.suppressions
                .suppress(&address_hash, Reason::OptedOut, self.sources.now(), round.selected.id.as_str())
                .await?;
        }
        let record = Record::of(&sent, claim.unanswered, address_hash);
        let Some(result) = self.write(&record, claim, round.deadline).await? else {
            return Ok(NotificationState::Unfinished(Unfinished::NoTime));
        };
        let is_unanswered_streak = update_streak(round, &sent);
        if let Err(SendError::Throttled(reason) | SendError::Unanswered(reason)) = &sent {
            *round.refusal.lock().await = Some(reason.clone());
        }
        if self.report_to_breaker(round.selected, &sent, is_unanswered_streak).await? {
            round.is_breaker_open.store(true, Ordering::Relaxed);
        }
        log_attempt(claim, &sent, &record, result, duration_ms);
        Ok(record.state(result, &sent))
    }

    /// Writes the record under the claim; `None` if there is nothing to write. A message that was handed over would be
    /// sent again without its record, so its write is retried for as long as there is time. Otherwise it is tried once.
    async fn write(
        &self,
        record: &Record,
        claim: &Claim,
        deadline: Timestamp,
    ) -> Result<Option<RecordResult>, StoreError> {
        Ok(Some(match record {
            Record::Final(outcome) => self.retry_until(deadline, || self.deliveries.record(claim, outcome)).await?,
            Record::Retry(release @ Release::Unanswered, reason) => {
                self.retry_until(deadline, || self.deliveries.release(claim, reason, *release)).await?
            }
            Record::Retry(release @ Release::Unsent, reason) => {
                self.deliveries.release(claim, reason, *release).await?
            }
            Record::Nothing => return Ok(None),
        }))
    }

    /// Retries a write while the store is unavailable, until too little time is left before `deadline`.
    async fn retry_until<F>(&self, deadline: Timestamp, write: impl Fn() -> F) -> Result<RecordResult, StoreError>
    where
        F: Future<Output = Result<RecordResult, StoreError>>,
    {
        let mut backoff = Duration::from_millis(100);
        loop {
            match write().await {
                Err(StoreError::Unavailable { .. }) if self.sources.now() + MIN_TIME_TO_RETRY < deadline => {
                    tokio::time::sleep(backoff).await;
                    backoff = (backoff * 2).min(Duration::from_secs(2));
                }
                written => return written,
            }
        }
    }
}

/// Counts messages in a row without a response. Returns whether they are too many.
fn update_streak<T>(round: &Round<'_, T>, sent: &Result<Accepted, SendError>) -> bool {
    if let Err(SendError::Unanswered(_)) = sent {
        round.unanswered_streak.fetch_add(1, Ordering::Relaxed) + 1 >= UNANSWERED_STREAK
    } else {
        round.unanswered_streak.store(0, Ordering::Relaxed);
        false
    }
}

fn log_attempt(
    claim: &Claim,
    sent: &Result<Accepted, SendError>,
    record: &Record,
    result: RecordResult,
    duration_ms: u64,
) {
    let customer = &claim.id.customer;
    let state = record.state_name();
    match (sent, result) {
        (_, RecordResult::LeaseLost) => tracing::warn!(
            customer.id = %customer, delivery.state = "unknown", duration_ms,
            "lease lost while sending; the invocation that now holds the delivery may send a second copy"
        ),
        (Ok(_), _) => tracing::debug!(
            customer.id = %customer, delivery.state = state, duration_ms, "notification sent"
        ),
        // The circuit breaker logs this, once for all customers.
        (Err(SendError::Unreachable(_)), _) => {}
        (Err(error), _) => tracing::warn!(
            customer.id = %customer, delivery.state = state, duration_ms,
            error = %error, "notification not sent"
        ),
    }
}

#[cfg(test)]
mod tests {
    use domain::Channel;

    use super::*;

    /// What a record says, in a form that a table can hold.
    #[derive(Debug, PartialEq)]
    enum Meaning {
        Final(Outcome),
        Retry(Release),
        Nothing,
    }

    fn meaning(record: &Record) -> Meaning {
        match record {
            Record::Final(written) => Meaning::Final(written.outcome),
            Record::Retry(release, _) => Meaning::Retry(*release),
            Record::Nothing => Meaning::Nothing,
        }
    }

    fn address_hash() -> AddressHash {
        AddressHash::of(Channel::Email, "asha@example.com")
    }

    fn text() -> String {
        "why".to_owned()
    }

    #[test]
    fn each_result_of_sending_means_one_record() {
        for (sent, unanswered, expected) in [
            (Ok(Accepted { message_id: "m-1".to_owned() }), 0, Meaning::Final(Outcome::Sent)),
            (Err(SendError::Rejected(text())), 0, Meaning::Final(Outcome::Failed)),
            (Err(SendError::OptedOut(text())), 0, Meaning::Final(Outcome::OptedOut)),
            (Err(SendError::Throttled(text())), 0, Meaning::Retry(Release::Unsent)),
            (Err(SendError::Unreachable(text())), 0, Meaning::Retry(Release::Unsent)),
            (Err(SendError::TooLate), 0, Meaning::Nothing),
            (Err(SendError::Unanswered(text())), 0, Meaning::Retry(Release::Unanswered)),
            // Handed over twice: another attempt could be a third copy.
            (Err(SendError::Unanswered(text())), 1, Meaning::Final(Outcome::Failed)),
            // Only a message without a response counts, however often one was before.
            (Err(SendError::Throttled(text())), 1, Meaning::Retry(Release::Unsent)),
        ] {
            let record = Record::of(&sent, unanswered, address_hash());
            assert_eq!(meaning(&record), expected, "{sent:?} after {unanswered}");
        }
    }

    /// A later push sends again what failed without an address, and nothing that may have arrived there.
    #[test]
    fn a_record_keeps_the_address_of_every_message_that_may_have_arrived() {
        for (sent, unanswered, is_kept) in [
            (Ok(Accepted { message_id: "m-1".to_owned() }), 0, true),
            (Err(SendError::Rejected(text())), 0, true),
            (Err(SendError::Unanswered(text())), 1, true),
            (Err(SendError::OptedOut(text())), 0, false),
        ] {
            let Record::Final(written) = Record::of(&sent, unanswered, address_hash()) else {
                panic!("{sent:?} is final");
            };
            assert_eq!(written.address_hash.is_some(), is_kept, "{sent:?}");
        }
    }
}
