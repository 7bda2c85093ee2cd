//! Pushes as callers read them.

use domain::OfferId;
use domain::push::waiting::{Wait, WaitingFor};
use domain::push::{CountedReason, OutcomeCounts, PushState, Tally};
use jiff::Timestamp;
use serde::Serialize;
use store::pushes::{Progress, Push};

/// How many reasons are listed for notifications that were not sent.
const REASONS_LISTED: usize = 3;

/// The progress of a push as callers read it. `eligible`, the outcomes and `pending` count notifications; `customers…`
/// count customers.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ProgressView {
    offer: OfferId,
    number: u32,
    state: PushState,
    slices: u32,
    slices_done: u32,
    eligible: u64,
    #[serde(flatten)]
    outcomes: OutcomeCounts,
    /// The most frequent reasons of those that were not sent, the most frequent first.
    reasons: Vec<CountedReason>,
    pending: u64,
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
        let Progress { push, scan, tally: Tally { outcomes, reasons }, last_progress_at, .. } = progress;
        Self {
            offer: push.id.offer,
            number: push.id.number,
            state: push.state,
            slices: push.slices,
            slices_done: push.slices_done,
            eligible: scan.notifications,
            outcomes,
            reasons: reasons.top(REASONS_LISTED),
            pending,
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

/// A push in a list, without its counts: they would take a query for each push.
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use domain::PushId;
    use domain::notification::{Outcome, ReasonCode};
    use domain::push::ScanCounts;
    use serde_json::json;

    use super::*;

    const OFFER: &str = "0199c2e0-0000-7000-8000-000000000001";

    fn push() -> Push {
        Push {
            id: PushId { offer: OFFER.parse().unwrap(), number: 2 },
            state: PushState::Running,
            slices: 4,
            slices_done: 3,
            requested_by: "bank".to_owned(),
            requested_at: "2026-12-01T08:00:00Z".parse().unwrap(),
            starts_at: None,
            started_at: "2026-12-01T08:00:01Z".parse().ok(),
            completed_at: None,
            cancelled_by: None,
            published: BTreeSet::new(),
        }
    }

    #[test]
    fn progress_has_exactly_these_fields() {
        let outcomes = OutcomeCounts {
            sent: 1,
            failed: 2,
            suppressed: 3,
            opted_out: 4,
            expired: 5,
            cancelled: 6,
            already_served: 7,
        };
        let scan =
            ScanCounts { customers_read: 60, customers_eligible: 50, customers_unevaluable: 8, notifications: 40 };
        let mut tally = Tally::from(outcomes);
        for (reason, count) in [(ReasonCode::OptedOut, 4), (ReasonCode::AddressBounced, 3), (ReasonCode::Refused, 2)] {
            (0..count).for_each(|_| tally.count(reason.outcome(), Some(reason)));
        }
        tally.count(Outcome::Expired, Some(ReasonCode::OfferExpired));
        // Counting has added to them.
        tally.outcomes = outcomes;
        let progress = Progress { scan, tally, ..Progress::not_started(push()) };
        let wait = Wait { reason: Some(WaitingFor::Provider), last_error: Some("ses: away".to_owned()) };
        let expected = json!({
            "offer": OFFER,
            "number": 2,
            "state": "running",
            "slices": 4,
            "slicesDone": 3,
            "eligible": 40,
            "sent": 1,
            "failed": 2,
            "suppressed": 3,
            "optedOut": 4,
            "expired": 5,
            "cancelled": 6,
            "reasons": [
                {"outcome": "optedOut", "reasonCode": "optedOut", "reason": "the customer unsubscribed", "count": 4},
                {"outcome": "suppressed", "reasonCode": "addressBounced", "reason": "the address bounced", "count": 3},
                {"outcome": "failed", "reasonCode": "refused",
                 "reason": "the provider refuses, for an unclear reason", "count": 2},
            ],
            "pending": 12,
            "alreadyServed": 7,
            "customersRead": 60,
            "customersEligible": 50,
            "customersUnevaluable": 8,
            "requestedBy": "bank",
            "requestedAt": "2026-12-01T08:00:00Z",
            "startsAt": null,
            "startedAt": "2026-12-01T08:00:01Z",
            "lastProgressAt": "2026-12-01T08:00:01Z",
            "completedAt": null,
            "cancelledBy": null,
            "waitingFor": "provider",
            "lastError": "ses: away",
        });
        assert_eq!(json!(ProgressView::new(progress, wait)), expected);
    }

    #[test]
    fn listed_push_has_no_counts() {
        let expected = json!({
            "offer": OFFER,
            "number": 2,
            "state": "running",
            "slices": 4,
            "slicesDone": 3,
            "requestedBy": "bank",
            "requestedAt": "2026-12-01T08:00:00Z",
            "startsAt": null,
            "startedAt": "2026-12-01T08:00:01Z",
        });
        assert_eq!(json!(PushView::from(push())), expected);
    }
}
