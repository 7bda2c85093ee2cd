//! An AWS service that misbehaves on demand: a proxy in front of the stack's AWS services. A test points functions at
//! it.

use std::net::Ipv4Addr;
use std::sync::Arc;

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;

/// A call that a function makes.
pub struct AwsCall<'a> {
    /// Its name, such as `UpdateItem`.
    pub operation: &'a str,
    /// Its arguments, as they were sent.
    pub body: &'a str,
}

/// What the proxy does with a call.
pub enum ProxyAction {
    /// Passes it on, and the response back.
    Pass,
    /// Refuses it, as when a table is too busy. The service does not see the call.
    Throttle,
    /// Responds with this status and body. The service does not see the call.
    Respond(u16, String),
}

/// The proxy. Ends when dropped.
pub struct AwsProxy {
    /// For `AWS_ENDPOINT_URL_DYNAMODB`, `AWS_ENDPOINT_URL_SNS` and so on in a function's environment.
    pub url: String,
    server: tokio::task::JoinHandle<()>,
}

impl AwsProxy {
    /// Starts a proxy in front of the stack at `endpoint`. `decide` returns what to do with each call.
    pub async fn start(endpoint: &str, decide: impl Fn(&AwsCall<'_>) -> ProxyAction + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port is free");
        let url = format!("http://{}", listener.local_addr().expect("it listens"));
        let (endpoint, decide, http) = (endpoint.to_owned(), Arc::new(decide), reqwest::Client::new());
        let router = axum::Router::new().fallback(async move |uri: Uri, headers: HeaderMap, body: Bytes| {
            let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok());
            let text = String::from_utf8_lossy(&body);
            // The operation is in a header in AWS's JSON protocols, and in an argument in its query protocol.
            let operation = match target {
                Some(target) => target.rsplit('.').next(),
                None => text.split('&').find_map(|argument| argument.strip_prefix("Action=")),
            };
            let operation = operation.unwrap_or_default();
            match decide(&AwsCall { operation, body: &text }) {
                ProxyAction::Throttle => return throttled(),
                ProxyAction::Respond(status, body) => {
                    let status = StatusCode::from_u16(status).expect("a test responds with a valid status");
                    return (status, [("content-type", "text/xml")], body).into_response();
                }
                ProxyAction::Pass => {}
            }
            // With the caller's own headers, since the caller signed the host among them.
            let call = http.post(format!("{endpoint}{uri}")).headers(headers).body(body);
            let response = call.send().await.expect("the stack responds");
            let (status, headers) = (response.status(), response.headers().clone());
            let body = response.bytes().await.expect("the stack responds in full");
            let kind = headers.get("content-type").cloned().expect("the stack's response has a content type");
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

/// DynamoDB API reference, "Error handling": a client may retry.
fn throttled() -> Response {
    let error = r#"{"__type":"com.amazonaws.dynamodb.v20120810#ThrottlingException","message":"Rate exceeded"}"#;
    (StatusCode::BAD_REQUEST, [("content-type", "application/x-amz-json-1.0")], error).into_response()
}
