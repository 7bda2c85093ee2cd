//! The time that a sweep has, and each of its duties.

use std::time::Duration;

use domain::Sources;
use jiff::Timestamp;
use runtime::Deadline;

/// With less time than this left, nothing more is begun. A push usually takes a fraction of it, and a single call 8
/// seconds at most.
pub(super) const MIN_TIME_PER_ITEM: Duration = Duration::from_secs(10);
/// What is still busy this long before the deadline is stopped, so that the sweep can report it and the next one can
/// begin with the rest. If Lambda stopped the function, that would be forgotten.
const END_MARGIN: Duration = Duration::from_secs(2);

/// The time that a sweep has.
#[derive(Debug, Clone)]
pub(super) struct TimeLimit {
    ends: Timestamp,
    sources: Sources,
}

impl TimeLimit {
    pub(super) fn new(deadline: Deadline, sources: &Sources) -> Self {
        Self { ends: deadline.at(), sources: sources.clone() }
    }

    /// Its first two thirds, for a duty after which another one comes.
    pub(super) fn first_part(&self) -> Self {
        Self { ends: self.ends - self.left() / 3, sources: self.sources.clone() }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.sources.now()
    }

    /// Whether too little time is left to begin anything more.
    pub(super) fn is_short(&self) -> bool {
        self.left() < MIN_TIME_PER_ITEM
    }

    /// How long a part of the sweep may take from now on.
    pub(super) fn until_stop(&self) -> Duration {
        self.left().saturating_sub(END_MARGIN)
    }

    fn left(&self) -> Duration {
        Duration::try_from(self.ends.duration_since(self.now())).unwrap_or_default()
    }
}

/// Whether there was time for all of the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(super) enum Completion {
    /// There was.
    Complete,
    /// The next sweep continues.
    OutOfTime,
}

#[cfg(test)]
pub(super) mod tests {
    use lambda_runtime::Context;
    use testing::Clock;

    use super::*;

    /// The deadline of an invocation that has this much time left.
    pub(in crate::sweep) fn deadline(clock: &Clock, left: Duration) -> Deadline {
        let mut context = Context::default();
        context.deadline = u64::try_from((clock.now() + left).as_millisecond()).unwrap();
        Deadline::of(&context)
    }

    pub(in crate::sweep) fn time_limit(left: Duration) -> TimeLimit {
        let clock = Clock::new();
        TimeLimit::new(deadline(&clock, left), &clock.sources())
    }

    #[tokio::test(start_paused = true)]
    async fn a_third_of_the_time_is_left_to_the_duty_that_comes_after() {
        let time = time_limit(Duration::from_secs(30));
        assert_eq!(time.first_part().until_stop(), Duration::from_secs(18));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_begins_without_time_and_what_is_busy_stops_before_the_deadline() {
        for (millis, is_short, until_stop) in
            [(60_000, false, 58_000), (10_000, false, 8_000), (9_999, true, 7_999), (1_000, true, 0), (0, true, 0)]
        {
            let time = time_limit(Duration::from_millis(millis));
            assert_eq!(time.is_short(), is_short, "{millis}");
            assert_eq!(time.until_stop(), Duration::from_millis(until_stop), "{millis}");
        }
    }
}
