//! Pushes of an offer: read, request, cancel, list.

mod again;
pub(crate) mod diagnosis;
mod view;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use api::{Caller, OptionalBody, Paging, Problem, Trace};
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header::LOCATION};
use axum::response::{IntoResponse, Response};
use domain::fields::{Fields, kind};
use domain::push::PushState;
use domain::{Faults, Offer, PushId};
use serde_json::{Map, Value};
use store::Pushes;
use store::offers::PushRequest;
use store::pushes::{Progress, Push};

use again::{Hindrance, NextPush, PushHistory};
use view::{ProgressView, PushView, PushesView};

use crate::app::App;
use crate::offers;

/// `GET /offers/{id}/pushes/{number}`.
pub(crate) async fn read(
    State(app): State<Arc<App>>,
    Path((offer, number)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let id = parse_id(&offer, &number)?;
    let progress = match app.pushes.progress(id).await? {
        Some(progress) => progress,
        None => requested_progress(&app, id).await?,
    };
    Ok(Json(view(&app, progress).await).into_response())
}

async fn view(app: &App, progress: Progress) -> ProgressView {
    let wait = app.diagnosis.wait_reason(&progress).await;
    ProgressView::new(progress, wait)
}

/// The progress of a push that is requested but that the function `push` has not started yet.
async fn requested_progress(app: &App, id: PushId) -> Result<Progress, Problem> {
    let request = app.offers.push_request(id).await?.ok_or_else(|| Problem::not_found("push"))?;
    let offer = offers::find(app, &id.offer.to_string()).await?;
    let starts_at = offer.waits_until(app.sources.now());
    let push = Push {
        id,
        state: if starts_at.is_some() { PushState::Scheduled } else { PushState::Running },
        slices: 0,
        slices_done: 0,
        requested_by: request.requested_by,
        requested_at: request.requested_at,
        starts_at,
        started_at: None,
        completed_at: None,
        cancelled_by: None,
        published: BTreeSet::new(),
    };
    Ok(Progress::not_started(push))
}

/// What a caller may choose for a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct PushOptions {
    /// Whether to send again to customers whose notification was rejected.
    retry_rejected: bool,
    /// Whether to push although deliveries were lost, so that some customers may get the offer twice.
    accept_repeats: bool,
}

/// `POST /offers/{id}/pushes` `{retryRejected?, acceptRepeats?}`: pushes again, to customers not yet served.
pub(crate) async fn push_again(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    Trace(trace): Trace,
    Path(offer): Path<String>,
    OptionalBody(body): OptionalBody,
) -> Result<Response, Problem> {
    let PushOptions { retry_rejected, accept_repeats } = parse_options(body)?;
    let offer = offers::find(&app, &offer).await?;
    if offer.has_expired(app.sources.now()) {
        return Err(Problem::new(
            StatusCode::CONFLICT,
            format!(
                "The offer can no longer be pushed: its last push date was {}. Post a new offer.",
                offer.last_push_date()
            ),
        ));
    }
    check_characters(&offer)?;
    let history = PushHistory { offers: &app.offers, pushes: &app.pushes, deliveries: &app.deliveries };
    let NextPush { id, lost_deliveries } = history.next_push(offer.id, accept_repeats).await?;
    let request = PushRequest {
        push: id,
        requested_by: caller,
        requested_at: app.sources.now(),
        retry_rejected,
        lost_deliveries,
        trace: Some(trace),
    };
    if !app.offers.request_push(&request).await? {
        return Err(Hindrance::StillOpen.into());
    }
    tracing::info!(
        offer.id = %id.offer, push.number = id.number, retry_rejected, accept_repeats, lost_deliveries,
        by = request.requested_by,
        "push requested"
    );
    let location = [(LOCATION, format!("./pushes/{}", id.number))];
    let progress = view(&app, requested_progress(&app, id).await?).await;
    Ok((StatusCode::ACCEPTED, location, Json(progress)).into_response())
}

/// An offer that an earlier release stored may have characters with which it can be neither queued nor sent.
fn check_characters(offer: &Offer) -> Result<(), Problem> {
    offer.check_characters().map_err(|(field, found)| {
        let detail =
            format!("The offer's {field} contains {found}, which no text may have. Post the offer again without it.");
        Problem::new(StatusCode::CONFLICT, detail)
    })
}

fn parse_options(body: Option<Value>) -> Result<PushOptions, Faults> {
    let mut fields = Fields::of(body.unwrap_or_else(|| Value::Object(Map::default())))?;
    let retry_rejected = take_flag(&mut fields, "retryRejected");
    let accept_repeats = take_flag(&mut fields, "acceptRepeats");
    fields.finish(&["retryRejected", "acceptRepeats"])?;
    Ok(PushOptions { retry_rejected, accept_repeats })
}

fn take_flag(fields: &mut Fields, name: &str) -> bool {
    match fields.take(name) {
        None => false,
        Some(Value::Bool(flag)) => flag,
        Some(other) => {
            fields.fault(name, format!("must be true or false, not {}", kind(&other)));
            false
        }
    }
}

/// `POST /offers/{id}/pushes/{number}/cancel`: a notification that is not claimed yet is not sent. A completed push
/// cannot be cancelled.
pub(crate) async fn cancel(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    Path((offer, number)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let id = parse_id(&offer, &number)?;
    let request = app.offers.push_request(id).await?.ok_or_else(|| Problem::not_found("push"))?;
    let push = app.pushes.cancel(&request, &caller).await?;
    if push.state != PushState::Cancelled {
        return Err(Problem::new(StatusCode::CONFLICT, "The push has completed and can no longer be cancelled."));
    }
    tracing::info!(offer.id = %id.offer, push.number = id.number, by = caller, "push cancelled");
    let progress = app.pushes.progress(id).await?.ok_or_else(|| Problem::not_found("push"))?;
    Ok((StatusCode::ACCEPTED, Json(view(&app, progress).await)).into_response())
}

/// A malformed id or number is that of no push.
fn parse_id(offer: &str, number: &str) -> Result<PushId, Problem> {
    match (offer.parse(), number.parse()) {
        (Ok(offer), Ok(number)) => Ok(PushId { offer, number }),
        _ => Err(Problem::not_found("push")),
    }
}

/// `GET /pushes?state=open`.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Response, Problem> {
    let paging = Paging::parse(&query, &["state"], Pushes::check_cursor)?;
    if query.get("state").is_none_or(|state| state != "open") {
        return Err(Faults::one("state", "must be open: GET /pushes?state=open").into());
    }
    let page = app.pushes.list_open(paging.limit, paging.cursor).await?;
    Ok(Json(PushesView {
        pushes: page.items.into_iter().map(PushView::from).collect(),
        cursor: page.next.map(|next| next.encode()),
    })
    .into_response())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn stored_offer_with_a_forbidden_character_is_not_pushed_again() {
        let offer = testing::offer(json!({"code": "A", "subject": "B", "description": "C"}));
        assert!(check_characters(&offer).is_ok());
        let mut stored = serde_json::to_value(&offer).unwrap();
        stored["description"] = json!("5%\u{FFFF}");
        let stored: Offer = serde_json::from_value(stored).unwrap();
        let problem = format!("{:?}", check_characters(&stored).unwrap_err());
        let expected = "description contains a non-character (character 3, U+FFFF)";
        assert!(
            problem.contains("409") && problem.contains(expected) && problem.contains("Post the offer again"),
            "{problem}"
        );
    }
}
