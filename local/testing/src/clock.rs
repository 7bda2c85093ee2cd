//! A clock for tests. It follows tokio's time, which is virtual in a test that starts paused.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use domain::Sources;
use jiff::Timestamp;
use tokio::time::Instant;

use crate::random::seeded;

/// When a [`Clock`] starts: 2026-06-01T12:00:00Z.
pub const START: Timestamp = Timestamp::constant(1_780_315_200, 0);

/// A clock that starts at [`START`] and moves with `tokio::time`. Clones share their time.
#[derive(Debug, Clone)]
pub struct Clock {
    started: Instant,
    /// In nanoseconds.
    skipped: Arc<AtomicU64>,
}

impl Clock {
    /// A clock that shows [`START`] now. Call it in the runtime of the test.
    #[expect(clippy::new_without_default, reason = "it reads the time")]
    pub fn new() -> Self {
        Self { started: Instant::now(), skipped: Arc::default() }
    }

    /// The current time.
    pub fn now(&self) -> Timestamp {
        START + self.started.elapsed() + Duration::from_nanos(self.skipped.load(Ordering::Relaxed))
    }

    /// Moves this clock and not tokio's: timers run on as if no time had passed, as in an execution environment that
    /// was frozen. `tokio::time::advance` moves both.
    pub fn skip(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).expect("a test skips less than five centuries");
        self.skipped.fetch_add(nanos, Ordering::Relaxed);
    }

    /// This clock, and random numbers that are the same in each run.
    pub fn sources(&self) -> Sources {
        Sources::new(self.as_fn(), seeded(1))
    }

    /// [`Clock::now`] as a function.
    pub fn as_fn(&self) -> impl Fn() -> Timestamp + Send + Sync + Clone + 'static {
        let clock = self.clone();
        move || clock.now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_moves_with_virtual_time_and_can_skip_ahead_alone() {
        let clock = Clock::new();
        let now = clock.as_fn();
        assert_eq!(now(), "2026-06-01T12:00:00Z".parse().unwrap());
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        assert_eq!(now(), "2026-06-01T12:00:01.5Z".parse().unwrap());
        let before = Instant::now();
        clock.skip(Duration::from_secs(60));
        assert_eq!(now(), "2026-06-01T12:01:01.5Z".parse().unwrap());
        assert_eq!(Instant::now(), before);
    }
}
