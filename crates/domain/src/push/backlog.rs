//! How much of a push is left, and when its batches come to be sent.
//!
//! A batch that comes while others use the rate only holds a function that a small push needs. So the batches of a large push
//! do not come at once: each comes after a part of the backlog before it. They come earlier than the rate has room for them,
//! so that there is always one when there is room.

use std::num::NonZeroU32;
use std::time::Duration;

/// Batches come so many times as fast as the rate of their channel has room for them. With three times, 87 to 93 % of the rate was
/// used by a push alone in the simulation, with four 94 to 96 %; but with more, they keep more functions busy.
const HASTE: u32 = 4;
/// The maximum delay of a message in SQS (SQS quotas).
pub const MAX_DELAY: Duration = Duration::from_secs(900);
/// What would be delayed for less comes at once: there are few such batches, and the rate is used from the beginning.
const SHORTEST_DELAY: Duration = Duration::from_secs(20);

/// What is left of a push, as far as one of its slices shows: its other slices are taken to have as much left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backlog {
    /// How many of its slices are not done.
    pub slices_left: u32,
    /// How many of the slice's batches are not done.
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

    /// How long a batch for which there is no slot waits until it comes again. `fraction` is random, from 0 to 1, here and
    /// below.
    pub fn delay_of_any(self, fraction: f64) -> Duration {
        (self.duration() / HASTE).mul_f64(fraction).min(MAX_DELAY)
    }

    /// How long the batch that is queued behind these waits until it comes for the first time.
    pub fn delay_of_next(self, fraction: f64) -> Duration {
        let with_it = Self { batches: self.batches.saturating_add(1), ..self };
        let (earliest, latest) = (self.duration() / HASTE, with_it.duration() / HASTE);
        if latest > MAX_DELAY {
            // Not all of them at once.
            return MAX_DELAY.mul_f64((1.0 + fraction) / 2.0);
        }
        let delay = earliest + (latest - earliest).mul_f64(fraction);
        if delay < SHORTEST_DELAY { Duration::ZERO } else { delay }
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
            let delay = backlog(batches, 8, 50, 14).delay_of_any(fraction);
            assert_eq!(delay.as_secs(), expected, "{batches} batches, {fraction}");
        }
    }

    /// Eight slices at 14 a second: a batch of each is 28.6 s, a quarter of which is 7.1 s.
    #[test]
    fn batches_come_one_after_the_other_four_times_as_fast_as_they_can_be_sent() {
        for (ahead, fraction, expected) in [
            (0, 1.0, 0),
            (2, 0.0, 0),
            (2, 0.7, 0),
            (2, 0.9, 20),
            (2, 1.0, 21),
            (3, 0.0, 21),
            (50, 0.0, 357),
            (50, 1.0, 364),
            (124, 1.0, 892),
            // Beyond the longest delay, not all at the same time.
            (126, 0.0, 450),
            (126, 1.0, 900),
            (usize::MAX, 0.5, 675),
        ] {
            let delay = backlog(ahead, 8, 50, 14).delay_of_next(fraction);
            assert_eq!(delay.as_secs(), expected, "{ahead} ahead, {fraction}");
        }
        // As many slices as a push may have, of which each shows little.
        assert_eq!(backlog(0, 10_000, 50, 14).delay_of_next(0.0).as_secs(), 450);
        // At a high rate, all come at once.
        assert_eq!(backlog(100, 8, 50, 1_000).delay_of_next(0.5), Duration::ZERO);
    }
}
