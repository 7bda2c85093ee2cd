//! The deadline of an invocation.

use std::time::Duration;

use jiff::Timestamp;
use lambda_runtime::Context;

/// When Lambda ends this invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline(Timestamp);

impl Deadline {
    /// The deadline of the invocation with this context.
    pub fn of(context: &Context) -> Self {
        let millis = i64::try_from(context.deadline).unwrap_or(i64::MAX);
        Self(Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX))
    }

    /// The time of the deadline.
    pub fn at(self) -> Timestamp {
        self.0
    }

    /// Whether less than `margin` is left at `now`.
    pub fn has_less_than(self, margin: Duration, now: Timestamp) -> bool {
        let left = self.0.duration_since(now);
        Duration::try_from(left).unwrap_or_default() < margin
    }
}
