//! What is kept of a run's calls while it lasts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use domain::TransportId;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::breaker::Breaker;
use super::deaths::Troubled;
use super::facts::{CustomerEvent, Death, Effort, Freeze, Hitch, Leak, Reservation, StruckSend, Version, Write};
use super::{privacy, reading};
use crate::aws::call::{Body, Call, Service};
use crate::aws::lambda::Function;
use crate::aws::template;
use crate::fault::Struck;
use crate::network::{Arrival, Reply};
use crate::process::Process;
use crate::scenario::Scenario;
use crate::world::World;

/// How long a call may take before it is a hitch.
const USUAL: SignedDuration = SignedDuration::from_millis(150);
/// How long a function may try a call again, with pauses, that failed: `OPERATION_TIMEOUT` of `runtime::clients`.
const TRIED_AGAIN: SignedDuration = SignedDuration::from_secs(8);
/// How much of a leak is kept, and how many of them.
const MOST_LEAKS: usize = 20;

/// What happened in a run that a promise is about.
#[derive(Debug)]
pub struct Evidence {
    kept: Mutex<Kept>,
}

/// What is kept, as facts that need nothing else.
#[derive(Debug, Clone, Default)]
pub struct Kept {
    pub customers: BTreeMap<String, Vec<Version>>,
    pub offers: BTreeMap<String, Timestamp>,
    pub requests: BTreeMap<(String, u32), Timestamp>,
    pub cancels: BTreeMap<(String, u32), Timestamp>,
    pub writes: Vec<Write>,
    pub struck_sends: Vec<StruckSend>,
    pub reservations: Vec<Reservation>,
    pub breakers: Vec<Breaker>,
    pub troubles: Vec<Troubled>,
    pub failures: BTreeMap<String, usize>,
    pub deferrals: BTreeMap<String, Vec<Timestamp>>,
    pub deaths: Vec<Death>,
    pub freezes: Vec<Freeze>,
    pub hitches: Vec<Hitch>,
    pub customer_events: Vec<CustomerEvent>,
    pub published: BTreeSet<String>,
    pub effort: BTreeMap<String, Effort>,
    pub leaks: Vec<Leak>,
    pub answered: BTreeMap<usize, Timestamp>,
    /// Calls whose response has not come back yet: of which process, of what, since when.
    pub(super) open: Vec<(u32, String, Timestamp)>,
}

impl Evidence {
    pub fn new(_scenario: &Scenario) -> Self {
        Self { kept: Mutex::default() }
    }

    /// A function makes a call, and this goes wrong with it.
    pub fn call(&self, world: &World, process: &Process, call: &Call, struck: &Struck) {
        let now = world.clock.now();
        let mut kept = self.kept();
        let sends = matches!(call.function, Function::Email | Function::Sms);
        let is_struck = struck.before.is_some() || struck.after.is_some();
        if is_struck {
            kept.trouble(process, now);
        }
        match call.service {
            Service::DynamoDb => {
                if sends {
                    kept.effort_of(call).store_calls += 1;
                    kept.open.push((process.number(), identity(call), now));
                }
                if call.target == "Deliveries" {
                    let writes = reading::delivery_writes(call.json()).into_iter();
                    let process = process.number();
                    kept.writes.extend(writes.map(|write| Write { process, asked_at: now, is_struck, ..write }));
                }
            }
            Service::Sqs => {
                if sends && call.operation.starts_with("SendMessage") {
                    kept.effort_of(call).deferrals += 1;
                    for batch in reading::batches_queued(call.json()) {
                        kept.deferrals.entry(batch).or_default().push(now);
                    }
                }
                kept.look_for_leaks(now, call);
            }
            Service::EventBridge => kept.look_for_leaks(now, call),
            Service::Ses | Service::Sns => {
                if is_struck {
                    kept.struck_send(process, call, now, true);
                }
            }
            Service::SecretsManager => {}
        }
        if sends && is_struck {
            kept.hitch(process, now, now + TRIED_AGAIN);
        }
    }

    /// A service has handled a call, whether it took effect or not.
    pub fn served(&self, world: &World, process: &Process, call: &Call, reply: &Reply) {
        let now = world.clock.now();
        let mut kept = self.kept();
        let is_ok = reply.status == 200;
        match call.service {
            Service::DynamoDb => {
                if call.target == "Deliveries" {
                    let results = reading::delivery_results(call, reply.status, &reply.body);
                    for (asked, (is_done, is_refused)) in reading::delivery_writes(call.json()).iter().zip(results) {
                        let at = is_done.then_some(now);
                        kept.served_write(process.number(), asked, reply.status, at, is_refused);
                    }
                }
                kept.close(process, call, is_ok || reading::is_refused(&reply.body), now);
                if is_ok {
                    kept.took_effect(process, call, reply, now);
                }
            }
            Service::EventBridge if is_ok => {
                kept.published.extend(reading::published_ids(call.json(), &reply.body));
            }
            // Whether it was accepted is not said.
            Service::Ses | Service::Sns if reply.arrival != Arrival::Arrives || reply.status >= 500 => {
                kept.struck_send(process, call, now, false);
            }
            _ => {}
        }
    }

    /// The process that handed a message over has the provider's response.
    pub fn answered(&self, handover: usize, at: Timestamp) {
        self.kept().answered.entry(handover).or_insert(at);
    }

    /// A process ended in the middle of its work.
    pub fn killed(&self, process: &Process, at: Timestamp) {
        let (number, function) = (process.number(), process.function().to_string());
        let mut kept = self.kept();
        if !kept.deaths.iter().any(|death| death.process == number) {
            kept.deaths.push(Death { process: number, function, at, timed_out: None });
        }
    }

    /// A process was ended because it timed out.
    pub fn timed_out(&self, process: &Process, at: Timestamp) {
        self.killed(process, at);
        let time = SignedDuration::try_from(template::timeout(process.function())).unwrap_or_default();
        let mut kept = self.kept();
        if let Some(death) = kept.deaths.iter_mut().find(|death| death.process == process.number()) {
            death.timed_out = Some(at - time);
        }
    }

    /// A function returned this message as one that it has not handled.
    pub fn returned_as_failed(&self, message: &str) {
        *self.kept().failures.entry(message.to_owned()).or_default() += 1;
    }

    /// A process froze for this long, in milliseconds. `point` says where.
    pub fn frozen(&self, process: &Process, at: Timestamp, millis: u64, point: &str) {
        self.kept().freeze(process, at, millis, point);
    }

    /// A step of a conversation with a mail server was struck, so that its answer may not have come.
    pub fn struck_at_server(&self, process: &Process, at: Timestamp) {
        self.struck_message(process, at, None, true);
    }

    /// The same, of the message to this recipient, if that is known. `is_fault`: a planned fault did it, and not the provider.
    pub fn struck_message(&self, process: &Process, at: Timestamp, recipient: Option<&str>, is_fault: bool) {
        let mut kept = self.kept();
        let address = recipient.map(str::to_lowercase);
        kept.struck_sends.push(StruckSend { process: process.number(), at, address, is_fault });
        kept.trouble(process, at);
        kept.hitch(process, at, at + TRIED_AGAIN);
    }

    /// A personal datum was found where none may be.
    pub fn leaked(&self, at: Timestamp, place: &str, text: &str) {
        self.kept().leak(at, place.to_owned(), text);
    }

    /// The ids of the events that the bus took so far.
    pub fn published_ids(&self) -> BTreeSet<String> {
        self.kept().published.clone()
    }

    /// All that is kept.
    pub fn all(&self) -> Kept {
        self.kept().clone()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What tells calls of one process apart.
fn identity(call: &Call) -> String {
    match &call.body {
        Body::Json(json) => format!("{} {json}", call.operation),
        Body::Form(form) => form.clone(),
    }
}

impl Kept {
    fn effort_of(&mut self, call: &Call) -> &mut Effort {
        self.effort.entry(call.function.to_string()).or_default()
    }

    fn hitch(&mut self, process: &Process, from: Timestamp, until: Timestamp) {
        let process = process.number();
        // One after another is one.
        if let Some(last) = self.hitches.iter_mut().rfind(|hitch| hitch.process == process)
            && from <= last.until
        {
            last.until = last.until.max(until);
            last.from = last.from.min(from);
            return;
        }
        self.hitches.push(Hitch { process, from, until });
    }

    fn struck_send(&mut self, process: &Process, call: &Call, at: Timestamp, is_fault: bool) {
        // A question about a number hands nothing over.
        if let Some(address) = reading::recipient(call) {
            self.struck_sends.push(StruckSend { process: process.number(), at, address: Some(address), is_fault });
        }
    }

    fn trouble(&mut self, process: &Process, at: Timestamp) {
        self.troubles.push(Troubled { process: Some(process.number()), from: at, until: at });
    }

    fn freeze(&mut self, process: &Process, from: Timestamp, millis: u64, point: &str) {
        let time = SignedDuration::from_millis(i64::try_from(millis).unwrap_or(i64::MAX));
        let process = process.number();
        self.freezes.push(Freeze { process, from, until: from + time, point: point.to_owned() });
    }

    fn leak(&mut self, at: Timestamp, place: String, text: &str) {
        if self.leaks.len() < MOST_LEAKS {
            self.leaks.push(Leak { at, place, text: text.to_owned() });
        }
    }

    fn look_for_leaks(&mut self, now: Timestamp, call: &Call) {
        if let Body::Json(json) = &call.body
            && let Some(found) = privacy::personal(&json.to_string())
        {
            self.leak(now, call.point(), found);
        }
    }

    /// The first call that this may be whose response is not known yet.
    fn served_write(&mut self, process: u32, asked: &Write, status: u16, at: Option<Timestamp>, is_refused: bool) {
        let write = self.writes.iter_mut().rev().take(500).filter(|write| {
            write.process == process
                && write.status.is_none()
                && (&write.notification, &write.token, &write.state)
                    == (&asked.notification, &asked.token, &asked.state)
        });
        if let Some(write) = write.last() {
            (write.status, write.at, write.is_refused) = (Some(status), at, is_refused);
        }
    }

    /// A call has been answered: as usual, or not.
    fn close(&mut self, process: &Process, call: &Call, is_answer: bool, now: Timestamp) {
        let (number, identity) = (process.number(), identity(call));
        let index = self.open.iter().position(|(who, what, _)| *who == number && *what == identity);
        let Some((_, _, since)) = index.map(|index| self.open.swap_remove(index)) else {
            return;
        };
        if !is_answer {
            self.hitch(process, since, now + TRIED_AGAIN);
        } else if now.duration_since(since) > USUAL {
            self.hitch(process, since, now + USUAL);
        }
    }

    /// A call of DynamoDB took effect.
    fn took_effect(&mut self, process: &Process, call: &Call, reply: &Reply, now: Timestamp) {
        let request = call.json();
        match call.target.as_str() {
            "Customers" => {
                for change in reading::customers_written(&call.operation, request, &reply.body) {
                    match change {
                        Ok(item) => self.customer(&item, now),
                        Err(id) => self.version(&id, Version { from: now, record: None }),
                    }
                }
            }
            "Offers" => {
                for id in reading::offers_stored(request) {
                    self.offers.entry(id).or_insert(now);
                }
                for push in reading::pushes_requested(request) {
                    self.requests.entry(push).or_insert(now);
                }
            }
            "Pushes" => {
                if let Some(push) = reading::push_cancelled(request) {
                    self.cancels.entry(push).or_insert(now);
                }
            }
            "Pacing" => {
                self.breakers.extend(Breaker::of(request, now));
                if let Some((transport, first, length)) = reading::slots_reserved(request, &reply.body) {
                    let process = process.number();
                    self.reservations.push(Reservation { process, transport, at: now, first, length });
                }
            }
            _ => {}
        }
        self.customer_events.extend(reading::customer_events(&call.operation, request, now));
    }

    fn customer(&mut self, item: &Value, from: Timestamp) {
        if let Some(id) = item["pk"].as_str() {
            self.version(id, Version { from, record: Some(reading::customer(item)) });
        }
    }

    fn version(&mut self, id: &str, version: Version) {
        let versions = self.customers.entry(id.to_owned()).or_default();
        if versions.last().map(|last| &last.record) != Some(&version.record) {
            versions.push(version);
        }
    }
}

/// What a transport's name in a key is.
pub(super) fn transport(name: &str) -> Option<TransportId> {
    name.parse().ok()
}
