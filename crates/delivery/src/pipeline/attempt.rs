//! One attempt to send a claimed notification: send, record, report to the circuit breaker, log.

use std::time::Duration;

use domain::notification::ReasonCode;
use domain::{AddressHash, TransportId};
use jiff::Timestamp;
use store::StoreError;
use store::deliveries::{Claim, DeliveryId, RecordResult, Release};
use store::suppressions::{Notified, Reason, Report};

use super::deferral::Unfinished;
use super::deliverer::Deliverer;
use super::judgement::{Judgement, judge, others_were_accepted};
use super::meaning::{Circumstances, Meaning, Record, Suppression, classify};
use super::round::{NotificationState, Round};
use crate::compose::Compose;
use crate::transport::{Accepted, Refusal, RefusalKind, SendError, Transport};

/// The minimum time left to try to record an outcome. It covers the longest try (the operation timeout of the store's
/// client, 8 s, and a wait before it) and the deferral of the batch afterwards.
pub(super) const MIN_TIME_TO_RECORD: Duration = Duration::from_secs(20);

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
        let sent = round.selected.limited.transport.send(message, round.hand_over_until(claim)).await;
        let duration_ms = self.sources.millis_since(began);
        round.latencies_ms.lock().await.push(duration_ms);
        let meaning = self.meaning(round, claim, &sent, &address_hash).await;
        if let Err(SendError::Refused(Refusal { text: reason, .. }) | SendError::Unanswered(reason)) = &sent
            && matches!(meaning.record, Record::Retry { .. })
        {
            *round.refusal.lock().await = Some(reason.clone());
        }
        let suppressed = match meaning.suppression {
            Some(suppression) => self.suppress(&claim.id, &address_hash, suppression, round.selected.id).await,
            None => Ok(()),
        };
        let recorded = match suppressed {
            Ok(()) => self.write(round, &meaning.record, claim).await,
            Err(error) => Err(error),
        };
        // Also if the record could not be written: the other callers need to know.
        let streak = round.count_streak(&meaning.signal);
        let mut next = meaning.next;
        if let Some(comes_again) = self.report_to_breaker(round.selected, &meaning.signal, streak).await {
            let stopped = Unfinished::BreakerOpen(comes_again);
            round.stopped.get_or_init(|| stopped);
            if matches!(next, NotificationState::Unfinished(Unfinished::NotAccepted | Unfinished::BreakerOpen(_))) {
                next = NotificationState::Unfinished(stopped);
            }
        }
        if let Some((suspect, Err(error))) = meaning.hold.zip(Some(&sent)) {
            next = NotificationState::Unfinished(self.hold(round, suspect, &error.to_string()).await);
        }
        let recorded = recorded?;
        log_attempt(claim, &sent, &meaning.record, recorded, duration_ms);
        Ok(match recorded {
            Some(RecordResult::LeaseLost) => {
                // The outcome of its new holder counts, and the next round reads it.
                NotificationState::Unfinished(Unfinished::Leased(self.sources.now()))
            }
            Some(RecordResult::Recorded) | None => next,
        })
    }

    /// Classifies the result of sending, with what the other messages show.
    async fn meaning<'a>(
        &self,
        round: &Round<'_, C, T>,
        claim: &Claim,
        sent: &Result<Accepted, SendError>,
        address_hash: &'a AddressHash,
    ) -> Meaning<'a> {
        let judgement = match sent {
            Ok(_) => {
                self.note_acceptance(round).await;
                Judgement::Unclear
            }
            Err(SendError::Refused(Refusal { kind: RefusalKind::Ambiguous(suspect), .. })) => {
                let evidence = self.note_refusal(round, *suspect, address_hash).await;
                let past = claim.refusal.as_ref().filter(|past| {
                    let is_ambiguous = past.code == Some(ReasonCode::Refused);
                    is_ambiguous && past.is_at(address_hash) && past.transport == Some(round.selected.id)
                });
                judge(past, &evidence, self.sources.now())
            }
            Err(_) => Judgement::Unclear,
        };
        let accepted_at = round.fared().accepted_at();
        let known = Circumstances {
            unanswered: claim.unanswered,
            address_hash,
            is_probe: round.selected.is_probing(),
            others_are_accepted: others_were_accepted(accepted_at, self.sources.now()),
            judgement,
        };
        classify(sent, known)
    }

    /// Suppresses an address to which a notification was sent.
    pub(super) async fn suppress(
        &self,
        notification: &DeliveryId,
        address: &AddressHash,
        suppression: Suppression,
        by: TransportId,
    ) -> Result<(), StoreError> {
        let notified = Some(&Notified::of(notification, &self.hash_keys.get().await?));
        let report = Report { address, at: self.sources.now(), by: by.as_str(), notified };
        match suppression {
            Suppression::OptedOut => self.suppressions.suppress(&report, Reason::OptedOut).await,
            Suppression::Unknown { others_are_accepted } => {
                self.suppressions.unknown_address(&report, others_are_accepted).await.map(|_| ())
            }
        }
    }

    /// Writes the record under the claim; `None` if there is nothing to write. A message that was handed over would be
    /// sent again without its record, so its write is retried for as long as there is time. Otherwise it is tried once.
    async fn write(
        &self,
        round: &Round<'_, C, T>,
        record: &Record<'_>,
        claim: &Claim,
    ) -> Result<Option<RecordResult>, StoreError> {
        let deadline = round.deadline;
        match record {
            Record::Final(outcome) if claim.is_first => {
                let write = async |outcomes| self.deliveries.record_first(outcomes).await;
                let record = || round.outcomes.ask((claim.clone(), outcome.clone()), write);
                self.retry_until(deadline, record).await.map(Some)
            }
            Record::Final(outcome) => {
                self.retry_until(deadline, || self.deliveries.record(claim, outcome)).await.map(Some)
            }
            Record::Retry { release: release @ Release::Unanswered, code, reason } => {
                let release = || self.deliveries.release(claim, *code, reason, *release);
                self.retry_until(deadline, release).await.map(Some)
            }
            Record::Retry { release, code, reason } => {
                self.deliveries.release(claim, *code, reason, *release).await.map(Some)
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
    record: &Record<'_>,
    recorded: Option<RecordResult>,
    duration_ms: u64,
) {
    let customer = &claim.id.customer;
    let state = match record {
        Record::Final(written) => written.outcome.as_str(),
        Record::Retry { .. } => "retry",
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
