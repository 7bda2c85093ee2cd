//! What a sweep returns.

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
    /// Slices marked as done.
    pub(crate) closed: u64,
    /// Events published that were overdue.
    pub(crate) published: u64,
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
    #[error("{0} pushes failed in this sweep, each logged; the next sweep, in a minute, retries them")]
    Failed(u32),
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Operators and tests read the result of a sweep by these names.
    #[test]
    fn wire_names_are_stable() {
        let swept = Swept { started: 1, resumed: 2, restarted: 3, closed: 4, published: 5 };
        assert_eq!(json!(swept), json!({"started": 1, "resumed": 2, "anew": 3, "closed": 4, "published": 5}));
    }
}
