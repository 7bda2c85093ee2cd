//! Messages and stream records that a test makes itself, in the form in which functions receive them.

use serde_json::{Value, json};

use super::id_of;
use super::tables::FIRST_PUSH_REQUEST;

/// A batch of an offer's first push, for these customers, as the audience function queues it. The push must have started.
///
/// No scan gives a batch such a number as these, below 64. So it is counted for nothing, but is delivered like any other.
pub fn email_batch(offer: &Value, batch: usize, customers: &[String]) -> String {
    let batch = json!({"type": "batch.v2", "push": {"offer": offer["id"], "number": 1},
                       "slice": 0, "generation": 1, "batch": batch, "channel": "email", "customers": customers});
    batch.to_string()
}

/// The event with which a queue delivers these messages.
pub fn sqs_event(bodies: &[String]) -> Value {
    let records: Vec<_> = bodies
        .iter()
        .enumerate()
        .map(|(i, body)| json!({"messageId": format!("message-{i}"), "body": body, "eventSource": "aws:sqs"}))
        .collect();
    json!({"Records": records})
}

/// The event with which the offers table's stream delivers an offer's first push request.
pub fn push_stream_event(offer: &Value) -> Value {
    json!({"Records": [{"eventID": "1", "eventName": "INSERT", "eventSource": "aws:dynamodb", "eventVersion": "1.1",
        "awsRegion": "eu-west-1", "dynamodb": {"ApproximateCreationDateTime": 1, "SequenceNumber": "1", "SizeBytes": 1,
        "StreamViewType": "NEW_IMAGE", "Keys": {"pk": {"S": id_of(offer)}, "sk": {"S": FIRST_PUSH_REQUEST}}}}]})
}
