//! The pipeline: the steps of delivering a batch, the same for every channel.
//!
//! 1. **Select a transport.** While the circuit breaker of the primary is open, the fallback serves. Without one, the
//!    batch is deferred.
//! 2. **Screen.** Notifications that were sent, or are final for this push, are skipped. Those that must not be sent
//!    are recorded with the reason: push cancelled, offer expired, customer or consent removed, unsubscribed, address
//!    suppressed, message cannot be composed.
//! 3. **Acquire a slot** of the transport's rate, which all functions share. What was read more than five seconds ago
//!    is read and screened again.
//! 4. **Claim** the delivery, so that no other invocation sends it.
//! 5. **Attempt** to send it, once. Several notifications are sent at a time.
//! 6. **Record** the outcome immediately, under the claim.
//! 7. **Report** the batch once all of it is final, with the counts of this round and the rounds before. Otherwise
//!    **defer** it: its caller sends the rest again with a delay.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | the order of the steps | this file |
//! | which transport is called, and when its breaker opens or closes | `breaker` |
//! | who must not get a message | `screening` |
//! | the share of the rate limit | `rate` |
//! | what an attempt means for the record, the breaker and the batch | `attempt` |
//! | when a deferred batch comes again | `deferral` |
//! | the state that the notifications of a batch share | `round` |
//! | a message on direct invocation | `send_one` |
//! | the parts of a deliverer | `deliverer` |

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use domain::push::OutcomeCounts;
use domain::queue::Batch;
use domain::{AddressHash, CustomerId};
use futures::{FutureExt, StreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use runtime::telemetry;
use store::StoreError;
use store::deliveries::{ClaimResult, DeliveryId, FinalOutcome, ResendPolicy, Route};
use store::pushes::{Report, ReportResult};

use self::breaker::{Selected, SelectedTransport, emit_breaker_state};
use self::deferral::{Unfinished, Wait, backoff, deferral_for, delay_until};
use self::rate::SlotResult;
use self::round::{Counted, MAX_READ_AGE, NotificationState, Round};
use self::screening::Recipients;
use crate::compose::Compose;
use crate::transport::Transport;

pub use self::deferral::{DeferReason, Deferral};
pub use self::deliverer::{Deliverer, RateLimited};
pub use self::send_one::SendOneError;

mod attempt;
mod breaker;
mod deferral;
mod deliverer;
mod rate;
mod round;
mod screening;
mod send_one;

/// Notifications of one batch that are in progress at a time.
const CONCURRENCY: usize = 10;
/// A lease ends this long after the deadline of its holder, so that clocks may differ a little.
const LEASE_MARGIN: SignedDuration = SignedDuration::from_secs(5);
/// How often a batch of a cancelled push is deferred while its page is not committed, before it is given up: for about
/// half an hour in all.
const MAX_ORPHAN_DEFERRALS: u32 = 16;

/// The result of delivering a batch.
#[derive(Debug, Clone, PartialEq)]
pub enum Delivered {
    /// Every notification is final, and the batch has been reported with these counts.
    Completed(OutcomeCounts),
    /// Every notification is final, but there is nothing to report: the batch was reported before, its scan has been
    /// restarted, or its page was never committed and its push is cancelled.
    NothingToReport,
    /// Some notifications are not final: the batch must come again.
    Deferred(Box<Deferral>),
}

impl Delivered {
    fn defer(again: Batch, delay: Duration, reason: DeferReason) -> Self {
        Self::Deferred(Box::new(Deferral { again, delay, reason }))
    }
}

/// What a notification's turn came to, or the panic that ended it.
type NotificationResult = thread::Result<Result<NotificationState, StoreError>>;

impl<C, T> Deliverer<C, T>
where
    C: Compose,
    T: Transport<Message = C::Message>,
{
    /// Brings every notification of a batch as far as possible before `deadline`.
    ///
    /// # Errors
    /// If the store holds something unreadable or refuses a call as malformed. What was sent until then is recorded;
    /// delivering the batch again is safe.
    pub async fn deliver(&self, batch: &Batch, deadline: Timestamp) -> Result<Delivered, StoreError> {
        match self.try_deliver(batch, deadline).await {
            // Not the batch's fault: it must not count towards `maxReceiveCount`.
            Err(error @ StoreError::Unavailable { .. }) => {
                tracing::warn!(error = %error, "store unavailable; deferring the batch");
                Ok(self.defer_whole(batch, DeferReason::Store))
            }
            other => other,
        }
    }

    /// Defers a batch without any progress.
    fn defer_whole(&self, batch: &Batch, reason: DeferReason) -> Delivered {
        let again = Batch { deferrals: batch.deferrals.saturating_add(1), ..batch.clone() };
        Delivered::defer(again, backoff(batch.deferrals, self.sources.fraction()), reason)
    }

    async fn try_deliver(&self, batch: &Batch, deadline: Timestamp) -> Result<Delivered, StoreError> {
        if let Err(error) = self.composer.prepare().await {
            tracing::error!(error, "messages cannot be composed; deferring the batch");
            return Ok(self.defer_whole(batch, DeferReason::Composer));
        }
        let read_at = self.sources.now();
        let push_is_cancelled = self.is_cancelled(batch.push).await?;
        let selected = if push_is_cancelled || batch.offer.has_expired(self.sources.now()) {
            // Nothing will be sent, so the state of the breaker does not matter.
            self.with_probe(&self.primary, None)
        } else {
            match self.select_transport().await? {
                Selected::Transport(selected) => selected,
                Selected::AllOpen { until } => {
                    emit_breaker_state(self.primary.transport.id(), true);
                    return Ok(Delivered::defer(
                        batch.clone(),
                        delay_until(until, self.sources.now(), self.sources.fraction()),
                        DeferReason::BreakerOpen,
                    ));
                }
            }
        };
        let delivered = self.deliver_through(&selected, batch, push_is_cancelled, read_at, deadline).await;
        // After an error as well: no other caller can probe until it is released or its lease ends.
        self.release_probe(&selected).await;
        delivered
    }

    async fn deliver_through(
        &self,
        selected: &SelectedTransport<'_, T>,
        batch: &Batch,
        push_is_cancelled: bool,
        read_at: Timestamp,
        deadline: Timestamp,
    ) -> Result<Delivered, StoreError> {
        let ids: Vec<_> = batch.customers.iter().map(|customer| delivery_id(batch, customer)).collect();
        let already_final = self.deliveries.find_final(batch.push, &ids).await?;
        let recipients = self.read_recipients(batch, &batch.customers).await?;
        let round = Round::new(batch, selected, already_final, push_is_cancelled, read_at, deadline);
        let results = self.notify_all(&round, &recipients).await;
        round.emit_metrics().await;
        let (counts, unfinished) = sum_up(batch, results)?;
        if unfinished.is_empty() {
            self.report(batch, counts, push_is_cancelled).await
        } else {
            self.defer_rest(round, counts, unfinished).await
        }
    }

    async fn notify_all<'b>(
        &self,
        round: &Round<'b, T>,
        recipients: &Recipients,
    ) -> Vec<(&'b CustomerId, NotificationResult)> {
        // While probing, one attempt at a time.
        let concurrency = if round.selected.probe.is_some() { 1 } else { CONCURRENCY };
        stream::iter(&round.batch.customers)
            .map(|id| {
                // Nothing that a panicking turn has touched is used again.
                let turn = AssertUnwindSafe(self.notify(round, id, recipients)).catch_unwind();
                async move { (id, turn.await) }
            })
            .buffer_unordered(concurrency)
            .collect()
            .await
    }

    /// Takes one notification through steps 2 to 6.
    async fn notify(
        &self,
        round: &Round<'_, T>,
        id: &CustomerId,
        recipients: &Recipients,
    ) -> Result<NotificationState, StoreError> {
        let batch = round.batch;
        if let Some(claim) = round.already_final.get(id) {
            round.waiting.fetch_sub(1, Ordering::Relaxed);
            return Ok(NotificationState::of_claim(batch, claim));
        }
        if round.has_no_time(self.sources.now()) {
            return Ok(NotificationState::Unfinished(Unfinished::NoTime));
        }
        let screened = self.screen(batch, round.push_is_cancelled, id, recipients);
        if let Err(unsent) = &screened {
            round.waiting.fetch_sub(1, Ordering::Relaxed);
            return self.record_unsent(batch, id, unsent).await;
        }
        if round.is_breaker_open.load(Ordering::Relaxed) {
            return Ok(NotificationState::Unfinished(Unfinished::BreakerOpen));
        }
        let asked_at = self.sources.now();
        let slot = self.acquire_slot(round).await?;
        round.waited_ms.fetch_add(telemetry::millis_since(asked_at, self.sources.now()), Ordering::Relaxed);
        if let SlotResult::Unavailable(unfinished) = slot {
            return Ok(NotificationState::Unfinished(unfinished));
        }
        if self.sources.now() < round.read_at + MAX_READ_AGE {
            return self.claim_and_send(round, id, screened).await;
        }
        // Meanwhile the customer may have unsubscribed, or the push been cancelled.
        let push_is_cancelled = self.is_cancelled(batch.push).await?;
        let recipients = self.read_recipients(batch, std::slice::from_ref(id)).await?;
        self.claim_and_send(round, id, self.screen(batch, push_is_cancelled, id, &recipients)).await
    }

    async fn claim_and_send(
        &self,
        round: &Round<'_, T>,
        id: &CustomerId,
        screened: Result<(C::Message, &str), FinalOutcome>,
    ) -> Result<NotificationState, StoreError> {
        let Round { batch, deadline, selected, .. } = *round;
        let (message, address) = match screened {
            Ok(screened) => screened,
            Err(unsent) => return self.record_unsent(batch, id, &unsent).await,
        };
        if round.has_no_time(self.sources.now()) {
            return Ok(NotificationState::Unfinished(Unfinished::NoTime));
        }
        let id = delivery_id(batch, id);
        let address_hash = AddressHash::of(batch.channel, address);
        let policy =
            if batch.retry_rejected { ResendPolicy::UnsentAndRejected } else { ResendPolicy::Unsent(&address_hash) };
        let route = Route { transport: selected.id, other: selected.other };
        let lease_until = deadline + LEASE_MARGIN;
        match self.deliveries.claim(id, batch.push, &batch.offer, policy, route, lease_until).await? {
            ClaimResult::Granted(claim) => self.send(round, &claim, &message, address_hash).await,
            other => Ok(NotificationState::of_claim(batch, &other)),
        }
    }

    /// Records a final outcome without sending.
    async fn record_unsent(
        &self,
        batch: &Batch,
        id: &CustomerId,
        outcome: &FinalOutcome,
    ) -> Result<NotificationState, StoreError> {
        let recorded =
            self.deliveries.record_unsent(&delivery_id(batch, id), batch.push, &batch.offer, outcome).await?;
        Ok(NotificationState::of_claim(batch, &recorded))
    }

    /// Defers the unfinished notifications. The batch carries the counts of the others.
    async fn defer_rest(
        &self,
        round: Round<'_, T>,
        counts: OutcomeCounts,
        unfinished: Vec<(CustomerId, Unfinished)>,
    ) -> Result<Delivered, StoreError> {
        let batch = round.batch;
        let deferrals = if unfinished.len() < batch.customers.len() { 0 } else { batch.deferrals };
        let reasons: Vec<_> = unfinished.iter().map(|(_, why)| *why).collect();
        let Wait { delay, reason } = deferral_for(deferrals, &reasons, self.sources.now(), self.sources.fraction());
        if let Some(refusal) = round.refusal.into_inner() {
            self.limits.record_refusal(round.selected.id, &refusal).await?;
        }
        let customers = unfinished.into_iter().map(|(id, _)| id).collect();
        // After a wait for the rate, for time or for the breaker, the next backoff need not be longer.
        let grows = matches!(reason, DeferReason::Refused | DeferReason::Leased | DeferReason::Store);
        let deferrals = deferrals.saturating_add(u32::from(grows));
        let again = Batch { customers, counts, deferrals, ..batch.clone() };
        Ok(Delivered::defer(again, delay, reason))
    }

    /// Reports a batch whose notifications are all final.
    async fn report(
        &self,
        batch: &Batch,
        counts: OutcomeCounts,
        push_is_cancelled: bool,
    ) -> Result<Delivered, StoreError> {
        let report =
            Report { push: batch.push, slice: batch.slice, generation: batch.generation, batch: batch.number, counts };
        Ok(match self.pushes.report(&report).await? {
            ReportResult::Counted => Delivered::Completed(counts),
            ReportResult::NotOutstanding => Delivered::NothingToReport,
            // The batch finished before the scan committed its page; or the scan died, and its slice is redelivered.
            ReportResult::TooEarly => {
                // While it waits only for its page, a batch lists no customers. If it still lists some, its deferrals
                // had other reasons.
                let waited = if batch.customers.is_empty() { batch.deferrals } else { 0 };
                if push_is_cancelled && waited >= MAX_ORPHAN_DEFERRALS {
                    return Ok(Delivered::NothingToReport);
                }
                let again = Batch { customers: Vec::new(), counts, deferrals: waited + 1, ..batch.clone() };
                Delivered::defer(again, backoff(waited, self.sources.fraction()), DeferReason::PageNotCommitted)
            }
        })
    }
}

/// The counts of a batch so far, and its unfinished notifications. Raises the first error or panic among the results,
/// now that every notification has had its turn. An unavailable store is not raised: it leaves its notification
/// unfinished.
fn sum_up(
    batch: &Batch,
    results: Vec<(&CustomerId, NotificationResult)>,
) -> Result<(OutcomeCounts, Vec<(CustomerId, Unfinished)>), StoreError> {
    let mut counts = batch.counts;
    let mut unfinished = Vec::new();
    let mut unavailable = None;
    for (id, result) in results {
        match result.unwrap_or_else(|panic| resume_unwind(panic)) {
            Ok(NotificationState::Final(Counted::Outcome(outcome))) => counts.count(outcome),
            Ok(NotificationState::Final(Counted::AlreadyServed)) => counts.already_served += 1,
            Ok(NotificationState::Unfinished(why)) => unfinished.push((id.clone(), why)),
            // The outcomes of the others still count.
            Err(error @ StoreError::Unavailable { .. }) => {
                unfinished.push((id.clone(), Unfinished::StoreUnavailable));
                unavailable = Some(error);
            }
            Err(error) => return Err(error),
        }
    }
    if let Some(error) = unavailable {
        tracing::warn!(error = %error, "store unavailable for some notifications; deferring them");
    }
    Ok((counts, unfinished))
}

fn delivery_id(batch: &Batch, customer: &CustomerId) -> DeliveryId {
    DeliveryId { offer: batch.offer.id, customer: customer.clone(), channel: batch.channel }
}
