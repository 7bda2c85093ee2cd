//! Publishing events to the bus, and marking them as published.
//!
//! Events are read from the tables, and a push stays marked as unpublished until the bus has taken them. If an
//! invocation ends between publishing and marking, the event is published twice, with the same id.

use domain::PushId;
use domain::event::{Counts, Event, EventKind, PushDetail};
use domain::notification::Outcome;
use runtime::EventBus;
use runtime::bus::{BusError, BusEvent};
use runtime::metrics::{self, Unit};
use store::pushes::{Progress, Push};
use store::{Offers, Pushes, StoreError};

/// Publishes the events of pushes.
pub struct Publisher {
    /// The offers that events name.
    pub offers: Offers,
    /// The pushes, with what is published of each.
    pub pushes: Pushes,
    pub bus: EventBus,
}

/// Why an event was not published. The push stays marked as unpublished.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// A table is unavailable or holds something unreadable.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The push or its offer was deleted.
    #[error("the push or its offer is not in the tables")]
    Missing,
    /// The bus is unavailable, or did not take an event.
    #[error(transparent)]
    Bus(#[from] BusError),
}

impl PublishError {
    /// Whether no event at all can be published now.
    pub(crate) const fn is_bus_unavailable(&self) -> bool {
        matches!(self, Self::Bus(BusError::Unavailable(_)))
    }

    pub(crate) fn log(&self, push: PushId) {
        tracing::error!(
            offer.id = %push.offer,
            push.number = push.number,
            error = %self,
            "event not published; the next sweep tries again"
        );
    }
}

impl Publisher {
    /// Publishes the events of each push. A failure is logged and left to the sweep.
    pub(crate) async fn publish_each(&self, pushes: impl IntoIterator<Item = PushId>) {
        for push in pushes {
            if let Err(error) = self.publish(push).await {
                error.log(push);
                // Waiting for a timeout of every event would take longer than the invocation may last.
                if error.is_bus_unavailable() {
                    break;
                }
            }
        }
    }

    /// Publishes the unpublished events of a push, and returns how many.
    pub(crate) async fn publish(&self, id: PushId) -> Result<u64, PublishError> {
        let progress = self.pushes.progress(id).await?.ok_or(PublishError::Missing)?;
        let kinds: Vec<_> = progress.push.unpublished().collect();
        if kinds.is_empty() {
            // Another invocation published them.
            return Ok(0);
        }
        let offer = self.offers.get(id.offer).await?.ok_or(PublishError::Missing)?;
        let event = |kind: &EventKind| {
            let event = match kind {
                EventKind::OfferCreated => Event::offer_created(&offer),
                EventKind::PushCompleted | EventKind::PushCancelled => {
                    Event::push_ended(*kind, &offer, detail(&progress))
                }
            };
            BusEvent::new(kind.as_str(), &event)
        };
        let events = kinds.iter().map(event).collect::<Result<Vec<_>, _>>()?;
        let results = self.bus.put(&events).await?;
        let taken: Vec<_> =
            kinds.iter().zip(&results).filter(|(_, result)| result.is_ok()).map(|(kind, _)| *kind).collect();
        self.pushes.mark_published(&progress.push, &taken).await?;
        for kind in &taken {
            tracing::info!(offer.id = %id.offer, push.number = id.number, event = %kind, "event published");
        }
        if taken.contains(&EventKind::PushCompleted) {
            report_failures(&progress);
        }
        results.into_iter().collect::<Result<(), _>>()?;
        Ok(taken.len() as u64)
    }
}

/// Reports a push of which more than a few notifications failed. If its event is published twice, so is this.
fn report_failures(progress: &Progress) {
    let (outcomes, eligible) = (progress.tally.outcomes, progress.scan.notifications);
    if outcomes.has_many_failures(eligible) {
        let Push { id, .. } = &progress.push;
        metrics::emit(&[], &[("PushesFailed", Unit::Count, 1)]);
        let failed = outcomes.failed;
        let mostly = progress.tally.reasons.most_frequent(Outcome::Failed).map(|counted| counted.reason);
        tracing::warn!(
            offer.id = %id.offer, push.number = id.number, failed, eligible, mostly, "over 5 % of the push failed"
        );
    }
}

fn detail(progress: &Progress) -> PushDetail {
    let Push { id, requested_by, requested_at, started_at, completed_at, cancelled_by, .. } = &progress.push;
    PushDetail {
        number: id.number,
        requested_by: requested_by.clone(),
        requested_at: *requested_at,
        started_at: *started_at,
        ended_at: *completed_at,
        cancelled_by: cancelled_by.clone(),
        counts: Counts {
            eligible: progress.scan.notifications,
            outcomes: progress.tally.outcomes,
            pending: progress.pending(),
        },
    }
}
