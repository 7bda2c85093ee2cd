//! What a run takes of AWS: counted, not kept.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use super::bank::Bank;
use crate::aws::call::{Call, only_reads};
use crate::aws::lambda::Function;
use crate::network::Reply;
use crate::providers::Refusal;

/// Read and write units of DynamoDB, as on-demand tables are charged.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Units {
    pub reads: f64,
    pub writes: f64,
}

impl Units {
    pub(super) const fn read(units: f64) -> Self {
        Self { reads: units, writes: 0.0 }
    }

    fn add(&mut self, other: Self) {
        self.reads += other.reads;
        self.writes += other.writes;
    }
}

/// What was counted.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    /// Messages that SES accepted.
    pub sent: u64,
    /// Messages that SES refused.
    pub refused: u64,
    /// Calls of functions, by service and operation.
    pub calls: BTreeMap<String, u64>,
    /// By table.
    pub units: BTreeMap<String, Units>,
    /// The most units that one key of a table took in a second.
    pub hottest: BTreeMap<String, f64>,
    /// Messages that were received from queues.
    pub received: u64,
    /// Requests of Lambda's pollers for them: one receives them, and one deletes them.
    pub polled: u64,
    /// Of each function: invocations, and the time from their beginnings to their ends.
    pub invocations: BTreeMap<Function, (u64, Duration)>,
}

#[derive(Debug, Default)]
struct State {
    counts: Counts,
    /// The units of keys within this second of virtual time.
    second: i64,
    keys: HashMap<(String, String), f64>,
}

/// Counts what a run takes.
#[derive(Debug)]
pub struct Meter {
    bank: Bank,
    /// Until then SES refuses every message: the day's quota is used up. In seconds of virtual time.
    refuses_until: i64,
    state: Mutex<State>,
}

impl Meter {
    pub(super) fn new(bank: Bank, refuses_until: i64) -> Self {
        Self { bank, refuses_until, state: Mutex::default() }
    }

    /// What was counted so far.
    pub fn counts(&self) -> Counts {
        self.state().counts.clone()
    }

    /// Counts a call of a function.
    pub fn call(&self, call: &Call) {
        let point = call.point();
        let (_, call) = point.split_once(' ').unwrap_or_default();
        *self.state().counts.calls.entry(call.to_owned()).or_default() += 1;
    }

    /// Counts an invocation.
    pub fn invoked(&self, function: Function, time: Duration) {
        let mut state = self.state();
        let (number, sum) = state.counts.invocations.entry(function).or_default();
        *number += 1;
        *sum += time;
    }

    /// Counts messages that a poller received.
    pub fn received(&self, messages: usize) {
        let mut state = self.state();
        state.counts.received += messages as u64;
        state.counts.polled += 2;
    }

    /// SES's response to a message.
    pub fn ses(&self, second: i64) -> Reply {
        let mut state = self.state();
        if second < self.refuses_until {
            state.counts.refused += 1;
            return Refusal::OverQuota.of_ses("");
        }
        state.counts.sent += 1;
        Reply::json(200, &json!({"MessageId": format!("ses-{}", state.counts.sent)}))
    }

    /// A call of DynamoDB, of which `execute` makes those of stored tables, and `keys` are the partition keys that it reads or
    /// writes.
    pub fn store(
        &self,
        call: &Call,
        second: i64,
        keys: impl IntoIterator<Item = String>,
        execute: impl FnOnce(Value) -> testing::Reply,
    ) -> Reply {
        if call.target == "Customers" {
            let (body, units) = self.bank.serve(call);
            self.state().count(call, second, [], units);
            return Reply::json(200, &body);
        }
        let mut request = call.json().clone();
        request["ReturnConsumedCapacity"] = "TOTAL".into();
        let mut reply = execute(request);
        let consumed = reply.body.as_object_mut().and_then(|body| body.remove("ConsumedCapacity"));
        let number: f64 = match &consumed {
            Some(Value::Array(tables)) => tables.iter().filter_map(|table| table["CapacityUnits"].as_f64()).sum(),
            Some(table) => table["CapacityUnits"].as_f64().unwrap_or_default(),
            // A condition that is not met takes a unit as well (DynamoDB Developer Guide, "Write consumption").
            None => 1.0,
        };
        let units =
            if only_reads(&call.operation) { Units::read(number) } else { Units { reads: 0.0, writes: number } };
        self.state().count(call, second, keys, units);
        Reply::json(reply.status, &reply.body)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn count(&mut self, call: &Call, second: i64, keys: impl IntoIterator<Item = String>, units: Units) {
        self.counts.units.entry(call.target.clone()).or_default().add(units);
        if second != self.second {
            self.second = second;
            self.keys.clear();
        }
        let keys: Vec<_> = keys.into_iter().collect();
        #[expect(clippy::cast_precision_loss, reason = "no call has so many keys")]
        let each = (units.reads + units.writes) / keys.len().max(1) as f64;
        for key in keys {
            let sum = self.keys.entry((call.target.clone(), key)).or_default();
            *sum += each;
            let hottest = self.counts.hottest.entry(call.target.clone()).or_default();
            *hottest = hottest.max(*sum);
        }
    }
}
