//! DynamoDB in process, behind the SDK's own client.

mod batch;
mod connector;
mod engine;
mod fault;
mod items;
pub(crate) mod plain;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::{RetryConfig, RetryPartition};
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Config, Region};
use aws_smithy_async::rt::sleep::TokioSleep;
use serde_json::Value;

use crate::template;
use fault::Faults;

pub use batch::run_in_part;
pub use connector::{Operation, read_call};
pub use engine::{Engine, Reply};
pub use fault::{Fault, Hook};

/// A DynamoDB of its own, with the tables of `template.yaml`. They are named by their logical ids without `Table`:
/// `Deliveries`. Clones are the same DynamoDB.
///
/// Calls take no time: none comes between another one's arrival and its response. [`Dynamo::set_latency`] changes that.
///
/// It differs from DynamoDB on AWS: indexes and eventually consistent reads see every write at once, `ItemCount` is
/// exact, items are scanned in the order of their keys, and nothing is throttled.
#[derive(Clone)]
pub struct Dynamo {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    faults: Faults,
    calls: Vec<Call>,
    latency: Duration,
}

struct Call {
    operation: &'static str,
    table: &'static str,
    request: Value,
}

impl Dynamo {
    /// A DynamoDB with all tables, which are empty. Seeds the thread's `fastrand`, so that the random pauses between a
    /// client's retries are the same in each run.
    #[expect(clippy::new_without_default, reason = "it creates a database")]
    pub fn new() -> Self {
        fastrand::seed(0);
        Self { inner: Arc::new(Inner { engine: Engine::without_streams(), state: Mutex::default() }) }
    }

    /// A client with the timeouts and retries of `crates/runtime/src/clients.rs`. Its timers are tokio's. No other client
    /// uses up its retries.
    pub fn client(&self) -> Client {
        static CLIENTS: AtomicU64 = AtomicU64::new(0);
        let number = CLIENTS.fetch_add(1, Ordering::Relaxed);
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(1))
            .operation_attempt_timeout(Duration::from_secs(3))
            .operation_timeout(Duration::from_secs(8))
            .build();
        let config = Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::from_static("eu-west-1"))
            .endpoint_url("http://dynamodb.invalid")
            .credentials_provider(Credentials::new("test", "test", None, None, "testing"))
            .timeout_config(timeouts)
            .retry_config(RetryConfig::standard().with_max_attempts(4))
            // By default, all clients of a process share one budget of retries.
            .retry_partition(RetryPartition::new(format!("testing-{number}")))
            .sleep_impl(TokioSleep::new())
            .http_client(self.clone())
            .build();
        Client::from_conf(config)
    }

    /// The faults of the next calls of this operation to this table, one for each call, after those injected before.
    ///
    /// # Panics
    /// If there is no such operation or table.
    pub fn inject(&self, operation: &str, table: &str, faults: impl IntoIterator<Item = Fault>) {
        let call = (engine::operation(operation), template::table(table).name.as_str());
        self.state().faults.push(call, faults);
    }

    /// The fault of all calls of this operation to this table, after the injected ones. It replaces an earlier one.
    ///
    /// # Panics
    /// If there is no such operation or table.
    pub fn inject_always(&self, operation: &str, table: &str, fault: Fault) {
        let call = (engine::operation(operation), template::table(table).name.as_str());
        self.state().faults.set_always(call, fault);
    }

    /// Ends all faults.
    pub fn clear_faults(&self) {
        self.state().faults = Faults::default();
    }

    /// How many injected faults have not happened yet: 0 at the end of a test that means what it says.
    pub fn faults_left(&self) -> usize {
        self.state().faults.waiting()
    }

    /// How long a call takes from now on. It takes effect after half of that.
    pub fn set_latency(&self, latency: Duration) {
        self.state().latency = latency;
    }

    /// The calls so far, each with its operation and its table. Every attempt of the SDK is one.
    pub fn calls(&self) -> Vec<(&'static str, &'static str)> {
        self.state().calls.iter().map(|call| (call.operation, call.table)).collect()
    }

    /// How many calls there were of this operation to this table.
    ///
    /// # Panics
    /// If there is no such operation or table.
    pub fn count(&self, operation: &str, table: &str) -> usize {
        self.requests(operation, table).len()
    }

    /// The bodies of the calls of this operation to this table, in DynamoDB's JSON.
    ///
    /// # Panics
    /// If there is no such operation or table.
    pub fn requests(&self, operation: &str, table: &str) -> Vec<Value> {
        let wanted = (engine::operation(operation), template::table(table).name.as_str());
        let state = self.state();
        let calls = state.calls.iter().filter(|call| (call.operation, call.table) == wanted);
        calls.map(|call| call.request.clone()).collect()
    }

    /// Forgets the calls so far.
    pub fn forget_calls(&self) {
        self.state().calls.clear();
    }

    /// Never held while anything else runs, so that a hook can use all of the above.
    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Dynamo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dynamo")
    }
}
