//! Pushes as callers read them.

use domain::OfferId;
use domain::push::PushState;
use jiff::Timestamp;
use serde::Serialize;
use store::pushes::{Progress, Push};
use store::waiting::{Wait, WaitingFor};

/// A push as callers read it. `eligible` and what follows count notifications, `customers…` count customers.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ProgressView {
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
    cancelled_by: Option<String>,
    waiting_for: Option<WaitingFor>,
    last_error: Option<String>,
}

impl ProgressView {
    pub(super) fn new(progress: Progress, wait: Wait) -> Self {
        let pending = progress.pending();
        let Progress { push, scan, outcomes, last_progress_at, .. } = progress;
        Self {
            offer: push.id.offer,
            number: push.id.number,
            state: push.state,
            slices: push.slices,
            slices_done: push.slices_done,
            eligible: scan.notifications,
            sent: outcomes.sent,
            failed: outcomes.failed,
            suppressed: outcomes.suppressed,
            opted_out: outcomes.opted_out,
            expired: outcomes.expired,
            cancelled: outcomes.cancelled,
            pending,
            already_served: outcomes.already_served,
            customers_read: scan.customers_read,
            customers_eligible: scan.customers_eligible,
            customers_unevaluable: scan.customers_unevaluable,
            requested_by: push.requested_by,
            requested_at: push.requested_at,
            starts_at: push.starts_at,
            started_at: push.started_at,
            last_progress_at: last_progress_at.max(push.started_at),
            completed_at: push.completed_at,
            cancelled_by: push.cancelled_by,
            waiting_for: wait.reason,
            last_error: wait.last_error,
        }
    }
}

/// A push in a list: without its counts, which would take a query each.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PushView {
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
pub(super) struct PushesView {
    pub(super) pushes: Vec<PushView>,
    pub(super) cursor: Option<String>,
}
