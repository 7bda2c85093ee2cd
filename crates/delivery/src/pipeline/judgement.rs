//! Whose fault a refusal is if its code does not show it: what the other messages show, and what happened before.
//!
//! A recipient who is refused ambiguously is tried again. If the provider has accepted a message since, the second
//! refusal is the recipient's fault. If it has refused many different recipients in a row, the fault is ours, or the
//! content's: the push is held, and its recipients are tried again until one of them is accepted.

use domain::AddressHash;
use domain::notification::ReasonCode;
use jiff::{SignedDuration, Timestamp};
use store::deliveries::{FinalOutcome, PastRefusal, PendingDelivery};
use store::limits::{Evidence, RUN_LENGTH};

use super::meaning::{MAX_UNANSWERED, failed};

/// A message that was accepted within this time of a refusal shows that the provider accepted our mail then.
const NEIGHBOURS_WITHIN: SignedDuration = SignedDuration::from_secs(60);
/// Acceptances are recorded every ten seconds, so one this old shows that messages are accepted at present.
pub(super) const JUST_NOW: SignedDuration = SignedDuration::from_secs(15);
/// A recipient who is refused without others to compare with has at least this much time since the first of these refusals: a
/// provider may refuse all messages for a moment.
const MIN_TIME_ALONE: SignedDuration = SignedDuration::from_secs(30);
/// What was said of an address before counts for this long: two of the longest waits for a probe.
const MAX_UNKNOWN_AGE: SignedDuration = SignedDuration::from_secs(120);
/// A recipient who is refused for now is given up only if the last try is not older: twice the longest backoff.
const MAX_LAST_TRY_AGE: SignedDuration = SignedDuration::from_mins(30);

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

/// Judges an ambiguous refusal at `now`. `past` is the recipient's ambiguous refusal before; `evidence` is how the other
/// messages have fared, this refusal included.
pub(super) fn judge(past: Option<&PastRefusal>, evidence: &Evidence, now: Timestamp) -> Judgement {
    let few_are_refused = evidence.refused < RUN_LENGTH;
    if !few_are_refused && !evidence.is_cleared {
        return Judgement::Held;
    }
    let Some(past) = past else { return Judgement::Unclear };
    let others_accepted_since = evidence.accepted_at > Some(past.at);
    // With many refused at a time, only if the others are accepted at this very time: the provider may have begun to
    // refuse all.
    let others_are_accepted = few_are_refused || evidence.accepted_at.is_some_and(|at| at + JUST_NOW > now);
    // No other recipient is refused, or too few are left to show anything.
    let is_refused_on_its_own =
        few_are_refused && past.count as usize + 1 >= RUN_LENGTH && past.alike_since + MIN_TIME_ALONE <= now;
    if (others_accepted_since && others_are_accepted) || is_refused_on_its_own {
        Judgement::Recipient
    } else {
        Judgement::Unclear
    }
}

/// Whether another attempt would show nothing, after an ambiguous refusal: many recipients of a push that is cleared are
/// refused, and no message has been accepted since.
pub(super) fn waits_for_evidence(pending: &PendingDelivery, of_transport: &Evidence, is_cleared: bool) -> bool {
    let accepted_since = |at| of_transport.accepted_at > Some(at);
    let is_unclear = |refusal: &PastRefusal| refusal.code == Some(ReasonCode::Refused) && !accepted_since(refusal.at);
    is_cleared && of_transport.refused >= RUN_LENGTH && pending.refusal.as_ref().is_some_and(is_unclear)
}

/// Whether others were accepted about when a recipient was refused, so that the refusal was not of us.
pub(super) fn others_were_accepted(accepted_at: Option<Timestamp>, refused_at: Timestamp) -> bool {
    accepted_at.is_some_and(|accepted| accepted.duration_since(refused_at).abs() <= NEIGHBOURS_WITHIN)
}

/// The outcome of a delivery that need not be tried again.
#[derive(Debug, PartialEq)]
pub(super) struct Resolution {
    pub(super) outcome: FinalOutcome,
    /// Set if the address does not exist: whether others were accepted.
    pub(super) unknown_address: Option<bool>,
}

/// Returns the outcome of a delivery if what happened before decides it. `accepted_at` is when the transport last
/// accepted a message; `is_held` is whether the push is held, so that no recipient is tried often.
pub(super) fn resolve(
    pending: &PendingDelivery,
    address_hash: &AddressHash,
    accepted_at: Option<Timestamp>,
    now: Timestamp,
    retry_for: SignedDuration,
    is_held: bool,
) -> Option<Resolution> {
    let decided = |code, reason: &str| Resolution {
        outcome: failed(*address_hash, code, reason.to_owned()),
        unknown_address: None,
    };
    if pending.unanswered >= MAX_UNANSWERED {
        return Some(decided(ReasonCode::NoResponse, ReasonCode::NoResponse.in_words()));
    }
    let refusal = pending.refusal.as_ref().filter(|refusal| refusal.is_at(address_hash))?;
    let age = now.duration_since(refusal.at);
    let code = refusal.code.unwrap_or(ReasonCode::RefusedForNow);
    match code {
        ReasonCode::AddressUnknown if age <= MAX_UNKNOWN_AGE => {
            let others = others_were_accepted(accepted_at, refusal.at);
            Some(Resolution { unknown_address: Some(others), ..decided(code, &refusal.reason) })
        }
        // A probe met it.
        ReasonCode::RecipientRefused | ReasonCode::MessageRefused => Some(decided(code, &refusal.reason)),
        // Only if it was tried of late: the provider may have been unavailable since.
        _ if refusal.since + retry_for <= now && (age <= MAX_LAST_TRY_AGE || is_held) => {
            Some(decided(code, &refusal.reason))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use domain::{Channel, TransportId};

    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;
    const RETRY_FOR: SignedDuration = SignedDuration::from_hours(72);

    fn after(seconds: i64) -> Timestamp {
        NOW + SignedDuration::from_secs(seconds)
    }

    fn address_hash() -> AddressHash {
        testing::address_hash(Channel::Email, "asha@example.com")
    }

    /// The last of so many refusals alike, the first of them at 0.
    fn refusal(at: Timestamp, count: u32, code: ReasonCode) -> PastRefusal {
        let (reason, address_hash) = ("why".to_owned(), address_hash().to_string());
        let (code, transport) = (Some(code), Some(TransportId::Smtp));
        PastRefusal { at, since: NOW, count, alike_since: NOW, code, reason, transport, address_hash }
    }

    fn evidence(accepted_at: Option<i64>, refused: usize, is_cleared: bool) -> Evidence {
        Evidence { accepted_at: accepted_at.map(after), refused, is_cleared }
    }

    #[test]
    fn other_messages_show_whose_fault_a_refusal_is() {
        for (refusals, accepted_at, refused, is_cleared, now, expected) in [
            // The first refusal shows nothing, whichever message was accepted before.
            (0, None, 1, false, 40, Judgement::Unclear),
            (0, Some(5), 1, false, 40, Judgement::Unclear),
            (0, Some(5), 4, false, 40, Judgement::Unclear),
            // Refused at 10, and again after another was accepted.
            (1, Some(11), 1, false, 40, Judgement::Recipient),
            (1, Some(11), 4, false, 40, Judgement::Recipient),
            (1, Some(10), 1, false, 40, Judgement::Unclear),
            (1, None, 1, false, 40, Judgement::Unclear),
            // Refused as often as it takes to hold a push, and for half a minute, while no others are refused.
            (3, None, 1, false, 40, Judgement::Unclear),
            (4, None, 1, false, 29, Judgement::Unclear),
            (4, None, 1, false, 30, Judgement::Recipient),
            (4, None, 4, false, 30, Judgement::Recipient),
            // Five different recipients, and none is accepted.
            (0, None, 5, false, 40, Judgement::Held),
            (0, Some(5), 5, false, 40, Judgement::Held),
            (1, Some(11), 5, false, 12, Judgement::Held),
            (4, None, 5, false, 40, Judgement::Held),
            // Other pushes' messages are accepted at the same time.
            (0, Some(5), 5, true, 12, Judgement::Unclear),
            (1, Some(11), 5, true, 25, Judgement::Recipient),
            // They were: the provider may refuse all messages now.
            (1, Some(11), 5, true, 26, Judgement::Unclear),
            (9, Some(5), 5, true, 40, Judgement::Unclear),
        ] {
            // It was refused for other reasons before.
            let since = NOW - SignedDuration::from_hours(1);
            let past =
                (refusals > 0).then(|| PastRefusal { since, ..refusal(after(10), refusals, ReasonCode::Refused) });
            let judged = judge(past.as_ref(), &evidence(accepted_at, refused, is_cleared), after(now));
            assert_eq!(
                judged, expected,
                "{refusals} before, {accepted_at:?}, {refused} refused, {is_cleared}, at {now}"
            );
        }
    }

    #[test]
    fn what_happened_before_decides_some_deliveries() {
        let hour = 3600;
        let of = |unanswered, refusal| PendingDelivery { unanswered, refusal };
        let temporary = |at| Some(refusal(after(at), 9, ReasonCode::RefusedForNow));
        let unknown = Some(refusal(after(100), 1, ReasonCode::AddressUnknown));
        let of_code = |code| of(0, Some(refusal(after(100), 1, code)));
        let given_up = Some((ReasonCode::RefusedForNow, "why", None));
        let of_unknown = |others| Some((ReasonCode::AddressUnknown, "why", Some(others)));
        for (pending, accepted_at, now, is_held, expected) in [
            (of(0, None), None, 0, false, None),
            (of(1, None), None, 0, false, None),
            (of(2, None), None, 0, false, Some((ReasonCode::NoResponse, "handed over twice without a response", None))),
            (of(0, temporary(71 * hour)), None, 72 * hour - 1, false, None),
            (of(0, temporary(72 * hour - 1800)), None, 72 * hour, false, given_up),
            // The provider was unavailable since: it is tried once more.
            (of(0, temporary(72 * hour - 1801)), None, 72 * hour, false, None),
            (of(0, temporary(hour)), None, 72 * hour, true, given_up),
            (of(0, unknown.clone()), None, 101, false, of_unknown(false)),
            (of(0, unknown.clone()), Some(39), 101, false, of_unknown(false)),
            (of(0, unknown.clone()), Some(40), 101, false, of_unknown(true)),
            (of(0, unknown.clone()), Some(160), 161, false, of_unknown(true)),
            (of(0, unknown.clone()), Some(161), 161, false, of_unknown(false)),
            (of(0, unknown), Some(101), 221, false, None),
            (of_code(ReasonCode::Refused), Some(101), 101, false, None),
            (of_code(ReasonCode::RecipientRefused), None, 999, true, Some((ReasonCode::RecipientRefused, "why", None))),
            (of_code(ReasonCode::MessageRefused), None, 999, true, Some((ReasonCode::MessageRefused, "why", None))),
        ] {
            let resolved = resolve(&pending, &address_hash(), accepted_at.map(after), after(now), RETRY_FOR, is_held);
            let expected = expected.map(|(code, reason, unknown_address)| Resolution {
                outcome: failed(address_hash(), code, reason.to_owned()),
                unknown_address,
            });
            assert_eq!(resolved, expected, "{pending:?} at {now}");
        }
    }

    #[test]
    fn recipients_of_a_cleared_push_are_tried_again_once_another_is_accepted() {
        let of = |code| PendingDelivery { unanswered: 0, refusal: Some(refusal(after(10), 1, code)) };
        let (unclear, busy) = (of(ReasonCode::Refused), of(ReasonCode::RefusedForNow));
        for (pending, accepted_at, refused, is_cleared, expected) in [
            (&unclear, Some(5), 5, true, true),
            (&unclear, Some(11), 5, true, false),
            (&unclear, Some(5), 4, true, false),
            (&unclear, Some(5), 5, false, false),
            (&busy, Some(5), 5, true, false),
            (&PendingDelivery { unanswered: 1, refusal: None }, Some(5), 5, true, false),
        ] {
            let waits = waits_for_evidence(pending, &evidence(accepted_at, refused, false), is_cleared);
            assert_eq!(waits, expected, "{pending:?}, {accepted_at:?}, {refused}, {is_cleared}");
        }
    }

    #[test]
    fn refusal_at_another_address_decides_nothing() {
        let refusal = refusal(after(0), 9, ReasonCode::AddressUnknown);
        let pending = PendingDelivery { unanswered: 0, refusal: Some(refusal) };
        let new_address = testing::address_hash(Channel::Email, "asha@bank.example");
        assert_eq!(resolve(&pending, &new_address, None, after(1_000_000), RETRY_FOR, true), None);
    }
}
