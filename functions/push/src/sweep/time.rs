//! The time that a sweep has, and what it leaves to the next one when that runs out.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use domain::{PushId, Sources};
use jiff::Timestamp;
use runtime::Deadline;

/// With less time than this left, nothing more is begun. A push usually takes a fraction of it, and a single call 8
/// seconds at most.
pub(super) const MIN_TIME_PER_ITEM: Duration = Duration::from_secs(15);
/// What is still busy this long before the deadline is stopped, so that the sweep can report it and the next one can
/// begin with the rest. If Lambda stopped the function, that would be forgotten.
const END_MARGIN: Duration = Duration::from_secs(2);

/// The time that a sweep has.
#[derive(Debug, Clone)]
pub(super) struct TimeLimit {
    deadline: Deadline,
    sources: Sources,
}

impl TimeLimit {
    pub(super) fn new(deadline: Deadline, sources: &Sources) -> Self {
        Self { deadline, sources: sources.clone() }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.sources.now()
    }

    /// Whether too little time is left to begin anything more.
    pub(super) fn is_short(&self) -> bool {
        self.deadline.has_less_than(MIN_TIME_PER_ITEM, self.now())
    }

    /// How long a part of the sweep may take from now on.
    pub(super) fn until_stop(&self) -> Duration {
        Duration::try_from(self.deadline.at().duration_since(self.now())).unwrap_or_default().saturating_sub(END_MARGIN)
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

/// The pushes that had no turn yet, although earlier ones had theirs. The next sweep begins with them; otherwise, if
/// there are more than a sweep has time for, the last ones would never have a turn. Once all had one, a new round begins.
#[derive(Debug, Default)]
pub(super) struct Leftover(Mutex<HashSet<PushId>>);

impl Leftover {
    /// Moves the items that had no turn yet to the front.
    pub(super) fn order<T>(&self, items: &mut [T], id: impl Fn(&T) -> PushId) {
        let listed: HashSet<_> = items.iter().map(&id).collect();
        let mut left = self.lock();
        left.retain(|id| listed.contains(id));
        if left.is_empty() {
            *left = listed;
        }
        items.sort_by_key(|item| !left.contains(&id(item)));
    }

    /// Notes that an item has its turn.
    pub(super) fn begin(&self, id: PushId) {
        self.lock().remove(&id);
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<PushId>> {
        self.0.lock().expect("nothing panics while it holds the lock")
    }
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
    async fn nothing_begins_without_time_and_what_is_busy_stops_before_the_deadline() {
        for (millis, is_short, until_stop) in
            [(60_000, false, 58_000), (15_000, false, 13_000), (14_999, true, 12_999), (1_000, true, 0), (0, true, 0)]
        {
            let time = time_limit(Duration::from_millis(millis));
            assert_eq!(time.is_short(), is_short, "{millis}");
            assert_eq!(time.until_stop(), Duration::from_millis(until_stop), "{millis}");
        }
    }

    #[test]
    fn what_had_no_turn_comes_first_in_the_next_sweep() {
        let id = |number| PushId { offer: "01980000-0000-7000-8000-000000000001".parse().unwrap(), number };
        let ids = |numbers: &[u32]| numbers.iter().copied().map(id).collect::<Vec<_>>();
        let left = Leftover::default();
        let sweep = |listed: &[u32], begun: usize| {
            let mut items = ids(listed);
            left.order(&mut items, |id| *id);
            items.iter().take(begun).for_each(|id| left.begin(*id));
            items
        };
        assert_eq!(sweep(&[1, 2, 3, 4, 5], 2), ids(&[1, 2, 3, 4, 5]));
        // What is no longer listed is forgotten. What is new waits, as does what had its turn.
        assert_eq!(sweep(&[1, 2, 3, 5, 6], 1), ids(&[3, 5, 1, 2, 6]));
        assert_eq!(sweep(&[1, 2, 3, 5, 6], 2), ids(&[5, 1, 2, 3, 6]));
        assert_eq!(sweep(&[1, 2, 3, 5, 6], 5), ids(&[1, 2, 3, 5, 6]), "a new round");
        let all: Vec<_> = (1..=20).collect();
        let begun: HashSet<_> = (0..4).flat_map(|_| sweep(&all, 5).into_iter().take(5)).collect();
        assert_eq!(begun.len(), 20, "no push has two turns before each had one");
    }
}
