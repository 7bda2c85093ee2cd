//! `status`: what runs, and how it is. The same facts in the terminal, as JSON, and on a page that stays up to date.
//!
//! | to change | open |
//! |---|---|
//! | what is looked at, and how | `observer` |
//! | the terminal's view | `terminal` |
//! | the page | `page.html`, `page.css`, `page.js`; `server` serves it |

mod observer;
mod server;
mod terminal;

use std::time::Duration;

use anyhow::Result;
use client::{Deployment, Stack};
use domain::push::waiting::WaitingFor;
use domain::push::{OutcomeCounts, PushState};
use jiff::Timestamp;
use serde::Serialize;

use observer::Observer;
pub(crate) use server::serve;

/// How often `--watch` looks; AWS is asked less often, since it limits how many questions it answers.
const EVERY: Duration = Duration::from_secs(1);
const EVERY_ON_AWS: Duration = Duration::from_secs(10);

/// Where to look.
pub(crate) enum Observed {
    /// The stack on this machine.
    Local(Box<Stack>),
    /// A CloudFormation stack on AWS: its name, and what it has.
    OnAws(String, Box<Deployment>),
}

/// Shows how everything is: once, or until told to stop.
pub(crate) async fn show(observed: Observed, json: bool, watch: bool) -> Result<()> {
    let every = match &observed {
        Observed::Local(_) => EVERY,
        Observed::OnAws(..) => EVERY_ON_AWS,
    };
    let mut observer = Observer::new(observed);
    loop {
        let status = observer.look().await;
        if json {
            println!("{}", serde_json::to_string(&status)?);
        } else {
            terminal::print(&status, watch);
        }
        if !watch {
            return Ok(());
        }
        tokio::time::sleep(every).await;
    }
}

/// How everything was at one moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Status {
    /// When it was looked at.
    at: Timestamp,
    /// The stack's name on AWS; nothing on this machine.
    on_aws: Option<String>,
    /// Open pushes and the newest others, newest first.
    pushes: Vec<Push>,
    functions: Vec<Function>,
    /// Queues and their dead letters.
    queues: Vec<Queue>,
    tables: Vec<Table>,
    /// What arrived. Only on this machine.
    inbox: Option<Inbox>,
    /// What could not be looked at, and why.
    faults: Vec<String>,
}

/// How far a push is. The counts are those of `GET /offers/{id}/pushes/{n}`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Push {
    offer: String,
    number: u32,
    code: String,
    state: PushState,
    /// How much of it is done, 0 to 100; 100 only once it is over. While customers are still being read, reckoned up from
    /// those that were.
    percent: u8,
    eligible: u64,
    pending: u64,
    #[serde(flatten)]
    outcomes: OutcomeCounts,
    requested_at: Timestamp,
    completed_at: Option<Timestamp>,
    waiting_for: Option<WaitingFor>,
    last_error: Option<String>,
}

/// A function.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Function {
    /// What it does.
    name: String,
    /// What it is called.
    function: String,
    /// As Lambda says (`Active`), or `Held` if what invokes it is switched off.
    state: String,
    /// In the last hour.
    invocations: u64,
    /// Invocations that failed in the last hour; on this machine, errors that were logged.
    errors: u64,
}

/// A queue, or one for dead letters.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Queue {
    /// What it is for.
    name: String,
    /// Whether what is in it needs somebody to look at it.
    is_dead_letters: bool,
    waiting: u64,
    in_flight: u64,
    delayed: u64,
    /// Of the oldest message, in seconds; nothing if there is none, or it cannot be told.
    oldest: Option<u64>,
}

impl Queue {
    fn depth(&self) -> u64 {
        self.waiting + self.in_flight + self.delayed
    }
}

/// A table.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Table {
    /// What it holds.
    name: String,
    /// What it is called.
    table: String,
    /// As DynamoDB counts: some hours old on AWS.
    items: u64,
    /// A few of them, never of a table on AWS: they are customers'.
    first: Vec<serde_json::Value>,
}

/// What arrived.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Inbox {
    /// The inbox's own page.
    url: String,
    emails: u64,
    /// The newest, newest first.
    newest_emails: Vec<Email>,
    texts: u64,
    /// Some of them.
    some_texts: Vec<TextMessage>,
}

#[derive(Debug, Clone, PartialEq, Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Email {
    to: String,
    subject: String,
    received_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct TextMessage {
    to: String,
    text: String,
}
