//! The rate limit of a transport: each send waits for a slot that is reserved in the store, for all functions together.

use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use domain::PushId;
use domain::push::backlog::Backlog;
use domain::queue::Batch;
use jiff::Timestamp;
use store::limits::{Reservation, ReservedSlots, Sender};
use store::{MAX_READ_AGE, StoreError};

use super::breaker::SelectedTransport;
use super::checked::CheckedBatch;
use super::deferral::{Deferral, Unfinished};
use super::deliverer::{Deliverer, RateLimited};
use super::round::Round;
use crate::compose::Compose;
use crate::transport::Transport;

/// How long a batch that has begun waits for its next slots. Longer than the turn of another batch, a second; but one that
/// waits has a function for itself.
const MAX_WAIT: Duration = Duration::from_millis(1_500);
/// If no more of a push is left than is sent within this time, its batches wait for slots and are not deferred.
const SHORT_BACKLOG: Duration = Duration::from_secs(5);

/// When the next send may go.
pub(super) enum SendTime {
    /// At this moment.
    At(Timestamp),
    /// Not soon: other invocations use the whole rate.
    RateFull {
        /// When to ask again.
        until: Timestamp,
    },
}

/// A push for which no slot can be reserved, as this process has found. So its batches, of which there may be thousands, are
/// deferred at once, and those of another push need not wait for all that they would read.
#[derive(Debug, Default)]
pub struct FullLine(Mutex<Option<Full>>);

#[derive(Debug, Clone, Copy)]
struct Full {
    push: PushId,
    found_at: Timestamp,
    until: Timestamp,
    /// What is left of the push.
    backlog: Backlog,
}

/// How long to try to reserve slots.
pub(super) struct Patience {
    /// Until then, whatever it is that takes so long.
    pub(super) until: Timestamp,
    /// So long, while it is the turn of others.
    pub(super) for_turn: Duration,
}

/// The result of acquiring a slot.
pub(super) enum SlotResult {
    /// The notification may be sent now.
    Acquired,
    /// It may not, for this reason.
    Unavailable(Unfinished),
}

impl<C, T> Deliverer<C, T>
where
    C: Compose,
    T: Transport<Message = C::Message>,
{
    /// Defers a batch for which no slot can be reserved now, if more of its push is left than can be sent soon. If all
    /// waited, the batches of a large push would hold every function, and those of a small one would wait behind them. Those
    /// that have begun do wait, so that the rate is used.
    pub(super) async fn defer_if_full(
        &self,
        selected: &SelectedTransport<'_, T>,
        batch: &CheckedBatch,
    ) -> Result<Option<Deferral>, StoreError> {
        // A batch without customers only waits for its report.
        if selected.is_probing() || selected.held_until.is_some() || batch.customers().is_empty() {
            return Ok(None);
        }
        let (sender, rate) = (Sender::Push(batch.push), selected.limited.rate);
        let Some(until) = self.limits.full_until(&selected.line, sender, rate) else { return Ok(None) };
        let backlog = Backlog {
            slices_left: batch.slices_left,
            // The page of the batch may not be committed yet.
            batches: self.pushes.outstanding(batch.push, batch.slice, batch.channel).await?.max(1),
            customers: batch.customers().len(),
            per_second: rate,
        };
        if backlog.duration() <= SHORT_BACKLOG {
            return Ok(None);
        }
        let full = Full { push: batch.push, found_at: self.sources.now(), until, backlog };
        *self.full_line.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(full);
        Ok(Some(self.in_line(batch, full)))
    }

    /// The same, for a batch of a push for which there was no slot just now.
    pub(super) fn defer_while_full(&self, batch: &Batch) -> Option<Deferral> {
        let full = *self.full_line.0.lock().unwrap_or_else(PoisonError::into_inner);
        let full = full.filter(|full| full.push == batch.push && self.sources.now() < full.until)?;
        // The clock may have been set back.
        (self.sources.age_of(full.found_at) < MAX_READ_AGE && !batch.customers().is_empty())
            .then(|| self.in_line(batch, full))
    }

    fn in_line(&self, batch: &Batch, Full { until, backlog, .. }: Full) -> Deferral {
        Deferral::in_line(batch, until, backlog, self.sources.now(), self.sources.fraction())
    }

    /// Waits for a slot, or returns why the notification gets none.
    pub(super) async fn acquire_slot(&self, round: &Round<'_, C, T>) -> Result<SlotResult, StoreError> {
        let mut share = round.share.lock().await;
        // Waiting for the lock took time.
        if round.has_no_time(self.sources.now()) {
            return Ok(SlotResult::Unavailable(Unfinished::NoTime));
        }
        if let Some(unfinished) = round.stopped.get() {
            return Ok(SlotResult::Unavailable(*unfinished));
        }
        if let Some(full_until) = share.full_until {
            return Ok(SlotResult::Unavailable(Unfinished::RateFull(full_until)));
        }
        let waiting = round.waiting.load(Ordering::Relaxed);
        let at = match self
            .reserve(
                round.selected.limited,
                Sender::Push(round.batch.push),
                &mut share.slots,
                waiting,
                Patience { until: self.sources.now() + MAX_READ_AGE, for_turn: MAX_WAIT },
            )
            .await?
        {
            SendTime::At(at) => at,
            SendTime::RateFull { until } => {
                share.full_until = Some(until);
                return Ok(SlotResult::Unavailable(Unfinished::RateFull(until)));
            }
        };
        round.waiting.fetch_sub(1, Ordering::Relaxed);
        drop(share);
        self.sleep_until(at).await;
        Ok(round.stopped.get().map_or(SlotResult::Acquired, |unfinished| SlotResult::Unavailable(*unfinished)))
    }

    /// Takes the next of `slots`, or reserves `wanted` more.
    pub(super) async fn reserve(
        &self,
        limited: &RateLimited<T>,
        sender: Sender,
        slots: &mut Option<ReservedSlots>,
        wanted: u32,
        mut patience: Patience,
    ) -> Result<SendTime, StoreError> {
        if let Some(at) = slots.as_mut().and_then(|slots| slots.take_next(self.sources.precise_now())) {
            return Ok(SendTime::At(at));
        }
        loop {
            let until = match self.limits.reserve(limited.transport.id(), limited.rate, sender, wanted).await? {
                Reservation::Reserved(reserved) => match slots.insert(reserved).take_next(self.sources.precise_now()) {
                    Some(at) => return Ok(SendTime::At(at)),
                    // The store took far longer than the last time: all reserved slots had lapsed when it responded.
                    None => self.sources.now(),
                },
                Reservation::Full { until } => until,
            };
            let now = self.sources.now();
            let wait = Duration::try_from(until.duration_since(now)).unwrap_or_default();
            if until.max(now) > patience.until || wait > patience.for_turn {
                return Ok(SendTime::RateFull { until });
            }
            patience.for_turn -= wait;
            self.sleep_until(until).await;
        }
    }

    pub(super) async fn sleep_until(&self, moment: Timestamp) {
        if let Ok(left) = Duration::try_from(moment.duration_since(self.sources.precise_now())) {
            tokio::time::sleep(left).await;
        }
    }
}
