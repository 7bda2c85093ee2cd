//! A service of AWS that does wrong on demand: it stands before the stack's own, and functions are told to use it.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// A call.
pub struct Asked<'a> {
    /// Its name, such as `UpdateItem`.
    pub operation: &'a str,
    /// The table that it is about, if it is of DynamoDB.
    pub table: &'a str,
    /// Its arguments, as they travel.
    pub body: &'a str,
}

/// What becomes of one call.
pub enum Verdict {
    /// The service answers.
    Pass,
    /// The service answers, and its answer takes so long to arrive.
    Slow(Duration),
    /// Refused, as when a table is too busy; the store hears nothing of it.
    Throttle,
    /// The service does as asked; the caller hears of it when this is closed.
    HoldAnswer(Arc<Semaphore>),
    /// This is the answer; the service hears nothing of it.
    Answer(u16, String),
}

/// It stands between functions and the stack. Ends when dropped.
pub struct AwsProxy {
    /// What functions call, as `AWS_ENDPOINT_URL_DYNAMODB`, `AWS_ENDPOINT_URL_SNS`.
    pub url: String,
    server: tokio::task::JoinHandle<()>,
}

impl AwsProxy {
    /// Starts one before the stack at `endpoint`. `judge` hears of each call.
    pub async fn start(endpoint: &str, judge: impl Fn(&Asked<'_>) -> Verdict + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port is free");
        let url = format!("http://{}", listener.local_addr().expect("it listens"));
        let (endpoint, judge, http) = (endpoint.to_owned(), Arc::new(judge), reqwest::Client::new());
        let router = axum::Router::new().fallback(async move |uri: Uri, headers: HeaderMap, body: Bytes| {
            let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok());
            let arguments: Value = serde_json::from_slice(&body).unwrap_or_default();
            let text = String::from_utf8_lossy(&body);
            // By a header in AWS's JSON protocols, among the arguments in its query protocol.
            let operation = match target {
                Some(target) => target.rsplit('.').next(),
                None => text.split('&').find_map(|argument| argument.strip_prefix("Action=")),
            };
            let (operation, table) =
                (operation.unwrap_or_default(), arguments["TableName"].as_str().unwrap_or_default());
            let verdict = judge(&Asked { operation, table, body: &text });
            match verdict {
                Verdict::Throttle => return throttled(),
                Verdict::Answer(status, answer) => {
                    let status = StatusCode::from_u16(status).expect("a test knows what a status is");
                    return (status, [("content-type", "text/xml")], answer).into_response();
                }
                Verdict::Pass | Verdict::Slow(_) | Verdict::HoldAnswer(_) => {}
            }
            // With the caller's own headers: the host among them is what the caller signed.
            let call = http.post(format!("{endpoint}{uri}")).headers(headers).body(body);
            let answer = call.send().await.expect("the stack answers");
            let (status, headers) = (answer.status(), answer.headers().clone());
            let body = answer.bytes().await.expect("the stack answers in full");
            match verdict {
                // Nobody ever adds a permit.
                Verdict::HoldAnswer(until) => drop(until.acquire().await),
                Verdict::Slow(time) => tokio::time::sleep(time).await,
                _ => {}
            }
            let kind = headers.get("content-type").cloned().expect("the stack names its content's type");
            (status, [("content-type", kind)], body).into_response()
        });
        let server = tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Self { url, server }
    }
}

impl Drop for AwsProxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// DynamoDB API reference, "Error handling": a client may try again.
fn throttled() -> Response {
    let error = r#"{"__type":"com.amazonaws.dynamodb.v20120810#ThrottlingException","message":"Rate exceeded"}"#;
    (StatusCode::BAD_REQUEST, [("content-type", "application/x-amz-json-1.0")], error).into_response()
}
