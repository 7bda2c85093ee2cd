//! A JSON request body. The content type is ignored: `curl -d` declares a form.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use domain::Faults;
use serde_json::Value;

use crate::Problem;

/// Maximum size of a body, in bytes.
pub const BODY_LIMIT: usize = 256 * 1024;

/// A JSON body.
#[derive(Debug)]
pub struct Body(pub Value);

/// A JSON body, or no body.
#[derive(Debug)]
pub struct OptionalBody(pub Option<Value>);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        parse(&read(request).await?).map(Self)
    }
}

impl<S: Send + Sync> FromRequest<S> for OptionalBody {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        let bytes = read(request).await?;
        if bytes.is_empty() { Ok(Self(None)) } else { parse(&bytes).map(|body| Self(Some(body))) }
    }
}

async fn read(request: Request) -> Result<Bytes, Problem> {
    // Lambda already holds the whole body in memory; the limit bounds what parsing and storing cost.
    axum::body::to_bytes(request.into_body(), BODY_LIMIT).await.map_err(|_| {
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("The body must not exceed {BODY_LIMIT} bytes."))
    })
}

fn parse(bytes: &[u8]) -> Result<Value, Problem> {
    serde_json::from_slice(bytes).map_err(|error| Faults::one("body", format!("must be valid JSON: {error}")).into())
}
