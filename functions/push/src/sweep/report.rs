//! What a sweep returns.

use std::iter::Sum;
use std::ops::AddAssign;

use runtime::queue::QueueError;
use store::StoreError;

use crate::publish::PublishError;
use crate::start::StartError;

/// What a sweep did.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Swept {
    /// Pushes started: the stream had not delivered their requests, or their time had come.
    pub(crate) started: u64,
    /// Slices queued again in the same generation.
    pub(crate) resumed: u64,
    /// Slices whose scan was restarted, in a new generation.
    #[serde(rename = "anew")]
    pub(crate) restarted: u64,
    /// Slices counted as done.
    pub(crate) closed: u64,
    /// Events published that were overdue.
    pub(crate) published: u64,
}

impl AddAssign for Swept {
    fn add_assign(&mut self, other: Self) {
        let Self { started, resumed, restarted, closed, published } = other;
        self.started += started;
        self.resumed += resumed;
        self.restarted += restarted;
        self.closed += closed;
        self.published += published;
    }
}

impl Sum for Swept {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        parts.fold(Self::default(), |mut sum, part| {
            sum += part;
            sum
        })
    }
}

/// Why a sweep is incomplete. The next one repeats whatever is left.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SweepError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Publish(#[from] PublishError),
    #[error("the offer has no push to sweep")]
    NoPush,
    #[error("it was still busy shortly before the end of the invocation")]
    Stopped,
    /// Names what is incomplete.
    #[error("the sweep is incomplete: {0}; each failure is logged, and the next sweep, in a minute, tries again")]
    Incomplete(String),
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn all_that_the_duties_did_is_added() {
        let swept = Swept { started: 1, resumed: 2, restarted: 3, closed: 4, published: 5 };
        let twice = Swept { started: 2, resumed: 4, restarted: 6, closed: 8, published: 10 };
        assert_eq!([swept, swept].into_iter().sum::<Swept>(), twice);
    }

    /// Operators and tests read the result of a sweep by these names.
    #[test]
    fn wire_names_are_stable() {
        let swept = Swept { started: 1, resumed: 2, restarted: 3, closed: 4, published: 5 };
        assert_eq!(json!(swept), json!({"started": 1, "resumed": 2, "anew": 3, "closed": 4, "published": 5}));
    }
}
