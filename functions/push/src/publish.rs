//! Publishing events to the bus, and marking them as published.
//!
//! Events are read from the tables, and a push stays marked as unpublished until the bus has taken them. If an
//! invocation ends between publishing and marking, the event is published twice, with the same id.

use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::error::DisplayErrorContext;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use domain::PushId;
use domain::event::{Counts, Event, EventKind, PushDetail, SOURCE};
use runtime::metrics::{self, Unit};
use store::pushes::{Progress, Push};
use store::{Offers, Pushes, StoreError};

/// Publishes the events of pushes.
pub struct Publisher {
    /// The offers that events name.
    pub offers: Offers,
    /// The pushes, with what is published of each.
    pub pushes: Pushes,
    /// The client of the event bus.
    pub bus: Client,
    /// The bus's name or ARN.
    pub bus_name: String,
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
    /// An event has no JSON form.
    #[error("an event cannot be written as JSON: {0}")]
    Unwritable(#[from] serde_json::Error),
    /// The call failed, after the client's own retries.
    #[error("the event bus is unavailable: {0}")]
    Unavailable(String),
    /// The bus took the call but not this event.
    #[error("the event bus rejected {kind}: {reason}")]
    Refused {
        /// The first event that was rejected.
        kind: EventKind,
        /// The bus's error message.
        reason: String,
    },
}

impl PublishError {
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
                if matches!(error, PublishError::Unavailable(_)) {
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
        let entry = |kind: &EventKind| -> Result<_, PublishError> {
            let event = match kind {
                EventKind::OfferCreated => Event::offer_created(&offer),
                EventKind::PushCompleted | EventKind::PushCancelled => {
                    Event::push_ended(*kind, &offer, detail(&progress))
                }
            };
            Ok(PutEventsRequestEntry::builder()
                .event_bus_name(&self.bus_name)
                .source(SOURCE)
                .detail_type(kind.as_str())
                .detail(serde_json::to_string(&event)?)
                .build())
        };
        let entries = kinds.iter().map(entry).collect::<Result<_, _>>()?;
        let response = self.bus.put_events().set_entries(Some(entries)).send().await;
        let response = response.map_err(|error| PublishError::Unavailable(DisplayErrorContext(&error).to_string()))?;
        let results = response.entries();
        let is_taken = |at: usize| results.get(at).is_some_and(|result| result.error_code().is_none());
        let taken: Vec<_> = (0..kinds.len()).filter(|at| is_taken(*at)).map(|at| kinds[at]).collect();
        self.pushes.mark_published(&progress.push, &taken).await?;
        for kind in &taken {
            tracing::info!(offer.id = %id.offer, push.number = id.number, event = %kind, "event published");
            metrics::emit(&[("event", kind.as_str())], &[("Published", Unit::Count, 1)]);
        }
        match kinds.iter().enumerate().find(|(at, _)| !is_taken(*at)) {
            None => Ok(taken.len() as u64),
            Some((at, kind)) => {
                let message = results.get(at).and_then(|result| result.error_message());
                Err(PublishError::Refused { kind: *kind, reason: message.unwrap_or("no error message").to_owned() })
            }
        }
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
            outcomes: progress.outcomes,
            pending: progress.pending(),
        },
    }
}
