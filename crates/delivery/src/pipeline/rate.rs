//! The rate limit of a transport: each send waits for a slot that is reserved in the store, for all functions together.

use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use store::limits::{Reservation, ReservedSlots};
use store::{MAX_READ_AGE, StoreError};

use super::deferral::Unfinished;
use super::deliverer::{Deliverer, RateLimited};
use super::round::Round;
use crate::compose::Compose;
use crate::transport::Transport;

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
            .reserve(round.selected.limited, &mut share.slots, waiting, self.sources.now() + MAX_READ_AGE)
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

    /// Takes the next of `slots`, or reserves `wanted` more, waiting until `latest` at most.
    pub(super) async fn reserve(
        &self,
        limited: &RateLimited<T>,
        slots: &mut Option<ReservedSlots>,
        wanted: u32,
        latest: Timestamp,
    ) -> Result<SendTime, StoreError> {
        if let Some(at) = slots.as_mut().and_then(|slots| slots.take_next(self.sources.precise_now())) {
            return Ok(SendTime::At(at));
        }
        loop {
            let until = match self.limits.reserve(limited.transport.id(), limited.rate, wanted).await? {
                Reservation::Reserved(reserved) => match slots.insert(reserved).take_next(self.sources.precise_now()) {
                    Some(at) => return Ok(SendTime::At(at)),
                    // The store took far longer than the last time: all reserved slots had lapsed when it responded.
                    None => self.sources.now(),
                },
                Reservation::Full { until } => until,
            };
            if until.max(self.sources.now()) > latest {
                return Ok(SendTime::RateFull { until });
            }
            self.sleep_until(until).await;
        }
    }

    pub(super) async fn sleep_until(&self, moment: Timestamp) {
        if let Ok(left) = Duration::try_from(moment.duration_since(self.sources.precise_now())) {
            tokio::time::sleep(left).await;
        }
    }
}
