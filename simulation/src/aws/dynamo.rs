//! DynamoDB: its tables, how much a key range takes a second, and its streams.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use testing::{Engine, run_in_part};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::aws::call::{Call, only_reads};
use crate::aws::dynamo::stale::{Key, Stale};
use crate::aws::template;
use crate::network::Reply;
use crate::scenario::Scenario;
use crate::world::World;

mod stale;
pub mod statement;

/// Write units and read units that one partition takes a second (DynamoDB Developer Guide, "Best practices for designing and
/// using partition keys effectively"). Each key counts as a partition of its own: DynamoDB splits what is hot, but never
/// one key's items where the sort keys grow.
const WRITES: f64 = 1_000.0;
const READS: f64 = 3_000.0;
/// Partitions whose use is kept. A second later it no longer matters.
const MOST_PARTITIONS: usize = 20_000;

/// The tables of the template.
pub struct Dynamo {
    engine: Engine,
    partitions: Mutex<BTreeMap<(String, String), Partition>>,
    /// For the one who reads the stream of each table: it may have a new record.
    written: BTreeMap<&'static str, Notify>,
    stale: Stale,
}

/// What is left of a partition's second.
#[derive(Debug)]
struct Partition {
    filled: Instant,
    writes: f64,
    reads: f64,
}

impl Dynamo {
    pub fn new(scenario: &Scenario) -> Self {
        let tables = template::stream_mappings().iter().map(|mapping| mapping.table.as_str());
        let written = tables.map(|table| (table, Notify::new())).collect();
        Self { engine: Engine::with_streams(), partitions: Mutex::default(), written, stale: Stale::new(scenario) }
    }

    pub fn serve(&self, world: &World, call: &Call) -> Reply {
        if !self.has_capacity(call) {
            return call.throttled(0);
        }
        if let Some(meter) = &world.meter {
            let keys = units(call).into_iter().map(|(key, _)| key);
            return meter.store(call, world.second(), keys, |request| self.execute(&call.operation, request));
        }
        if !self.stale.happens() || world.is_calm() {
            let reply = self.execute(&call.operation, call.json().clone());
            return Reply::json(reply.status, &reply.body);
        }
        let image = |key: &Key| {
            let reply = self.engine.execute("GetItem", key.request());
            reply.body.get("Item").cloned()
        };
        let before: Vec<_> = stale::written_by(call).into_iter().map(|key| (image(&key), key)).collect();
        let mut reply = self.execute(&call.operation, call.json().clone());
        if reply.status == 200 {
            self.stale.keep(before);
            self.stale.change(call, &mut reply.body);
        }
        Reply::json(reply.status, &reply.body)
    }

    /// A batch of which only the first half is processed, as when DynamoDB throttles it. `None` if the call is no batch of
    /// two or more.
    pub fn serve_in_part(&self, call: &Call) -> Option<Reply> {
        let batch = || &call.json()["RequestItems"][&call.target];
        let count = match call.operation.as_str() {
            "BatchGetItem" => batch()["Keys"].as_array()?.len(),
            "BatchWriteItem" => batch().as_array()?.len(),
            "BatchExecuteStatement" => statement::statements(call.json()).count(),
            _ => return None,
        };
        if count < 2 {
            return None;
        }
        let execute = |request| self.engine.execute(&call.operation, request);
        let reply = run_in_part(&call.operation, &call.target, call.json().clone(), count / 2, execute);
        Some(Reply::json(reply.status, &reply.body))
    }

    /// The records of a table's stream that were not taken yet, in order.
    pub fn take_records(&self, table: &str) -> Vec<Value> {
        self.engine.take_records(table)
    }

    /// Waits until the stream of this table may have a new record. For one task for each table.
    pub async fn written(&self, table: &str) {
        self.written[table].notified().await;
    }

    /// Runs an operation at once, outside the simulated network: for those who look at tables.
    pub fn execute(&self, operation: &str, request: Value) -> testing::Reply {
        let table = request["TableName"].as_str().map(str::to_owned);
        let reply = self.engine.execute(operation, request);
        if !only_reads(operation) {
            // A batch or a transaction may write to several tables.
            let is_written = |name: &str| table.as_deref().is_none_or(|table| table == name);
            self.written.iter().filter(|(name, _)| is_written(name)).for_each(|(_, written)| written.notify_one());
        }
        reply
    }

    /// Takes the units of a call from the partitions of its keys, if each has enough. An item counts as one unit: the
    /// pipeline's are below 1 kB, and those of offers are few.
    fn has_capacity(&self, call: &Call) -> bool {
        let mut partitions = self.partitions.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that are full again are as new.
        if partitions.len() > MOST_PARTITIONS {
            partitions.retain(|_, partition| partition.filled.elapsed() < Duration::from_secs(1));
        }
        let mut used = units(call);
        for (key, is_write) in &used {
            let partition = partitions.entry((call.target.clone(), key.clone())).or_insert_with(Partition::full);
            partition.refill();
            if (if *is_write { partition.writes } else { partition.reads }) < 1.0 {
                return false;
            }
        }
        for (key, is_write) in used.drain(..) {
            let partition = partitions.get_mut(&(call.target.clone(), key)).expect("it was filled above");
            *(if is_write { &mut partition.writes } else { &mut partition.reads }) -= 1.0;
        }
        true
    }
}

impl Partition {
    fn full() -> Self {
        Self { filled: Instant::now(), writes: WRITES, reads: READS }
    }

    fn refill(&mut self) {
        let seconds = self.filled.elapsed().as_secs_f64();
        self.filled = Instant::now();
        self.writes = (self.writes + seconds * WRITES).min(WRITES);
        self.reads = (self.reads + seconds * READS).min(READS);
    }
}

/// The partition key of each item that a call reads or writes by its key, and whether it writes it. Reads of many items by a
/// query or a scan are left out.
fn units(call: &Call) -> Vec<(String, bool)> {
    let request = call.json();
    let key = |item: &Value| item["pk"]["S"].as_str().map(str::to_owned);
    let of_table = |requests: &str| request[requests].get(&call.target).cloned().unwrap_or_default();
    match call.operation.as_str() {
        "GetItem" => key(&request["Key"]).map(|key| (key, false)).into_iter().collect(),
        "UpdateItem" | "DeleteItem" => key(&request["Key"]).map(|key| (key, true)).into_iter().collect(),
        "PutItem" => key(&request["Item"]).map(|key| (key, true)).into_iter().collect(),
        "BatchGetItem" => {
            let keys = of_table("RequestItems")["Keys"].clone();
            keys.as_array().into_iter().flatten().filter_map(|item| Some((key(item)?, false))).collect()
        }
        "BatchExecuteStatement" => {
            let keys = statement::keys(request);
            keys.filter_map(|item| Some((key(&item)?, true))).collect()
        }
        // A write within a transaction takes two units (DynamoDB Developer Guide, "Amazon DynamoDB transactions: how it
        // works").
        "TransactWriteItems" => {
            let actions = request["TransactItems"].as_array().into_iter().flatten();
            let actions = actions.flat_map(|action| action.as_object().into_iter().flatten());
            let keys = actions.filter_map(|(_, action)| key(&action["Key"]).or_else(|| key(&action["Item"])));
            keys.flat_map(|key| [(key.clone(), true), (key, true)]).collect()
        }
        _ => Vec::new(),
    }
}
