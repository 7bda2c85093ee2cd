//! How fast pushes go, from one look to the next.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use domain::PushId;

/// Looks that are longer ago do not count: a push may have waited since.
const WINDOW: Duration = Duration::from_secs(30);
/// A pace over less than this says little.
const SHORTEST: Duration = Duration::from_secs(3);

/// The counts of recent looks at each push.
#[derive(Debug, Default)]
pub(super) struct Paces(HashMap<PushId, Vec<(Instant, u64)>>);

impl Paces {
    /// Records how many notifications of a push are done, and returns how many were a second, if it is known.
    pub(super) fn look(&mut self, push: PushId, now: Instant, done: u64) -> Option<f64> {
        let looks = self.0.entry(push).or_default();
        looks.retain(|(at, _)| now.duration_since(*at) <= WINDOW);
        looks.push((now, done));
        let (first, done_then) = looks[0];
        let elapsed = now.duration_since(first);
        (elapsed >= SHORTEST).then(|| {
            f64::from(u32::try_from(done.saturating_sub(done_then)).unwrap_or(u32::MAX)) / elapsed.as_secs_f64()
        })
    }

    /// Forgets the pushes that are no longer looked at.
    pub(super) fn keep(&mut self, is_shown: impl Fn(&PushId) -> bool) {
        self.0.retain(|push, _| is_shown(push));
    }
}

/// The seconds until all that is pending is done at this pace. `None`: there is no end in sight.
pub(super) fn seconds_left(pending: u64, per_second: f64) -> Option<u64> {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an estimate"
    )]
    (per_second > 0.05).then(|| (pending as f64 / per_second).ceil() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_is_that_of_the_last_half_minute() {
        let push = PushId { offer: "01890000-0000-7000-8000-000000000000".parse().unwrap(), number: 1 };
        let mut paces = Paces::default();
        let began = Instant::now();
        let mut look = |second, done| paces.look(push, began + Duration::from_secs(second), done);
        assert_eq!(look(0, 100), None);
        assert_eq!(look(2, 120), None);
        assert_eq!(look(10, 240), Some(14.0));
        // Nothing since, and what was before no longer counts.
        assert_eq!(look(60, 240), None);
        assert_eq!(look(70, 240), Some(0.0));
    }

    #[test]
    fn time_left_is_known_while_something_is_sent() {
        for (pending, per_second, expected) in
            [(140, 14.0, Some(10)), (1, 14.0, Some(1)), (0, 14.0, Some(0)), (9, 0.0, None)]
        {
            assert_eq!(seconds_left(pending, per_second), expected);
        }
    }
}
