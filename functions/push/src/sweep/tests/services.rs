//! SQS in memory, behind the SDK's own client.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_sqs::config::{Credentials, SharedCredentialsProvider};
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use runtime::Queue;
use serde_json::{Value, json};

/// The queues of a stack. Each holds what is sent to it until it is taken. Clones are the same queues.
#[derive(Debug, Clone, Default)]
pub(super) struct Queues(Arc<Mutex<QueuesState>>);

#[derive(Debug, Default)]
struct QueuesState {
    messages: BTreeMap<String, Vec<Value>>,
    /// The queues whose depth was read.
    depth_reads: Vec<String>,
}

impl Queues {
    pub(super) fn queue(&self, name: &str) -> Queue {
        Queue::new(aws_sdk_sqs::Client::new(&config(self.clone())), format!("https://sqs.invalid/{name}"))
    }

    /// Puts a message into a queue.
    pub(super) fn put(&self, queue: &str, message: Value) {
        self.state().messages.entry(queue.to_owned()).or_default().push(message);
    }

    /// Takes all messages from a queue, as a function that handles them or as an accident that loses them.
    pub(super) fn take(&self, queue: &str) -> Vec<Value> {
        self.state().messages.remove(queue).unwrap_or_default()
    }

    /// How many messages a queue holds.
    pub(super) fn depth(&self, queue: &str) -> usize {
        self.state().messages.get(queue).map_or(0, Vec::len)
    }

    /// The queues whose depth was read since this was last called, in order.
    pub(super) fn take_depth_reads(&self) -> Vec<String> {
        std::mem::take(&mut self.state().depth_reads)
    }

    fn respond(&self, operation: &str, request: &Value) -> Value {
        let url = request["QueueUrl"].as_str().expect("a call names its queue");
        let queue = url.rsplit('/').next().expect("a split has at least one part");
        match operation {
            "GetQueueAttributes" => {
                self.state().depth_reads.push(queue.to_owned());
                json!({"Attributes": {"ApproximateNumberOfMessages": self.depth(queue).to_string()}})
            }
            "SendMessageBatch" => {
                for entry in request["Entries"].as_array().expect("a batch has entries") {
                    let body = entry["MessageBody"].as_str().expect("an entry has a body");
                    self.put(queue, serde_json::from_str(body).expect("the body is JSON"));
                }
                json!({"Successful": [], "Failed": []})
            }
            _ => panic!("{operation} is not supported here"),
        }
    }

    fn state(&self) -> MutexGuard<'_, QueuesState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HttpConnector for Queues {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (operation, request) = read(&request);
        HttpConnectorFuture::ready(Ok(response(200, &self.respond(&operation, &request))))
    }
}

fn read(request: &HttpRequest) -> (String, Value) {
    let target = request.headers().get("x-amz-target").expect("a call names its operation");
    let operation = target.rsplit('.').next().expect("a split has at least one part").to_owned();
    let body = request.body().bytes().expect("the body of a call is in memory");
    (operation, serde_json::from_slice(body).expect("the body of a call is JSON"))
}

fn response(status: u16, body: &Value) -> HttpResponse {
    let status = StatusCode::try_from(status).expect("it is an HTTP status");
    HttpResponse::new(status, SdkBody::from(body.to_string()))
}

/// A client's configuration with the timeouts and retries of `crates/runtime/src/clients.rs`.
fn config(service: impl HttpConnector + 'static) -> SdkConfig {
    let connector = SharedHttpConnector::new(service);
    let timeouts = TimeoutConfig::builder()
        .operation_attempt_timeout(Duration::from_secs(3))
        .operation_timeout(Duration::from_secs(8))
        .build();
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::from_static("eu-west-1"))
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new("id", "secret", None, None, "test")))
        .timeout_config(timeouts)
        .retry_config(RetryConfig::standard().with_max_attempts(4))
        .http_client(http_client_fn(move |_, _| connector.clone()))
        .build()
}
