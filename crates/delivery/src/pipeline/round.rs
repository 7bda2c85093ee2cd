//! One round of a batch: the state that its notifications share.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use domain::CustomerId;
use domain::notification::{Outcome, ReasonCode};
use jiff::Timestamp;
use runtime::clients::OPERATION_TIMEOUT;
use runtime::metrics::{self, Unit};
use store::deliveries::{
    Claim, ClaimResult, FinalDelivery, FinalOutcome, FirstClaim, HolderId, KnownDeliveries, RecordResult, Unclaimable,
};
use store::limits::ReservedSlots;
use tokio::sync::Mutex;

use super::attempt::MIN_TIME_TO_RECORD;
use super::breaker::{SelectedTransport, Signal};
use super::checked::CheckedBatch;
use super::deferral::Unfinished;
use super::gather::Gather;
use super::heartbeat::Heartbeat;
use super::hold::Fared;
use crate::compose::Compose;
use crate::transport::Transport;

/// The minimum time left to start a notification, so that before the deadline it can be claimed, sent and recorded, and
/// its batch deferred.
pub(super) fn min_time_to_start(transport: &impl Transport) -> Duration {
    OPERATION_TIMEOUT + transport.max_duration() + MIN_TIME_TO_RECORD
}

/// The state of a notification after its turn in a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotificationState {
    Final(Counted),
    Unfinished(Unfinished),
}

impl NotificationState {
    /// The state of a delivery that this batch cannot claim. `push` is the number of the batch's push.
    pub(super) fn of(push: u32, delivery: Unclaimable) -> Self {
        match delivery {
            // Sent by another push. Any other outcome of another push that this one may not replace counts as that
            // outcome again.
            Unclaimable::Final(FinalDelivery { push: other, outcome: Outcome::Sent, .. }) if other != push => {
                Self::Final(Counted::AlreadyServed)
            }
            Unclaimable::Final(FinalDelivery { outcome, code, .. }) => Self::Final(Counted::Outcome(outcome, code)),
            Unclaimable::Leased { until } => Self::Unfinished(Unfinished::Leased(until)),
        }
    }
}

/// The counters that a final record adds to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counted {
    Outcome(Outcome, Option<ReasonCode>),
    AlreadyServed,
}

/// A round's share of the transport's rate.
#[derive(Default)]
pub(super) struct RateShare {
    pub(super) slots: Option<ReservedSlots>,
    /// Set when other invocations use the whole rate: the rest of the batch is deferred.
    pub(super) full_until: Option<Timestamp>,
}

/// The state that all notifications of a batch share.
pub(super) struct Round<'b, C: Compose, T> {
    pub(super) batch: &'b CheckedBatch,
    /// What composing needs.
    pub(super) keys: C::Keys,
    pub(super) selected: &'b SelectedTransport<'b, T>,
    /// What was known of the deliveries before this round.
    pub(super) known: KnownDeliveries,
    pub(super) heartbeat: Heartbeat,
    pub(super) deadline: Timestamp,
    /// When the push and the customers were read.
    pub(super) read_at: Timestamp,
    pub(super) share: Mutex<RateShare>,
    /// Notifications that may still need a slot.
    pub(super) waiting: AtomicU32,
    /// Set once the transport is found unreachable, or the push is held: no more notifications are started.
    pub(super) stopped: OnceLock<Unfinished>,
    /// How messages have fared.
    fared: std::sync::Mutex<Fared>,
    /// Messages in a row without a response.
    pub(super) unanswered_streak: AtomicU32,
    /// The last reason for which the provider did not take a message for now.
    pub(super) refusal: Mutex<Option<String>>,
    /// Claims on deliveries that are new, and the outcomes of those.
    pub(super) claims: Gather<FirstClaim<'b>, ClaimResult>,
    pub(super) outcomes: Gather<(Claim, FinalOutcome), RecordResult>,
    /// The provider's response times.
    pub(super) latencies_ms: Mutex<Vec<u64>>,
    /// The time that notifications waited for slots, summed up.
    pub(super) waited_ms: AtomicU64,
}

impl<'b, C: Compose, T> Round<'b, C, T> {
    pub(super) fn new(
        batch: &'b CheckedBatch,
        keys: C::Keys,
        selected: &'b SelectedTransport<'b, T>,
        known: KnownDeliveries,
        heartbeat: Heartbeat,
        read_at: Timestamp,
        deadline: Timestamp,
    ) -> Self {
        Self {
            batch,
            keys,
            selected,
            known,
            heartbeat,
            deadline,
            read_at,
            share: Mutex::default(),
            waiting: AtomicU32::new(u32::try_from(batch.customers().len()).unwrap_or(u32::MAX)),
            stopped: selected.held_until.map_or_else(OnceLock::new, |until| OnceLock::from(Unfinished::Held(until))),
            fared: std::sync::Mutex::new(Fared::new(selected)),
            unanswered_streak: AtomicU32::new(0),
            refusal: Mutex::default(),
            claims: Gather::default(),
            outcomes: Gather::default(),
            latencies_ms: Mutex::default(),
            waited_ms: AtomicU64::new(0),
        }
    }

    /// How messages have fared. The guard must not be held across an await.
    pub(super) fn fared(&self) -> std::sync::MutexGuard<'_, Fared> {
        self.fared.lock().expect("nothing panics while holding the lock")
    }

    /// The customers in the order in which they are notified. A probe is for those who were not refused yet, and last for
    /// those who may have the message.
    pub(super) fn in_order(&self) -> Vec<&'b CustomerId> {
        let mut customers: Vec<_> = self.batch.customers().iter().collect();
        if self.selected.is_probing() {
            customers.sort_by_key(|id| {
                self.known.pending.get(id).map(|pending| (pending.unanswered, pending.refusal.is_some()))
            });
        }
        customers
    }

    /// The ended invocation from which a customer's delivery may be taken over.
    pub(super) fn ended_holder(&self, customer: &CustomerId) -> Option<&HolderId> {
        self.heartbeat.ended_holder(&self.known, customer)
    }

    /// Whether too little time is left at `now` to start a notification, or none because others may take over.
    pub(super) fn has_no_time(&self, now: Timestamp) -> bool
    where
        T: Transport,
    {
        self.heartbeat.is_silent(now) || now + min_time_to_start(&self.selected.limited.transport) > self.deadline
    }

    /// When a claimed message must have been handed over: while the claim lasts, and early enough to record the outcome even if
    /// claiming took long.
    pub(super) fn hand_over_until(&self, claim: &Claim) -> Timestamp
    where
        T: Transport,
    {
        claim.held_until.min(self.deadline - self.selected.limited.transport.max_duration() - MIN_TIME_TO_RECORD)
    }

    /// Counts messages in a row without a response, and returns how many there are now.
    pub(super) fn count_streak(&self, signal: &Signal) -> u32 {
        match signal {
            Signal::NoResponse(_) => self.unanswered_streak.fetch_add(1, Ordering::Relaxed) + 1,
            Signal::Unknown => self.unanswered_streak.load(Ordering::Relaxed),
            Signal::Reached | Signal::Unreachable(_) => {
                self.unanswered_streak.store(0, Ordering::Relaxed);
                0
            }
        }
    }

    /// Emits how long the provider took to respond, and how long notifications waited for slots.
    pub(super) async fn emit_metrics(&self) {
        let latencies = self.latencies_ms.lock().await;
        metrics::emit_each(
            &[("transport", self.selected.id.as_str())],
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delivery_that_cannot_be_claimed_is_final_or_leased() {
        let sent_by = |push| Unclaimable::Final(FinalDelivery { push, outcome: Outcome::Sent, code: None });
        let unsent_by = |push, code: ReasonCode| {
            Unclaimable::Final(FinalDelivery { push, outcome: code.outcome(), code: Some(code) })
        };
        let counted = |code: ReasonCode| NotificationState::Final(Counted::Outcome(code.outcome(), Some(code)));
        let until = Timestamp::UNIX_EPOCH;
        for (delivery, expected) in [
            (sent_by(2), NotificationState::Final(Counted::Outcome(Outcome::Sent, None))),
            (sent_by(1), NotificationState::Final(Counted::AlreadyServed)),
            (unsent_by(1, ReasonCode::Refused), counted(ReasonCode::Refused)),
            (unsent_by(2, ReasonCode::PushCancelled), counted(ReasonCode::PushCancelled)),
            (Unclaimable::Leased { until }, NotificationState::Unfinished(Unfinished::Leased(until))),
        ] {
            assert_eq!(NotificationState::of(2, delivery), expected, "{delivery:?}");
        }
    }
}
