//! SQS in memory, behind the SDK's own client: as much of it as functions that receive messages, and queue others, call.

use std::sync::{Arc, Mutex, PoisonError};

use aws_credential_types::Credentials;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::{BehaviorVersion, Config, Region};
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use serde_json::{Value, json};
use tokio::time::Instant;

/// A queue's messages in flight. Clones are the same queue.
#[derive(Debug, Clone)]
pub struct Sqs {
    began: Instant,
    hidden: Arc<Mutex<Vec<Hidden>>>,
    sent: Arc<Mutex<Vec<Sent>>>,
}

/// A message that was queued.
#[derive(Debug, Clone, PartialEq)]
pub struct Sent {
    pub body: Value,
    /// After how many seconds it can be received.
    pub delay: u64,
}

/// That a message in flight is hidden from other receivers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hidden {
    /// When, in whole seconds from the beginning.
    pub at: u64,
    pub receipt: String,
    /// For how many seconds.
    pub seconds: u64,
}

impl Sqs {
    /// An empty queue. Its time is tokio's.
    pub fn new() -> Self {
        Self { began: Instant::now(), hidden: Arc::default(), sent: Arc::default() }
    }

    pub fn client(&self) -> Client {
        let connector = SharedHttpConnector::new(self.clone());
        let config = Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::from_static("eu-west-1"))
            .endpoint_url("http://sqs.invalid")
            .credentials_provider(Credentials::new("test", "test", None, None, "testing"))
            .sleep_impl(TokioSleep::new())
            .http_client(http_client_fn(move |_, _| connector.clone()))
            .build();
        Client::from_conf(config)
    }

    /// What was hidden so far, in order.
    pub fn hidden(&self) -> Vec<Hidden> {
        self.hidden.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The messages that were queued since this was called before, in order.
    pub fn take_sent(&self) -> Vec<Sent> {
        std::mem::take(&mut self.sent.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn send(&self, entry: &Value) -> Value {
        let body = entry["MessageBody"].as_str().expect("an entry has a body");
        let body = serde_json::from_str(body).expect("a message is JSON");
        let sent = Sent { body, delay: entry["DelaySeconds"].as_u64().unwrap_or_default() };
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).push(sent);
        json!({"Id": entry["Id"], "MessageId": "m", "MD5OfMessageBody": "0"})
    }

    fn hide(&self, entry: &Value) -> Value {
        let text = |name: &str| entry[name].as_str().expect("an entry has an id and a receipt").to_owned();
        let seconds = entry["VisibilityTimeout"].as_u64().expect("an entry has a time-out");
        let hidden = Hidden { at: self.began.elapsed().as_secs(), receipt: text("ReceiptHandle"), seconds };
        self.hidden.lock().unwrap_or_else(PoisonError::into_inner).push(hidden);
        json!({"Id": text("Id")})
    }
}

impl Default for Sqs {
    fn default() -> Self {
        Self::new()
    }
}

impl HttpConnector for Sqs {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").expect("a call names its operation");
        let body = request.body().bytes().expect("the body of a call is in memory");
        let request: Value = serde_json::from_slice(body).expect("the body of a call is JSON");
        let body = match target {
            "AmazonSQS.ChangeMessageVisibilityBatch" => of_entries(&request, |entry| self.hide(entry)),
            "AmazonSQS.SendMessageBatch" => of_entries(&request, |entry| self.send(entry)),
            "AmazonSQS.GetQueueAttributes" => json!({"Attributes": {"VisibilityTimeout": "600"}}),
            other => panic!("no such call: {other}"),
        };
        let body = body.to_string();
        let status = StatusCode::try_from(200).expect("it is an HTTP status");
        HttpConnectorFuture::ready(Ok(HttpResponse::new(status, SdkBody::from(body))))
    }
}

/// The response to a call with several entries, all of which are done.
fn of_entries(request: &Value, done: impl Fn(&Value) -> Value) -> Value {
    let entries = request["Entries"].as_array().expect("a call has entries");
    assert!(entries.len() <= 10, "as many as SQS takes");
    json!({"Successful": entries.iter().map(done).collect::<Vec<_>>(), "Failed": []})
}
