//! The facts that are shown. Serialised, they are the output of `status --json` and of the page's API.

use std::fmt;

use domain::TransportId;
use domain::channel::Channel;
use domain::push::waiting::WaitingFor;
use domain::push::{CountedReason, OutcomeCounts, PushState};
use jiff::Timestamp;
use serde::{Serialize, Serializer};

use super::concerns::Concern;
use crate::output;

/// A snapshot of a deployment.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Status {
    /// When the snapshot was taken.
    pub(super) at: Timestamp,
    /// The CloudFormation stack's name on AWS; `None` for a local stack.
    pub(super) on_aws: Option<String>,
    /// Open pushes and the newest others, newest first.
    pub(super) pushes: Vec<Push>,
    /// Those that carry messages, by channel.
    pub(super) transports: Vec<Transport>,
    pub(super) functions: Vec<Function>,
    /// Queues and their dead letters.
    pub(super) queues: Vec<Queue>,
    pub(super) tables: Vec<Table>,
    /// Only for a local stack.
    pub(super) inbox: Option<Inbox>,
    /// The parts that could not be read, and why.
    #[serde(rename = "faults")]
    pub(super) read_errors: Vec<ReadError>,
    /// What to look at, the worst first.
    pub(super) concerns: Vec<Concern>,
}

/// A part of the snapshot that could not be read. Serialised, it is a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ReadError {
    pub(super) part: Part,
    pub(super) error: String,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = match self.part {
            Part::Pushes => "pushes",
            Part::Transports => "circuit breakers",
            Part::Functions => "functions",
            Part::Queues => "queues",
            Part::Tables => "tables",
            Part::Inbox => "inbox",
        };
        write!(f, "Cannot read the {part}: {}", self.error)
    }
}

impl Serialize for ReadError {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A part of a snapshot that is read by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Pushes,
    Transports,
    Functions,
    Queues,
    Tables,
    Inbox,
}

/// A push and its progress. The counts are those of `GET /offers/{id}/pushes/{n}`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Push {
    pub(super) offer: String,
    pub(super) number: u32,
    pub(super) code: String,
    pub(super) state: PushState,
    /// Percentage done, 0 to 100; 100 only when the push is no longer open. An estimate while customers are still being
    /// read.
    pub(super) percent: u8,
    pub(super) eligible: u64,
    pub(super) pending: u64,
    pub(super) customers_read: u64,
    /// Customers for whom the rule could not be evaluated.
    pub(super) customers_unevaluable: u64,
    #[serde(flatten)]
    pub(super) outcomes: OutcomeCounts,
    /// The most frequent reasons of those that were not sent, the most frequent first.
    pub(super) reasons: Vec<CountedReason>,
    /// The most frequent reason of those that failed.
    pub(super) failed_mostly: Option<CountedReason>,
    pub(super) requested_at: Timestamp,
    pub(super) completed_at: Option<Timestamp>,
    pub(super) waiting_for: Option<WaitingFor>,
    pub(super) last_error: Option<String>,
    /// Notifications that became final a second, lately. `None` if it is not known, or the push is over.
    pub(super) per_second: Option<f64>,
    /// Until all that is pending is done at this pace. `None` if it is not known, as while customers are still being scanned.
    pub(super) seconds_left: Option<u64>,
}

/// A transport, and whether its provider accepts messages.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Transport {
    pub(super) channel: Channel,
    pub(super) transport: TransportId,
    /// `None`: it accepts them, as far as is known.
    pub(super) outage: Option<Outage>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Outage {
    pub(super) since: Timestamp,
    /// The first batch that comes after this tries again.
    pub(super) next_probe: Timestamp,
    pub(super) last_error: Option<String>,
}

impl Transport {
    /// The channel and the transport, for people.
    pub(super) fn name(&self) -> String {
        format!("{} ({})", output::channel(self.channel), self.transport)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Function {
    /// Short name, such as `offer`.
    pub(super) name: String,
    #[serde(rename = "function")]
    pub(super) full_name: String,
    /// Lambda's state, such as `Active`. `Held` is this program's own state: an event source is disabled, so messages
    /// wait (`SendingEnabled=false`).
    pub(super) state: String,
    /// Invocations in the last hour.
    pub(super) invocations: u64,
    /// Failed invocations in the last hour; logged errors for a local stack.
    pub(super) errors: u64,
}

/// A queue or a dead-letter queue.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Queue {
    /// Short name, such as `email`.
    pub(super) name: String,
    /// Whether this is a dead-letter queue, whose messages need an operator.
    pub(super) is_dead_letters: bool,
    pub(super) waiting: u64,
    pub(super) in_flight: u64,
    pub(super) delayed: u64,
    /// Age of the oldest message in seconds; `None` if the queue is empty or the age is unknown.
    pub(super) oldest: Option<u64>,
}

impl Queue {
    pub(super) fn depth(&self) -> u64 {
        self.waiting + self.in_flight + self.delayed
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Table {
    /// Short name, such as `offers`.
    pub(super) name: String,
    #[serde(rename = "table")]
    pub(super) full_name: String,
    /// DynamoDB's own count, which AWS updates every few hours.
    pub(super) items: u64,
    /// The first few items. Never read on AWS, since they contain personal data.
    pub(super) first: Vec<serde_json::Value>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Inbox {
    pub(super) url: String,
    pub(super) emails: u64,
    /// Newest first.
    pub(super) newest_emails: Vec<Email>,
    pub(super) texts: u64,
    /// Some of them, in no particular order.
    pub(super) some_texts: Vec<TextMessage>,
}

#[derive(Debug, Clone, PartialEq, Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Email {
    pub(super) to: String,
    pub(super) subject: String,
    pub(super) received_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Serialize, serde::Deserialize)]
pub(super) struct TextMessage {
    pub(super) to: String,
    pub(super) text: String,
}
