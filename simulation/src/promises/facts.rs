//! What happened in a run, in plain values: what the checks of the promises read.

mod processes;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use domain::{Channel, TransportId};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::breaker::Breaker;
use super::collect::Lift;
use super::deaths::Troubled;
use super::outages::Outages;
use super::reports::Reported;
use super::told::Told;

pub use self::processes::{Death, Freeze, Hitch};

/// One offer to one customer over one channel.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Notification {
    pub offer: String,
    pub customer: String,
    pub channel: Channel,
}

impl fmt::Display for Notification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { offer, customer, channel } = self;
        write!(f, "offer {offer} to {customer} by {channel}")
    }
}

/// All that the checks know of a run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    pub limits: Limits,
    /// Each customer's record, in the order of its changes.
    pub customers: BTreeMap<String, Vec<Version>>,
    pub blocks: Vec<Block>,
    pub lifts: Vec<Lift>,
    /// What was confirmed to people.
    pub told: Vec<Told>,
    /// The offers that are stored, by their ids.
    pub offers: BTreeMap<String, Offer>,
    /// The codes of the offers of which the API said that they are stored, and when.
    pub confirmed: BTreeMap<String, Timestamp>,
    /// The pushes that were requested, and those that exist.
    pub requests: BTreeSet<(String, u32)>,
    pub pushes: Vec<Push>,
    /// The Deliveries table.
    pub records: BTreeMap<Notification, Record>,
    /// What providers were handed.
    pub handovers: Vec<Handover>,
    /// The calls that change the state of a delivery, in the order in which they were made.
    pub writes: Vec<Write>,
    /// Calls of providers that a fault struck.
    pub struck_sends: Vec<StruckSend>,
    pub reservations: Vec<Reservation>,
    pub breakers: Vec<Breaker>,
    pub deaths: Vec<Death>,
    /// How often messages of each function came again although no process ended.
    pub received_in_vain: BTreeMap<String, usize>,
    pub troubles: Vec<Troubled>,
    pub freezes: Vec<Freeze>,
    /// When a call of a sending function failed, was struck or took long, and of which process.
    pub hitches: Vec<Hitch>,
    pub published: Vec<Published>,
    pub customer_events: Vec<CustomerEvent>,
    /// The number of messages in each dead-letter queue that has any.
    pub dead_letters: BTreeMap<String, usize>,
    /// How often each message was returned as not handled, by its id.
    pub failures: BTreeMap<String, usize>,
    pub reports: Vec<Reported>,
    /// Whether a queue of pushes lost messages.
    pub loses_messages: bool,
    /// Whether events about customers wait for an operator.
    pub loses_customer_events: bool,
    /// How long each kind of service was unavailable, by outages.
    pub outages: Outages,
    pub effort: BTreeMap<String, Effort>,
    /// When each batch was put off.
    pub deferrals: BTreeMap<String, Vec<Timestamp>>,
    /// Personal data where none may be: where, and what was found.
    pub leaks: Vec<Leak>,
}

/// Settings that promises depend on.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Limits {
    /// Sends a second.
    pub rates: BTreeMap<TransportId, u32>,
    pub retry_for: SignedDuration,
    /// How far a process's clock may be off.
    pub skew: SignedDuration,
}

/// A customer's record from a moment on.
#[derive(Debug, Clone, PartialEq)]
pub struct Version {
    pub from: Timestamp,
    /// `None` if the customer is deleted.
    pub record: Option<Customer>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Customer {
    /// In lower case.
    pub email: Option<String>,
    pub mobile: Option<String>,
    pub channels: BTreeSet<Channel>,
    /// All of it, as the table has it.
    pub item: Value,
}

impl Customer {
    /// Where messages of this channel go, with consent.
    pub fn address(&self, channel: Channel) -> Option<&str> {
        self.known_address(channel).filter(|_| self.channels.contains(&channel))
    }

    /// The address on this channel, with or without consent.
    pub fn known_address(&self, channel: Channel) -> Option<&str> {
        match channel {
            Channel::Email => self.email.as_deref(),
            Channel::Sms => self.mobile.as_deref(),
        }
    }
}

/// A time in which a customer, or an address, must get nothing on a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    pub customer: String,
    pub channel: Channel,
    /// If it is the address that is suppressed.
    pub address: Option<String>,
    /// `customer.unsubscribed`, for example.
    pub why: String,
    pub from: Timestamp,
    pub until: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Offer {
    pub code: String,
    pub stored_at: Timestamp,
    pub valid_until: Option<Timestamp>,
    /// What its texts need of a customer.
    pub placeholders: BTreeSet<String>,
    /// Who must get it, and whose record did not change from the request for the offer until its last push ended.
    pub wanted: BTreeSet<(String, Channel)>,
    /// Whose record changed in that time.
    pub unsteady: BTreeSet<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Push {
    pub offer: String,
    pub number: u32,
    pub state: String,
    pub requested_at: Timestamp,
    pub cancelled_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    pub eligible: u64,
    /// By its name in the table.
    pub outcomes: BTreeMap<String, u64>,
    /// Those that were not sent, by the reason's code.
    pub reasons: BTreeMap<String, u64>,
    /// Batches that have not reported.
    pub outstanding: usize,
    /// Whether it is marked as having events to publish.
    pub is_unpublished: bool,
}

impl Push {
    pub fn count(&self, outcome: &str) -> u64 {
        self.outcomes.get(outcome).copied().unwrap_or_default()
    }

    pub fn total(&self) -> u64 {
        self.outcomes.values().sum()
    }

    pub fn has_ended(&self) -> bool {
        matches!(self.state.as_str(), "completed" | "cancelled")
    }

    pub fn name(&self) -> String {
        format!("push {} of offer {}", self.number, self.offer)
    }
}

/// A delivery as the table has it at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub state: String,
    pub push: u32,
    pub code: Option<String>,
    pub reason: Option<String>,
    pub updated_at: Timestamp,
}

impl Record {
    pub fn is_final(&self) -> bool {
        !matches!(self.state.as_str(), "claimed" | "retry")
    }
}

/// A message that a provider was handed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handover {
    pub number: usize,
    pub provider: TransportId,
    pub process: u32,
    /// In lower case.
    pub address: String,
    /// The code of the offer that the message names.
    pub code: String,
    /// What it is, as far as it is known: the process had a claim on it.
    pub notification: Option<Notification>,
    pub begun: Timestamp,
    /// When the provider had all of it, and was willing to deliver it.
    pub taken_at: Option<Timestamp>,
    /// Why the provider refused it.
    pub refused: Option<Refused>,
    /// When the process had the provider's answer.
    pub answered_at: Option<Timestamp>,
}

/// Whose fault the provider's model means a refusal to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The recipient's or the message's, for good.
    Deserved,
    /// The recipient's, for now.
    ForNow,
    /// The recipient's, the message's or ours.
    Unclear,
    /// Ours, or the provider's.
    Ours,
}

/// A call that changes the state of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    pub process: u32,
    pub notification: Notification,
    pub asked_at: Timestamp,
    /// When it took effect, if it did.
    pub at: Option<Timestamp>,
    /// The status of the response as the service sent it.
    pub status: Option<u16>,
    /// Whether its condition did not hold.
    pub is_refused: bool,
    /// Whether a fault struck it.
    pub is_struck: bool,
    /// The state that it sets.
    pub state: String,
    /// Of a claim, and of what is recorded under it.
    pub token: Option<String>,
    /// Of a claim: when it ends, unless heartbeats prolong it.
    pub lease_until: Option<Timestamp>,
    pub code: Option<String>,
    /// Whether it counts a handover without an answer.
    pub is_unanswered: bool,
}

impl Write {
    pub fn is_claim(&self) -> bool {
        self.lease_until.is_some()
    }
}

/// A call of a provider that a fault struck, so that its answer may not have come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StruckSend {
    pub process: u32,
    pub at: Timestamp,
    /// Whose message it was, if that is known.
    pub address: Option<String>,
    /// Whether a planned fault did it, and not the provider.
    pub is_fault: bool,
}

/// Slots that were reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reservation {
    pub process: u32,
    pub transport: TransportId,
    pub at: Timestamp,
    /// Microseconds since 1970.
    pub first: i64,
    /// Microseconds, in all.
    pub length: i64,
}

/// An event that the bus took.
#[derive(Debug, Clone, PartialEq)]
pub struct Published {
    pub at: Timestamp,
    pub kind: String,
    pub detail: Value,
}

/// An event about a customer, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomerEvent {
    pub id: String,
    pub at: Timestamp,
    pub kind: String,
    pub customer: String,
    pub channel: Channel,
    pub offer: Option<String>,
}

/// What a sending function did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Effort {
    pub store_calls: u64,
    /// Batches that it put off.
    pub deferrals: u64,
}

/// Personal data where none may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leak {
    pub at: Timestamp,
    pub place: String,
    pub text: String,
}

impl Facts {
    /// The claim under which a message was handed over.
    pub fn claim_of(&self, handover: &Handover) -> Option<&Write> {
        let notification = handover.notification.as_ref()?;
        self.writes.iter().rfind(|write| {
            write.is_claim()
                && write.process == handover.process
                && write.notification == *notification
                && write.at.is_some_and(|at| at <= handover.begun)
        })
    }

    /// When the process asked for the claim: what it knew of the customer was known by then.
    pub fn started(&self, handover: &Handover) -> Timestamp {
        let claim = self.claim_of(handover);
        let first = claim.and_then(|claim| self.writes.iter().find(|write| write.token == claim.token));
        first.map_or(handover.begun, |write| write.asked_at)
    }

    /// Whether a planned fault struck the call by which a message was handed over.
    pub fn was_struck(&self, handover: &Handover) -> bool {
        let is_its = |send: &&StruckSend| send.address.as_ref().is_none_or(|address| *address == handover.address);
        let mut own = self.struck_sends.iter().filter(|send| send.is_fault && send.process == handover.process);
        own.any(|send| is_its(&send) && send.at.duration_since(handover.begun).abs() < SignedDuration::from_secs(60))
    }

    /// How long a process stood still, or its calls did not go as usual, between two moments.
    pub fn held_up(&self, process: u32, from: Timestamp, until: Timestamp) -> SignedDuration {
        let overlap = |began: Timestamp, ended: Timestamp| {
            ended.min(until).duration_since(began.max(from)).max(SignedDuration::ZERO)
        };
        let frozen = self.freezes.iter().filter(|freeze| freeze.process == process);
        let frozen = frozen.map(|freeze| overlap(freeze.from, freeze.until));
        let hitches = self.hitches.iter().filter(|hitch| hitch.process == process);
        frozen.chain(hitches.map(|hitch| overlap(hitch.from, hitch.until))).sum()
    }
}
