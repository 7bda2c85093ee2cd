//! The page and the JSON API.

use axum::extract::{Path, Query, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{Html, IntoResponse};
use axum::routing::{get, put};
use axum::{Json, Router};
use serde::Deserialize;

use crate::faults::{self, Fault, Faults};
use crate::message::Messages;

const TOTAL_COUNT: HeaderName = HeaderName::from_static("x-total-count");

/// The page, `/api/messages`, a message's HTML and source, and fault injection: `/api/faults`, `/api/password`.
pub fn router(messages: Messages, faults: Faults) -> Router {
    Router::new()
        .route("/", get(async || Html(include_str!("page.html"))))
        .route("/api/messages", get(all).delete(clear))
        // For clients that join the inbox's URL, which ends with a slash, and a path that begins with one.
        .route("//api/messages", get(all).delete(clear))
        .route("/messages/{id}/html", get(html))
        .route("/messages/{id}/source", get(source))
        .with_state(messages)
        .merge(
            Router::new()
                .route("/api/faults", get(faults_now).put(set_faults))
                .route("/api/password", put(set_password))
                .with_state(faults),
        )
}

async fn faults_now(State(faults): State<Faults>) -> Json<faults::State> {
    Json(faults.state())
}

async fn set_faults(State(faults): State<Faults>, Json(wanted): Json<Vec<Fault>>) -> StatusCode {
    faults.set(wanted);
    StatusCode::NO_CONTENT
}

async fn set_password(State(faults): State<Faults>, Json(password): Json<Option<String>>) -> StatusCode {
    faults.set_password(password);
    StatusCode::NO_CONTENT
}

/// The newest messages: `?limit=` of them, or all. With `?to=`, only those of them whose recipient's address ends with
/// it. `X-Total-Count` is the number of all stored messages.
async fn all(State(messages): State<Messages>, Query(Newest { limit, to }): Query<Newest>) -> impl IntoResponse {
    let (total, mut newest) = messages.newest(limit.unwrap_or(usize::MAX));
    if let Some(to) = to {
        newest.retain(|mail| mail.to.ends_with(&to));
    }
    ([(TOTAL_COUNT, total.to_string())], Json(newest))
}

#[derive(Deserialize)]
struct Newest {
    limit: Option<usize>,
    to: Option<String>,
}

async fn clear(State(messages): State<Messages>) -> StatusCode {
    messages.clear();
    StatusCode::NO_CONTENT
}

async fn html(State(messages): State<Messages>, Path(id): Path<u64>) -> impl IntoResponse {
    // E-mail content is untrusted, even here: run no scripts and load nothing.
    let policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox";
    let mail = messages.get(id).ok_or(StatusCode::NOT_FOUND)?;
    Ok::<_, StatusCode>(([(header::CONTENT_SECURITY_POLICY, policy)], Html(mail.html.clone())))
}

async fn source(State(messages): State<Messages>, Path(id): Path<u64>) -> impl IntoResponse {
    let mail = messages.get(id).ok_or(StatusCode::NOT_FOUND)?;
    let text = String::from_utf8_lossy(&mail.raw).into_owned();
    Ok::<_, StatusCode>(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text))
}
