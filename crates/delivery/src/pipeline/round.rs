//! One round of a batch: what its notifications have in common.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use domain::CustomerId;
use domain::notification::Outcome;
use domain::queue::Batch;
use jiff::{SignedDuration, Timestamp};
use runtime::metrics::{self, Unit};
use store::deliveries::ClaimResult;
use store::limits::Slot;
use tokio::sync::Mutex;

use super::breaker::SelectedTransport;
use super::deferral::Unfinished;

/// Nothing is begun this close to the deadline: what is begun must be recorded. The longest that one notification may
/// take: claiming 8 s, asking for the connection 5 s, a fresh one 5 s, four commands 20 s, the message 60 s, recording 8 s.
pub(super) const MIN_TIME_TO_START: SignedDuration = SignedDuration::from_secs(106);
/// What was read longer ago than this is read again before sending. Waits for a turn are no longer either.
pub(super) const MAX_READ_AGE: SignedDuration = SignedDuration::from_secs(5);

/// Where one notification stands after its turn.
#[derive(Debug, Clone, Copy)]
pub(super) enum NotificationState {
    Final(Counted),
    Unfinished(Unfinished),
}

/// What a final record counts as.
#[derive(Debug, Clone, Copy)]
pub(super) enum Counted {
    Outcome(Outcome),
    AlreadyServed,
}

/// What a round has of the transport's rate.
#[derive(Default)]
pub(super) struct RateShare {
    /// Sends that are reserved.
    pub(super) slot: Option<Slot>,
    /// Set when others use all of it: then the rest of the batch is put off.
    pub(super) full_until: Option<Timestamp>,
}

/// What all notifications of a batch have in common.
pub(super) struct Round<'b, T> {
    pub(super) batch: &'b Batch,
    pub(super) selected: &'b SelectedTransport<'b, T>,
    /// What needs no turn any more.
    pub(super) served: HashMap<CustomerId, ClaimResult>,
    pub(super) deadline: Timestamp,
    pub(super) push_is_cancelled: bool,
    /// When the push and the customers were read.
    pub(super) read_at: Timestamp,
    /// What this round has of the transport's rate.
    pub(super) share: Mutex<RateShare>,
    /// How many notifications may still want one.
    pub(super) waiting: AtomicU32,
    /// Set when the transport turns out to be out of reach: then no more are begun.
    pub(super) blocked: AtomicBool,
    /// How many messages in a row were not answered.
    pub(super) silent: AtomicU32,
    /// The provider's words when it last did not take one for now.
    pub(super) refusal: Mutex<Option<String>>,
    /// How long the provider took for each answer, in milliseconds.
    pub(super) latencies: Mutex<Vec<u64>>,
    /// How long notifications waited for their turn, in milliseconds, all together.
    pub(super) waited_ms: AtomicU64,
}

impl<T> Round<'_, T> {
    /// Tells how the provider took it, and how long its rate made us wait.
    pub(super) async fn measure(&self) {
        let latencies = self.latencies.lock().await;
        metrics::emit_each(
            &[("transport", self.selected.name.as_str())],
            "ProviderLatency",
            Unit::Milliseconds,
            &latencies,
        );
        if !latencies.is_empty() {
            let waited = self.waited_ms.load(Ordering::Relaxed);
            metrics::emit(&[("channel", self.batch.channel.as_str())], &[("RateWait", Unit::Milliseconds, waited)]);
        }
    }
}
