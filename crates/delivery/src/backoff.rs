//! How long a batch that is put off waits.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use jiff::Timestamp;

/// The longest that SQS delays a message (SQS quotas).
const LONGEST: Duration = Duration::from_secs(900);
/// The first wait.
const FIRST: Duration = Duration::from_secs(1);
/// How much longer each wait is than the one before. Gentle: a provider that refuses one in three refuses the same
/// customer ten times in a row now and then, and she should not wait for an hour.
const GROWTH: f64 = 1.5;

/// After this many attempts without progress: 1 s, 1.5 s, 2.3 s, … up to 15 minutes, and up to half as much again.
pub fn after_attempt(attempt: u32) -> Duration {
    let wait = FIRST.mul_f64(GROWTH.powi(i32::try_from(attempt).unwrap_or(i32::MAX).min(20))).min(LONGEST);
    (wait + wait.mul_f64(random() / 2.0)).min(LONGEST)
}

/// Until then, and up to two seconds longer, so that not everybody comes at once.
pub fn until(moment: Timestamp) -> Duration {
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
