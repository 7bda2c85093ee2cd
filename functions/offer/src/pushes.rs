//! How far a push is.

use std::collections::HashMap;
use std::sync::Arc;

use api::{Paging, Problem};
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use domain::push::{OutcomeCounts, PushState, WalkCounts};
use domain::{Faults, OfferId, PushId};
use jiff::Timestamp;
use serde::Serialize;
use store::Pushes;
use store::pushes::{Progress, Push};

use crate::{App, offers};

/// A push as callers read it. `eligible` and what follows count notifications, `customers…` count customers.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProgressView {
    offer: OfferId,
    number: u32,
    state: PushState,
    slices: u32,
    slices_done: u32,
    eligible: u64,
    sent: u64,
    failed: u64,
    suppressed: u64,
    opted_out: u64,
    expired: u64,
    cancelled: u64,
    pending: u64,
    already_served: u64,
    customers_read: u64,
    customers_eligible: u64,
    customers_unevaluable: u64,
    requested_by: String,
    requested_at: Timestamp,
    starts_at: Option<Timestamp>,
    started_at: Option<Timestamp>,
    last_progress_at: Option<Timestamp>,
    completed_at: Option<Timestamp>,
    waiting_for: Option<&'static str>,
}

impl From<Progress> for ProgressView {
    fn from(progress: Progress) -> Self {
        let pending = progress.pending();
        let Progress { push, walk, outcomes, last_progress_at } = progress;
        Self {
            offer: push.id.offer,
            number: push.id.number,
            state: push.state,
            slices: push.slices,
            slices_done: push.slices_done,
            // A batch may report before its page is turned, so that its notifications are counted later.
            eligible: pending + outcomes.total(),
            sent: outcomes.sent,
            failed: outcomes.failed,
            suppressed: outcomes.suppressed,
            opted_out: outcomes.opted_out,
            expired: outcomes.expired,
            cancelled: outcomes.cancelled,
            pending,
            already_served: outcomes.already_served,
            customers_read: walk.customers_read,
            customers_eligible: walk.customers_eligible,
            customers_unevaluable: walk.customers_unevaluable,
            requested_by: push.requested_by,
            requested_at: push.requested_at,
            starts_at: push.starts_at,
            started_at: push.started_at,
            last_progress_at: last_progress_at.max(push.started_at),
            completed_at: push.completed_at,
            waiting_for: (push.state == PushState::Scheduled).then_some("validFrom"),
        }
    }
}

/// A push in a list: without its counts, which would take a query each.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PushView {
    offer: OfferId,
    number: u32,
    state: PushState,
    slices: u32,
    slices_done: u32,
    requested_by: String,
    requested_at: Timestamp,
    starts_at: Option<Timestamp>,
    started_at: Option<Timestamp>,
}

impl From<Push> for PushView {
    fn from(push: Push) -> Self {
        Self {
            offer: push.id.offer,
            number: push.id.number,
            state: push.state,
            slices: push.slices,
            slices_done: push.slices_done,
            requested_by: push.requested_by,
            requested_at: push.requested_at,
            starts_at: push.starts_at,
            started_at: push.started_at,
        }
    }
}

#[derive(Serialize)]
struct PushesView {
    pushes: Vec<PushView>,
    cursor: Option<String>,
}

/// `GET /offers/{id}/pushes/{number}`.
pub(crate) async fn read(
    State(app): State<Arc<App>>,
    Path((offer, number)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let (Ok(offer), Ok(number)) = (offer.parse(), number.parse()) else {
        return Err(Problem::not_found("push"));
    };
    let id = PushId { offer, number };
    let progress = match app.pushes.progress(id).await? {
        Some(progress) => progress,
        None => requested(&app, id).await?,
    };
    Ok(Json(ProgressView::from(progress)).into_response())
}

/// A push that is requested, but that `push` has not come to yet.
async fn requested(app: &App, id: PushId) -> Result<Progress, Problem> {
    let request = app.offers.push_request(id).await?.ok_or_else(|| Problem::not_found("push"))?;
    let offer = offers::find(app, &id.offer.to_string()).await?;
    let starts_at = offer.waits_until(Timestamp::now());
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
    };
    Ok(Progress { push, walk: WalkCounts::default(), outcomes: OutcomeCounts::default(), last_progress_at: None })
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
