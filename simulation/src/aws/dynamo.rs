//! DynamoDB: its tables, how much a key range takes a second, and its streams.

use std::collections::BTreeMap;

use testing::Engine;
use tokio::sync::Notify;

use crate::aws::call::Call;
use crate::aws::template;
use crate::network::Reply;
use crate::scenario::Scenario;
use crate::world::World;

/// The tables of the template.
pub struct Dynamo {
    engine: Engine,
    /// For the one who reads the stream of each table: it may have a new record.
    written: BTreeMap<&'static str, Notify>,
}

impl Dynamo {
    pub fn new(_scenario: &Scenario) -> Self {
        let tables = template::stream_mappings().iter().map(|mapping| mapping.table.as_str());
        Self { engine: Engine::with_streams(), written: tables.map(|table| (table, Notify::new())).collect() }
    }

    pub fn serve(&self, _world: &World, call: &Call) -> Reply {
        let reply = self.execute(&call.operation, call.json().clone());
        Reply::json(reply.status, &reply.body)
    }

    /// The records of a table's stream that were not taken yet, in order.
    pub fn take_records(&self, table: &str) -> Vec<serde_json::Value> {
        self.engine.take_records(table)
    }

    /// Waits until the stream of this table may have a new record. For one task for each table.
    pub async fn written(&self, table: &str) {
        self.written[table].notified().await;
    }

    /// Runs an operation at once, outside the simulated network: for those who look at tables.
    pub fn execute(&self, operation: &str, request: serde_json::Value) -> testing::Reply {
        let table = request["TableName"].as_str().map(str::to_owned);
        let reply = self.engine.execute(operation, request);
        if !matches!(operation, "GetItem" | "BatchGetItem" | "Query" | "Scan" | "DescribeTable") {
            // A batch or a transaction may write to several tables.
            let is_written = |name: &str| table.as_deref().is_none_or(|table| table == name);
            self.written.iter().filter(|(name, _)| is_written(name)).for_each(|(_, written)| written.notify_one());
        }
        reply
    }
}
