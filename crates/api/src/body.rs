//! A JSON body, whatever its content type says: `curl -d` says it is a form.

use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use domain::Faults;
use serde_json::Value;

use crate::Problem;

/// Largest body, in bytes.
pub const BODY_LIMIT: usize = 256 * 1024;

/// A body that is JSON.
#[derive(Debug)]
pub struct Body(pub Value);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        // Lambda has the whole body in memory already, so the limit protects what comes after.
        let too_large =
            || Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("The body must have at most {BODY_LIMIT} bytes."));
        let bytes = axum::body::to_bytes(request.into_body(), BODY_LIMIT).await.map_err(|_| too_large())?;
        serde_json::from_slice(&bytes)
            .map(Self)
            .map_err(|error| Faults::one("body", format!("is not JSON: {error}")).into())
    }
}
