//! Starting a push: planning its slices and queueing them.

use std::time::Duration;

use domain::push::PushState;
use domain::queue::{AudienceMessage, Slice};
use domain::{Offer, PushId, Sources};
use runtime::metrics::{self, Unit};
use runtime::queue::QueueError;
use runtime::{Queue, telemetry};
use store::offers::PushRequest;
use store::pushes::{FIRST_GENERATION, Plan, Push};
use store::{Customers, Offers, Pushes, StoreError};

/// Minimum number of slices, which are scanned at the same time.
const MIN_SLICES: u32 = 8;
/// Maximum number of slices. A sweep reads an item for each, and their keys have four digits.
const MAX_SLICES: u32 = 10_000;
/// How many customers a slice should have, so that an invocation or a few scan it.
const CUSTOMERS_PER_SLICE: u64 = 5_000;

/// Starts pushes.
pub struct PushStarter {
    /// The clock.
    pub sources: Sources,
    /// The requests for pushes, and the offers.
    pub offers: Offers,
    /// The progress of pushes.
    pub pushes: Pushes,
    /// Estimated to plan the slices.
    pub customers: Customers,
    /// Where slices are queued.
    pub audience_queue: Queue,
}

/// Why a push was not started. Starting it again is safe and necessary.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A table is unavailable or holds something unreadable.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Some slices may have been queued; queueing them again is harmless.
    #[error("not every slice was queued: {0}")]
    Queue(#[from] QueueError),
    /// The stream or the caller named a push that does not exist.
    #[error("the push or its offer is not in the Offers table")]
    Missing,
}

impl PushStarter {
    /// Starts a requested push, or stores when it is scheduled to start. May be repeated: the plan is stored once,
    /// before anything is queued, and a slice that is queued twice is scanned once.
    pub(crate) async fn start_push(&self, id: PushId) -> Result<(), StartError> {
        let (request, offer) = self.request(id).await?;
        let plan = match offer.waits_until(self.sources.now()) {
            Some(starts_at) => Plan::At(starts_at),
            None => Plan::Now { slices: self.slice_count().await? },
        };
        let push = self.pushes.create(&request, plan).await?;
        match push.state {
            PushState::Running => self.queue_first_scans(&push).await,
            // `starts_at` may have passed since it was stored; the sweep starts the push within a minute.
            PushState::Scheduled | PushState::Completed | PushState::Cancelled => Ok(()),
        }
    }

    /// Starts a scheduled push.
    pub(crate) async fn start_scheduled(&self, id: PushId) -> Result<(), StartError> {
        // Nothing else says that the push was requested, and that there is an offer to announce.
        self.request(id).await?;
        let slices = self.slice_count().await?;
        let push = self.pushes.start(id, slices).await?.ok_or(StartError::Missing)?;
        if push.state == PushState::Running { self.queue_first_scans(&push).await } else { Ok(()) }
    }

    /// The request for a push, and its offer.
    async fn request(&self, id: PushId) -> Result<(PushRequest, Offer), StartError> {
        let request = self.offers.push_request(id).await?.ok_or(StartError::Missing)?;
        telemetry::record_push(id, request.trace);
        let offer = self.offers.get(id.offer).await?.ok_or(StartError::Missing)?;
        Ok((request, offer))
    }

    async fn slice_count(&self) -> Result<u32, StartError> {
        Ok(slices_for(self.customers.estimate_count().await?))
    }

    async fn queue_first_scans(&self, push: &Push) -> Result<(), StartError> {
        self.queue_slices(push.id, (0..push.slices).map(|slice| (slice, FIRST_GENERATION))).await?;
        tracing::info!(slices = push.slices, "push started");
        metrics::emit(&[], &[("Pushes", Unit::Count, 1)]);
        Ok(())
    }

    /// Queues slices of a push, each with the generation in which it is to be scanned.
    pub(crate) async fn queue_slices(
        &self,
        push: PushId,
        slices: impl IntoIterator<Item = (u32, u32)>,
    ) -> Result<(), StartError> {
        let messages = slices
            .into_iter()
            .map(|(slice, generation)| AudienceMessage::Slice(Slice { push, index: slice, generation }))
            .map(|slice| (slice, Duration::ZERO));
        Ok(self.audience_queue.send_all(messages).await?)
    }
}

/// How many slices a push to about this many customers gets.
fn slices_for(customers: u64) -> u32 {
    let slices = u32::try_from(customers.div_ceil(CUSTOMERS_PER_SLICE)).unwrap_or(MAX_SLICES);
    slices.clamp(MIN_SLICES, MAX_SLICES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_grow_with_the_customers_within_limits() {
        for (customers, slices) in [(0, 8), (40_000, 8), (40_001, 9), (1_000_000, 200), (u64::MAX, 10_000)] {
            assert_eq!(slices_for(customers), slices, "{customers}");
        }
    }
}
