//! Deferring a batch: when the rest of it comes again, and what it waits for.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use domain::CustomerId;
use domain::queue::Batch;
use jiff::Timestamp;

/// The maximum delay of a message in SQS (SQS quotas).
const MAX_DELAY: Duration = Duration::from_secs(900);
/// The backoff after the first attempt.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
/// The factor from one backoff to the next. Small, because a provider that refuses one message in three may refuse one
/// customer ten times in a row by chance, and that customer must not wait an hour.
const BACKOFF_GROWTH: f64 = 1.5;

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
#[derive(Debug, Clone, Copy)]
pub(super) enum Unfinished {
    /// The provider did not take the message for now, or did not respond.
    Refused,
    /// Another invocation holds the delivery until then.
    Leased(Timestamp),
    /// The circuit breaker is open, or this attempt opened it.
    BreakerOpen,
    /// Not attempted: other invocations use the whole rate, at least until then.
    RateFull(Timestamp),
    /// Too little time is left, or the lease ended before the message was handed over.
    NoTime,
    /// A read or write failed. The claim, if there is one, ends with its lease.
    StoreUnavailable,
}

/// When a batch with these unfinished notifications comes again, and what it waits for. `deferrals` are those in a
/// row without progress.
pub(super) fn defer_for(deferrals: u32, unfinished: &[(CustomerId, Unfinished)]) -> (Duration, DeferReason) {
    let any = |wanted: fn(&Unfinished) -> bool| unfinished.iter().any(|(_, why)| wanted(why));
    if any(|why| matches!(why, Unfinished::BreakerOpen)) {
        (backoff(0), DeferReason::BreakerOpen)
    } else if any(|why| matches!(why, Unfinished::NoTime)) {
        (Duration::ZERO, DeferReason::Deadline)
    } else if any(|why| matches!(why, Unfinished::Refused)) {
        (backoff(deferrals), DeferReason::Refused)
    } else if let Some(full_until) = unfinished.iter().find_map(|(_, why)| match why {
        Unfinished::RateFull(until) => Some(*until),
        _ => None,
    }) {
        (delay_until(full_until), DeferReason::Rate)
    } else if any(|why| matches!(why, Unfinished::StoreUnavailable)) {
        (backoff(deferrals), DeferReason::Store)
    } else {
        let leases = unfinished.iter().filter_map(|(_, why)| match why {
            Unfinished::Leased(until) => Some(*until),
            _ => None,
        });
        // The holder finishes long before its lease ends, unless it died.
        (leases.max().map_or(Duration::ZERO, delay_until).min(backoff(deferrals)), DeferReason::Leased)
    }
}

/// The backoff after `deferrals` without progress: 1 s, 1.5 s, 2.3 s, … each plus up to half of it, and 15 minutes at
/// most. SQS takes whole seconds, so it is rounded up.
pub(super) fn backoff(deferrals: u32) -> Duration {
    let exponent = i32::try_from(deferrals).unwrap_or(i32::MAX).min(20);
    let backoff = FIRST_BACKOFF.mul_f64(BACKOFF_GROWTH.powi(exponent)).min(MAX_DELAY);
    (backoff + backoff.mul_f64(jitter() / 2.0)).min(MAX_DELAY)
}

/// The delay until `moment`, plus one to two seconds, so that deferred batches do not all come at the same time.
pub(super) fn delay_until(moment: Timestamp) -> Duration {
    let left = Duration::try_from(moment.duration_since(Timestamp::now())).unwrap_or_default();
    (left + Duration::from_secs(1) + Duration::from_secs_f64(jitter())).min(MAX_DELAY)
}

/// A random number from 0 to 1. The standard library seeds its hashers at random.
#[expect(clippy::cast_precision_loss, reason = "jitter does not need 53 bits")]
fn jitter() -> f64 {
    RandomState::new().hash_one(0) as f64 / u64::MAX as f64
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[test]
    fn backoff_grows_up_to_its_limit() {
        for (attempt, from) in [(0, 1.0), (1, 1.5), (2, 2.25), (10, 57.665_039)] {
            let backoff = backoff(attempt);
            let from = Duration::from_secs_f64(from);
            assert!(backoff >= from && backoff <= from.mul_f64(1.501), "{attempt}: {backoff:?}");
        }
        assert_eq!(backoff(u32::MAX), MAX_DELAY);
    }

    /// The reason is that of the notification which decides when the batch can come again.
    #[test]
    fn the_reason_that_decides_the_delay_is_reported() {
        let later = Timestamp::now() + SignedDuration::from_secs(60);
        let rate = Unfinished::RateFull(later);
        let leased = Unfinished::Leased(later);
        let (refused, open, no_time, store) =
            (Unfinished::Refused, Unfinished::BreakerOpen, Unfinished::NoTime, Unfinished::StoreUnavailable);
        for (unfinished, expected) in [
            (&[refused][..], DeferReason::Refused),
            (&[open], DeferReason::BreakerOpen),
            (&[no_time], DeferReason::Deadline),
            (&[rate], DeferReason::Rate),
            (&[store], DeferReason::Store),
            (&[leased], DeferReason::Leased),
            (&[leased, store, rate, refused, no_time, open], DeferReason::BreakerOpen),
            (&[leased, store, rate, refused, no_time], DeferReason::Deadline),
            (&[leased, store, rate, refused], DeferReason::Refused),
            (&[leased, store, rate], DeferReason::Rate),
            (&[leased, store], DeferReason::Store),
        ] {
            let unfinished: Vec<_> = unfinished.iter().map(|why| ("c-1".parse().unwrap(), *why)).collect();
            let (_, reason) = defer_for(3, &unfinished);
            assert_eq!(reason, expected, "{unfinished:?}");
        }
    }

    #[test]
    fn only_the_deadline_defers_without_a_delay() {
        let id: CustomerId = "c-1".parse().unwrap();
        assert_eq!(defer_for(9, &[(id.clone(), Unfinished::NoTime)]).0, Duration::ZERO);
        // The breaker may close at any moment, so its wait does not grow.
        let open = defer_for(9, &[(id.clone(), Unfinished::BreakerOpen)]).0;
        assert!(open >= FIRST_BACKOFF && open <= FIRST_BACKOFF.mul_f64(1.5), "{open:?}");
        // A lease that ends soon is not waited for longer than that.
        let ended = Unfinished::Leased(Timestamp::now());
        assert!(defer_for(20, &[(id, ended)]).0 <= Duration::from_secs(3));
    }

    #[test]
    fn delay_until_a_moment_is_bounded() {
        assert_eq!(delay_until(Timestamp::MAX), MAX_DELAY);
        assert!(delay_until(Timestamp::MIN) <= Duration::from_secs(2));
    }
}
