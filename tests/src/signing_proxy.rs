//! Stands before the API for programs that cannot sign: what comes in unsigned goes on signed.

use std::net::Ipv4Addr;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use client::{Api, Stack};
use tokio::net::TcpListener;

/// Headers that are about a connection, and so are not passed on.
const OF_THE_CONNECTION: [HeaderName; 3] = [header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING];

/// A call, as it is passed on.
pub struct Passed {
    pub method: Method,
    /// With its query.
    pub path: String,
    pub content_type: Option<String>,
    pub idempotency_key: Option<String>,
    pub body: Bytes,
}

/// It ends when dropped.
pub struct SigningProxy {
    /// What stands for the API's URL.
    pub url: String,
    server: tokio::task::JoinHandle<()>,
}

impl SigningProxy {
    /// Starts one before the stack's API. `change` may write each call anew.
    pub async fn start(stack: &Stack, change: impl Fn(&mut Passed) + Clone + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port is free");
        let url = format!("http://{}", listener.local_addr().expect("it listens"));
        let api = Api::new(stack);
        let router =
            axum::Router::new().fallback(async move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
                let mut call = Passed {
                    method,
                    path: uri.to_string(),
                    content_type: signable(&headers, "content-type"),
                    idempotency_key: signable(&headers, "idempotency-key"),
                    body,
                };
                change(&mut call);
                pass_on(&api, &call).await
            });
        let server = tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Self { url, server }
    }
}

impl Drop for SigningProxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A header's value. What is signed may be printable ASCII, and single spaces: they stand for all else.
fn signable(headers: &HeaderMap, name: &str) -> Option<String> {
    let plain = |byte: &u8| if byte.is_ascii_graphic() { char::from(*byte) } else { ' ' };
    let value: String = headers.get(name)?.as_bytes().iter().map(plain).collect();
    Some(value.split_whitespace().collect::<Vec<_>>().join(" "))
}

async fn pass_on(api: &Api, call: &Passed) -> Response {
    let headers = [("content-type", &call.content_type), ("idempotency-key", &call.idempotency_key)];
    let headers: Vec<_> = headers.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?))).collect();
    let answer = match api.call(call.method.as_str(), &call.path, &headers, &call.body).await {
        Ok(answer) => answer,
        Err(error) => return (StatusCode::BAD_GATEWAY, format!("{error:#}")).into_response(),
    };
    let status = StatusCode::from_u16(answer.status).expect("it came as a status");
    let mut response = (status, answer.text).into_response();
    response.headers_mut().remove(header::CONTENT_TYPE);
    for (name, value) in &answer.headers {
        let name: HeaderName = name.parse().expect("it came as a header's name");
        if !OF_THE_CONNECTION.contains(&name) {
            response
                .headers_mut()
                .insert(name, HeaderValue::from_bytes(value.as_bytes()).expect("it came as a header"));
        }
    }
    response
}
