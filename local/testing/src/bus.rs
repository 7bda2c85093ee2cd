//! EventBridge in memory, behind the SDK's own client.

use std::future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::config::retry::{RetryConfig, RetryPartition};
use aws_sdk_eventbridge::config::timeout::TimeoutConfig;
use aws_sdk_eventbridge::config::{BehaviorVersion, Config, Region};
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use serde_json::{Value, json};

/// What the bus does with events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum BusState {
    #[default]
    Accepting,
    /// It takes calls, but rejects every event.
    Rejecting,
    /// It rejects the event with this id.
    RejectingOne(String),
    /// Every call fails.
    Unavailable,
    /// No call returns.
    Hanging,
}

/// The event bus. Clones are the same bus.
#[derive(Debug, Clone, Default)]
pub struct Bus(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    state: BusState,
    tried: Vec<String>,
    accepted: Vec<Published>,
}

/// An event that the bus accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    pub source: String,
    pub detail_type: String,
    pub detail: Value,
}

impl Published {
    /// The id in the detail, by which subscribers recognise an event that comes again.
    pub fn id(&self) -> &str {
        self.detail["id"].as_str().expect("an event has an id")
    }
}

impl Bus {
    /// A client with the timeouts and retries of `crates/runtime/src/clients.rs`. Its timers are tokio's.
    pub fn client(&self) -> Client {
        static CLIENTS: AtomicU64 = AtomicU64::new(0);
        let number = CLIENTS.fetch_add(1, Ordering::Relaxed);
        let connector = SharedHttpConnector::new(self.clone());
        let timeouts = TimeoutConfig::builder()
            .operation_attempt_timeout(Duration::from_secs(3))
            .operation_timeout(Duration::from_secs(8))
            .build();
        let config = Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::from_static("eu-west-1"))
            .endpoint_url("http://events.invalid")
            .credentials_provider(Credentials::new("test", "test", None, None, "testing"))
            .timeout_config(timeouts)
            .retry_config(RetryConfig::standard().with_max_attempts(4))
            // By default, all clients of a process share one budget of retries.
            .retry_partition(RetryPartition::new(format!("testing-bus-{number}")))
            .sleep_impl(TokioSleep::new())
            .http_client(http_client_fn(move |_, _| connector.clone()))
            .build();
        Client::from_conf(config)
    }

    pub fn set(&self, state: BusState) {
        self.inner().state = state;
    }

    /// The accepted events since this was last called, in order.
    pub fn take(&self) -> Vec<Published> {
        std::mem::take(&mut self.inner().accepted)
    }

    /// Their ids.
    pub fn take_accepted(&self) -> Vec<String> {
        self.take().iter().map(|event| event.id().to_owned()).collect()
    }

    /// The ids of the events that it received since this was last called, whether it accepted them or not. A call that
    /// the client repeats counts once.
    pub fn take_tried(&self) -> Vec<String> {
        std::mem::take(&mut self.inner().tried)
    }

    fn respond(&self, request: &Value) -> Option<HttpResponse> {
        let mut inner = self.inner();
        let entries = request["Entries"].as_array().expect("a call has entries");
        assert!(entries.len() <= 10, "as many as EventBridge takes");
        let events: Vec<_> = entries.iter().map(published).collect();
        inner.tried.extend(events.iter().map(|event| event.id().to_owned()));
        inner.tried.dedup();
        let state = inner.state.clone();
        let is_rejected = |event: &Published| match &state {
            BusState::Rejecting => true,
            BusState::RejectingOne(id) => event.id() == id,
            BusState::Accepting | BusState::Unavailable | BusState::Hanging => false,
        };
        match state {
            BusState::Hanging => return None,
            BusState::Unavailable => return Some(response(500, &json!({"__type": "InternalException"}))),
            BusState::Accepting | BusState::Rejecting | BusState::RejectingOne(_) => {}
        }
        let result = |event: &Published| match is_rejected(event) {
            true => json!({"ErrorCode": "Rejected", "ErrorMessage": "rejected by the test"}),
            false => json!({"EventId": "1"}),
        };
        let results: Vec<_> = events.iter().map(result).collect();
        inner.accepted.extend(events.into_iter().filter(|event| !is_rejected(event)));
        Some(response(200, &json!({"FailedEntryCount": 0, "Entries": results})))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HttpConnector for Bus {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").expect("a call names its operation");
        assert!(target.ends_with(".PutEvents"), "{target}");
        let body = request.body().bytes().expect("the body of a call is in memory");
        let request = serde_json::from_slice(body).expect("the body of a call is JSON");
        match self.respond(&request) {
            Some(response) => HttpConnectorFuture::ready(Ok(response)),
            None => HttpConnectorFuture::new(future::pending()),
        }
    }
}

fn published(entry: &Value) -> Published {
    let text = |name: &str| entry[name].as_str().expect("an entry has a source, a type and a detail").to_owned();
    let detail = serde_json::from_str(&text("Detail")).expect("details are JSON");
    Published { source: text("Source"), detail_type: text("DetailType"), detail }
}

fn response(status: u16, body: &Value) -> HttpResponse {
    let status = StatusCode::try_from(status).expect("it is an HTTP status");
    HttpResponse::new(status, SdkBody::from(body.to_string()))
}
