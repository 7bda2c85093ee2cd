//! The error policy of the HTTP functions, in one place.
//!
//! Callers get problem details (RFC 9457) that say what to do next and reveal no internals. A server error is logged
//! here, once, with its cause. A client error is not logged.

use axum::http::{HeaderValue, StatusCode, header::RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use domain::{Fault, Faults};
use problem_details::ProblemDetails;
use serde::Serialize;
use store::StoreError;

/// Seconds until a caller may retry when the store is unavailable.
const RETRY_AFTER_SECONDS: u32 = 5;

/// An error, as the caller gets it.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    detail: String,
    faults: Vec<Fault>,
    /// In seconds.
    retry_after: Option<u32>,
}

#[derive(Debug, Serialize)]
struct Extensions {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Fault>,
}

impl Problem {
    /// A problem described by one sentence.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), faults: Vec::new(), retry_after: None }
    }

    /// `404`: there is no such resource.
    pub fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("There is no such {what}."))
    }

    /// `409`: a concurrent call conflicts with this one, which may succeed in a moment.
    pub fn busy(detail: impl Into<String>) -> Self {
        Self { retry_after: Some(1), ..Self::new(StatusCode::CONFLICT, detail) }
    }

    /// `429`: the caller has used up what a time allows, and may retry after so many seconds.
    pub fn too_many_requests(detail: impl Into<String>, retry_after: u32) -> Self {
        Self { retry_after: Some(retry_after), ..Self::new(StatusCode::TOO_MANY_REQUESTS, detail) }
    }

    /// `503`: the store is unavailable or throttling. Retrying is safe.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self { retry_after: Some(RETRY_AFTER_SECONDS), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, detail) }
    }
}

impl From<Faults> for Problem {
    fn from(faults: Faults) -> Self {
        let count = faults.count();
        let faults = faults.into_vec();
        let detail = match faults.as_slice() {
            [fault] => format!("{fault}."),
            _ => format!("The request has {count} errors; see `errors`."),
        };
        Self { faults, ..Self::new(StatusCode::BAD_REQUEST, detail) }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        tracing::error!(error = %error, "store operation failed; returning an error to the caller");
        match error {
            StoreError::Unavailable { .. } => Self::unavailable(
                "The store is unavailable. Please try again; `POST /offers` with an Idempotency-Key takes effect only once.",
            ),
            StoreError::InvalidRequest { .. } | StoreError::Unreadable { .. } => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "Internal error: stored data could not be read or written. The error has been logged.",
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

/// The response to an unknown path or method.
pub async fn no_such_route() -> Problem {
    Problem::not_found("resource")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_fault_is_the_detail_and_several_are_listed() {
        let mut faults = Faults::one("code", "is required");
        faults.add("subject", "is too long");
        assert_eq!(Problem::from(Faults::one("code", "is required")).detail, "code is required.");
        let problem = Problem::from(faults);
        assert_eq!(problem.status, StatusCode::BAD_REQUEST);
        assert_eq!(problem.detail, "The request has 2 errors; see `errors`.");
        assert_eq!(problem.faults.len(), 2);
    }

    #[test]
    fn only_retryable_problems_have_retry_after() {
        let retry_after = |problem: Problem| problem.into_response().headers().contains_key(RETRY_AFTER);
        assert!(retry_after(Problem::busy("Busy.")));
        assert!(retry_after(Problem::too_many_requests("Tomorrow.", 86_400)));
        assert!(retry_after(Problem::unavailable("Unavailable.")));
        assert!(!retry_after(Problem::not_found("offer")));
    }
}
