//! How the messages of a round fare, what other rounds need to know of it, and holding a push.

use std::sync::atomic::Ordering;

use domain::notification::Suspect;
use domain::queue::Batch;
use domain::{AddressHash, CustomerId, TransportId};
use jiff::{SignedDuration, Timestamp};
use runtime::metrics::{self, Unit};
use store::StoreError;
use store::deliveries::KnownDeliveries;
use store::limits::{Evidence, OpenResult, RUN_LENGTH, Scope, scope_of};

use super::breaker::SelectedTransport;
use super::deferral::Unfinished;
use super::deliverer::Deliverer;
use super::delivery_id;
use super::judgement::{JUST_NOW, resolve, waits_for_evidence};
use super::meaning::Suppression;
use super::round::{NotificationState, Round};
use crate::compose::Compose;
use crate::transport::Transport;

/// An acceptance is recorded this often, for the batches that are sent at the same time.
const RECORD_EVERY: SignedDuration = SignedDuration::from_secs(10);
/// Batches with recipients who were not refused yet may probe first: those with none wait this much longer.
pub(super) const REFUSED_WAIT: SignedDuration = SignedDuration::from_secs(5);

/// How messages have fared, as far as this round knows.
#[derive(Debug)]
pub(super) struct Fared {
    of_transport: Evidence,
    of_push: Evidence,
    is_held: bool,
    /// The last acceptance in this round.
    accepted_at: Option<Timestamp>,
}

/// Which acceptances are to be recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Due {
    transport: bool,
    push: bool,
    /// Whether that ends a hold.
    ends_hold: bool,
}

impl Fared {
    pub(super) fn new<T>(selected: &SelectedTransport<'_, T>) -> Self {
        let SelectedTransport { of_transport, of_push, hold_probe, .. } = selected;
        Self { of_transport: *of_transport, of_push: *of_push, is_held: hold_probe.is_some(), accepted_at: None }
    }

    /// Notes an acceptance. Returns what of it other rounds need to know.
    fn accept(&mut self, now: Timestamp) -> Due {
        self.accepted_at = Some(now);
        let is_old = self.of_transport.accepted_at.is_none_or(|at| at + RECORD_EVERY <= now);
        let due = Due {
            transport: self.of_transport.refused > 0 || is_old,
            push: self.of_push.refused > 0 || self.is_held,
            ends_hold: self.is_held,
        };
        if due.transport {
            self.of_transport = Evidence { accepted_at: Some(now), refused: 0, ..self.of_transport };
        }
        if due.push {
            self.of_push = Evidence { accepted_at: Some(now), refused: 0, ..self.of_push };
            self.is_held = false;
        }
        due
    }

    /// Notes how messages have fared after a refusal.
    fn refuse(&mut self, suspect: Suspect, evidence: Evidence) {
        let known = match suspect {
            Suspect::Sender => &mut self.of_transport,
            Suspect::Content => &mut self.of_push,
        };
        known.refused = evidence.refused;
        known.accepted_at = known.accepted_at.max(evidence.accepted_at);
    }

    /// The last acceptance in this round, if it was just now and is not recorded where the evidence about a suspect is. An older
    /// one, as after a freeze, says nothing of the refusals since.
    fn unrecorded(&self, suspect: Suspect, now: Timestamp) -> Option<Timestamp> {
        let recorded = match suspect {
            Suspect::Sender => self.of_transport.accepted_at,
            Suspect::Content => self.of_push.accepted_at,
        };
        self.accepted_at.filter(|at| Some(*at) > recorded && *at + JUST_NOW > now)
    }

    /// When a message of the transport was last accepted.
    pub(super) const fn accepted_at(&self) -> Option<Timestamp> {
        self.of_transport.accepted_at
    }

    fn of(&self, suspect: Suspect) -> Evidence {
        match suspect {
            Suspect::Sender => Evidence { is_cleared: self.of_push.is_cleared, ..self.of_transport },
            Suspect::Content => Evidence { is_cleared: false, ..self.of_push },
        }
    }
}

impl<C, T> Deliverer<C, T>
where
    C: Compose,
    T: Transport<Message = C::Message>,
{
    /// Until when a batch leaves the probe of its held push to others: those that have recipients who were not refused
    /// yet. If there are none, it probes itself.
    pub(super) fn lets_others_probe(
        &self,
        selected: &SelectedTransport<'_, T>,
        batch: &Batch,
        known: &KnownDeliveries,
    ) -> Option<Timestamp> {
        let until = selected.hold_probe.as_ref()?.block_end() + REFUSED_WAIT;
        let was_refused = |id| known.pending.get(id).is_some_and(|pending| pending.refusal.is_some());
        let all_were_refused = batch.customers().iter().all(|id| known.finals.contains_key(id) || was_refused(id));
        (all_were_refused && self.sources.now() < until).then_some(until)
    }

    /// The state of a notification if what happened before decides it: records its outcome, or defers it.
    pub(super) async fn resolve(
        &self,
        round: &Round<'_, C, T>,
        id: &CustomerId,
        address_hash: &AddressHash,
    ) -> Result<Option<NotificationState>, StoreError> {
        let Some(pending) = round.known.pending.get(id) else { return Ok(None) };
        let (of_transport, is_cleared) = {
            let fared = round.fared();
            (fared.of_transport, fared.of_push.is_cleared)
        };
        let now = self.sources.now();
        let is_held = round.selected.hold_probe.is_some() || round.selected.held_until.is_some();
        let resolved = resolve(pending, address_hash, of_transport.accepted_at, now, self.retry_for, is_held);
        let Some(resolution) = resolved else {
            let waits = waits_for_evidence(pending, &of_transport, is_cleared);
            return Ok(waits.then_some(NotificationState::Unfinished(Unfinished::NotAccepted)));
        };
        if let Some(others_are_accepted) = resolution.unknown_address {
            let suppression = Suppression::Unknown { others_are_accepted };
            self.suppress(&delivery_id(round.batch, id), address_hash, suppression, round.selected.id).await?;
        }
        self.record_unsent(round, id, &resolution.outcome).await.map(Some)
    }

    /// Notes that a message was accepted. Best effort: the next acceptance is recorded.
    pub(super) async fn note_acceptance(&self, round: &Round<'_, C, T>) {
        let now = self.sources.now();
        let due = round.fared().accept(now);
        let mut is_recorded = true;
        let (push, id) = (round.batch.push, round.selected.id);
        let scopes = [(due.transport, Scope::Transport(id)), (due.push, Scope::Push(push, id))];
        for (_, scope) in scopes.into_iter().filter(|(is_due, _)| *is_due) {
            is_recorded &= self.record_acceptance(scope, now).await;
        }
        if due.ends_hold && is_recorded {
            round.selected.hold_reported.store(true, Ordering::Relaxed);
            tracing::info!(transport = %id, "push no longer held: the provider accepted one of its messages");
            emit_held(id, false);
        }
    }

    /// Returns whether the acceptance is recorded.
    async fn record_acceptance(&self, scope: Scope, at: Timestamp) -> bool {
        let recorded = self.limits.record_acceptance(scope, at).await;
        if let Err(error) = &recorded {
            tracing::warn!(%scope, error = %error, "failed to record that the provider accepts messages");
        }
        recorded.is_ok()
    }

    /// Notes an ambiguous refusal, and returns how messages have fared. Best effort: what this round knows is enough to
    /// go on.
    pub(super) async fn note_refusal(
        &self,
        round: &Round<'_, C, T>,
        suspect: Suspect,
        recipient: &AddressHash,
    ) -> Evidence {
        let (push, id) = (round.batch.push, round.selected.id);
        let mut added = self.limits.add_refusal(push, id, suspect, recipient).await;
        let unrecorded = round.fared().unrecorded(suspect, self.sources.now());
        // Before a push is held, what this round knows counts: rounds record an acceptance only now and then.
        if let Some(at) = unrecorded.filter(|_| added.as_ref().is_ok_and(|evidence| evidence.refused >= RUN_LENGTH))
            && self.record_acceptance(scope_of(push, id, suspect), at).await
        {
            added = self.limits.add_refusal(push, id, suspect, recipient).await;
        }
        let mut fared = round.fared();
        match added {
            Ok(evidence) => fared.refuse(suspect, evidence),
            Err(error) => {
                tracing::warn!(transport = %id, error = %error, "failed to record that the provider refused a recipient");
            }
        }
        fared.of(suspect)
    }

    /// Holds the push of a round: no more notifications are started. Best effort: the next refusal holds it as well.
    pub(super) async fn hold(&self, round: &Round<'_, C, T>, suspect: Suspect, reason: &str) -> Unfinished {
        let SelectedTransport { id, other, hold_probe, hold_reported, .. } = round.selected;
        let stopped = |until| {
            // The other transport may serve the batch at once.
            let until = if other.is_some() { self.sources.now() } else { until };
            *round.stopped.get_or_init(|| Unfinished::Held(until))
        };
        if hold_reported.swap(true, Ordering::Relaxed) {
            return stopped(self.sources.now());
        }
        let held = self.limits.hold(round.batch.push, *id, suspect, hold_probe.as_ref(), reason).await;
        match held {
            Ok(OpenResult::Opened { until }) => {
                tracing::warn!(
                    transport = %id, %until, suspect = suspect.as_str(), error = reason,
                    "push held: the provider refuses its recipients one after the other and accepts none"
                );
                emit_held(*id, true);
                stopped(until)
            }
            Ok(OpenResult::Superseded) => stopped(self.sources.now()),
            Err(error) => {
                hold_reported.store(false, Ordering::Relaxed);
                tracing::warn!(transport = %id, error = %error, "failed to hold a push; its next refusal holds it");
                stopped(self.sources.now())
            }
        }
    }
}

/// Emits the metric `PushHeld`: when a push is held, by each batch that is deferred because of that, and when it ends.
pub(super) fn emit_held(transport: TransportId, is_held: bool) {
    metrics::emit(&[("transport", transport.as_str())], &[("PushHeld", Unit::Count, u64::from(is_held))]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(seconds: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
    }

    fn evidence(accepted_at: Option<i64>, refused: usize, is_cleared: bool) -> Evidence {
        Evidence { accepted_at: accepted_at.map(after), refused, is_cleared }
    }

    #[test]
    fn acceptance_is_recorded_where_others_need_it() {
        let fared = |of_transport, of_push, is_held| Fared { of_transport, of_push, is_held, accepted_at: None };
        let recent = evidence(Some(95), 0, false);
        for (mut fared, transport, push) in [
            (fared(Evidence::default(), Evidence::default(), false), true, false),
            (fared(recent, Evidence::default(), false), false, false),
            (fared(evidence(Some(90), 0, false), Evidence::default(), false), true, false),
            // Others were refused since: the row ends.
            (fared(evidence(Some(95), 1, false), Evidence::default(), false), true, false),
            (fared(recent, evidence(None, 1, false), false), false, true),
            (fared(recent, Evidence::default(), true), false, true),
        ] {
            let ends_hold = fared.is_held;
            assert_eq!(fared.accept(after(100)), Due { transport, push, ends_hold }, "{fared:?}");
            let again = Due { transport: false, push: false, ends_hold: false };
            assert_eq!(fared.accept(after(101)), again, "once");
        }
    }
}
