//! What SES reports of messages that it accepted: events that EventBridge puts into the queue of feedback.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::chance::Chance;
use crate::people::person::{BOUNCES, BOUNCES_FOR_NOW, COMPLAINS};
use crate::providers::Handover;
use crate::world::World;

/// Something that SES reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// The address does not exist: it is to be suppressed.
    Bounced,
    /// The mailbox is full.
    BouncedForNow,
    /// The customer calls it spam.
    Complained,
}

/// A report that was sent.
#[derive(Debug, Clone)]
pub struct Reported {
    pub report: Report,
    /// The number of the handover.
    pub handover: usize,
    /// When it is in the queue.
    pub at: Timestamp,
    /// The event.
    pub body: Value,
}

/// All reports of a run.
#[derive(Debug)]
pub struct Reports {
    delay: Chance,
    sent: Mutex<Vec<Reported>>,
}

/// What SES knows of a message that it accepted.
pub(super) struct Sent {
    pub(super) message_id: String,
    /// As in the request.
    pub(super) tags: Value,
}

/// How long after a message its report comes.
const DELAY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// How long EventBridge waits before it tries again, here.
const RETRY: Duration = Duration::from_secs(5);

impl Report {
    /// What follows from a message to an address: the beginning of the address decides, so that a scenario says it all.
    pub fn of(address: &str) -> Option<Self> {
        [(BOUNCES, Self::Bounced), (BOUNCES_FOR_NOW, Self::BouncedForNow), (COMPLAINS, Self::Complained)]
            .into_iter()
            .find_map(|(prefix, report)| address.starts_with(prefix).then_some(report))
    }
}

impl Reports {
    pub(super) fn new(delay: Chance) -> Self {
        Self { delay, sent: Mutex::default() }
    }

    /// All reports so far, in the order in which their messages were accepted. Some may be in the future.
    pub fn sent(&self) -> Vec<Reported> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends what is to be reported of an accepted message.
    pub(super) fn follow(&self, world: &World, handover: &Handover, sent: &Sent) {
        let Some(report) = Report::of(&handover.recipient) else { return };
        let delay = self.delay.between(DELAY.0, DELAY.1);
        let at = handover.taken_at + delay;
        let body = event(report, handover, sent, at);
        world.history.note(format_args!("SES reports later: {report:?}: {}", handover.recipient));
        queue(world, &body, delay);
        let reported = Reported { report, handover: handover.number, at, body };
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).push(reported);
    }
}

/// Queues an event. EventBridge has it as it is, and tries again for a day if SQS rejects it (EventBridge user guide,
/// "How EventBridge retries delivering events").
fn queue(world: &World, body: &Value, mut delay: Duration) {
    while world.queues.send(world, "FeedbackQueue", body.to_string(), Some(delay)).is_err() {
        delay += RETRY;
    }
}

/// The event (SES developer guide, "Examples of event data that Amazon SES publishes to EventBridge").
fn event(report: Report, handover: &Handover, sent: &Sent, at: Timestamp) -> Value {
    let (name, kind) = match report {
        Report::Bounced | Report::BouncedForNow => ("Email Bounced", "Bounce"),
        Report::Complained => ("Email Complaint Received", "Complaint"),
    };
    let recipient = &handover.recipient;
    let id = format!("feedback-{}", handover.number);
    let bounce = |kind: &str, sub: &str, status: &str, diagnostic: &str| {
        json!({
            "feedbackId": id, "bounceType": kind, "bounceSubType": sub, "timestamp": at,
            "bouncedRecipients": [
                {"emailAddress": recipient, "action": "failed", "status": status, "diagnosticCode": diagnostic},
            ],
        })
    };
    let mut detail = json!({
        "eventType": kind,
        "mail": {
            "timestamp": handover.taken_at, "messageId": sent.message_id, "destination": [recipient],
            "tags": tags(&sent.tags),
        },
    });
    match report {
        Report::Bounced => detail["bounce"] = bounce("Permanent", "General", "5.1.1", "smtp; 550 5.1.1 user unknown"),
        Report::BouncedForNow => {
            detail["bounce"] = bounce("Transient", "MailboxFull", "4.2.2", "smtp; 452 4.2.2 mailbox full");
        }
        Report::Complained => {
            detail["complaint"] = json!({
                "feedbackId": id, "complainedRecipients": [{"emailAddress": recipient}], "timestamp": at,
                "complaintFeedbackType": "abuse",
            });
        }
    }
    json!({
        "version": "0", "id": format!("event-{}", handover.number), "detail-type": name, "source": "aws.ses",
        "account": "123456789012", "time": at, "region": "eu-west-1", "detail": detail,
    })
}

/// The tags of a request, as events have them: each name with a list of values.
fn tags(request: &Value) -> Value {
    let tags = request.as_array().into_iter().flatten();
    let text = |tag: &Value, name: &str| tag[name].as_str().map(str::to_owned);
    let tags = tags.filter_map(|tag| Some((text(tag, "Name")?, json!([text(tag, "Value")?]))));
    Value::Object(tags.collect::<Map<_, _>>())
}
