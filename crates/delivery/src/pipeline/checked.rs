//! A batch that was checked against what is stored: from here on, the pipeline believes what it says.

use std::ops::Deref;
use std::sync::Arc;

use domain::push::PushState;
use domain::queue::Batch;
use domain::{Channel, Offer};
use jiff::Timestamp;
use store::{PushedOffer, StoreError};

/// A batch of this function's channel, of a push that is stored, with the offer that is stored.
///
/// The message itself says which customers to notify, each once and at most 50 of them. All else that decides what is
/// sent, and whether, is from the tables.
#[derive(Debug, Clone)]
pub(super) struct CheckedBatch {
    batch: Batch,
    pub(super) offer: Arc<Offer>,
    /// Whether to send again to customers whose notification was rejected in an earlier push.
    pub(super) retry_rejected: bool,
    /// When the push was requested.
    pub(super) requested_at: Timestamp,
    /// How many slices of the push were not done when it was read.
    pub(super) slices_left: u32,
    /// Whether the push was cancelled when it was read.
    pub(super) push_is_cancelled: bool,
    /// Whether the push was completed: it has no outstanding batch, so no scan queued this one, or it was counted.
    pub(super) push_is_completed: bool,
}

/// Why a batch must not be delivered. Delivering it again does not help: it becomes a dead letter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnusableBatch {
    /// Its push, the request for it or the offer is not stored.
    #[error("its push is not stored, or has no stored offer")]
    NotStored,
    /// It is for another channel.
    #[error("it is for the channel {named}, and this function is for {own}")]
    OtherChannel {
        /// The channel that it names.
        named: Channel,
        /// The channel of the function.
        own: Channel,
    },
    /// The offer is not sent on the channel.
    #[error("the stored offer is not for the channel {0}")]
    NotOffered(Channel),
    /// The push has no such slice, or no slice has such a generation.
    #[error("names slice {slice} of {slices}, generation {generation}")]
    NoSuchSlice {
        /// How many slices the push has.
        slices: u32,
        /// The slice that it names.
        slice: u32,
        /// The generation that it names.
        generation: u32,
    },
}

/// Why a batch was not delivered, and not deferred either.
#[derive(Debug, thiserror::Error)]
pub enum DeliverError {
    /// The store holds something unreadable or refuses a call as malformed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nothing of it was or will be sent.
    #[error("the batch cannot be used, nothing was sent: {0}")]
    Unusable(#[from] UnusableBatch),
}

impl CheckedBatch {
    /// Checks a batch of the queue of channel `own` against its push as stored.
    pub(super) fn new(batch: &Batch, own: Channel, pushed: Option<PushedOffer>) -> Result<Self, UnusableBatch> {
        let &Batch { slice, generation, channel, .. } = batch;
        if channel != own {
            return Err(UnusableBatch::OtherChannel { named: channel, own });
        }
        let PushedOffer { push, offer, request } = pushed.ok_or(UnusableBatch::NotStored)?;
        if !offer.channels.contains(&channel) {
            return Err(UnusableBatch::NotOffered(channel));
        }
        let slices = push.slices;
        if slice >= slices || generation == 0 {
            return Err(UnusableBatch::NoSuchSlice { slices, slice, generation });
        }
        Ok(Self {
            batch: batch.clone(),
            offer,
            retry_rejected: request.retry_rejected,
            requested_at: request.requested_at,
            slices_left: slices.saturating_sub(push.slices_done),
            push_is_cancelled: push.state == PushState::Cancelled,
            push_is_completed: push.state == PushState::Completed,
        })
    }

    /// The earliest time at which it could be sent.
    pub(super) fn due_at(&self) -> Timestamp {
        self.offer.valid_from.map_or(self.requested_at, |from| from.max(self.requested_at))
    }
}

impl Deref for CheckedBatch {
    type Target = Batch;

    fn deref(&self) -> &Batch {
        &self.batch
    }
}

#[cfg(test)]
pub(super) mod tests;
