//! The event bus, which other services subscribe to.

use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::error::DisplayErrorContext;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use domain::event::SOURCE;
use serde::Serialize;

use crate::metrics::{self, Unit};

/// Maximum number of events in one call (`PutEvents`, EventBridge API reference).
pub const MAX_EVENTS: usize = 10;

/// The event bus.
#[derive(Debug, Clone)]
pub struct EventBus {
    client: Client,
    /// Its name or ARN.
    name: String,
}

/// An event for the bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BusEvent {
    kind: &'static str,
    detail: String,
}

/// Why the bus did not take an event.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// The event has no JSON form.
    #[error("an event cannot be written as JSON: {0}")]
    Unwritable(#[from] serde_json::Error),
    /// The call failed, after the client's own retries.
    #[error("the event bus is unavailable: {0}")]
    Unavailable(String),
    /// The bus took the call but not this event.
    #[error("the event bus rejected {kind}: {reason}")]
    Refused {
        /// The event's kind.
        kind: &'static str,
        /// The bus's error message.
        reason: String,
    },
}

impl BusEvent {
    /// An event of a kind, which is its `detail-type`.
    ///
    /// # Errors
    /// If the detail has no JSON form.
    pub fn new(kind: &'static str, detail: &impl Serialize) -> Result<Self, BusError> {
        Ok(Self { kind, detail: serde_json::to_string(detail)? })
    }
}

impl EventBus {
    pub fn new(client: Client, name: impl Into<String>) -> Self {
        Self { client, name: name.into() }
    }

    /// Puts up to [`MAX_EVENTS`] events on the bus, and counts those that it takes. Returns for each, in order, whether it
    /// was taken.
    ///
    /// # Errors
    /// If the call failed. The bus may have taken the events nevertheless, if only its response was lost.
    pub async fn put(&self, events: &[BusEvent]) -> Result<Vec<Result<(), BusError>>, BusError> {
        let entry = |event: &BusEvent| {
            PutEventsRequestEntry::builder()
                .event_bus_name(&self.name)
                .source(SOURCE)
                .detail_type(event.kind)
                .detail(&event.detail)
                .build()
        };
        let response = self.client.put_events().set_entries(Some(events.iter().map(entry).collect())).send().await;
        let response = response.map_err(|error| BusError::Unavailable(DisplayErrorContext(&error).to_string()))?;
        let results = response.entries();
        let result = |(at, event): (usize, &BusEvent)| {
            let result = results.get(at);
            if result.is_some_and(|result| result.error_code().is_none()) {
                metrics::emit(&[("event", event.kind)], &[("Published", Unit::Count, 1)]);
                return Ok(());
            }
            let message = result.and_then(|result| result.error_message());
            Err(BusError::Refused { kind: event.kind, reason: message.unwrap_or("no error message").to_owned() })
        };
        Ok(events.iter().enumerate().map(result).collect())
    }
}
