//! A proxy in front of the API for programs that cannot sign: it signs each call and passes it on.

use std::net::Ipv4Addr;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use client::{Api, Stack};
use tokio::net::TcpListener;

/// Headers of one connection, which are not passed on.
const CONNECTION_HEADERS: [HeaderName; 3] = [header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING];

/// A call, as it is passed on.
pub struct ForwardedCall {
    pub method: Method,
    /// Includes the query.
    pub path: String,
    pub content_type: Option<String>,
    pub idempotency_key: Option<String>,
    pub body: Bytes,
}

/// The proxy. Ends when dropped.
pub struct SigningProxy {
    /// Takes the place of the API's URL.
    pub url: String,
    server: tokio::task::JoinHandle<()>,
}

impl SigningProxy {
    /// Starts a proxy in front of the stack's API. `change` may change each call, and `see` sees what it led to.
    pub async fn start(
        stack: &Stack,
        change: impl Fn(&mut ForwardedCall) + Clone + Send + Sync + 'static,
        see: impl Fn(&ForwardedCall, &Response) + Clone + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port is free");
        let url = format!("http://{}", listener.local_addr().expect("it listens"));
        let api = Api::new(stack);
        let router =
            axum::Router::new().fallback(async move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
                let mut call = ForwardedCall {
                    method,
                    path: uri.to_string(),
                    content_type: signable(&headers, "content-type"),
                    idempotency_key: signable(&headers, "idempotency-key"),
                    body,
                };
                change(&mut call);
                let response = forward(&api, &call).await;
                see(&call, &response);
                response
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

/// A header's value. Only printable ASCII and single spaces can be signed, so a space replaces everything else.
fn signable(headers: &HeaderMap, name: &str) -> Option<String> {
    let plain = |byte: &u8| if byte.is_ascii_graphic() { char::from(*byte) } else { ' ' };
    let value: String = headers.get(name)?.as_bytes().iter().map(plain).collect();
    Some(value.split_whitespace().collect::<Vec<_>>().join(" "))
}

async fn forward(api: &Api, call: &ForwardedCall) -> Response {
    let headers = [("content-type", &call.content_type), ("idempotency-key", &call.idempotency_key)];
    let headers: Vec<_> = headers.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?))).collect();
    let signed = match api.call(call.method.as_str(), &call.path, &headers, &call.body).await {
        Ok(response) => response,
        Err(error) => return (StatusCode::BAD_GATEWAY, format!("{error:#}")).into_response(),
    };
    let status = StatusCode::from_u16(signed.status).expect("it came as a status");
    let mut response = (status, signed.text).into_response();
    response.headers_mut().remove(header::CONTENT_TYPE);
    for (name, value) in &signed.headers {
        let name: HeaderName = name.parse().expect("it came as a header's name");
        if !CONNECTION_HEADERS.contains(&name) {
            response
                .headers_mut()
                .insert(name, HeaderValue::from_bytes(value.as_bytes()).expect("it came as a header"));
        }
    }
    response
}
