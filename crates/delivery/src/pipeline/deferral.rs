//! Deferring a batch: when the rest of it comes again, and what it waits for.

use std::ops::RangeInclusive;
use std::time::Duration;

use domain::CustomerId;
use domain::push::OutcomeCounts;
use domain::queue::{Batch, Notifications};
use jiff::Timestamp;

use super::breaker::Return;

/// The maximum delay of a message in SQS (SQS quotas).
const MAX_DELAY: Duration = Duration::from_secs(900);
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

    /// Defers a batch until the hold of the push may be probed, at `until`.
    pub(super) fn until_probe(
        batch: &Batch,
        until: Timestamp,
        reason: DeferReason,
        now: Timestamp,
        fraction: f64,
    ) -> Self {
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
        Self::until_probe(batch, again, DeferReason::BreakerOpen, now, fraction)
    }

    /// Defers the unfinished notifications of a batch. `counts` are those of the others.
    pub(super) fn rest(
        batch: &Batch,
        counts: OutcomeCounts,
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
        Self { again: with(batch, customers, counts, deferrals), delay, reason }
    }

    /// Defers a batch that is final until its page is committed; `None` if it is given up. Only the invocation that
    /// queued it can commit the page: a scan that is taken over queues other batches. So after half an hour that
    /// invocation is dead. Of an open push, the scan that takes over ends the wait.
    pub(super) fn until_committed(
        batch: &Batch,
        counts: OutcomeCounts,
        push_is_cancelled: bool,
        fraction: f64,
    ) -> Option<Self> {
        // While it waits only for its page, a batch lists no customers. If it still lists some, its deferrals had other
        // reasons.
        let waited = if batch.customers().is_empty() { batch.deferrals } else { 0 };
        if push_is_cancelled && waited >= MAX_ORPHAN_DEFERRALS {
            return None;
        }
        let again = with(batch, Vec::new(), counts, waited.saturating_add(1));
        Some(Self { again, delay: backoff(waited, fraction), reason: DeferReason::PageNotCommitted })
    }
}

/// The batch with these of its customers, and the counts of its others.
fn with(batch: &Batch, customers: Vec<CustomerId>, counts: OutcomeCounts, deferrals: u32) -> Batch {
    let notifications =
        Notifications::new(customers, counts).expect("each notification of a batch is left or counted, and once");
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
mod tests {
    use jiff::SignedDuration;
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    /// A batch of these customers that was deferred this often.
    fn batch(customers: &[&str], deferrals: u32) -> Batch {
        batch_with(customers, 0, deferrals)
    }

    /// The same, after `sent` messages were sent.
    fn batch_with(customers: &[&str], sent: u64, deferrals: u32) -> Batch {
        let batch = json!({
            "push": {"offer": testing::OFFER, "number": 1}, "slice": 0, "generation": 1, "batch": 0, "channel": "email",
            "customers": customers, "tally": {"sent": sent}, "attempt": deferrals,
        });
        serde_json::from_value(batch).unwrap()
    }

    fn sent(sent: u64) -> OutcomeCounts {
        OutcomeCounts { sent, ..OutcomeCounts::default() }
    }

    #[test]
    fn whole_batch_waits_longer_each_time() {
        let deferral = Deferral::whole(&batch(&["c-1"], 2), DeferReason::Store, 0.0);
        let expected = Deferral { again: batch(&["c-1"], 3), delay: seconds(2.25), reason: DeferReason::Store };
        assert_eq!(deferral, expected);
    }

    #[test]
    fn batch_waits_for_half_as_long_to_as_long_again_as_the_outage_has_lasted() {
        for (lasted, block_left, probed_for, fraction, expected) in [
            // Not before the transport may be probed.
            (1, 2, None, 0.0, 3.0),
            (60, 2, None, 0.0, 31.0),
            (1_000, 30, None, 0.0, 501.0),
            (1_000, 30, None, 1.0, 900.0),
            (1_000, 1, Some(40), 1.0, 42.0),
            (10, 1, Some(40), 0.0, 6.0),
            // The clock of the one that opened the breaker is ahead.
            (-2, 1, None, 0.0, 2.0),
        ] {
            let bounds = after(block_left)..=probed_for.map_or(Timestamp::MAX, after);
            let deferral = Deferral::in_outage(&batch(&["c-1"], 2), bounds, after(-lasted), NOW, fraction);
            assert_eq!((deferral.delay, deferral.again), (seconds(expected), batch(&["c-1"], 2)), "{lasted} s");
        }
    }

    #[test]
    fn progress_starts_the_backoff_again_and_some_reasons_do_not_grow_it() {
        for (customers, why, deferrals, delay, deferrals_again) in [
            (&["c-1"][..], Unfinished::NotAccepted, 2, 2.25, 3),
            (&["c-1"], Unfinished::StoreUnavailable, 2, 2.25, 3),
            (&["c-1"], Unfinished::Leased(after(900)), 2, 2.25, 3),
            (&["c-1"], Unfinished::BreakerOpen(Return::Soon), 2, 1.0, 2),
            (&["c-1"], Unfinished::BreakerOpen(Return::ToProbe(after(8))), 2, 9.0, 2),
            (&["c-1"], Unfinished::RateFull(after(5)), 2, 6.0, 2),
            (&["c-1"], Unfinished::NoTime, 2, 0.0, 2),
            // Another customer of the batch has an outcome.
            (&["c-1", "c-2"], Unfinished::NotAccepted, 2, 1.0, 1),
            (&["c-1", "c-2"], Unfinished::NoTime, 2, 0.0, 0),
        ] {
            let unfinished = vec![("c-1".parse().unwrap(), why)];
            let others = customers.len() as u64 - 1;
            let deferral = Deferral::rest(&batch(customers, deferrals), sent(others), unfinished, NOW, 0.0);
            let again = batch_with(&["c-1"], others, deferrals_again);
            assert_eq!((deferral.again, deferral.delay), (again, seconds(delay)), "{why:?} of {customers:?}");
        }
    }

    #[test]
    fn only_a_cancelled_push_gives_up_a_batch_whose_page_is_not_committed() {
        for (customers, deferrals, push_is_cancelled, waited) in [
            (&["c-1"][..], 0, false, Some(0)),
            // These deferrals had other reasons.
            (&["c-1"], 16, true, Some(0)),
            (&[], 15, true, Some(15)),
            (&[], 16, true, None),
            (&[], 16, false, Some(16)),
        ] {
            let counted = 1 - customers.len() as u64;
            let batch = batch_with(customers, counted, deferrals);
            let deferral = Deferral::until_committed(&batch, sent(1), push_is_cancelled, 0.0);
            let expected = waited.map(|waited| Deferral {
                again: batch_with(&[], 1, waited + 1),
                delay: backoff(waited, 0.0),
                reason: DeferReason::PageNotCommitted,
            });
            assert_eq!(deferral, expected, "{customers:?} after {deferrals}, cancelled: {push_is_cancelled}");
        }
    }

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    fn after(seconds: i64) -> Timestamp {
        NOW + SignedDuration::from_secs(seconds)
    }

    #[test]
    fn backoff_grows_up_to_its_limit() {
        for (deferrals, fraction, expected) in [
            (0, 0.0, 1.0),
            (0, 0.5, 1.25),
            (0, 1.0, 1.5),
            (1, 0.0, 1.5),
            (2, 0.0, 2.25),
            (2, 1.0, 3.375),
            (10, 0.0, 57.665_039_062),
            (16, 0.0, 656.840_835_571),
            (17, 0.0, 900.0),
            (16, 1.0, 900.0),
            (u32::MAX, 0.0, 900.0),
        ] {
            let difference = backoff(deferrals, fraction).as_secs_f64() - expected;
            assert!(difference.abs() < 1e-6, "{deferrals} deferrals, {fraction}: {difference}");
        }
    }

    #[test]
    fn delay_until_a_moment_is_one_to_two_seconds_longer_and_bounded() {
        for (moment, fraction, expected) in [
            (after(10), 0.0, 11.0),
            (after(10), 1.0, 12.0),
            (NOW, 0.5, 1.5),
            (after(-5), 0.5, 1.5),
            (Timestamp::MIN, 0.0, 1.0),
            (after(899), 0.0, 900.0),
            (Timestamp::MAX, 1.0, 900.0),
        ] {
            assert_eq!(delay_until(moment, NOW, fraction), seconds(expected), "{moment}, {fraction}");
        }
    }

    /// The reason that decides when the batch can come again is reported, and its delay is used.
    #[test]
    fn each_set_of_unfinished_notifications_has_one_delay_and_reason() {
        let (rate, leased) = (Unfinished::RateFull(after(60)), Unfinished::Leased(after(3)));
        let (not_accepted, open, no_time, store) = (
            Unfinished::NotAccepted,
            Unfinished::BreakerOpen(Return::Soon),
            Unfinished::NoTime,
            Unfinished::StoreUnavailable,
        );
        let probes = Unfinished::BreakerOpen(Return::ToProbe(after(30)));
        // After three deferrals, the backoff is 3.375 s.
        for (unfinished, delay, reason) in [
            // The breaker may close at any moment, so its wait does not grow.
            (&[open][..], 1.0, DeferReason::BreakerOpen),
            (&[open, probes], 31.0, DeferReason::BreakerOpen),
            (&[no_time], 0.0, DeferReason::Deadline),
            (&[not_accepted], 3.375, DeferReason::Refused),
            (&[rate], 61.0, DeferReason::Rate),
            (&[Unfinished::RateFull(after(7)), rate], 8.0, DeferReason::Rate),
            (&[store], 3.375, DeferReason::Store),
            // Until the last lease ends, but no longer than the backoff.
            (&[Unfinished::Leased(after(1))], 2.0, DeferReason::Leased),
            (&[Unfinished::Leased(after(-9)), Unfinished::Leased(after(1))], 2.0, DeferReason::Leased),
            (&[leased], 3.375, DeferReason::Leased),
            (&[], 0.0, DeferReason::Leased),
            (&[leased, store, rate, not_accepted, no_time, open], 1.0, DeferReason::BreakerOpen),
            (&[leased, store, rate, not_accepted, no_time], 0.0, DeferReason::Deadline),
            (&[leased, store, rate, not_accepted], 3.375, DeferReason::Refused),
            (&[leased, store, rate], 61.0, DeferReason::Rate),
            (&[leased, store], 3.375, DeferReason::Store),
        ] {
            let wait = deferral_for(3, unfinished, NOW, 0.0);
            assert_eq!(wait, Wait { delay: seconds(delay), reason }, "{unfinished:?}");
        }
    }
}
