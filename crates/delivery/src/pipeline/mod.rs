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
//! | whose fault an unclear refusal is | `judgement` |
//! | how messages fare, and holding a push | `hold` |
//! | which messages of the queue are batches to deliver | `checked` |
//! | who must not get a message | `screening` |
//! | the share of the rate limit | `rate` |
//! | how a message is sent, and its outcome recorded | `attempt` |
//! | what an attempt means for the record, the breaker and the batch | `meaning` |
//! | when a deferred batch comes again | `deferral` |
//! | what a deferred batch reports | `progress` |
//! | the state that the notifications of a batch share | `round` |
//! | what a claim names, and the claims and outcomes that share a call | `claim`, `gather` |
//! | how an invocation shows that it lives, and how others take over from it | `heartbeat` |
//! | a message on direct invocation | `send_one` |
//! | the parts of a deliverer | `deliverer` |

use std::any::Any;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::atomic::Ordering;

use domain::push::waiting::Refusal;
use domain::push::{OutcomeCounts, Tally};
use domain::queue::Batch;
use domain::{AddressHash, CustomerId};
use futures::{FutureExt, StreamExt, stream};
use jiff::Timestamp;
use runtime::telemetry;
use store::deliveries::{ClaimResult, DeliveryId, FinalOutcome, Unclaimable};
use store::pushes::{Report, ReportResult};
use store::{MAX_READ_AGE, StoreError};

use self::breaker::{Selected, SelectedTransport, emit_breaker_state};
use self::checked::CheckedBatch;
use self::deferral::Unfinished;
use self::heartbeat::Heartbeat;
use self::hold::emit_held;
use self::rate::SlotResult;
use self::round::{Counted, NotificationState, Round};
use self::screening::Recipients;
use crate::compose::Compose;
use crate::transport::Transport;

pub use self::checked::{DeliverError, UnusableBatch};
pub use self::deferral::{DeferReason, Deferral};
pub use self::deliverer::{Deliverer, RateLimited};
pub use self::rate::FullLine;
pub use self::send_one::SendOneError;

mod attempt;
mod breaker;
mod checked;
mod claim;
mod deferral;
mod deliverer;
mod gather;
mod heartbeat;
mod hold;
mod judgement;
mod meaning;
mod progress;
mod rate;
mod round;
mod screening;
mod send_one;

/// Notifications of one batch that are in progress at a time.
const CONCURRENCY: usize = 10;

/// The result of delivering a batch.
#[derive(Debug, Clone, PartialEq)]
pub enum Delivered {
    /// Every notification is final, and the batch has been reported with these counts.
    Completed(OutcomeCounts),
    /// There is nothing to report: the push is completed, and nothing of the batch was sent; or every notification is
    /// final, but the batch was reported before, its scan has been restarted, or its page was never committed and its
    /// push is cancelled.
    NothingToReport,
    /// Some notifications are not final: the batch must come again.
    Deferred(Box<Deferral>),
}

impl From<Deferral> for Delivered {
    fn from(deferral: Deferral) -> Self {
        Self::Deferred(Box::new(deferral))
    }
}

/// How a notification's turn in a round ended.
enum Turn {
    Done(NotificationState),
    Failed(StoreError),
    Panicked(Box<dyn Any + Send>),
}

impl<C, T> Deliverer<C, T>
where
    C: Compose,
    T: Transport<Message = C::Message>,
{
    /// Brings every notification of a batch as far as possible before `deadline`.
    ///
    /// # Errors
    /// If the batch is unusable, or the store holds something unreadable or refuses a call as malformed. What was sent
    /// until then is recorded; delivering the batch again is safe.
    pub async fn deliver(&self, batch: &Batch, deadline: Timestamp) -> Result<Delivered, DeliverError> {
        match self.try_deliver(batch, deadline).await {
            // Not the batch's fault: it must not count towards `maxReceiveCount`.
            Err(DeliverError::Store(error @ StoreError::Unavailable { .. })) => {
                tracing::warn!(error = %error, "store unavailable; deferring the batch");
                Ok(self.defer_whole(batch, DeferReason::Store))
            }
            other => other,
        }
    }

    /// Defers a batch of a held push until the push may be probed.
    fn defer_held(&self, batch: &Batch, until: Timestamp) -> Delivered {
        Deferral::until(batch, until, DeferReason::Held, self.sources.now(), self.sources.fraction()).into()
    }

    /// Defers a batch without any progress.
    fn defer_whole(&self, batch: &Batch, reason: DeferReason) -> Delivered {
        Deferral::whole(batch, reason, self.sources.fraction()).into()
    }

    async fn try_deliver(&self, batch: &Batch, deadline: Timestamp) -> Result<Delivered, DeliverError> {
        if let Some(deferral) = self.defer_while_full(batch) {
            return Ok(deferral.into());
        }
        let keys = match self.composer.prepare().await {
            Ok(keys) => keys,
            Err(error) => {
                tracing::error!(error, "messages cannot be composed; deferring the batch");
                return Ok(self.defer_whole(batch, DeferReason::Composer));
            }
        };
        let read_at = self.sources.now();
        let pushed = self.pushed_offers.get(batch.push).await?;
        telemetry::record_push(batch.push, pushed.as_ref().and_then(|pushed| pushed.request.trace));
        let batch = &CheckedBatch::new(batch, self.composer.channel(), pushed)?;
        if batch.push_is_completed {
            return Ok(Delivered::NothingToReport);
        }
        let selected = if batch.push_is_cancelled || batch.offer.has_expired(self.sources.now()) {
            // Nothing will be sent, so the state of the breaker does not matter.
            self.without_probe(&self.primary)
        } else {
            match self.select_transport(Some(batch.push)).await? {
                Selected::Transport(selected) => selected,
                Selected::AllOpen { until, at_most, since, is_held } => {
                    let emit = if is_held { emit_held } else { emit_breaker_state };
                    emit(self.primary.transport.id(), true);
                    // Some recipients may have been refused for so long that they are given up.
                    let may_be_over = batch.requested_at + self.retry_for <= self.sources.now();
                    if !(is_held && may_be_over) {
                        // Of a held push, any batch may be the one whose recipients are accepted.
                        return Ok(if is_held {
                            self.defer_held(batch, until)
                        } else {
                            let (now, fraction) = (self.sources.now(), self.sources.fraction());
                            Deferral::in_outage(batch, until..=at_most, since, now, fraction).into()
                        });
                    }
                    SelectedTransport { held_until: Some(until), ..self.without_probe(&self.primary) }
                }
            }
        };
        if let Some(deferral) = self.defer_if_full(&selected, batch).await? {
            return Ok(deferral.into());
        }
        let delivered = self.deliver_through(&selected, batch, keys, read_at, deadline);
        let delivered = AssertUnwindSafe(delivered).catch_unwind().await;
        // After an error or a panic as well: no other caller can probe until it is released or its lease ends.
        self.release_probe(&selected, Some(batch.push)).await;
        Ok(delivered.unwrap_or_else(|panic| resume_unwind(panic))?)
    }

    async fn deliver_through(
        &self,
        selected: &SelectedTransport<'_, T>,
        batch: &CheckedBatch,
        keys: C::Keys,
        read_at: Timestamp,
        deadline: Timestamp,
    ) -> Result<Delivered, StoreError> {
        let ids: Vec<_> = batch.customers().iter().map(|customer| delivery_id(batch, customer)).collect();
        let known = self.deliveries.look_up(batch.push, &ids).await?;
        if let Some(until) = self.lets_others_probe(selected, batch, &known) {
            return Ok(self.defer_held(batch, until));
        }
        let heartbeat = Heartbeat::new(&self.sources, self.end_silent(&known).await?);
        let recipients = self.read_recipients(batch, batch.customers()).await?;
        let round = Round::new(batch, keys, selected, known, heartbeat, read_at, deadline);
        let turns = tokio::select! {
            biased;
            never = self.keep_beating(&round.heartbeat) => match never {},
            turns = self.notify_all(&round, &recipients) => turns,
        };
        round.emit_metrics().await;
        let (tally, unfinished) = sum_up(batch, turns)?;
        if unfinished.is_empty() {
            self.report(batch, tally).await
        } else {
            Ok(self.defer_rest(round, tally, unfinished).await)
        }
    }

    async fn notify_all<'b>(&self, round: &Round<'b, C, T>, recipients: &Recipients) -> Vec<(&'b CustomerId, Turn)> {
        // While probing, one attempt at a time.
        let concurrency = if round.selected.is_probing() { 1 } else { CONCURRENCY };
        stream::iter(round.in_order())
            .map(|id| {
                // Nothing that a panicking turn has touched is used again.
                let turn = AssertUnwindSafe(self.notify(round, id, recipients)).catch_unwind();
                async move {
                    let turn = match turn.await {
                        Ok(Ok(state)) => Turn::Done(state),
                        Ok(Err(error)) => Turn::Failed(error),
                        Err(panic) => Turn::Panicked(panic),
                    };
                    (id, turn)
                }
            })
            .buffer_unordered(concurrency)
            .collect()
            .await
    }

    /// Takes one notification through steps 2 to 6.
    async fn notify(
        &self,
        round: &Round<'_, C, T>,
        id: &CustomerId,
        recipients: &Recipients,
    ) -> Result<NotificationState, StoreError> {
        let batch = round.batch;
        if let Some(delivery) = round.known.finals.get(id) {
            round.waiting.fetch_sub(1, Ordering::Relaxed);
            return Ok(NotificationState::of(batch.push.number, Unclaimable::Final(*delivery)));
        }
        if round.has_no_time(self.sources.now()) {
            return Ok(NotificationState::Unfinished(Unfinished::NoTime));
        }
        let screened = self.compose(batch, &round.keys, batch.push_is_cancelled, id, recipients);
        if let Err(unsent) = &screened {
            round.waiting.fetch_sub(1, Ordering::Relaxed);
            return self.record_unsent(round, id, unsent).await;
        }
        if let Ok((_, address_hash)) = &screened
            && let Some(resolved) = self.resolve(round, id, address_hash).await?
        {
            round.waiting.fetch_sub(1, Ordering::Relaxed);
            return Ok(resolved);
        }
        if let Some(unfinished) = round.stopped.get() {
            return Ok(NotificationState::Unfinished(*unfinished));
        }
        let asked_at = self.sources.now();
        let slot = self.acquire_slot(round).await?;
        round.waited_ms.fetch_add(self.sources.millis_since(asked_at), Ordering::Relaxed);
        if let SlotResult::Unavailable(unfinished) = slot {
            return Ok(NotificationState::Unfinished(unfinished));
        }
        if self.sources.now() < round.read_at + MAX_READ_AGE {
            return self.claim_and_send(round, id, screened).await;
        }
        // Meanwhile the customer may have unsubscribed, or the push been cancelled.
        let push_is_cancelled = self.pushes.is_cancelled(batch.push).await?;
        let recipients = self.read_recipients(batch, std::slice::from_ref(id)).await?;
        let screened = self.compose(batch, &round.keys, push_is_cancelled, id, &recipients);
        self.claim_and_send(round, id, screened).await
    }

    async fn claim_and_send(
        &self,
        round: &Round<'_, C, T>,
        id: &CustomerId,
        screened: Result<(C::Message, AddressHash), FinalOutcome>,
    ) -> Result<NotificationState, StoreError> {
        let (message, address_hash) = match screened {
            Ok(screened) => screened,
            Err(unsent) => return self.record_unsent(round, id, &unsent).await,
        };
        if round.has_no_time(self.sources.now()) {
            return Ok(NotificationState::Unfinished(Unfinished::NoTime));
        }
        match self.claim(round, id, address_hash).await? {
            ClaimResult::Granted(claim) => self.send(round, &claim, &message, address_hash).await,
            ClaimResult::NotGranted(delivery) => Ok(NotificationState::of(round.batch.push.number, delivery)),
        }
    }

    /// Records a final outcome without sending.
    async fn record_unsent(
        &self,
        round: &Round<'_, C, T>,
        id: &CustomerId,
        outcome: &FinalOutcome,
    ) -> Result<NotificationState, StoreError> {
        let (batch, after) = (round.batch, round.ended_holder(id));
        let recorded =
            self.deliveries.record_unsent(&delivery_id(batch, id), batch.push, &batch.offer, outcome, after).await?;
        Ok(NotificationState::of(batch.push.number, recorded))
    }

    /// Defers the unfinished notifications. The batch carries the counts of the others.
    async fn defer_rest(
        &self,
        round: Round<'_, C, T>,
        tally: Tally,
        unfinished: Vec<(CustomerId, Unfinished)>,
    ) -> Delivered {
        let now = self.sources.now();
        let reason = round.refusal.into_inner();
        let refusal = reason.map(|reason| Refusal { transport: round.selected.id, at: now, reason });
        let refused = progress::refused(&unfinished);
        let deferral = Deferral::rest(round.batch, tally, unfinished, now, self.sources.fraction());
        self.report_partial(round.batch, &deferral, refused, refusal).await;
        deferral.into()
    }

    /// Reports a batch whose notifications are all final.
    async fn report(&self, batch: &CheckedBatch, tally: Tally) -> Result<Delivered, StoreError> {
        let report =
            Report { push: batch.push, slice: batch.slice, generation: batch.generation, batch: batch.number, tally };
        Ok(match self.pushes.report(&report).await? {
            ReportResult::Counted => {
                progress::emit_age(batch, tally.outcomes, self.sources.now());
                Delivered::Completed(tally.outcomes)
            }
            ReportResult::NotOutstanding => Delivered::NothingToReport,
            // The batch finished before the scan committed its page; or the scan died, and its slice is redelivered.
            ReportResult::TooEarly => {
                let deferral =
                    Deferral::until_committed(batch, tally, batch.push_is_cancelled, self.sources.fraction());
                deferral.map_or(Delivered::NothingToReport, Delivered::from)
            }
        })
    }
}

/// The tally of a batch so far, and its unfinished notifications. Raises the first error or panic among the turns,
/// now that every notification has had its turn. An unavailable store is not raised: it leaves its notification
/// unfinished.
fn sum_up(
    batch: &Batch,
    turns: Vec<(&CustomerId, Turn)>,
) -> Result<(Tally, Vec<(CustomerId, Unfinished)>), StoreError> {
    let mut tally = batch.tally();
    let mut unfinished = Vec::new();
    let mut unavailable = None;
    for (id, turn) in turns {
        match turn {
            Turn::Done(NotificationState::Final(Counted::Outcome(outcome, reason))) => tally.count(outcome, reason),
            Turn::Done(NotificationState::Final(Counted::AlreadyServed)) => tally.outcomes.already_served += 1,
            Turn::Done(NotificationState::Unfinished(why)) => unfinished.push((id.clone(), why)),
            // The outcomes of the others still count.
            Turn::Failed(error @ StoreError::Unavailable { .. }) => {
                unfinished.push((id.clone(), Unfinished::StoreUnavailable));
                unavailable = Some(error);
            }
            Turn::Failed(error) => return Err(error),
            Turn::Panicked(panic) => resume_unwind(panic),
        }
    }
    if let Some(error) = unavailable {
        tracing::warn!(error = %error, "store unavailable for some notifications; deferring them");
    }
    Ok((tally, unfinished))
}

fn delivery_id(batch: &Batch, customer: &CustomerId) -> DeliveryId {
    DeliveryId { offer: batch.push.offer, customer: customer.clone(), channel: batch.channel }
}
