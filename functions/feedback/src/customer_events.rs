//! Publishing the events about customers that are stored in the Suppressions table: each as the table's stream brings it,
//! and those of a period once more, if the stream lost some.

use std::ops::Range;

use aws_lambda_events::streams::{DynamoDbBatchItemFailure, DynamoDbEventResponse};
use domain::event::CustomerEvent;
use futures::future::try_join_all;
use jiff::{SignedDuration, Timestamp};
use runtime::bus::{BusError, BusEvent, MAX_EVENTS};
use serde::Deserialize;
use serde_json::Value;
use store::suppressions::{EVENT_SEGMENTS, StoredEvent, UnreadableEvent};

use crate::payload::{InvalidPayload, parse_value};
use crate::{App, FeedbackError};

/// How long before it arrived in the stream an event may have got its id: the write was repeated, or clocks differ.
const BEFORE_ARRIVAL: SignedDuration = SignedDuration::from_mins(5);
/// How long after its arrival, by a clock that is ahead.
const AFTER_ARRIVAL: SignedDuration = SignedDuration::from_mins(1);

/// A record of a DynamoDB stream, as far as it matters here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    event_name: String,
    dynamodb: Change,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Change {
    new_image: Option<serde_dynamo::Item>,
}

/// What Lambda sends to the dead-letter queue when it gives records of a stream up (Lambda developer guide, "Retain
/// discarded records in Amazon SQS"): not the records, but where they were.
#[derive(Deserialize)]
struct GivenUp {
    #[serde(rename = "DDBStreamBatchInfo")]
    batch: BatchInfo,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BatchInfo {
    approximate_arrival_of_first_record: Timestamp,
    approximate_arrival_of_last_record: Timestamp,
}

/// An operator's call.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Call {
    publish_events: Period,
}

#[derive(Deserialize)]
struct Period {
    since: Timestamp,
    until: Timestamp,
}

/// Whether a payload holds records of a stream.
pub(crate) fn is_stream(payload: &Value) -> bool {
    payload.pointer("/Records/0/eventSource").is_some_and(|source| source == "aws:dynamodb")
}

/// The period of which a payload asks to publish the events once more; `None` if it asks for something else.
pub(crate) fn period(payload: &Value) -> Result<Option<Range<Timestamp>>, InvalidPayload> {
    if payload.get("DDBStreamBatchInfo").is_some() {
        let BatchInfo { approximate_arrival_of_first_record: first, approximate_arrival_of_last_record: last } =
            parse_value::<GivenUp>(payload)?.batch;
        return Ok(Some(first - BEFORE_ARRIVAL..last + AFTER_ARRIVAL));
    }
    if payload.get("publishEvents").is_some() {
        let Period { since, until } = parse_value::<Call>(payload)?.publish_events;
        return Ok(Some(since..until));
    }
    Ok(None)
}

/// The event in a record; `None` if the record is of another kind. The event source mapping filters already, but an
/// emulator that does not sends every change.
fn event_of(record: &Value) -> Result<Option<StoredEvent>, UnreadableRecord> {
    let Record { event_name, dynamodb } = parse_value(record)?;
    match dynamodb.new_image {
        Some(image) if event_name == "INSERT" => Ok(StoredEvent::read(image).transpose()?),
        _ => Ok(None),
    }
}

#[derive(Debug, thiserror::Error)]
enum UnreadableRecord {
    #[error("the record of the stream is unreadable: {0}")]
    Record(#[from] InvalidPayload),
    #[error(transparent)]
    Event(#[from] UnreadableEvent),
}

fn sequence_number(record: &Value) -> String {
    record.pointer("/dynamodb/SequenceNumber").and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// The first event that was not published, and why.
struct Unpublished {
    at: usize,
    error: BusError,
}

impl App {
    /// Publishes the events that records of the table's stream hold, in their order. Stops at the first one that the bus
    /// does not take: Lambda delivers the records again from there. What cannot be read is logged and left out, because
    /// reading it again would change nothing and would hold the others up.
    pub(crate) async fn publish_stream(&self, payload: &Value) -> DynamoDbEventResponse {
        let mut response = DynamoDbEventResponse::default();
        let mut events = Vec::new();
        let mut sequence_numbers = Vec::new();
        for record in payload["Records"].as_array().into_iter().flatten() {
            match event_of(record) {
                Ok(Some(event)) => {
                    events.push(event);
                    sequence_numbers.push(sequence_number(record));
                }
                Ok(None) => {}
                Err(error) => log_unreadable(&sequence_number(record), &error),
            }
        }
        if let Err(Unpublished { at, error }) = self.publish_events(&events).await {
            tracing::error!(
                event.id = events[at].id,
                error = %error,
                "event about a customer not published; the stream will deliver it again"
            );
            let mut failure = DynamoDbBatchItemFailure::default();
            failure.item_identifier = Some(sequence_numbers.swap_remove(at));
            response.batch_item_failures.push(failure);
        }
        response
    }

    /// Publishes the events that were stored in this period, with the same ids as before. Returns whether there were any.
    /// Reads the whole table, and stops at `end`.
    pub(crate) async fn publish_period(
        &self,
        stored: &Range<Timestamp>,
        end: Timestamp,
    ) -> Result<bool, FeedbackError> {
        let segments = (0..EVENT_SEGMENTS).map(|segment| self.publish_segment(stored, segment, end));
        let published: usize = try_join_all(segments).await?.into_iter().sum();
        tracing::info!(published, since = %stored.start, until = %stored.end, "events about customers published again");
        Ok(published > 0)
    }

    async fn publish_segment(
        &self,
        stored: &Range<Timestamp>,
        segment: u16,
        end: Timestamp,
    ) -> Result<usize, FeedbackError> {
        let mut published = 0;
        let mut after = None;
        loop {
            if self.sources.now() >= end {
                return Err(FeedbackError::NoTimeLeft);
            }
            let page = self.suppressions.events_page(stored, segment, after).await?;
            let mut events = Vec::new();
            for event in page.items {
                match event {
                    Ok(event) => events.push(event),
                    Err(error) => log_unreadable("", &error.into()),
                }
            }
            self.publish_events(&events).await.map_err(|unpublished| unpublished.error)?;
            published += events.len();
            after = page.next;
            if after.is_none() {
                return Ok(published);
            }
        }
    }

    async fn publish_events(&self, events: &[StoredEvent]) -> Result<(), Unpublished> {
        let unpublished = |at| move |error| Unpublished { at, error };
        for (number, stored) in events.chunks(MAX_EVENTS).enumerate() {
            let first = number * MAX_EVENTS;
            let event = |(at, StoredEvent { id, change }): (usize, &StoredEvent)| {
                BusEvent::new(change.kind.as_str(), &CustomerEvent::new(id, change)).map_err(unpublished(first + at))
            };
            let events = stored.iter().enumerate().map(event).collect::<Result<Vec<_>, _>>()?;
            let results = self.bus.put(&events).await.map_err(unpublished(first))?;
            for (StoredEvent { id, change }, result) in stored.iter().zip(&results) {
                if result.is_ok() {
                    tracing::info!(
                        customer.id = change.customer.as_str(),
                        event = %change.kind,
                        event.id = id,
                        "event published"
                    );
                }
            }
            for (at, result) in results.into_iter().enumerate() {
                result.map_err(unpublished(first + at))?;
            }
        }
        Ok(())
    }
}

fn log_unreadable(sequence_number: &str, error: &UnreadableRecord) {
    let id = match error {
        UnreadableRecord::Record(_) => "",
        UnreadableRecord::Event(event) => &event.id,
    };
    tracing::error!(
        event.id = id,
        stream.sequence_number = sequence_number,
        error = %error,
        "event about a customer cannot be read; it stays in the table and is not published"
    );
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn records_that_were_given_up_are_looked_for_around_their_arrival() {
        let given_up = serde_json::from_str(include_str!("../../../events/feedback-events-given-up.json")).unwrap();
        let stored = period(&given_up).unwrap().unwrap();
        assert_eq!(stored.start, "2025-12-31T23:55:10Z".parse().unwrap());
        assert_eq!(stored.end, "2026-01-01T00:01:11Z".parse().unwrap());
    }

    #[test]
    fn an_operator_names_the_period() {
        let call = |since: &str| json!({"publishEvents": {"since": since, "until": "2026-01-02T00:00:00Z"}});
        let stored = period(&call("2026-01-01T00:00:00Z")).unwrap().unwrap();
        assert_eq!(stored.start, "2026-01-01T00:00:00Z".parse().unwrap());
        assert!(period(&call("yesterday")).is_err());
        assert!(period(&json!({"publishEvents": {}})).is_err());
        assert_eq!(period(&json!({"detail": {}})).unwrap(), None);
    }
}
