//! The error policy of the HTTP functions, in one place.
//!
//! Callers get problem details (RFC 9457) that say what to do next and nothing of our insides. What is our fault is
//! logged here, once, with its cause; what is theirs is not logged at all.

use axum::http::{HeaderValue, StatusCode, header::RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use domain::{Fault, Faults};
use problem_details::ProblemDetails;
use serde::Serialize;
use store::StoreError;

/// Seconds after which a caller may try again when the store is out of reach.
const RETRY_AFTER_SECONDS: u16 = 5;

/// What went wrong, as the caller hears it.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    detail: String,
    faults: Vec<Fault>,
    retry_after: Option<u16>,
}

#[derive(Debug, Serialize)]
struct Extensions {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Fault>,
}

impl Problem {
    /// A problem without more to it than a sentence.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), faults: Vec::new(), retry_after: None }
    }

    /// There is no such thing.
    pub fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("There is no such {what}."))
    }

    /// Another call is in the way; the same call may succeed in a moment.
    pub fn busy(detail: impl Into<String>) -> Self {
        Self { retry_after: Some(1), ..Self::new(StatusCode::CONFLICT, detail) }
    }

    /// The store is out of reach, or too busy: nothing is lost by trying again.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self { retry_after: Some(RETRY_AFTER_SECONDS), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, detail) }
    }
}

impl From<Faults> for Problem {
    fn from(faults: Faults) -> Self {
        let faults = faults.into_vec();
        let detail = match faults.as_slice() {
            [fault] => format!("{fault}."),
            faults => format!("{} things are wrong with the request; see errors.", faults.len()),
        };
        Self { faults, ..Self::new(StatusCode::BAD_REQUEST, detail) }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        tracing::error!(error = %error, "the store did not do as asked");
        match error {
            StoreError::Unavailable { .. } => Self::unavailable(
                "The store is out of reach. Please try again; with an Idempotency-Key nothing is done twice.",
            ),
            StoreError::Refused { .. } | StoreError::Unreadable { .. } => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "What is stored cannot be read or written. We have been told.",
            ),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let problem = ProblemDetails::from_status_code(self.status)
            .with_detail(self.detail)
            .with_extensions(Extensions { errors: self.faults });
        let mut response = problem.into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// The answer to a path or method that is not there.
pub async fn no_such_route() -> Problem {
    Problem::not_found("resource")
}
