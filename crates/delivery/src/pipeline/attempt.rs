//! One attempt to send a claimed notification: send, record, report to the circuit breaker, log.

use std::sync::atomic::Ordering;
use std::time::Duration;

use domain::AddressHash;
use domain::notification::Outcome;
use jiff::Timestamp;
use store::StoreError;
use store::deliveries::{Claim, FinalOutcome, RecordResult, Release};
use store::suppressions::Reason;

use super::breaker::Signal;
use super::deferral::Unfinished;
use super::deliverer::Deliverer;
use super::round::{Counted, NotificationState, Round};
use crate::compose::Compose;
use crate::transport::{Accepted, Refusal, RefusalKind, SendError, Transport};

/// The minimum time left to try to record an outcome. It covers the longest try (the operation timeout of the store's
/// client, 8 s, and a wait before it) and the deferral of the batch afterwards.
pub(super) const MIN_TIME_TO_RECORD: Duration = Duration::from_secs(20);
/// A notification that was handed over this often without a response is not tried again.
const MAX_UNANSWERED: u32 = 2;

/// What one attempt means.
#[derive(Debug, PartialEq)]
struct Meaning {
    /// For the delivery.
    record: Record,
    /// For the circuit breaker.
    signal: Signal,
    /// For the batch, once the record is written.
    next: NotificationState,
}

/// What to write about an attempt.
#[derive(Debug, PartialEq)]
enum Record {
    /// The notification is final.
    Final(FinalOutcome),
    /// The claim is released, and the notification is tried again.
    Retry(Release, String),
    /// Nothing: the lease has ended, and another invocation may hold the claim.
    Nothing,
}

/// What the result of sending means. `unanswered` counts earlier handovers without a response.
fn classify(sent: &Result<Accepted, SendError>, unanswered: u32, address_hash: AddressHash) -> Meaning {
    let record = match sent {
        Ok(accepted) => Record::Final(FinalOutcome {
            outcome: Outcome::Sent,
            reason: None,
            provider_message_id: Some(accepted.message_id.clone()),
            address_hash: Some(address_hash),
        }),
        Err(SendError::Refused(Refusal { kind, text })) if *kind != RefusalKind::Temporary => {
            Record::Final(failed(address_hash, text.clone()))
        }
        Err(SendError::OptedOut(reason)) => Record::Final(FinalOutcome::unsent(Outcome::OptedOut, reason)),
        // The customer may have it. As with a rejection, another push does not retry it by itself.
        Err(SendError::Unanswered(reason)) if unanswered + 1 >= MAX_UNANSWERED => {
            Record::Final(failed(address_hash, format!("handed over twice without a response: {reason}")))
        }
        Err(error @ SendError::Unanswered(_)) => Record::Retry(Release::Unanswered, error.to_string()),
        Err(error @ (SendError::Refused(_) | SendError::Unreachable(_))) => {
            Record::Retry(Release::Unsent, error.to_string())
        }
        Err(SendError::TooLate) => Record::Nothing,
    };
    let signal = Signal::of(sent);
    let next = match (&record, &signal) {
        (Record::Final(written), _) => NotificationState::Final(Counted::Outcome(written.outcome)),
        (Record::Retry(..), Signal::Unreachable(_)) => NotificationState::Unfinished(Unfinished::BreakerOpen),
        (Record::Retry(..), _) => NotificationState::Unfinished(Unfinished::NotAccepted),
        (Record::Nothing, _) => NotificationState::Unfinished(Unfinished::NoTime),
    };
    Meaning { record, signal, next }
}

fn failed(address_hash: AddressHash, reason: String) -> FinalOutcome {
    FinalOutcome { address_hash: Some(address_hash), ..FinalOutcome::unsent(Outcome::Failed, reason) }
}

impl<C, T> Deliverer<C, T>
where
    C: Compose,
    T: Transport<Message = C::Message>,
{
    pub(super) async fn send(
        &self,
        round: &Round<'_, C, T>,
        claim: &Claim,
        message: &C::Message,
        address_hash: AddressHash,
    ) -> Result<NotificationState, StoreError> {
        let began = self.sources.now();
        let sent = round.selected.limited.transport.send(message, claim.lease_until).await;
        let duration_ms = self.sources.millis_since(began);
        round.latencies_ms.lock().await.push(duration_ms);
        let suppressed = if let Err(SendError::OptedOut(_)) = &sent {
            self.suppressions
                .suppress(&address_hash, Reason::OptedOut, self.sources.now(), round.selected.id.as_str())
                .await
        } else {
            Ok(())
        };
        if let Err(
            SendError::Refused(Refusal { kind: RefusalKind::Temporary, text: reason }) | SendError::Unanswered(reason),
        ) = &sent
        {
            *round.refusal.lock().await = Some(reason.clone());
        }
        let meaning = classify(&sent, claim.unanswered, address_hash);
        let recorded = match suppressed {
            Ok(()) => self.write(&meaning.record, claim, round.deadline).await,
            Err(error) => Err(error),
        };
        // Also if the record could not be written: the other callers need to know.
        let streak = round.count_streak(&meaning.signal);
        if self.report_to_breaker(round.selected, &meaning.signal, streak).await {
            round.is_breaker_open.store(true, Ordering::Relaxed);
        }
        let recorded = recorded?;
        log_attempt(claim, &sent, &meaning.record, recorded, duration_ms);
        Ok(match recorded {
            Some(RecordResult::LeaseLost) => {
                // The outcome of its new holder counts, and the next round reads it.
                NotificationState::Unfinished(Unfinished::Leased(self.sources.now()))
            }
            Some(RecordResult::Recorded) | None => meaning.next,
        })
    }

    /// Writes the record under the claim; `None` if there is nothing to write. A message that was handed over would be
    /// sent again without its record, so its write is retried for as long as there is time. Otherwise it is tried once.
    async fn write(
        &self,
        record: &Record,
        claim: &Claim,
        deadline: Timestamp,
    ) -> Result<Option<RecordResult>, StoreError> {
        match record {
            Record::Final(outcome) => {
                self.retry_until(deadline, || self.deliveries.record(claim, outcome)).await.map(Some)
            }
            Record::Retry(release @ Release::Unanswered, reason) => {
                self.retry_until(deadline, || self.deliveries.release(claim, reason, *release)).await.map(Some)
            }
            Record::Retry(release @ Release::Unsent, reason) => {
                self.deliveries.release(claim, reason, *release).await.map(Some)
            }
            Record::Nothing => Ok(None),
        }
    }

    /// Retries a write while the store is unavailable, until too little time is left before `deadline`.
    async fn retry_until<F>(&self, deadline: Timestamp, write: impl Fn() -> F) -> Result<RecordResult, StoreError>
    where
        F: Future<Output = Result<RecordResult, StoreError>>,
    {
        let mut backoff = Duration::from_millis(100);
        loop {
            match write().await {
                Err(StoreError::Unavailable { .. }) if self.sources.now() + MIN_TIME_TO_RECORD < deadline => {
                    tokio::time::sleep(backoff).await;
                    backoff = (backoff * 2).min(Duration::from_secs(2));
                }
                written => return written,
            }
        }
    }
}

fn log_attempt(
    claim: &Claim,
    sent: &Result<Accepted, SendError>,
    record: &Record,
    recorded: Option<RecordResult>,
    duration_ms: u64,
) {
    let customer = &claim.id.customer;
    let state = match record {
        Record::Final(written) => written.outcome.as_str(),
        Record::Retry(..) => "retry",
        Record::Nothing => "claimed",
    };
    match (sent, recorded) {
        (_, Some(RecordResult::LeaseLost)) => tracing::warn!(
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

    fn address_hash() -> AddressHash {
        AddressHash::of(Channel::Email, "asha@example.com")
    }

    fn why() -> String {
        "why".to_owned()
    }

    fn failed_for(reason: &str) -> FinalOutcome {
        failed(address_hash(), reason.to_owned())
    }

    /// A later push sends again what failed without an address, so each message that may have arrived keeps it.
    #[test]
    fn each_final_result_means_one_record() {
        let sent = FinalOutcome {
            outcome: Outcome::Sent,
            reason: None,
            provider_message_id: Some("m-1".to_owned()),
            address_hash: Some(address_hash()),
        };
        for (result, unanswered, outcome, signal) in [
            (Ok(Accepted { message_id: "m-1".to_owned() }), 0, sent, Signal::Reached),
            (Err(SendError::refused(RefusalKind::Recipient, why())), 0, failed_for("why"), Signal::Reached),
            (Err(SendError::OptedOut(why())), 0, FinalOutcome::unsent(Outcome::OptedOut, "why"), Signal::Reached),
            // Handed over twice: another attempt could be a third copy.
            (
                Err(SendError::Unanswered(why())),
                1,
                failed_for("handed over twice without a response: why"),
                Signal::NoResponse(why()),
            ),
            (
                Err(SendError::Unanswered(why())),
                7,
                failed_for("handed over twice without a response: why"),
                Signal::NoResponse(why()),
            ),
        ] {
            let next = NotificationState::Final(Counted::Outcome(outcome.outcome));
            let expected = Meaning { record: Record::Final(outcome), signal, next };
            assert_eq!(classify(&result, unanswered, address_hash()), expected, "{result:?} after {unanswered}");
        }
    }

    #[test]
    fn each_other_result_is_tried_again() {
        for (error, unanswered, release, signal, next) in [
            (
                SendError::refused(RefusalKind::Temporary, why()),
                0,
                Release::Unsent,
                Signal::Reached,
                Unfinished::NotAccepted,
            ),
            // Only a message without a response counts, however often one was before.
            (
                SendError::refused(RefusalKind::Temporary, why()),
                1,
                Release::Unsent,
                Signal::Reached,
                Unfinished::NotAccepted,
            ),
            (SendError::Unanswered(why()), 0, Release::Unanswered, Signal::NoResponse(why()), Unfinished::NotAccepted),
            (SendError::Unreachable(why()), 1, Release::Unsent, Signal::Unreachable(why()), Unfinished::BreakerOpen),
        ] {
            let record = Record::Retry(release, error.to_string());
            let expected = Meaning { record, signal, next: NotificationState::Unfinished(next) };
            let result = Err(error);
            assert_eq!(classify(&result, unanswered, address_hash()), expected, "{result:?} after {unanswered}");
        }
    }

    #[test]
    fn attempt_that_came_too_late_means_nothing_but_that_time_is_up() {
        let expected = Meaning {
            record: Record::Nothing,
            signal: Signal::Unknown,
            next: NotificationState::Unfinished(Unfinished::NoTime),
        };
        assert_eq!(classify(&Err(SendError::TooLate), 0, address_hash()), expected);
    }
}
