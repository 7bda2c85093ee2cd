//! Trace ids, which link the log lines of a call to those of all work it causes.

use std::convert::Infallible;

use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::Response;
use domain::{Sources, TraceId};
use tracing::Instrument;

/// The trace of a request: the caller's (`traceparent`), otherwise API Gateway's (`X-Amzn-Trace-Id`), otherwise a new
/// one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace(pub TraceId);

impl Trace {
    fn of(headers: &HeaderMap, sources: &Sources) -> Self {
        let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let received = header("traceparent").and_then(|header| TraceId::from_traceparent(header).ok());
        let received =
            received.or_else(|| header("x-amzn-trace-id").and_then(|header| TraceId::from_xray(header).ok()));
        Self(received.unwrap_or_else(|| TraceId::generate(sources)))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Trace {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(*parts.extensions.get().expect("every route is wrapped in `traced`"))
    }
}

/// Wraps a route: assigns a trace to each request, and logs one line when it has been handled. The line has the route
/// and not the path, which may contain an address.
pub async fn traced(State(sources): State<Sources>, mut request: Request, next: Next) -> Response {
    let trace = Trace::of(request.headers(), &sources);
    request.extensions_mut().insert(trace);
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let method = request.method().to_string();
    let started = sources.now();
    async move {
        let response = next.run(request).await;
        let duration_ms = sources.millis_since(started);
        tracing::info!(
            http.method = method,
            http.route = route,
            http.status = response.status().as_u16(),
            duration_ms,
            "request handled"
        );
        response
    }
    .instrument(tracing::info_span!("call", trace.id = %trace.0))
    .await
}
