//! How much of a push is left, and when its batches come to be sent.
//!
//! A batch that comes while others use the rate only holds a function that a small push needs. So the batches of a large push
//! do not come at once: each comes after a part of the backlog before it. They come earlier than the rate has room for them,
//! so that there is always one when there is room.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::queue::MAX_DELAY;

/// How many times faster batches come than the rate of their channel can take them. With three times, a push by itself used 87 to
/// 93 % of the rate in the simulation, with four 94 to 96 %; with more, they would keep more functions busy.
const HASTE: u32 = 4;
/// About so many batches of a push come at once: few enough to be deferred in seconds, and the rate is used from the beginning.
const AT_ONCE: f64 = 24.0;
/// SQS delays messages by whole seconds. Less is none.
const MIN_DELAY: Duration = Duration::from_secs(1);

/// What is left of a push, as far as one of its slices shows: its other slices are taken to have as much left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backlog {
    /// How many of its slices are not done.
    pub slices_left: u32,
    /// How many batches of the slice there are.
    pub batches: usize,
    /// How many customers each of them has.
    pub customers: usize,
    /// How many messages a second may be sent on the channel.
    pub per_second: NonZeroU32,
}

impl Backlog {
    /// How long it takes to send it.
    pub fn duration(self) -> Duration {
        let batches = u64::from(self.slices_left.max(1)).saturating_mul(self.batches as u64);
        let messages = batches.saturating_mul(self.customers as u64);
        let per_second = u64::from(self.per_second.get());
        let nanos = u128::from(messages % per_second) * 1_000_000_000 / u128::from(per_second);
        Duration::new(messages / per_second, u32::try_from(nanos).expect("it is less than a second"))
    }

    /// After what time a batch comes again for which there was no slot. `fraction` is random, from 0 to 1.
    pub fn delay_until_again(self, fraction: f64) -> Duration {
        (self.duration() / HASTE).mul_f64(fraction).min(MAX_DELAY)
    }

    /// After what time the batch that follows these comes for the first time. `random` returns numbers from 0 to 1.
    #[expect(clippy::cast_precision_loss, reason = "far more batches than any push has are counted exactly")]
    pub fn first_delay(self, mut random: impl FnMut() -> f64) -> Duration {
        // The slices' batches take turns.
        let before = f64::from(self.slices_left.max(1)) * (self.batches as f64 + random());
        if before < AT_ONCE {
            return Duration::ZERO;
        }
        let seconds = before * self.customers as f64 / f64::from(self.per_second.get()) / f64::from(HASTE);
        if seconds < MIN_DELAY.as_secs_f64() {
            Duration::ZERO
        } else if seconds > MAX_DELAY.as_secs_f64() {
            // Not all of them at the same time.
            MAX_DELAY.mul_f64((1.0 + random()) / 2.0)
        } else {
            Duration::from_secs_f64(seconds)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backlog(batches: usize, slices_left: u32, customers: usize, per_second: u32) -> Backlog {
        Backlog { slices_left, batches, customers, per_second: NonZeroU32::new(per_second).unwrap() }
    }

    #[test]
    fn backlog_is_estimated_from_one_slice() {
        for (batches, slices_left, customers, rate, expected) in [
            (50, 8, 50, 14, 1_428_571),
            (1, 8, 6, 14, 3_428),
            (1, 0, 50, 10, 5_000),
            (0, 8, 50, 10, 0),
            (100, 10_000, 50, 14, 3_571_428_571),
            (usize::MAX, 10_000, 50, 1, u128::from(u64::MAX) * 1_000),
        ] {
            let duration = backlog(batches, slices_left, customers, rate).duration();
            let case = format!("{batches} of {customers}, {slices_left} slices, {rate}/s");
            assert_eq!(duration.as_millis(), expected, "{case}");
        }
    }

    #[test]
    fn a_batch_comes_again_within_a_quarter_of_the_backlog_and_a_quarter_of_an_hour() {
        for (batches, fraction, expected) in [(42, 0.0, 0), (42, 0.5, 150), (42, 1.0, 300), (42_000, 0.5, 900)] {
            let delay = backlog(batches, 8, 50, 14).delay_until_again(fraction);
            assert_eq!(delay.as_secs(), expected, "{batches} batches, {fraction}");
        }
    }

    /// Eight slices at 14 a second: a batch of each is 28.6 s, a quarter of which is 7.1 s.
    #[test]
    fn batches_come_one_after_the_other_four_times_as_fast_as_they_can_be_sent() {
        for (before, random, expected) in [
            (0, 1.0, 0),
            (2, 0.0, 0),
            (2, 0.99, 0),
            (3, 0.0, 21),
            (3, 1.0, 28),
            (50, 0.0, 357),
            (50, 1.0, 364),
            (124, 1.0, 892),
            // Beyond the longest delay, not all at the same time.
            (127, 0.0, 450),
            (127, 1.0, 900),
            (usize::MAX, 0.5, 675),
        ] {
            let delay = backlog(before, 8, 50, 14).first_delay(|| random);
            assert_eq!(delay.as_secs(), expected, "{before} before, {random}");
        }
    }

    #[test]
    fn about_as_many_come_at_once_whatever_the_number_of_slices_and_the_rate() {
        for (slices, per_second) in [(8, 14), (8, 100), (1_200, 14), (10_000, 1)] {
            let at_once: usize = (0..slices)
                .map(|slice| {
                    let random = (f64::from(slice) + 0.5) / f64::from(slices);
                    let delay = |before| backlog(before, slices, 50, per_second).first_delay(|| random);
                    (0..50).filter(|before| delay(*before).is_zero()).count()
                })
                .sum();
            assert_eq!(at_once, 24, "{slices} slices at {per_second}/s");
        }
    }

    #[test]
    fn what_is_sent_within_seconds_comes_at_once() {
        assert_eq!(backlog(9, 8, 50, 1_000).first_delay(|| 0.9), Duration::ZERO);
        assert_eq!(backlog(9, 8, 50, 900).first_delay(|| 0.9).as_secs(), 1);
    }
}
