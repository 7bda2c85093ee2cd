//! Refusals whose fault is unclear, and what the other messages show about them.
//!
//! A recipient who is refused ambiguously is tried again. If the provider has accepted a message since, the second
//! refusal is the recipient's fault. If it has refused many different recipients in a row, the fault is ours, or the
//! content's: the push is held, and its recipients are tried again until one of them is accepted.

use std::sync::atomic::Ordering;

use domain::notification::{ReasonCode, Suspect};
use domain::queue::Batch;
use domain::{AddressHash, CustomerId};
use jiff::{SignedDuration, Timestamp};
use store::StoreError;
use store::deliveries::{FinalOutcome, KnownDeliveries, PastRefusal, PendingDelivery};
use store::limits::{Evidence, OpenResult, RUN_LENGTH, Scope};

use super::breaker::{SelectedTransport, emit_breaker_state};
use super::deferral::Unfinished;
use super::deliverer::Deliverer;
use super::meaning::{MAX_UNANSWERED, Suppression, failed};
use super::round::{NotificationState, Round};
use crate::compose::Compose;
use crate::transport::Transport;

/// An acceptance is recorded this often, for the batches that are sent at the same time.
const RECORD_EVERY: SignedDuration = SignedDuration::from_secs(10);
/// A message that was accepted this long before a refusal, or later, shows that the provider accepts our mail.
const MAX_ACCEPTANCE_AGE: SignedDuration = SignedDuration::from_secs(60);
/// Batches with recipients who were not refused yet may probe first: those with none wait this much longer.
pub(super) const REFUSED_WAIT: SignedDuration = SignedDuration::from_secs(5);

/// Whose fault an ambiguous refusal is, by what the other messages show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judgement {
    /// The recipient's.
    Recipient,
    /// Ours or the content's: no message is accepted.
    Held,
    /// Not known yet: the recipient is tried again.
    Unclear,
}

/// Judges an ambiguous refusal. `past` is the recipient's refusal before; `evidence` is how the other messages have
/// fared, this refusal included.
pub(super) fn judge(past: Option<&PastRefusal>, evidence: &Evidence) -> Judgement {
    let others_accepted_since = past.is_some_and(|past| evidence.accepted_at > Some(past.at));
    if evidence.refused >= RUN_LENGTH && !evidence.is_cleared {
        Judgement::Held
    } else if others_accepted_since || past.is_some_and(|past| past.count as usize + 1 >= RUN_LENGTH) {
        // The second reason: no other recipient is refused, or too few are left to show anything.
        Judgement::Recipient
    } else {
        Judgement::Unclear
    }
}

/// Whether others were accepted around `at`, so that a refusal then was not of us.
pub(super) fn others_were_accepted(accepted_at: Option<Timestamp>, at: Timestamp) -> bool {
    accepted_at.is_some_and(|accepted| accepted + MAX_ACCEPTANCE_AGE >= at)
}

/// The outcome of a delivery that need not be tried again.
#[derive(Debug, PartialEq)]
pub(super) struct Resolution {
    pub(super) outcome: FinalOutcome,
    /// Set if the address does not exist: whether others were accepted.
    pub(super) unknown_address: Option<bool>,
}

/// Returns the outcome of a delivery if what happened before decides it. `accepted_at` is when the transport last
/// accepted a message.
pub(super) fn resolve(
    pending: &PendingDelivery,
    address_hash: &AddressHash,
    accepted_at: Option<Timestamp>,
    now: Timestamp,
    retry_for: SignedDuration,
) -> Option<Resolution> {
    let decided = |code, reason: &str| Resolution {
        outcome: failed(address_hash.clone(), code, reason.to_owned()),
        unknown_address: None,
    };
    if pending.unanswered >= MAX_UNANSWERED {
        return Some(decided(ReasonCode::NoResponse, "handed over twice without a response"));
    }
    let refusal = pending.refusal.as_ref().filter(|refusal| refusal.is_at(address_hash))?;
    if refusal.code == Some(ReasonCode::AddressUnknown) {
        let others = others_were_accepted(accepted_at, refusal.at);
        let resolution = decided(ReasonCode::AddressUnknown, &refusal.reason);
        return Some(Resolution { unknown_address: Some(others), ..resolution });
    }
    let is_over = refusal.since + retry_for <= now;
    is_over.then(|| decided(refusal.code.unwrap_or(ReasonCode::RefusedForNow), &refusal.reason))
}

/// How messages have fared, as far as this round knows.
#[derive(Debug)]
pub(super) struct Fared {
    of_transport: Evidence,
    of_push: Evidence,
    is_held: bool,
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
        Self { of_transport: *of_transport, of_push: *of_push, is_held: hold_probe.is_some() }
    }

    /// Notes an acceptance. Returns what of it other rounds need to know.
    fn accept(&mut self, now: Timestamp) -> Due {
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
        let all_were_refused = batch.customers.iter().all(|id| known.finals.contains_key(id) || was_refused(id));
        (all_were_refused && self.sources.now() < until).then_some(until)
    }

    /// The customers of a round in the order in which they are notified. A probe is for those who were not refused yet,
    /// and last for those who may have the message.
    pub(super) fn in_order<'b>(&self, round: &Round<'b, C, T>) -> Vec<&'b CustomerId> {
        let mut customers: Vec<_> = round.batch.customers.iter().collect();
        if round.selected.is_probing() {
            customers.sort_by_key(|id| {
                round.known.pending.get(id).map(|pending| (pending.unanswered, pending.refusal.is_some()))
            });
        }
        customers
    }

    /// Records the outcome of a notification if what happened before decides it.
    pub(super) async fn resolve(
        &self,
        round: &Round<'_, C, T>,
        id: &CustomerId,
        address: &str,
    ) -> Result<Option<NotificationState>, StoreError> {
        let Some(pending) = round.known.pending.get(id) else { return Ok(None) };
        let address_hash = AddressHash::of(round.batch.channel, address);
        let accepted_at = round.fared.lock().expect("nothing panics while holding the lock").accepted_at();
        let now = self.sources.now();
        let Some(resolution) = resolve(pending, &address_hash, accepted_at, now, self.retry_for) else {
            return Ok(None);
        };
        if let Some(others_are_accepted) = resolution.unknown_address {
            let suppression = Suppression::Unknown { others_are_accepted };
            self.suppress(&address_hash, suppression, round.selected.id).await?;
        }
        self.record_unsent(round.batch, id, &resolution.outcome).await.map(Some)
    }

    /// Notes that a message was accepted. Best effort: the next acceptance is recorded.
    pub(super) async fn note_acceptance(&self, round: &Round<'_, C, T>) {
        let due = round.fared.lock().expect("nothing panics while holding the lock").accept(self.sources.now());
        let (push, id) = (round.batch.push, round.selected.id);
        let scopes = [(due.transport, Scope::Transport(id)), (due.push, Scope::Push(push, id))];
        for (_, scope) in scopes.into_iter().filter(|(is_due, _)| *is_due) {
            if let Err(error) = self.limits.record_acceptance(scope).await {
                tracing::warn!(transport = %id, error = %error, "failed to record that the provider accepts messages");
            }
        }
        if due.ends_hold {
            round.selected.hold_reported.store(true, Ordering::Relaxed);
            tracing::info!(transport = %id, "push no longer held: the provider accepted one of its messages");
            emit_breaker_state(id, false);
        }
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
        let added = self.limits.add_refusal(push, id, suspect, recipient).await;
        let mut fared = round.fared.lock().expect("nothing panics while holding the lock");
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
                emit_breaker_state(*id, true);
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

#[cfg(test)]
mod tests {
    use domain::Channel;

    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;
    const RETRY_FOR: SignedDuration = SignedDuration::from_hours(72);

    fn after(seconds: i64) -> Timestamp {
        NOW + SignedDuration::from_secs(seconds)
    }

    fn address_hash() -> AddressHash {
        AddressHash::of(Channel::Email, "asha@example.com")
    }

    /// The last of so many refusals, the first of them at 0.
    fn refusal(at: Timestamp, count: u32, code: ReasonCode) -> PastRefusal {
        let (since, reason, address_hash) = (NOW, "why".to_owned(), address_hash().to_string());
        PastRefusal { at, since, count, code: Some(code), reason, address_hash }
    }

    fn evidence(accepted_at: Option<i64>, refused: usize, is_cleared: bool) -> Evidence {
        Evidence { accepted_at: accepted_at.map(after), refused, is_cleared }
    }

    #[test]
    fn other_messages_show_whose_fault_a_refusal_is() {
        for (refusals, accepted_at, refused, is_cleared, expected) in [
            // The first refusal shows nothing, whoever was accepted before.
            (0, None, 1, false, Judgement::Unclear),
            (0, Some(5), 1, false, Judgement::Unclear),
            (0, Some(5), 4, false, Judgement::Unclear),
            // Refused at 10, and again after another was accepted.
            (1, Some(11), 1, false, Judgement::Recipient),
            (1, Some(11), 4, false, Judgement::Recipient),
            (1, Some(10), 1, false, Judgement::Unclear),
            (1, None, 1, false, Judgement::Unclear),
            // Refused as often as it takes to hold a push, while no others are refused.
            (3, None, 1, false, Judgement::Unclear),
            (4, None, 1, false, Judgement::Recipient),
            (4, None, 4, false, Judgement::Recipient),
            // Five different recipients, and none is accepted.
            (0, None, 5, false, Judgement::Held),
            (0, Some(5), 5, false, Judgement::Held),
            (1, Some(11), 5, false, Judgement::Held),
            (4, None, 5, false, Judgement::Held),
            // Other pushes' messages are accepted at the same time.
            (0, Some(5), 5, true, Judgement::Unclear),
            (1, Some(11), 5, true, Judgement::Recipient),
        ] {
            let past = (refusals > 0).then(|| refusal(after(10), refusals, ReasonCode::Refused));
            let judged = judge(past.as_ref(), &evidence(accepted_at, refused, is_cleared));
            assert_eq!(judged, expected, "{refusals} before, {accepted_at:?}, {refused} refused, {is_cleared}");
        }
    }

    #[test]
    fn what_happened_before_decides_some_deliveries() {
        let hour = 3600;
        let of = |unanswered, refusal| PendingDelivery { unanswered, refusal };
        let temporary = |at| Some(refusal(after(at), 9, ReasonCode::RefusedForNow));
        let unknown = Some(refusal(after(100), 1, ReasonCode::AddressUnknown));
        for (pending, accepted_at, now, expected) in [
            (of(0, None), None, 0, None),
            (of(1, None), None, 0, None),
            (of(2, None), None, 0, Some((ReasonCode::NoResponse, "handed over twice without a response", None))),
            (of(0, temporary(71 * hour)), None, 72 * hour - 1, None),
            (of(0, temporary(71 * hour)), None, 72 * hour, Some((ReasonCode::RefusedForNow, "why", None))),
            (of(0, unknown.clone()), None, 101, Some((ReasonCode::AddressUnknown, "why", Some(false)))),
            (of(0, unknown.clone()), Some(39), 101, Some((ReasonCode::AddressUnknown, "why", Some(false)))),
            (of(0, unknown.clone()), Some(40), 101, Some((ReasonCode::AddressUnknown, "why", Some(true)))),
            (of(0, unknown), Some(101), 101, Some((ReasonCode::AddressUnknown, "why", Some(true)))),
        ] {
            let resolved = resolve(&pending, &address_hash(), accepted_at.map(after), after(now), RETRY_FOR);
            let expected = expected.map(|(code, reason, unknown_address)| Resolution {
                outcome: failed(address_hash(), code, reason.to_owned()),
                unknown_address,
            });
            assert_eq!(resolved, expected, "{pending:?} at {now}");
        }
    }

    #[test]
    fn refusal_at_another_address_decides_nothing() {
        let refusal = refusal(after(0), 9, ReasonCode::AddressUnknown);
        let pending = PendingDelivery { unanswered: 0, refusal: Some(refusal) };
        let new_address = AddressHash::of(Channel::Email, "asha@bank.example");
        assert_eq!(resolve(&pending, &new_address, None, after(1_000_000), RETRY_FOR), None);
    }

    #[test]
    fn acceptance_is_recorded_where_others_need_it() {
        let fared = |of_transport, of_push, is_held| Fared { of_transport, of_push, is_held };
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
