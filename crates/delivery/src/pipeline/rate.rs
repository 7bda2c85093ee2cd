//! Sends at the rate of the transport.

use std::sync::atomic::Ordering;
use std::time::Duration;

use domain::clock::now;
use jiff::Timestamp;
use store::StoreError;
use store::limits::{Reservation, Slot};

use super::deferral::Unfinished;
use super::deliverer::{Deliverer, RateLimited};
use super::round::{MAX_READ_AGE, MIN_TIME_TO_START, Round};
use crate::compose::Compose;
use crate::transport::Transport;

impl<C, T> Deliverer<C, T>
where
    C: Compose,
    T: Transport<Message = C::Message>,
{
    /// Waits for a send at the transport's rate; or tells why there is none to be had soon.
    pub(super) async fn acquire_slot(&self, round: &Round<'_, T>) -> Result<Result<(), Unfinished>, StoreError> {
        let mut share = round.share.lock().await;
        // Waiting for one's turn to ask took its time.
        if now() + MIN_TIME_TO_START > round.deadline {
            return Ok(Err(Unfinished::NoTime));
        }
        if round.blocked.load(Ordering::Relaxed) {
            return Ok(Err(Unfinished::Blocked));
        }
        if let Some(full_until) = share.full_until {
            return Ok(Err(Unfinished::Rate(full_until)));
        }
        let waiting = round.waiting.load(Ordering::Relaxed);
        let at = match self.reserve(round.selected.limited, &mut share.slot, waiting, now() + MAX_READ_AGE).await? {
            Ok(at) => at,
            Err(full_until) => {
                share.full_until = Some(full_until);
                return Ok(Err(Unfinished::Rate(full_until)));
            }
        };
        round.waiting.fetch_sub(1, Ordering::Relaxed);
        drop(share);
        sleep_until(at).await;
        Ok(if round.blocked.load(Ordering::Relaxed) { Err(Unfinished::Blocked) } else { Ok(()) })
    }

    /// When the next send may go; or until when others use the rate, if that is not soon.
    pub(super) async fn reserve(
        &self,
        limited: &RateLimited<T>,
        slot: &mut Option<Slot>,
        wanted: u32,
        patience: Timestamp,
    ) -> Result<Result<Timestamp, Timestamp>, StoreError> {
        if let Some(at) = slot.as_mut().and_then(Iterator::next) {
            return Ok(Ok(at));
        }
        loop {
            let until = match self.limits.reserve(limited.transport.id(), limited.rate, wanted).await? {
                Reservation::Reserved(reserved) => match slot.insert(reserved).next() {
                    Some(at) => return Ok(Ok(at)),
                    // The store took far longer than the last time: all of them had lapsed when it answered.
                    None => now(),
                },
                Reservation::Full { until } => until,
            };
            if until.max(now()) > patience {
                return Ok(Err(until));
            }
            sleep_until(until).await;
        }
    }
}

pub(super) async fn sleep_until(moment: Timestamp) {
    if let Ok(wait) = Duration::try_from(moment.duration_since(Timestamp::now())) {
        tokio::time::sleep(wait).await;
    }
}
