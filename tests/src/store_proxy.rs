//! A DynamoDB that does wrong on demand: it stands before the stack's own, and functions are told to use it.

use std::net::Ipv4Addr;
use std::sync::Arc;

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// What becomes of one call.
pub enum Verdict {
    /// The store answers.
    Pass,
    /// Refused, as when a table is too busy; the store hears nothing of it.
    Throttle,
    /// The store does as asked; the caller hears of it when this is closed.
    HoldAnswer(Arc<Semaphore>),
}

/// A store between functions and the stack's own. Ends when dropped.
pub struct StoreProxy {
    /// What functions call, as `AWS_ENDPOINT_URL_DYNAMODB`.
    pub url: String,
    server: tokio::task::JoinHandle<()>,
}

impl StoreProxy {
    /// Starts one before the store at `endpoint`. `judge` hears of each call by its name, such as `UpdateItem`, and table.
    pub async fn start(endpoint: &str, judge: impl Fn(&str, &str) -> Verdict + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port is free");
        let url = format!("http://{}", listener.local_addr().expect("it listens"));
        let (endpoint, judge, http) = (endpoint.to_owned(), Arc::new(judge), reqwest::Client::new());
        let router = axum::Router::new().fallback(async move |uri: Uri, headers: HeaderMap, body: Bytes| {
            let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
            let arguments: Value = serde_json::from_slice(&body).unwrap_or_default();
            let table = arguments["TableName"].as_str().unwrap_or_default();
            let verdict = judge(target.rsplit('.').next().unwrap_or_default(), table);
            if let Verdict::Throttle = verdict {
                return throttled();
            }
            // With the caller's own headers: the host among them is what the caller signed.
            let call = http.post(format!("{endpoint}{uri}")).headers(headers).body(body);
            let answer = call.send().await.expect("the store answers");
            let (status, headers) = (answer.status(), answer.headers().clone());
            let body = answer.bytes().await.expect("the store answers in full");
            if let Verdict::HoldAnswer(until) = verdict {
                // Nobody ever adds a permit.
                let _ = until.acquire().await;
            }
            let kind = headers.get("content-type").cloned().expect("the store names its content's type");
            (status, [("content-type", kind)], body).into_response()
        });
        let server = tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Self { url, server }
    }
}

impl Drop for StoreProxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// DynamoDB API reference, "Error handling": a client may try again.
fn throttled() -> Response {
    let error = r#"{"__type":"com.amazonaws.dynamodb.v20120810#ThrottlingException","message":"Rate exceeded"}"#;
    (StatusCode::BAD_REQUEST, [("content-type", "application/x-amz-json-1.0")], error).into_response()
}
