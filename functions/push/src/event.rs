//! What the function may be called with.

use aws_lambda_events::dynamodb::{Event as StreamEvent, EventRecord};
use domain::{OfferId, PushId};
use serde_json::Value;
use store::{offers, pushes};

/// What the function may be called with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// New items of the Offers table.
    Stream(Vec<PushRecord>),
    /// Items of the Pushes table that changed: there is something to publish.
    Changed(Vec<PushId>),
    /// A minute has passed.
    Schedule,
    /// Somebody wants one offer's pushes swept up now.
    Sweep(OfferId),
}

/// A request for a push, as the stream tells of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PushRecord {
    /// Which push.
    pub(crate) push: PushId,
    /// Where in the stream.
    pub(crate) sequence_number: String,
}

/// Why a call is not understood.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnknownEvent {
    #[error("the stream event is malformed: {0}")]
    Stream(#[from] serde_json::Error),
    #[error(
        "expected an event of a DynamoDB stream (with Records), of a schedule (with source aws.events), or {{\"sweep\": \"<offer id>\"}}"
    )]
    Unknown,
    #[error("sweep must be an offer's id")]
    Sweep,
}

impl Event {
    /// # Errors
    /// If the event is of a kind that nothing sends.
    pub(crate) fn parse(payload: Value) -> Result<Self, UnknownEvent> {
        if payload.get("Records").is_some() {
            let event: StreamEvent = serde_json::from_value(payload)?;
            // Each stream comes in events of its own.
            let mut changed = Vec::new();
            for push in event.records.iter().filter_map(|record| of_key(record, pushes::push_of_key)) {
                // Of many changes, the table tells the last.
                if !changed.contains(&push) {
                    changed.push(push);
                }
            }
            if !changed.is_empty() {
                return Ok(Self::Changed(changed));
            }
            return Ok(Self::Stream(event.records.iter().filter_map(push_record).collect()));
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

/// The event source filters for inserted requests already; a stack that does not filter sends offers as well.
fn push_record(record: &EventRecord) -> Option<PushRecord> {
    if record.event_name != "INSERT" {
        return None;
    }
    Some(PushRecord {
        push: of_key(record, offers::push_of_key)?,
        sequence_number: record.change.sequence_number.clone().unwrap_or_default(),
    })
}

fn of_key(record: &EventRecord, read: impl Fn(&str, &str) -> Option<PushId>) -> Option<PushId> {
    let key = |name| match record.change.keys.get(name) {
        Some(serde_dynamo::AttributeValue::S(value)) => Some(value.as_str()),
        _ => None,
    };
    read(key("pk")?, key("sk")?)
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
    fn a_stream_tells_of_inserted_requests_only() {
        let payload = json!({"Records": [
            record("INSERT", "push#0001"), record("INSERT", "offer"), record("REMOVE", "push#0001")
        ]});
        let Event::Stream(records) = Event::parse(payload).unwrap() else { panic!("not a stream event") };
        assert_eq!(records.len(), 1);
        assert_eq!((records[0].push.number, records[0].sequence_number.as_str()), (1, "111"));
    }

    #[test]
    fn a_push_that_changed_is_told_from_its_request_and_its_slices() {
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
    fn a_schedule_is_known_by_its_source_and_a_sweep_by_its_name() {
        let payload = json!({"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}});
        assert_eq!(Event::parse(payload).unwrap(), Event::Schedule);
        assert!(Event::parse(json!({"hello": "world"})).is_err());
        let offer = "01980000-0000-7000-8000-000000000001";
        assert_eq!(Event::parse(json!({"sweep": offer})).unwrap(), Event::Sweep(offer.parse().unwrap()));
        assert!(Event::parse(json!({"sweep": 1})).is_err());
    }
}
