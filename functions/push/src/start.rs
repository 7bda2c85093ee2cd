//! Cutting a push into slices.

use domain::clock::now;
use domain::push::PushState;
use domain::queue::{AudienceMessage, Slice};
use domain::{Offer, PushId};
use runtime::metrics::{self, Unit};
use runtime::queue::QueueError;
use runtime::{Queue, telemetry};
use store::offers::PushRequest;
use store::pushes::{Plan, Push};
use store::{Customers, Offers, Pushes, StoreError};

use crate::publish::PublishError;

/// Fewest slices: DynamoDB's count of the table may be six hours old, and few slices make a long push.
const MIN_SLICES: u32 = 8;
/// Most slices: their numbers must fit into one set of one item.
const MAX_SLICES: u32 = 10_000;
/// How many customers a slice should have, so that an invocation or a few walk it.
const CUSTOMERS_PER_SLICE: u64 = 5_000;
/// The generation of a slice's first walk.
pub(crate) const FIRST_GENERATION: u32 = 1;

/// Cuts pushes.
pub(crate) struct PushStarter {
    pub(crate) offers: Offers,
    pub(crate) pushes: Pushes,
    pub(crate) customers: Customers,
    pub(crate) audience: Queue,
}

/// Why a push was not cut. Cutting it again is safe, and needed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the slices were not all queued: {0}")]
    Queue(#[from] QueueError),
    #[error("the push or its offer is not in the Offers table")]
    Missing,
    #[error("{0} pushes could not be seen to; each is logged, and has its turn again in a minute")]
    Sweep(u32),
    #[error(transparent)]
    Publish(#[from] PublishError),
}

impl PushStarter {
    /// Cuts a requested push, or notes for when it is scheduled. May be repeated: the cut is stored once, before
    /// anything is queued, and a slice that is queued twice is walked once.
    pub(crate) async fn start_push(&self, id: PushId) -> Result<(), StartError> {
        let (request, offer) = self.request(id).await?;
        let plan = match offer.waits_until(now()) {
            Some(starts_at) => Plan::At(starts_at),
            None => Plan::Now { slices: self.slice_count().await? },
        };
        let push = self.pushes.create(&request, plan).await?;
        match push.state {
            PushState::Running => self.queue_slices(&push, &offer, &request).await,
            // `starts_at` may have passed since it was noted; the schedule sees to it within a minute.
            PushState::Scheduled | PushState::Completed | PushState::Cancelled => Ok(()),
        }
    }

    /// Starts a scheduled push.
    pub(crate) async fn start_scheduled(&self, id: PushId) -> Result<(), StartError> {
        let (request, offer) = self.request(id).await?;
        let slices = self.slice_count().await?;
        let push = self.pushes.start(id, slices).await?.ok_or(StartError::Missing)?;
        if push.state == PushState::Running { self.queue_slices(&push, &offer, &request).await } else { Ok(()) }
    }

    /// The request for a push, and its offer.
    pub(crate) async fn request(&self, id: PushId) -> Result<(PushRequest, Offer), StartError> {
        let request = self.offers.push_request(id).await?.ok_or(StartError::Missing)?;
        telemetry::record_push(id, Some(&request.origin()));
        let offer = self.offers.get(id.offer).await?.ok_or(StartError::Missing)?;
        Ok((request, offer))
    }

    async fn slice_count(&self) -> Result<u32, StartError> {
        let customers = self.customers.approximate_count().await?;
        let slices = u32::try_from(customers.div_ceil(CUSTOMERS_PER_SLICE)).unwrap_or(MAX_SLICES);
        Ok(slices.clamp(MIN_SLICES, MAX_SLICES))
    }

    async fn queue_slices(&self, push: &Push, offer: &Offer, request: &PushRequest) -> Result<(), StartError> {
        let slices = (0..push.slices).map(|slice| (slice, FIRST_GENERATION));
        self.queue(push, offer, request, slices).await?;
        tracing::info!(slices = push.slices, "push cut");
        metrics::emit(&[], &[("Pushes", Unit::Count, 1)]);
        Ok(())
    }

    /// Queues slices of a push, each with the generation in which it is to be walked.
    pub(crate) async fn queue(
        &self,
        push: &Push,
        offer: &Offer,
        request: &PushRequest,
        slices: impl IntoIterator<Item = (u32, u32)>,
    ) -> Result<(), StartError> {
        let messages = slices.into_iter().map(|(slice, generation)| {
            AudienceMessage::SliceV1(Slice {
                push: push.id,
                offer: offer.clone(),
                slice,
                slices: push.slices,
                generation,
                retry_rejected: request.retry_rejected,
                origin: Some(request.origin()),
            })
        });
        Ok(self.audience.send_all(messages).await?)
    }
}
