//! How long a batch that is put off waits.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use domain::CustomerId;
use domain::queue::Batch;
use jiff::Timestamp;

/// The longest that SQS delays a message (SQS quotas).
const LONGEST: Duration = Duration::from_secs(900);
/// The first wait.
const FIRST: Duration = Duration::from_secs(1);
/// How much longer each wait is than the one before. Gentle: a provider that refuses one in three refuses the same
/// customer ten times in a row now and then, and she should not wait for an hour.
const GROWTH: f64 = 1.5;

/// When and why a batch must come again.
#[derive(Debug, Clone, PartialEq)]
pub struct Deferral {
    /// As it must come again: with what is left of it, and the counts of what is final.
    pub again: Batch,
    /// Not before this has passed.
    pub delay: Duration,
    /// What it waits for.
    pub reason: DeferReason,
}

/// What a batch that is put off waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeferReason {
    /// The transport is out of reach.
    Blocked,
    /// The provider did not take some for now, or did not answer.
    Refused,
    /// Somebody else holds some.
    Leased,
    /// This invocation's time is over.
    Deadline,
    /// The transport's rate is used in full by others.
    Rate,
    /// The store is out of reach, or too busy.
    Store,
    /// Messages cannot be written: a secret is out of reach, or wrong.
    Composer,
    /// The walker has queued the batch, but not turned the page yet: it cannot be counted.
    PageNotTurned,
}

impl DeferReason {
    /// The name used in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::Refused => "refused",
            Self::Leased => "leased",
            Self::Deadline => "deadline",
            Self::Rate => "rate",
            Self::Store => "store",
            Self::Composer => "composer",
            Self::PageNotTurned => "pageNotTurned",
        }
    }
}

/// DeferReason a notification is not final yet.
#[derive(Debug, Clone, Copy)]
pub(super) enum Unfinished {
    /// The provider did not take it for now, or did not answer.
    Refused,
    /// Somebody else holds it until then.
    Leased(Timestamp),
    /// It had no turn: the transport is out of reach.
    Blocked,
    /// It had no turn: others use the transport's rate, until then at least.
    Rate(Timestamp),
    /// It had no turn: the deadline is near.
    NoTime,
    /// The store did not do as asked; the claim, if there is one, ends with its lease.
    StoreBusy,
}

/// When the batch must come again, and what it waits for.
pub(super) fn defer_for(attempt: u32, left: &[(CustomerId, Unfinished)]) -> (Duration, DeferReason) {
    let any = |wanted: fn(&Unfinished) -> bool| left.iter().any(|(_, open)| wanted(open));
    if any(|open| matches!(open, Unfinished::Blocked)) {
        (after_attempt(0), DeferReason::Blocked)
    } else if any(|open| matches!(open, Unfinished::NoTime)) {
        (Duration::ZERO, DeferReason::Deadline)
    } else if any(|open| matches!(open, Unfinished::Refused)) {
        (after_attempt(attempt), DeferReason::Refused)
    } else if let Some(full) = left.iter().find_map(|(_, open)| match open {
        Unfinished::Rate(until) => Some(*until),
        _ => None,
    }) {
        (until(full), DeferReason::Rate)
    } else if any(|open| matches!(open, Unfinished::StoreBusy)) {
        (after_attempt(attempt), DeferReason::Store)
    } else {
        // Who holds them is done long before the lease ends, unless it died.
        let lease = left.iter().filter_map(|(_, open)| match open {
            Unfinished::Leased(until) => Some(*until),
            _ => None,
        });
        (lease.max().map_or(Duration::ZERO, until).min(after_attempt(attempt)), DeferReason::Leased)
    }
}

/// After this many attempts without progress: 1 s, 1.5 s, 2.3 s, … up to 15 minutes, and up to half as much again.
pub(super) fn after_attempt(attempt: u32) -> Duration {
    let wait = FIRST.mul_f64(GROWTH.powi(i32::try_from(attempt).unwrap_or(i32::MAX).min(20))).min(LONGEST);
    (wait + wait.mul_f64(random() / 2.0)).min(LONGEST)
}

/// Until then, and up to two seconds longer, so that not everybody comes at once.
pub(super) fn until(moment: Timestamp) -> Duration {
    let left = Duration::try_from(moment.duration_since(Timestamp::now())).unwrap_or_default();
    (left + Duration::from_secs(1) + Duration::from_secs_f64(random())).min(LONGEST)
}

/// From 0 to 1, different every time. The standard library seeds its hashers at random.
#[expect(clippy::cast_precision_loss, reason = "a jitter needs no 53 bits")]
fn random() -> f64 {
    RandomState::new().hash_one(0) as f64 / u64::MAX as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_end() {
        for (attempt, from) in [(0, 1.0), (1, 1.5), (2, 2.25), (10, 57.665_039)] {
            let wait = after_attempt(attempt);
            let from = Duration::from_secs_f64(from);
            assert!(wait >= from && wait <= from.mul_f64(1.501), "{attempt}: {wait:?}");
        }
        assert_eq!(after_attempt(u32::MAX), LONGEST);
        assert_eq!(until(Timestamp::MAX), LONGEST);
        assert!(until(Timestamp::MIN) <= Duration::from_secs(2));
    }
}
