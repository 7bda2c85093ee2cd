//! DynamoDB: its tables, how much a key range takes a second, and its streams.

use testing::Engine;

use crate::aws::call::Call;
use crate::network::Reply;
use crate::scenario::Scenario;
use crate::world::World;

/// The tables of the template.
pub struct Dynamo {
    engine: Engine,
}

impl Dynamo {
    pub fn new(_scenario: &Scenario) -> Self {
        Self { engine: Engine::with_streams() }
    }

    pub fn serve(&self, _world: &World, call: &Call) -> Reply {
        let reply = self.engine.execute(&call.operation, call.json().clone());
        Reply::json(reply.status, &reply.body)
    }

    /// The records of a table's stream that were not taken yet, in order.
    pub fn take_records(&self, table: &str) -> Vec<serde_json::Value> {
        self.engine.take_records(table)
    }

    /// Runs an operation at once, outside the simulated network: for those who look at tables.
    pub fn execute(&self, operation: &str, request: serde_json::Value) -> testing::Reply {
        self.engine.execute(operation, request)
    }
}
