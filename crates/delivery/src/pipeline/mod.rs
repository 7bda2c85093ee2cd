//! The steps of delivering a batch.
//!
//! 1. While a transport is out of reach, nobody calls it: the second one serves, and where there is none the batch is put
//!    off.
//! 2. What is served already has no more turn. What must not be sent is concluded with its reason: push cancelled, offer
//!    over, customer or consent gone, unsubscribed, address suppressed, text that cannot be written to her.
//! 3. A send is reserved from the transport's rate, which all functions share. What was read more than five seconds ago is
//!    read and looked at again.
//! 4. A delivery is claimed before anything is sent, so that nobody else sends it.
//! 5. It is sent, several at a time, each with one attempt.
//! 6. Its outcome is recorded at once, under the claim.
//! 7. When every notification of the batch is final the batch is reported, once, with counts taken from the records.
//!    Otherwise it is put off: the caller sends it anew, to come again at a time of our choosing.

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use domain::clock::now;
use domain::notification::Outcome;
use domain::push::OutcomeCounts;
use domain::queue::Batch;
use domain::{AddressHash, CustomerId};
use futures::{FutureExt, StreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use runtime::telemetry;
use store::StoreError;
use store::deliveries::{ClaimResult, DeliveryId, FinalOutcome, ResendPolicy, Route};
use store::pushes::{Report, ReportResult};
use tokio::sync::Mutex;

use self::breaker::{SelectedTransport, emit_breaker_state};
use self::deferral::{Unfinished, after_attempt, defer_for, until};
use self::rate::sleep_until;
use self::round::{Counted, MAX_READ_AGE, MIN_TIME_TO_START, NotificationState, Round};
use self::screening::Recipients;
use crate::compose::Compose;
use crate::transport::{Accepted, SendError, Transport};

pub use self::deferral::{DeferReason, Deferral};
pub use self::deliverer::{Deliverer, RateLimited};

mod attempt;
mod breaker;
mod deferral;
mod deliverer;
mod rate;
mod round;
mod screening;

/// Sends of one batch at a time.
const CONCURRENCY: usize = 10;
/// A lease outlives the invocation that holds it by this much, so that clocks may differ a little.
const LEASE_MARGIN: SignedDuration = SignedDuration::from_secs(5);
/// How often a batch of a cancelled push waits for its page to be turned: for well over half an hour, in which its slice
/// came again as often as it may.
const MAX_ORPHAN_DEFERRALS: u32 = 16;

/// DeferReason one message on its own was not sent.
#[derive(Debug, thiserror::Error)]
pub enum SendOneError {
    /// Every transport was out of reach a moment ago.
    #[error("every provider is out of reach until {until}; nothing was sent")]
    Blocked {
        /// Until then nobody calls.
        until: Timestamp,
    },
    /// Others use the transport's rate.
    #[error("the rate is used in full; nothing was sent, try again in a few seconds")]
    Busy,
    /// The transport's answer.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The store is out of reach, or holds something unreadable.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq)]
pub enum Delivered {
    /// Every notification is final, and that is reported.
    Completed(OutcomeCounts),
    /// The same, but it was reported before, or is of a walk that no longer counts.
    AlreadyReported,
    /// Some are not: the batch must come again.
    Deferred(Box<Deferral>),
}

impl Delivered {
    fn defer(again: Batch, delay: Duration, reason: DeferReason) -> Self {
        Self::Deferred(Box::new(Deferral { again, delay, reason }))
    }

    /// Of which nothing could be done.
    fn defer_whole(batch: &Batch, reason: DeferReason) -> Self {
        let again = Batch { attempt: batch.attempt.saturating_add(1), ..batch.clone() };
        Self::defer(again, after_attempt(batch.attempt), reason)
    }
}

impl<C, T> Deliverer<C, T>
where
    C: Compose,
    T: Transport<Message = C::Message>,
{
    /// Brings every notification of a batch as far as it will go before `deadline`.
    ///
    /// # Errors
    /// If the store holds something unreadable. What was sent until then is recorded; delivering the batch again is safe.
    pub async fn deliver(&self, batch: &Batch, deadline: Timestamp) -> Result<Delivered, StoreError> {
        match self.try_deliver(batch, deadline).await {
            // No fault of the batch: the queue must not count it as one.
            Err(error @ StoreError::Unavailable { .. }) => {
                tracing::warn!(error = %error, "the store is out of reach");
                Ok(Delivered::defer_whole(batch, DeferReason::Store))
            }
            other => other,
        }
    }

    async fn try_deliver(&self, batch: &Batch, deadline: Timestamp) -> Result<Delivered, StoreError> {
        if let Err(error) = self.composer.prepare().await {
            tracing::error!(error, "messages cannot be written");
            return Ok(Delivered::defer_whole(batch, DeferReason::Composer));
        }
        let read_at = now();
        let push_is_cancelled = self.is_cancelled(batch.push).await?;
        let selected = if push_is_cancelled || batch.offer.is_over(now()) {
            // Nothing will be sent, so it does not matter whether anything could be.
            self.select(&self.first, None)
        } else {
            match self.select_transport().await? {
                Ok(passed) => passed,
                Err(blocked) => {
                    emit_breaker_state(self.first.transport.id(), true);
                    return Ok(Delivered::defer(batch.clone(), until(blocked), DeferReason::Blocked));
                }
            }
        };
        let delivered = self.deliver_through(&selected, batch, push_is_cancelled, read_at, deadline).await;
        // Whatever happened: the right to probe is nobody's until it is given back.
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
        let served = self.deliveries.find_final(batch.push, &ids).await?;
        let recipients = self.recipients(batch, &batch.customers).await?;
        let round = Round {
            batch,
            selected,
            served,
            deadline,
            push_is_cancelled,
            read_at,
            share: Mutex::default(),
            waiting: AtomicU32::new(u32::try_from(batch.customers.len()).unwrap_or(u32::MAX)),
            blocked: AtomicBool::new(false),
            silent: AtomicU32::new(0),
            refusal: Mutex::default(),
            latencies: Mutex::default(),
            waited_ms: AtomicU64::new(0),
        };
        // A probe is one attempt at a time, until one of them tells.
        let concurrency = if round.selected.probe.is_some() { 1 } else { CONCURRENCY };
        let standings: Vec<_> = stream::iter(&batch.customers)
            .map(|id| {
                // Nothing of a turn that panics is used again.
                let turn = AssertUnwindSafe(self.notify(&round, id, &recipients)).catch_unwind();
                async move { (id, turn.await) }
            })
            .buffer_unordered(concurrency)
            .collect()
            .await;
        round.measure().await;
        let mut counts = batch.tally;
        let mut left = Vec::new();
        let mut out_of_reach = None;
        for (id, standing) in standings {
            // Every notification had its turn before an error or a panic among them is told.
            match standing.unwrap_or_else(|panic| resume_unwind(panic)) {
                Ok(NotificationState::Final(Counted::Outcome(outcome))) => counts.count(outcome),
                Ok(NotificationState::Final(Counted::AlreadyServed)) => counts.already_served += 1,
                Ok(NotificationState::Unfinished(open)) => left.push((id.clone(), open)),
                // Too busy for one notification is no reason to forget what became of the others.
                Err(error @ StoreError::Unavailable { .. }) => {
                    left.push((id.clone(), Unfinished::StoreBusy));
                    out_of_reach = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        if let Some(error) = out_of_reach {
            tracing::warn!(error = %error, "the store is out of reach");
        }
        if !left.is_empty() {
            let attempt = if left.len() < batch.customers.len() { 0 } else { batch.attempt };
            let (delay, reason) = defer_for(attempt, &left);
            if let Some(refusal) = round.refusal.into_inner() {
                self.limits.record_refusal(selected.name, &refusal).await?;
            }
            let customers = left.into_iter().map(|(id, _)| id).collect();
            // Waiting for the provider's rate, or for time, is no sign that the next attempt should wait longer.
            let attempt = attempt.saturating_add(u32::from(matches!(
                reason,
                DeferReason::Refused | DeferReason::Leased | DeferReason::Store
            )));
            let again = Batch { customers, tally: counts, attempt, ..batch.clone() };
            return Ok(Delivered::defer(again, delay, reason));
        }
        let report =
            Report { push: batch.push, slice: batch.slice, generation: batch.generation, batch: batch.batch, counts };
        Ok(match self.pushes.report(&report).await? {
            ReportResult::Counted => Delivered::Completed(counts),
            ReportResult::Settled => Delivered::AlreadyReported,
            // Faster than the walker that queued it; or that has died, and its slice comes again.
            ReportResult::TooEarly => {
                // Until now it may have waited for something else.
                let waited = if batch.customers.is_empty() { batch.attempt } else { 0 };
                if push_is_cancelled && waited >= MAX_ORPHAN_DEFERRALS {
                    return Ok(Delivered::AlreadyReported);
                }
                let again = Batch { customers: Vec::new(), tally: counts, attempt: waited + 1, ..batch.clone() };
                Delivered::defer(again, after_attempt(waited), DeferReason::PageNotTurned)
            }
        })
    }

    async fn notify(
        &self,
        round: &Round<'_, T>,
        id: &CustomerId,
        recipients: &Recipients,
    ) -> Result<NotificationState, StoreError> {
        let batch = round.batch;
        if let Some(served) = round.served.get(id) {
            round.waiting.fetch_sub(1, Ordering::Relaxed);
            return Ok(standing(batch, served));
        }
        if now() + MIN_TIME_TO_START > round.deadline {
            return Ok(NotificationState::Unfinished(Unfinished::NoTime));
        }
        let written = self.message(batch, round.push_is_cancelled, id, recipients);
        if let Err(final_outcome) = &written {
            round.waiting.fetch_sub(1, Ordering::Relaxed);
            return self.record_unsent(batch, id, final_outcome).await;
        }
        if round.blocked.load(Ordering::Relaxed) {
            return Ok(NotificationState::Unfinished(Unfinished::Blocked));
        }
        let asked = Instant::now();
        let turn = self.acquire_slot(round).await?;
        round.waited_ms.fetch_add(telemetry::millis_since(asked), Ordering::Relaxed);
        if let Err(open) = turn {
            return Ok(NotificationState::Unfinished(open));
        }
        if now() < round.read_at + MAX_READ_AGE {
            return self.claim(round, id, written).await;
        }
        // Meanwhile she may have thought better of it, or the push been cancelled.
        let push_is_cancelled = self.is_cancelled(batch.push).await?;
        let recipients = self.recipients(batch, std::slice::from_ref(id)).await?;
        self.claim(round, id, self.message(batch, push_is_cancelled, id, &recipients)).await
    }

    async fn claim(
        &self,
        round: &Round<'_, T>,
        id: &CustomerId,
        written: Result<(C::Message, &str), FinalOutcome>,
    ) -> Result<NotificationState, StoreError> {
        let Round { batch, deadline, selected, .. } = *round;
        let (message, address) = match written {
            Ok(written) => written,
            Err(final_outcome) => return self.record_unsent(batch, id, &final_outcome).await,
        };
        if now() + MIN_TIME_TO_START > deadline {
            return Ok(NotificationState::Unfinished(Unfinished::NoTime));
        }
        let id = delivery_id(batch, id);
        let hash = AddressHash::of(batch.channel, address);
        let take_up = if batch.retry_rejected { ResendPolicy::UnsentAndRejected } else { ResendPolicy::Unsent(&hash) };
        let via = Route { transport: selected.name, other: selected.other };
        let lease_until = deadline + LEASE_MARGIN;
        match self.deliveries.claim(id, batch.push, &batch.offer, take_up, via, lease_until).await? {
            ClaimResult::Granted(claim) => self.send(round, &claim, &message, hash).await,
            taken => Ok(standing(batch, &taken)),
        }
    }

    /// Records that nothing is sent, and why.
    async fn record_unsent(
        &self,
        batch: &Batch,
        id: &CustomerId,
        final_outcome: &FinalOutcome,
    ) -> Result<NotificationState, StoreError> {
        let claiming =
            self.deliveries.record_unsent(&delivery_id(batch, id), batch.push, &batch.offer, final_outcome).await?;
        Ok(standing(batch, &claiming))
    }

    /// Sends one message on its own: no claim, no record. It waits for its turn as long as there is time.
    ///
    /// # Errors
    /// If it was not sent, or not certainly.
    pub async fn send_one(&self, message: &C::Message, deadline: Timestamp) -> Result<Accepted, SendOneError> {
        let selected = self.select_transport().await?.map_err(|until| SendOneError::Blocked { until })?;
        let sent = match self.reserve(selected.limited, &mut None, 1, deadline - MIN_TIME_TO_START).await {
            Ok(Ok(at)) => {
                sleep_until(at).await;
                let sent = selected.limited.transport.send(message, deadline).await;
                // It may be this sender whom the provider refuses: that blocks nobody else.
                let told = if let Err(SendError::Unreachable(_)) = sent {
                    Ok(false)
                } else {
                    self.report_to_breaker(&selected, &sent, false).await
                };
                if let Err(error) = told {
                    tracing::warn!(transport = %selected.name, error = %error, "the block could not be cleared, and runs out");
                }
                sent.map_err(SendOneError::Send)
            }
            Ok(Err(_)) => Err(SendOneError::Busy),
            Err(error) => Err(error.into()),
        };
        self.release_probe(&selected).await;
        sent
    }
}

fn delivery_id(batch: &Batch, customer: &CustomerId) -> DeliveryId {
    DeliveryId { offer: batch.offer.id, customer: customer.clone(), channel: batch.channel }
}

fn standing(batch: &Batch, claiming: &ClaimResult) -> NotificationState {
    match claiming {
        // What an earlier push sent is served. What it ended otherwise, and this push may not take up, still counts.
        ClaimResult::Final { push, outcome: Outcome::Sent } if *push != batch.push.number => {
            NotificationState::Final(Counted::AlreadyServed)
        }
        ClaimResult::Final { outcome, .. } => NotificationState::Final(Counted::Outcome(*outcome)),
        ClaimResult::Leased { until } => NotificationState::Unfinished(Unfinished::Leased(*until)),
        ClaimResult::Granted(_) => unreachable!("a granted claim is sent"),
    }
}
