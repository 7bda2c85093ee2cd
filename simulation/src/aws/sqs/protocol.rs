//! SQS's JSON protocol (SQS Developer Guide, "Making Query API requests using AWS JSON protocol").

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{Queues, Received, Rejected};
use crate::aws::call::{Call, Service};
use crate::network::Reply;
use crate::world::World;

/// The SDK for Rust compares no checksums of messages, so this stands for all of them.
pub(crate) const MD5: &str = "00000000000000000000000000000000";
/// Of a message, and of all messages of a batch (SQS Developer Guide, "Message quotas").
const MAX_BYTES: usize = 1 << 20;
/// (SQS API reference, SendMessage.)
const MAX_DELAY: u64 = 900;

impl Queues {
    pub fn serve(&self, world: &World, call: &Call) -> Reply {
        let (queue, request) = (call.target.as_str(), call.json());
        if !self.changed.contains_key(queue) {
            return error("QueueDoesNotExist");
        }
        match call.operation.as_str() {
            "SendMessage" => self.send_one(world, queue, request),
            "SendMessageBatch" => self.send_batch(world, queue, request),
            "ReceiveMessage" => {
                let most = request["MaxNumberOfMessages"].as_u64().and_then(|most| usize::try_from(most).ok());
                let messages = self.receive(world, queue, most.unwrap_or(1));
                ok(&json!({"Messages": messages.iter().map(message).collect::<Vec<_>>()}))
            }
            "DeleteMessage" => {
                self.delete(queue, text(request, "ReceiptHandle"));
                ok(&json!({}))
            }
            "ChangeMessageVisibilityBatch" => self.hide_batch(queue, request),
            "GetQueueAttributes" => self.attributes(world, queue, request),
            other => panic!("no model of SQS's {other}"),
        }
    }

    fn send_one(&self, world: &World, queue: &str, request: &Value) -> Reply {
        if let Some(problem) = problem(request) {
            return error(problem);
        }
        match self.send(world, queue, text(request, "MessageBody").to_owned(), delay(request)) {
            Ok(id) => ok(&json!({"MessageId": id, "MD5OfMessageBody": MD5})),
            Err(Rejected { is_throttled: true }) => Service::Sqs.throttled(),
            Err(Rejected { is_throttled: false }) => Service::Sqs.unavailable(),
        }
    }

    /// Each entry has a result of its own (SQS API reference, SendMessageBatch).
    fn send_batch(&self, world: &World, queue: &str, request: &Value) -> Reply {
        let entries = request["Entries"].as_array().map(Vec::as_slice).unwrap_or_default();
        let ids: BTreeSet<_> = entries.iter().map(|entry| text(entry, "Id")).collect();
        let bytes: usize = entries.iter().map(|entry| text(entry, "MessageBody").len()).sum();
        match entries.len() {
            0 => return error("EmptyBatchRequest"),
            11.. => return error("TooManyEntriesInBatchRequest"),
            _ if ids.len() < entries.len() => return error("BatchEntryIdsNotDistinct"),
            _ if bytes > MAX_BYTES => return error("BatchRequestTooLong"),
            _ => {}
        }
        let (mut successful, mut failed) = (Vec::new(), Vec::new());
        for entry in entries {
            let id = text(entry, "Id");
            if let Some(problem) = problem(entry) {
                failed.push(json!({"Id": id, "Code": problem, "SenderFault": true}));
                continue;
            }
            match self.send(world, queue, text(entry, "MessageBody").to_owned(), delay(entry)) {
                Ok(message) => successful.push(json!({"Id": id, "MessageId": message, "MD5OfMessageBody": MD5})),
                Err(Rejected { is_throttled }) => {
                    let code = if is_throttled { "RequestThrottled" } else { "InternalError" };
                    failed.push(json!({"Id": id, "Code": code, "SenderFault": false, "Message": "simulated"}));
                }
            }
        }
        ok(&json!({"Successful": successful, "Failed": failed}))
    }

    /// Each entry has a result of its own (SQS API reference, ChangeMessageVisibilityBatch).
    fn hide_batch(&self, queue: &str, request: &Value) -> Reply {
        let entries = request["Entries"].as_array().map(Vec::as_slice).unwrap_or_default();
        if !(1..=10).contains(&entries.len()) {
            return error("TooManyEntriesInBatchRequest");
        }
        let (mut successful, mut failed) = (Vec::new(), Vec::new());
        for entry in entries {
            let (id, time) = (text(entry, "Id"), entry["VisibilityTimeout"].as_u64().unwrap_or_default());
            if self.change_visibility(queue, text(entry, "ReceiptHandle"), Duration::from_secs(time)) {
                successful.push(json!({"Id": id}));
            } else {
                failed.push(json!({"Id": id, "Code": "MessageNotInflight", "SenderFault": true}));
            }
        }
        ok(&json!({"Successful": successful, "Failed": failed}))
    }

    fn attributes(&self, world: &World, queue: &str, request: &Value) -> Reply {
        let counts = self.approximate_counts(world, queue);
        let visibility = self.state().queue(queue).settings().visibility;
        let all = [
            ("ApproximateNumberOfMessages", counts.visible as u64),
            ("ApproximateNumberOfMessagesNotVisible", counts.in_flight as u64),
            ("ApproximateNumberOfMessagesDelayed", counts.delayed as u64),
            ("VisibilityTimeout", visibility.as_secs()),
        ];
        let names = request["AttributeNames"].as_array().map(Vec::as_slice).unwrap_or_default();
        let asked = |name: &str| names.iter().any(|asked| asked == "All" || asked == name);
        let attributes: Map<_, _> = all
            .into_iter()
            .filter(|(name, _)| asked(name))
            .map(|(name, count)| (name.to_owned(), json!(count.to_string())))
            .collect();
        ok(&json!({"Attributes": attributes}))
    }
}

/// The system attributes of a received message (SQS API reference, ReceiveMessage; Lambda guide, "Using Lambda with Amazon
/// SQS").
pub(crate) fn system_attributes(message: &Received) -> Value {
    json!({
        "ApproximateReceiveCount": message.times.to_string(),
        "SentTimestamp": message.sent.as_millisecond().to_string(),
        "SenderId": "AIDAIENQZJOLO23YVJ4VO",
        "ApproximateFirstReceiveTimestamp": message.first_received.as_millisecond().to_string(),
    })
}

fn message(message: &Received) -> Value {
    json!({
        "MessageId": message.id,
        "ReceiptHandle": message.receipt,
        "Body": message.body,
        "MD5OfBody": MD5,
        "Attributes": system_attributes(message),
    })
}

/// Why a message is not accepted.
fn problem(entry: &Value) -> Option<&'static str> {
    let bytes = text(entry, "MessageBody").len();
    let is_late = entry["DelaySeconds"].as_u64().is_some_and(|seconds| seconds > MAX_DELAY);
    (bytes == 0 || bytes > MAX_BYTES || is_late).then_some("InvalidParameterValue")
}

fn delay(entry: &Value) -> Option<Duration> {
    entry["DelaySeconds"].as_u64().map(Duration::from_secs)
}

fn text<'a>(request: &'a Value, name: &str) -> &'a str {
    request[name].as_str().unwrap_or_default()
}

fn ok(body: &Value) -> Reply {
    Reply::json(200, body)
}

fn error(kind: &str) -> Reply {
    Reply::error(400, &format!("com.amazonaws.sqs#{kind}"))
}
