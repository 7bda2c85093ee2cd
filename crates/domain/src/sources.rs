//! Where the product's code gets the time, ids and random numbers from.
//!
//! Functions use the system's (`runtime::sources`); tests set both. Nothing else in `domain`, `store` and `delivery`
//! reads a clock or a random number.
//!
//! All times are wall-clock times. A monotonic clock stands still while Lambda freezes a process, so ages and timeouts
//! measured with it would be too short after that.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::{Timestamp, Unit};
use uuid::{Builder, Uuid};

/// The current time, and random numbers.
#[derive(Clone)]
pub struct Sources {
    clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    random: Arc<dyn Fn() -> u64 + Send + Sync>,
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources").finish_non_exhaustive()
    }
}

impl Sources {
    /// `clock` returns the current time; `random` a number of which all 64 bits are random.
    pub fn new(
        clock: impl Fn() -> Timestamp + Send + Sync + 'static,
        random: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Self {
        Self { clock: Arc::new(clock), random: Arc::new(random) }
    }

    /// Now, in whole milliseconds: the precision of every time that is stored.
    pub fn now(&self) -> Timestamp {
        to_millis(self.precise_now())
    }

    /// Now, as precisely as the clock has it.
    pub fn precise_now(&self) -> Timestamp {
        (self.clock)()
    }

    /// How long ago `moment` was. The longest time of all if it is in the future: the clock was set back since, and the
    /// age is unknown.
    pub fn age_of(&self, moment: Timestamp) -> Duration {
        Duration::try_from(self.now().duration_since(moment)).unwrap_or(Duration::MAX)
    }

    /// Whole milliseconds since `began`, for log lines and metrics; 0 if the clock was set back meanwhile.
    pub fn millis_since(&self, began: Timestamp) -> u64 {
        u64::try_from(self.now().duration_since(began).as_millis()).unwrap_or_default()
    }

    /// A random number from 0 to 1, without 1 itself.
    #[expect(clippy::cast_precision_loss, reason = "53 bits, as many as an f64 holds exactly")]
    pub fn fraction(&self) -> f64 {
        ((self.random)() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A new UUID of version 7: the time in milliseconds, and 74 random bits. No two are the same.
    pub fn uuid(&self) -> Uuid {
        let millis = u64::try_from(self.precise_now().as_millisecond()).unwrap_or_default();
        let random = (u128::from((self.random)()) << 64 | u128::from((self.random)())).to_be_bytes();
        let [.., a, b, c, d, e, f, g, h, i, j] = random;
        Builder::from_unix_timestamp_millis(millis, &[a, b, c, d, e, f, g, h, i, j]).into_uuid()
    }
}

/// A time rounded to whole milliseconds.
pub(crate) fn to_millis(at: Timestamp) -> Timestamp {
    at.round(Unit::Millisecond).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    fn sources(random: u64) -> Sources {
        let next = AtomicU64::new(random);
        Sources::new(
            || "2026-06-01T12:00:00.123456Z".parse().unwrap(),
            move || next.fetch_add(u64::MAX / 5, Ordering::Relaxed),
        )
    }

    #[test]
    fn stored_times_have_whole_milliseconds() {
        assert_eq!(sources(0).now().to_string(), "2026-06-01T12:00:00.123Z");
        assert_eq!(sources(0).precise_now().to_string(), "2026-06-01T12:00:00.123456Z");
    }

    #[test]
    fn age_is_unknown_after_the_clock_was_set_back() {
        let ago = |millis| sources(0).now() - Duration::from_millis(millis);
        assert_eq!(sources(0).age_of(ago(1_500)), Duration::from_millis(1_500));
        assert_eq!(sources(0).age_of(ago(0)), Duration::ZERO);
        assert_eq!(sources(0).millis_since(ago(1_500)), 1_500);
        let future = sources(0).now() + Duration::from_millis(1);
        assert_eq!((sources(0).age_of(future), sources(0).millis_since(future)), (Duration::MAX, 0));
    }

    #[test]
    fn fraction_is_at_least_0_and_below_1() {
        assert!(sources(0).fraction().abs() < f64::EPSILON);
        let largest = sources(u64::MAX).fraction();
        assert!(largest < 1.0 && largest > 0.999_999, "{largest}");
        assert!((sources(1 << 63).fraction() - 0.5).abs() < f64::EPSILON);
    }

    #[test]
    fn uuid_holds_the_time_and_both_random_numbers() {
        let uuid = sources(7).uuid();
        assert_eq!(uuid.get_version_num(), 7);
        let (seconds, nanos) = uuid.get_timestamp().unwrap().to_unix();
        assert_eq!((seconds, nanos), (1_780_315_200, 123_000_000));
        assert_ne!(uuid, sources(8).uuid());
        let constant_second_half = |first: u64| {
            let numbers = [first, 9];
            let at = AtomicU64::new(0);
            let next = move || numbers[usize::try_from(at.fetch_add(1, Ordering::Relaxed)).unwrap()];
            Sources::new(|| Timestamp::UNIX_EPOCH, next).uuid()
        };
        assert_ne!(constant_second_half(1), constant_second_half(2), "the first number counts as well");
    }
}
