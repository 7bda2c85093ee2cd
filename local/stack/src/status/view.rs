//! What is shown: how everything was at one moment.

use domain::push::{OutcomeCounts, PushState};
use jiff::Timestamp;
use serde::Serialize;
use store::waiting::WaitingFor;

/// How everything was at one moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Status {
    /// When it was observed at.
    pub(super) at: Timestamp,
    /// The stack's name on AWS; nothing on this machine.
    pub(super) on_aws: Option<String>,
    /// Open pushes and the newest others, newest first.
    pub(super) pushes: Vec<Push>,
    pub(super) functions: Vec<Function>,
    /// Queues and their dead letters.
    pub(super) queues: Vec<Queue>,
    pub(super) tables: Vec<Table>,
    /// What arrived. Only on this machine.
    pub(super) inbox: Option<Inbox>,
    /// What could not be observed at, and why.
    pub(super) faults: Vec<String>,
}

/// How far a push is. The counts are those of `GET /offers/{id}/pushes/{n}`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Push {
    pub(super) offer: String,
    pub(super) number: u32,
    pub(super) code: String,
    pub(super) state: PushState,
    /// How much of it is done, 0 to 100; 100 only once it is over. While customers are still being read, reckoned up from
    /// those that were.
    pub(super) percent: u8,
    pub(super) eligible: u64,
    pub(super) pending: u64,
    #[serde(flatten)]
    pub(super) outcomes: OutcomeCounts,
    pub(super) requested_at: Timestamp,
    pub(super) completed_at: Option<Timestamp>,
    pub(super) waiting_for: Option<WaitingFor>,
    pub(super) last_error: Option<String>,
}

/// A function.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Function {
    /// What it does.
    pub(super) name: String,
    /// What it is called.
    pub(super) function: String,
    /// As Lambda says (`Active`), or `Held` if what invokes it is switched off.
    pub(super) state: String,
    /// In the last hour.
    pub(super) invocations: u64,
    /// Invocations that failed in the last hour; on this machine, errors that were logged.
    pub(super) errors: u64,
}

/// A queue, or one for dead letters.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Queue {
    /// What it is for.
    pub(super) name: String,
    /// Whether what is in it needs somebody to look at it.
    pub(super) is_dead_letters: bool,
    pub(super) waiting: u64,
    pub(super) in_flight: u64,
    pub(super) delayed: u64,
    /// Of the oldest message, in seconds; nothing if there is none, or it cannot be told.
    pub(super) oldest: Option<u64>,
}

impl Queue {
    pub(super) fn depth(&self) -> u64 {
        self.waiting + self.in_flight + self.delayed
    }
}

/// A table.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Table {
    /// What it holds.
    pub(super) name: String,
    /// What it is called.
    pub(super) table: String,
    /// As DynamoDB counts: some hours old on AWS.
    pub(super) items: u64,
    /// A few of them, never of a table on AWS: they are customers'.
    pub(super) first: Vec<serde_json::Value>,
}

/// What arrived.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Inbox {
    /// The inbox's own page.
    pub(super) url: String,
    pub(super) emails: u64,
    /// The newest, newest first.
    pub(super) newest_emails: Vec<Email>,
    pub(super) texts: u64,
    /// Some of them.
    pub(super) some_texts: Vec<TextMessage>,
}

#[derive(Debug, Clone, PartialEq, Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Email {
    pub(super) to: String,
    pub(super) subject: String,
    pub(super) received_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TextMessage {
    pub(super) to: String,
    pub(super) text: String,
}
