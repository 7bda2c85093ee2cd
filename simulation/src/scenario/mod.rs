//! What a seed decides before a run begins: the stack's settings, the bank's customers, what people do, and what goes
//! wrong. A scenario can be written as JSON, so that one that broke a promise is kept and run again.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | what a scenario consists of | this file |
//! | which scenario a seed has | [`draw`] |
//! | where faults may strike | [`points`] |
//! | how a scenario that breaks a promise is made smaller | [`shrink`] |

pub mod draw;
pub mod points;
pub mod shrink;

use domain::TransportId;
use serde::{Deserialize, Serialize};

use crate::fault::Planned;
use crate::people::{Action, Person};
use crate::providers::Mode;

pub use draw::Options;
pub use shrink::shrink;

/// A scenario. Times are in milliseconds since its beginning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Scenario {
    /// Decides what the scenario leaves open, such as how long each call takes.
    pub seed: u64,
    pub settings: Settings,
    pub customers: Vec<Person>,
    pub actions: Vec<TimedAction>,
    pub outages: Vec<Outage>,
    pub faults: Vec<Planned>,
    /// How long after the last action and outage faults strike still, such as those of recovery.
    #[serde(default = "two_minutes")]
    pub calm_after_ms: u64,
}

fn two_minutes() -> u64 {
    120_000
}

impl Scenario {
    /// When nothing goes wrong any more, in milliseconds: some time after the last action has begun and the last outage is
    /// over.
    pub fn end_ms(&self) -> u64 {
        let actions = self.actions.iter().map(|action| action.at_ms);
        let outages = self.outages.iter().map(|outage| outage.from_ms.saturating_add(outage.for_ms));
        actions.chain(outages).max().unwrap_or_default().saturating_add(self.calm_after_ms)
    }
}

/// Parameters of the template, and clocks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Settings {
    /// `ses` or `smtp`.
    pub email_transport: TransportId,
    pub fallback_email_transport: Option<TransportId>,
    /// Per second.
    pub email_rate: u32,
    pub fallback_email_rate: u32,
    pub sms_rate: u32,
    pub audience_concurrency: u32,
    pub email_concurrency: u32,
    pub sms_concurrency: u32,
    pub feedback_concurrency: u32,
    pub retry_hours: u32,
    /// How far a process's clock is ahead or behind at most.
    pub max_skew_ms: u64,
    /// How many of a hundred eventually consistent reads of an item show it as it was before a write within the last second.
    #[serde(default)]
    pub stale_percent: u8,
}

impl Settings {
    /// Those of a small stack, with clocks that all show the true time.
    pub fn plain() -> Self {
        Self {
            email_transport: TransportId::Ses,
            fallback_email_transport: None,
            email_rate: 14,
            fallback_email_rate: 14,
            sms_rate: 20,
            audience_concurrency: 2,
            email_concurrency: 2,
            sms_concurrency: 2,
            feedback_concurrency: 2,
            retry_hours: 72,
            max_skew_ms: 0,
            stale_percent: 0,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TimedAction {
    pub at_ms: u64,
    pub action: Action,
}

/// Something that holds for a while, for all calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Outage {
    pub from_ms: u64,
    pub for_ms: u64,
    pub what: Trouble,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Trouble {
    /// DynamoDB throttles every write to this table.
    WritesThrottled(String),
    /// DynamoDB reports errors of its own.
    StoreUnavailable,
    /// Each call of DynamoDB takes this much longer, in milliseconds.
    StoreSlow(u64),
    /// SQS reports errors of its own.
    QueuesUnavailable,
    /// EventBridge reports errors of its own.
    BusUnavailable,
    /// Secrets Manager reports errors of its own.
    SecretsUnavailable,
    /// What a provider does instead of accepting messages.
    Provider(TransportId, Mode),
}
