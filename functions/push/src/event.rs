//! What the function may be invoked with.

use aws_lambda_events::dynamodb::{Event as StreamEvent, EventRecord};
use domain::{OfferId, PushId};
use serde_json::Value;
use store::{offers, pushes};

/// What the function may be invoked with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// New requests, from the stream of the Offers table.
    Requested(Vec<PushRecord>),
    /// Pushes that changed and have something to publish, from the stream of the Pushes table.
    Changed(Vec<PushId>),
    /// The schedule of every minute.
    Schedule,
    /// An operator asks to sweep the last push of one offer now.
    Sweep(OfferId),
}

/// A request for a push, as a record of the stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PushRecord {
    /// The push that is requested.
    pub(crate) push: PushId,
    /// The record's position in the stream.
    pub(crate) sequence_number: String,
}

/// Why a payload is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnknownEvent {
    #[error("the stream event is malformed: {0}")]
    Stream(#[from] serde_json::Error),
    #[error(
        "unknown payload; expected an event of a DynamoDB stream (with Records), of a schedule (with source aws.events), or {{\"sweep\": \"<offer id>\"}}"
    )]
    Unknown,
    #[error("sweep must be the id of an offer")]
    Sweep,
}

impl Event {
    /// Parses a payload.
    pub(crate) fn parse(payload: Value) -> Result<Self, UnknownEvent> {
        if payload.get("Records").is_some() {
            let event: StreamEvent = serde_json::from_value(payload)?;
            // Records of the two streams are never in one event.
            let mut changed = Vec::new();
            for push in event.records.iter().filter_map(|record| push_of(record, pushes::push_of_key)) {
                // One publication covers many changes: it reads the table.
                if !changed.contains(&push) {
                    changed.push(push);
                }
            }
            if !changed.is_empty() {
                return Ok(Self::Changed(changed));
            }
            return Ok(Self::Requested(event.records.iter().filter_map(push_record).collect()));
        }
        if let Some(sweep) = payload.get("sweep") {
            let offer = sweep.as_str().and_then(|offer| offer.parse().ok()).ok_or(UnknownEvent::Sweep)?;
            return Ok(Self::Sweep(offer));
        }
        match payload.get("source").and_then(Value::as_str) {
            Some("aws.events" | "aws.scheduler") => Ok(Self::Schedule),
            _ => Err(UnknownEvent::Unknown),
        }
    }
}

/// The event source mapping already filters for inserted requests. An emulator that does not filter sends offers as
/// well.
fn push_record(record: &EventRecord) -> Option<PushRecord> {
    if record.event_name != "INSERT" {
        return None;
    }
    Some(PushRecord {
        push: push_of(record, offers::push_of_key)?,
        sequence_number: record.change.sequence_number.clone().unwrap_or_default(),
    })
}

/// The push that a record's key names.
fn push_of(record: &EventRecord, parse: impl Fn(&str, &str) -> Option<PushId>) -> Option<PushId> {
    let key = |name| match record.change.keys.get(name) {
        Some(serde_dynamo::AttributeValue::S(value)) => Some(value.as_str()),
        _ => None,
    };
    parse(key("pk")?, key("sk")?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(name: &str, sk: &str) -> Value {
        json!({
            "eventID": "1", "eventName": name, "eventSource": "aws:dynamodb", "eventVersion": "1.1", "awsRegion": "eu-west-1",
            "dynamodb": {
                "ApproximateCreationDateTime": 1_750_000_000, "SequenceNumber": "111", "SizeBytes": 26, "StreamViewType": "NEW_IMAGE",
                "Keys": {"pk": {"S": "01980000-0000-7000-8000-000000000001"}, "sk": {"S": sk}}
            }
        })
    }

    #[test]
    fn only_inserted_requests_are_read() {
        let payload = json!({"Records": [
            record("INSERT", "push#0001"), record("INSERT", "offer"), record("REMOVE", "push#0001")
        ]});
        let Event::Requested(records) = Event::parse(payload).unwrap() else { panic!("not a stream event") };
        assert_eq!(records.len(), 1);
        assert_eq!((records[0].push.number, records[0].sequence_number.as_str()), (1, "111"));
    }

    #[test]
    fn only_the_item_of_the_push_itself_is_a_change() {
        let changed = |sk: &str| {
            let mut record = record("MODIFY", sk);
            record["dynamodb"]["Keys"]["pk"]["S"] = json!("01980000-0000-7000-8000-000000000001#0002");
            record
        };
        let payload = json!({"Records": [changed("push"), changed("slice#0001")]});
        let Event::Changed(pushes) = Event::parse(payload).unwrap() else { panic!("nothing changed") };
        assert_eq!(pushes.iter().map(|push| push.number).collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn schedule_is_known_by_its_source_and_sweep_by_its_field() {
        let payload = json!({"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}});
        assert_eq!(Event::parse(payload).unwrap(), Event::Schedule);
        assert!(Event::parse(json!({"hello": "world"})).is_err());
        let offer = "01980000-0000-7000-8000-000000000001";
        assert_eq!(Event::parse(json!({"sweep": offer})).unwrap(), Event::Sweep(offer.parse().unwrap()));
        assert!(Event::parse(json!({"sweep": 1})).is_err());
    }
}
