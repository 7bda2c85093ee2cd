//! AWS as the functions see it: DynamoDB in memory, queues that keep what is sent, secrets, and an SNS that takes every message.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use testing::Engine;
use tokio::net::TcpListener;

/// What the functions call, and what they called.
pub(crate) struct Aws {
    engine: Engine,
    secrets: BTreeMap<String, String>,
    /// How long each call of DynamoDB takes, besides the usual.
    delay: Duration,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// The bodies of messages that were sent, by queue.
    messages: BTreeMap<String, Vec<String>>,
    calls: BTreeMap<String, Calls>,
}

/// Calls of one kind.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Calls {
    pub(crate) count: u64,
    /// Bytes of their bodies.
    pub(crate) sent: u64,
    pub(crate) received: u64,
}

impl Aws {
    /// Starts it with empty tables and these secrets. Returns its address.
    pub(crate) async fn start(secrets: BTreeMap<String, String>, delay: Duration) -> Result<(Arc<Self>, String)> {
        let aws = Self { engine: Engine::without_streams(), secrets, delay, kept: Mutex::default() };
        let aws = Arc::new(aws);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?.to_string();
        let router = Router::new().fallback(serve).with_state(aws.clone());
        let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
            // Otherwise responses wait for acknowledgements.
            stream.set_nodelay(true).expect("a connection takes the option");
        });
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok((aws, address))
    }

    /// Puts an item, in plain JSON.
    pub(crate) fn put(&self, table: &str, item: &Value) {
        self.engine.put(table, item);
    }

    /// The messages that came into a queue since this was called before.
    pub(crate) fn take_messages(&self, queue: &str) -> Vec<String> {
        self.kept().messages.remove(queue).unwrap_or_default()
    }

    /// The calls since this was called before, by operation and table.
    pub(crate) fn take_calls(&self) -> BTreeMap<String, Calls> {
        std::mem::take(&mut self.kept().calls)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, call: &str, body: &[u8], response: &str) {
        let mut kept = self.kept();
        let calls = kept.calls.entry(call.to_owned()).or_default();
        calls.count += 1;
        calls.sent += body.len() as u64;
        calls.received += response.len() as u64;
    }

    fn other(&self, operation: &str, request: &Value) -> Value {
        let queue = request["QueueUrl"].as_str().and_then(|url| url.rsplit('/').next()).unwrap_or_default();
        let body = |message: &Value| message["MessageBody"].as_str().unwrap_or_default().to_owned();
        let entries = || request["Entries"].as_array().into_iter().flatten();
        let done = |entry: &Value| json!({"Id": entry["Id"], "MessageId": "m", "MD5OfMessageBody": "0"});
        match operation {
            "GetSecretValue" => {
                let id = request["SecretId"].as_str().unwrap_or_default();
                json!({"ARN": id, "Name": id, "VersionId": "v", "SecretString": self.secrets.get(id)})
            }
            "SendMessageBatch" => {
                self.kept().messages.entry(queue.to_owned()).or_default().extend(entries().map(body));
                json!({"Successful": entries().map(done).collect::<Vec<_>>(), "Failed": []})
            }
            "SendMessage" => {
                self.kept().messages.entry(queue.to_owned()).or_default().push(body(request));
                json!({"MessageId": "m", "MD5OfMessageBody": "0"})
            }
            _ => json!({"Successful": entries().map(done).collect::<Vec<_>>(), "Failed": []}),
        }
    }
}

async fn serve(State(aws): State<Arc<Aws>>, headers: HeaderMap, body: Bytes) -> Response {
    let Some(target) = headers.get("x-amz-target").and_then(|target| target.to_str().ok()) else {
        return publish(&aws, &body);
    };
    let (service, operation) = target.split_once('.').unwrap_or_default();
    let request: Value = serde_json::from_slice(&body).unwrap_or_default();
    let table = table(&request).to_owned();
    let is_store = service.starts_with("DynamoDB");
    let (status, response) = if is_store {
        let reply = aws.engine.execute(operation, request);
        (reply.status, reply.body)
    } else {
        (200, aws.other(operation, &request))
    };
    let response = response.to_string();
    aws.count(format!("{operation} {table}").trim_end(), &body, &response);
    if is_store && !aws.delay.is_zero() {
        tokio::time::sleep(aws.delay).await;
    }
    let status = StatusCode::from_u16(status).expect("a response has an HTTP status");
    (status, [("content-type", "application/x-amz-json-1.0")], response).into_response()
}

/// SNS's response to a message, or to the question whether a number is opted out: it is not (SNS API reference).
fn publish(aws: &Aws, body: &[u8]) -> Response {
    let is_message = body.starts_with(b"Action=Publish&");
    let operation = if is_message { "Publish" } else { "CheckIfPhoneNumberIsOptedOut" };
    let result = if is_message { "<MessageId>m</MessageId>" } else { "<isOptedOut>false</isOptedOut>" };
    let response = format!(
        "<{operation}Response xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><{operation}Result>{result}\
         </{operation}Result></{operation}Response>"
    );
    aws.count(operation, body, &response);
    ([("content-type", "text/xml")], response).into_response()
}

/// The table that a call is for; of several, the first.
fn table(request: &Value) -> &str {
    let of_batch = || request["RequestItems"].as_object()?.keys().next().map(String::as_str);
    let of_statement = || request["Statements"][0]["Statement"].as_str()?.split('"').nth(1);
    request["TableName"].as_str().or_else(of_batch).or_else(of_statement).unwrap_or_default()
}
