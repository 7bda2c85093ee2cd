//! Deferring a batch: when the rest of it comes again, and what it waits for.

use std::ops::RangeInclusive;
use std::time::Duration;

use domain::CustomerId;
use domain::push::Tally;
use domain::push::backlog::Backlog;
use domain::queue::{Batch, MAX_DELAY, Notifications};
use jiff::Timestamp;

use super::breaker::Return;

/// The backoff after the first attempt.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
/// The factor from one backoff to the next. Small, because a provider that refuses one message in three may refuse one
/// customer ten times in a row by chance, and that customer must not wait an hour.
const BACKOFF_GROWTH: f64 = 1.5;

/// How often a batch of a cancelled push is deferred while its page is not committed, before it is given up: for about
/// half an hour in all.
const MAX_ORPHAN_DEFERRALS: u32 = 16;

/// A batch to be sent again later.
#[derive(Debug, Clone, PartialEq)]
pub struct Deferral {
    /// The batch as it comes again: the unfinished notifications, and the counts of the final ones.
    pub again: Batch,
    /// The minimum time until then.
    pub delay: Duration,
    /// What it waits for.
    pub reason: DeferReason,
}

domain::wire_enum! {
    /// What a deferred batch waits for. The names are values of the metric dimension `why`.
    pub enum DeferReason {
        /// The circuit breaker of the selected transport, or of every transport, is open.
        BreakerOpen = "breakerOpen",
        /// The push is held: the provider refuses all of its messages, perhaps because of us or the content.
        Held = "held",
        /// The provider did not take some messages for now, or did not respond.
        Refused = "refused",
        /// Another invocation holds some deliveries, or they are left to the transport that did not respond to them.
        Leased = "leased",
        /// The invocation had no time left.
        Deadline = "deadline",
        /// Other invocations use the whole rate of the transport.
        Rate = "rate",
        /// The store is unavailable or too busy.
        Store = "store",
        /// Messages cannot be composed: a secret is unavailable or wrong.
        Composer = "composer",
        /// The scan has queued the batch, but not committed the page it comes from, so the batch cannot be counted yet.
        PageNotCommitted = "pageNotCommitted",
    }
}

/// Why a notification is not final yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unfinished {
    /// The provider did not take the message for now, or did not respond.
    NotAccepted,
    /// Another invocation holds the delivery until then.
    Leased(Timestamp),
    /// The circuit breaker is open, or this attempt opened it.
    BreakerOpen(Return),
    /// The push is held until then.
    Held(Timestamp),
    /// Not attempted: other invocations use the whole rate, at least until then.
    RateFull(Timestamp),
    /// Too little time is left, or the lease ended before the message was handed over.
    NoTime,
    /// A read or write failed. The claim, if there is one, ends with its lease.
    StoreUnavailable,
}

impl Deferral {
    /// Defers a batch without any progress. `fraction` is random, from 0 to 1, here and below.
    pub(super) fn whole(batch: &Batch, reason: DeferReason, fraction: f64) -> Self {
        let again = Batch { deferrals: batch.deferrals.saturating_add(1), ..batch.clone() };
        Self { again, delay: backoff(batch.deferrals, fraction), reason }
    }

    /// Defers a batch without any progress until this moment.
    pub(super) fn until(batch: &Batch, until: Timestamp, reason: DeferReason, now: Timestamp, fraction: f64) -> Self {
        Self { again: batch.clone(), delay: delay_until(until, now, fraction), reason }
    }

    /// Defers a batch for half as long to as long again as there has been no transport for it, since `since`, within these bounds:
    /// of a short outage it loses little, and in a long one few batches circulate. The batch that failed to reach the transport
    /// comes again for each probe, so that the others need not.
    pub(super) fn in_outage(
        batch: &Batch,
        bounds: RangeInclusive<Timestamp>,
        since: Timestamp,
        now: Timestamp,
        fraction: f64,
    ) -> Self {
        let away = Duration::try_from(now.duration_since(since)).unwrap_or_default();
        let again = now.saturating_add(away.mul_f64(0.5 + fraction / 2.0)).unwrap_or(Timestamp::MAX);
        let again = again.max(*bounds.start()).min(*bounds.end());
        Self::until(batch, again, DeferReason::BreakerOpen, now, fraction)
    }

    /// Defers a batch for which there is no slot before `until`.
    pub(super) fn in_line(batch: &Batch, until: Timestamp, backlog: Backlog, now: Timestamp, fraction: f64) -> Self {
        let again = now.saturating_add(backlog.delay_until_again(fraction)).unwrap_or(Timestamp::MAX);
        Self::until(batch, again.max(until), DeferReason::Rate, now, fraction)
    }

    /// Defers the unfinished notifications of a batch. `tally` is that of the others.
    pub(super) fn rest(
        batch: &Batch,
        tally: Tally,
        unfinished: Vec<(CustomerId, Unfinished)>,
        now: Timestamp,
        fraction: f64,
    ) -> Self {
        let (customers, reasons): (Vec<_>, Vec<_>) = unfinished.into_iter().unzip();
        let deferrals = if customers.len() < batch.customers().len() { 0 } else { batch.deferrals };
        let Wait { delay, reason } = deferral_for(deferrals, &reasons, now, fraction);
        // After a wait for the rate, for time or for the breaker, the next backoff need not be longer.
        let grows = matches!(reason, DeferReason::Refused | DeferReason::Leased | DeferReason::Store);
        let deferrals = deferrals.saturating_add(u32::from(grows));
        Self { again: with(batch, customers, tally, deferrals), delay, reason }
    }

    /// Defers a batch that is final until its page is committed; `None` if it is given up. Only the invocation that
    /// queued it can commit the page: a scan that is taken over queues other batches. So after half an hour that
    /// invocation is dead. Of an open push, the scan that takes over ends the wait.
    pub(super) fn until_committed(batch: &Batch, tally: Tally, push_is_cancelled: bool, fraction: f64) -> Option<Self> {
        // While it waits only for its page, a batch lists no customers. If it still lists some, its deferrals had other
        // reasons.
        let waited = if batch.customers().is_empty() { batch.deferrals } else { 0 };
        if push_is_cancelled && waited >= MAX_ORPHAN_DEFERRALS {
            return None;
        }
        let again = with(batch, Vec::new(), tally, waited.saturating_add(1));
        Some(Self { again, delay: backoff(waited, fraction), reason: DeferReason::PageNotCommitted })
    }
}

/// The batch with these of its customers, and the tally of its others.
fn with(batch: &Batch, customers: Vec<CustomerId>, tally: Tally, deferrals: u32) -> Batch {
    let notifications =
        Notifications::new(customers, tally).expect("each notification of a batch is left or counted, and once");
    Batch { notifications, deferrals, ..batch.clone() }
}

/// When a batch comes again, and what it waits for.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Wait {
    delay: Duration,
    reason: DeferReason,
}

/// When a batch with these unfinished notifications comes again. `deferrals` are those in a row without progress.
fn deferral_for(deferrals: u32, unfinished: &[Unfinished], now: Timestamp, fraction: f64) -> Wait {
    let any = |wanted: fn(&Unfinished) -> bool| unfinished.iter().any(wanted);
    let full_until = unfinished.iter().find_map(|why| match why {
        Unfinished::RateFull(until) => Some(*until),
        _ => None,
    });
    let held_until = unfinished.iter().find_map(|why| match why {
        Unfinished::Held(until) => Some(*until),
        _ => None,
    });
    let probes_at = unfinished.iter().find_map(|why| match why {
        Unfinished::BreakerOpen(Return::ToProbe(until)) => Some(*until),
        _ => None,
    });
    let (delay, reason) = if let Some(until) = probes_at {
        (delay_until(until, now, fraction), DeferReason::BreakerOpen)
    } else if any(|why| matches!(why, Unfinished::BreakerOpen(Return::Soon))) {
        (backoff(0, fraction), DeferReason::BreakerOpen)
    } else if let Some(until) = held_until {
        (delay_until(until, now, fraction), DeferReason::Held)
    } else if any(|why| matches!(why, Unfinished::NoTime)) {
        (Duration::ZERO, DeferReason::Deadline)
    } else if any(|why| matches!(why, Unfinished::NotAccepted)) {
        (backoff(deferrals, fraction), DeferReason::Refused)
    } else if let Some(until) = full_until {
        (delay_until(until, now, fraction), DeferReason::Rate)
    } else if any(|why| matches!(why, Unfinished::StoreUnavailable)) {
        (backoff(deferrals, fraction), DeferReason::Store)
    } else {
        let leases = unfinished.iter().filter_map(|why| match why {
            Unfinished::Leased(until) => Some(delay_until(*until, now, fraction)),
            _ => None,
        });
        // The holder finishes long before its lease ends, unless it died.
        (leases.max().unwrap_or_default().min(backoff(deferrals, fraction)), DeferReason::Leased)
    };
    Wait { delay, reason }
}

/// The backoff after `deferrals` without progress: 1 s, 1.5 s, 2.3 s, … each plus up to half of it, and 15 minutes at
/// most. SQS takes whole seconds, so it is rounded up.
fn backoff(deferrals: u32, fraction: f64) -> Duration {
    let exponent = i32::try_from(deferrals).unwrap_or(i32::MAX).min(20);
    let backoff = FIRST_BACKOFF.mul_f64(BACKOFF_GROWTH.powi(exponent)).min(MAX_DELAY);
    (backoff + backoff.mul_f64(fraction / 2.0)).min(MAX_DELAY)
}

/// The delay until `moment`, plus one to two seconds, so that deferred batches do not all come at the same time.
fn delay_until(moment: Timestamp, now: Timestamp, fraction: f64) -> Duration {
    let left = Duration::try_from(moment.duration_since(now)).unwrap_or_default();
    (left + Duration::from_secs(1) + Duration::from_secs_f64(fraction)).min(MAX_DELAY)
}

#[cfg(test)]
mod tests;
