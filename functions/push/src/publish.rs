//! Publishing: telling the event bus what the tables say, and noting that it was told.
//!
//! Only what is stored is told, and what is stored stays marked as untold until it was. Somebody who dies between telling
//! and noting makes the event come twice, under the same id.

use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::error::DisplayErrorContext;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use domain::PushId;
use domain::event::{Counts, Event, EventKind, PushDetail, SOURCE};
use jiff::Timestamp;
use runtime::metrics::{self, Unit};
use store::pushes::{Progress, Push};
use store::{Offers, Pushes, StoreError};

/// Pushes that a sweep looks at for something untold.
const PAGE: u16 = 100;

/// Publishes.
pub(crate) struct Publisher {
    pub(crate) offers: Offers,
    pub(crate) pushes: Pushes,
    pub(crate) bus: Client,
    pub(crate) bus_name: String,
}

/// Why an event was not published. It stays marked as untold.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PublishError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the push or its offer is not in the tables")]
    Missing,
    #[error("an event cannot be written as JSON: {0}")]
    Unwritable(#[from] serde_json::Error),
    #[error("the bus is out of reach: {0}")]
    Unavailable(String),
    #[error("the bus did not take {kind}: {reason}")]
    Refused { kind: EventKind, reason: String },
}

impl Publisher {
    /// Publishes what there is to tell of each. What fails is logged, and left to the sweep.
    pub(crate) async fn publish_each(&self, pushes: impl IntoIterator<Item = PushId>) -> u64 {
        let mut published = 0;
        for push in pushes {
            match self.publish(push).await {
                Ok(count) => published += count,
                Err(error) => {
                    tracing::error!(
                        offer.id = %push.offer, push.number = push.number, error = %error, "an event is not published yet"
                    );
                    // To ask for each again, and wait for each, would take longer than a function may.
                    if matches!(error, PublishError::Unavailable(_)) {
                        break;
                    }
                }
            }
        }
        published
    }

    /// Publishes what was left untold until `before`.
    pub(crate) async fn publish_overdue(&self, before: Timestamp) -> Result<u64, PublishError> {
        let mut left = Vec::new();
        for id in self.pushes.list_unpublished(PAGE).await? {
            let push = self.pushes.get(id).await?;
            if push.is_some_and(|push| push.completed_at.unwrap_or(push.requested_at) < before) {
                left.push(id);
            }
        }
        Ok(self.publish_each(left).await)
    }

    /// Publishes what there is to tell of a push. Answers how many events that were.
    pub(crate) async fn publish(&self, id: PushId) -> Result<u64, PublishError> {
        let progress = self.pushes.progress(id).await?.ok_or(PublishError::Missing)?;
        let kinds: Vec<_> = progress.push.unpublished().collect();
        if kinds.is_empty() {
            // Somebody else was faster.
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
        let answer = self.bus.put_events().set_entries(Some(entries)).send().await;
        let answer = answer.map_err(|error| PublishError::Unavailable(DisplayErrorContext(&error).to_string()))?;
        let results = answer.entries();
        let is_taken = |at: usize| results.get(at).is_some_and(|result| result.error_code().is_none());
        let taken: Vec<_> = (0..kinds.len()).filter(|at| is_taken(*at)).map(|at| kinds[at]).collect();
        self.pushes.mark_published(&progress.push, &taken).await?;
        for kind in &taken {
            tracing::info!(offer.id = %id.offer, push.number = id.number, event = %kind, "published");
            metrics::emit(&[("event", kind.as_str())], &[("Published", Unit::Count, 1)]);
        }
        match kinds.iter().enumerate().find(|(at, _)| !is_taken(*at)) {
            None => Ok(taken.len() as u64),
            Some((at, kind)) => {
                let words = results.get(at).and_then(|result| result.error_message());
                Err(PublishError::Refused { kind: *kind, reason: words.unwrap_or("without words").to_owned() })
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
