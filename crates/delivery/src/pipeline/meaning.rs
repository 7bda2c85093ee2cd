//! What one attempt to send means: for the delivery, the address, the circuit breaker, the push and the batch.

use domain::AddressHash;
use domain::notification::{Outcome, ReasonCode, Suspect};
use store::deliveries::{FinalOutcome, Release};

use super::breaker::{Return, Signal};
use super::deferral::Unfinished;
use super::judgement::Judgement;
use super::round::{Counted, NotificationState};
use crate::transport::{Accepted, Refusal, RefusalKind, SendError};

/// A notification that was handed over this often without a response is not tried again.
pub(super) const MAX_UNANSWERED: u32 = 2;

/// What one attempt means.
#[derive(Debug, PartialEq)]
pub(super) struct Meaning<'a> {
    /// For the delivery.
    pub(super) record: Record<'a>,
    /// For the address.
    pub(super) suppression: Option<Suppression>,
    /// For the circuit breaker.
    pub(super) signal: Signal,
    /// For the push: it is held, because of this suspect.
    pub(super) hold: Option<Suspect>,
    /// For the batch, once the record is written.
    pub(super) next: NotificationState,
}

/// What to write about an attempt.
#[derive(Debug, PartialEq)]
pub(super) enum Record<'a> {
    /// The notification is final.
    Final(FinalOutcome),
    /// The claim is released, and the notification is tried again.
    Retry { release: Release<'a>, code: ReasonCode, reason: String },
    /// Nothing: the lease has ended, and another invocation may hold the claim.
    Nothing,
}

/// Why an address is to be suppressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Suppression {
    /// Its owner opted out with the provider.
    OptedOut,
    /// It does not exist.
    Unknown {
        /// Whether the provider accepts other recipients at present.
        others_are_accepted: bool,
    },
}

/// What is known when an attempt is classified.
#[derive(Debug, Clone, Copy)]
pub(super) struct Circumstances<'a> {
    /// Earlier handovers without a response.
    pub(super) unanswered: u32,
    /// The address that was tried.
    pub(super) address_hash: &'a AddressHash,
    /// Whether the attempt is a probe. What a probe finds out is about the transport, so it makes only an acceptance
    /// final.
    pub(super) is_probe: bool,
    /// Whether the provider accepts other recipients at present.
    pub(super) others_are_accepted: bool,
    /// What the other messages show about an ambiguous refusal.
    pub(super) judgement: Judgement,
}

/// What the result of sending means.
pub(super) fn classify<'a>(sent: &Result<Accepted, SendError>, known: Circumstances<'a>) -> Meaning<'a> {
    let signal = Signal::of(sent);
    let (record, suppression) = match sent {
        Ok(accepted) => (Record::Final(accepted_as(accepted, known.address_hash)), None),
        Err(SendError::Refused(refusal)) => classify_refusal(refusal, known),
        Err(SendError::OptedOut(reason)) => {
            let outcome = FinalOutcome::unsent(ReasonCode::OptedOut, reason);
            (Record::Final(outcome), Some(Suppression::OptedOut))
        }
        // The customer may have it. As with a rejection, another push does not retry it by itself.
        Err(SendError::Unanswered(reason)) if known.unanswered + 1 >= MAX_UNANSWERED && !known.is_probe => {
            let reason = format!("handed over twice without a response: {reason}");
            (Record::Final(failed(*known.address_hash, ReasonCode::NoResponse, reason)), None)
        }
        Err(error @ SendError::Unanswered(_)) => (retry(Release::Unanswered, ReasonCode::NoResponse, error), None),
        Err(error @ SendError::Unreachable(_)) => {
            (retry(Release::Unsent, ReasonCode::ProviderUnavailable, error), None)
        }
        Err(SendError::TooLate) => (Record::Nothing, None),
    };
    let hold = match sent {
        Err(SendError::Refused(Refusal { kind: RefusalKind::Ambiguous(suspect), .. })) => {
            (known.judgement == Judgement::Held).then_some(*suspect)
        }
        _ => None,
    };
    let next = match (&record, &signal) {
        (Record::Final(written), _) => NotificationState::Final(Counted::Outcome(written.outcome, written.code)),
        (Record::Retry { .. }, Signal::Unreachable(_)) => {
            NotificationState::Unfinished(Unfinished::BreakerOpen(Return::Soon))
        }
        (Record::Retry { .. }, _) => NotificationState::Unfinished(Unfinished::NotAccepted),
        (Record::Nothing, _) => NotificationState::Unfinished(Unfinished::NoTime),
    };
    Meaning { record, suppression, signal, hold, next }
}

fn classify_refusal<'a>(refusal: &Refusal, known: Circumstances<'a>) -> (Record<'a>, Option<Suppression>) {
    let is_final = match refusal.kind {
        RefusalKind::Recipient | RefusalKind::Message => true,
        // While no other is accepted, it is kept for a moment: others may be accepted at this very time.
        RefusalKind::UnknownAddress => known.others_are_accepted,
        RefusalKind::Ambiguous(_) => known.judgement == Judgement::Recipient,
        RefusalKind::Temporary => false,
    };
    if is_final && !known.is_probe {
        let outcome = failed(*known.address_hash, refusal.kind.code(), refusal.text.clone());
        let is_unknown = refusal.kind == RefusalKind::UnknownAddress;
        let suppression = Suppression::Unknown { others_are_accepted: true };
        (Record::Final(outcome), is_unknown.then_some(suppression))
    } else {
        (retry(Release::Refused(known.address_hash), refusal.kind.code(), refusal), None)
    }
}

fn retry<'a>(release: Release<'a>, code: ReasonCode, reason: &impl ToString) -> Record<'a> {
    Record::Retry { release, code, reason: reason.to_string() }
}

fn accepted_as(accepted: &Accepted, address_hash: &AddressHash) -> FinalOutcome {
    FinalOutcome {
        outcome: Outcome::Sent,
        code: None,
        reason: None,
        provider_message_id: Some(accepted.message_id.clone()),
        address_hash: Some(*address_hash),
    }
}

/// A failure at this address.
pub(super) fn failed(address_hash: AddressHash, code: ReasonCode, reason: String) -> FinalOutcome {
    FinalOutcome { address_hash: Some(address_hash), ..FinalOutcome::unsent(code, reason) }
}

#[cfg(test)]
mod tests {
    use domain::Channel;

    use super::*;

    const CERTAIN: [RefusalKind; 2] = [RefusalKind::Recipient, RefusalKind::Message];
    const AMBIGUOUS: [RefusalKind; 2] =
        [RefusalKind::Ambiguous(Suspect::Sender), RefusalKind::Ambiguous(Suspect::Content)];
    const JUDGEMENTS: [Judgement; 3] = [Judgement::Recipient, Judgement::Held, Judgement::Unclear];

    fn address_hash() -> AddressHash {
        testing::address_hash(Channel::Email, "asha@example.com")
    }

    /// Nothing special: the first attempt, no probe, others are accepted.
    fn usual(address_hash: &AddressHash) -> Circumstances<'_> {
        Circumstances {
            unanswered: 0,
            address_hash,
            is_probe: false,
            others_are_accepted: true,
            judgement: Judgement::Unclear,
        }
    }

    fn refused(kind: RefusalKind) -> Result<Accepted, SendError> {
        Err(SendError::refused(kind, "why"))
    }

    fn unanswered() -> Result<Accepted, SendError> {
        Err(SendError::Unanswered("why".to_owned()))
    }

    fn final_outcome(meaning: Meaning<'_>) -> FinalOutcome {
        match meaning.record {
            Record::Final(outcome) => {
                let next = NotificationState::Final(Counted::Outcome(outcome.outcome, outcome.code));
                assert_eq!((meaning.next, meaning.hold), (next, None));
                outcome
            }
            other => panic!("not final: {other:?}"),
        }
    }

    /// What a notification that is tried again keeps, with its code and reason.
    fn kept<'a>(meaning: &'a Meaning<'a>) -> (Release<'a>, ReasonCode, &'a str) {
        assert!(matches!(meaning.next, NotificationState::Unfinished(_)), "{meaning:?}");
        match &meaning.record {
            Record::Retry { release, code, reason } => (*release, *code, reason),
            other => panic!("not tried again: {other:?}"),
        }
    }

    /// A later push sends again what failed without an address, so each message that may have arrived keeps it.
    #[test]
    fn accepted_message_is_sent_whatever_the_circumstances() {
        let hash = address_hash();
        let sent = Ok(Accepted { message_id: "m-1".to_owned() });
        for is_probe in [false, true] {
            let meaning = classify(&sent, Circumstances { is_probe, unanswered: 1, ..usual(&hash) });
            assert_eq!((&meaning.signal, meaning.suppression), (&Signal::Reached, None));
            let expected = FinalOutcome {
                outcome: Outcome::Sent,
                code: None,
                reason: None,
                provider_message_id: Some("m-1".to_owned()),
                address_hash: Some(hash),
            };
            assert_eq!(final_outcome(meaning), expected);
        }
    }

    #[test]
    fn refusal_of_recipient_or_message_is_final() {
        let hash = address_hash();
        for kind in CERTAIN {
            let meaning = classify(&refused(kind), usual(&hash));
            assert_eq!((&meaning.signal, meaning.suppression), (&Signal::Reached, None), "{kind:?}");
            assert_eq!(final_outcome(meaning), failed(hash, kind.code(), "why".to_owned()), "{kind:?}");
        }
    }

    #[test]
    fn unknown_address_is_suppressed_while_others_are_accepted() {
        let hash = address_hash();
        let sent = refused(RefusalKind::UnknownAddress);
        let meaning = classify(&sent, usual(&hash));
        assert_eq!(meaning.suppression, Some(Suppression::Unknown { others_are_accepted: true }));
        assert_eq!(final_outcome(meaning), failed(hash, ReasonCode::AddressUnknown, "why".to_owned()));
        let alone = classify(&sent, Circumstances { others_are_accepted: false, ..usual(&hash) });
        assert_eq!(kept(&alone), (Release::Refused(&hash), ReasonCode::AddressUnknown, "rejected: why"));
        assert_eq!(alone.suppression, None);
    }

    #[test]
    fn ambiguous_refusal_is_judged_by_the_other_messages() {
        let hash = address_hash();
        for (kind, judgement) in AMBIGUOUS.into_iter().flat_map(|kind| JUDGEMENTS.map(|judgement| (kind, judgement))) {
            let meaning = classify(&refused(kind), Circumstances { judgement, ..usual(&hash) });
            assert_eq!((&meaning.signal, meaning.suppression), (&Signal::Reached, None));
            let RefusalKind::Ambiguous(suspect) = kind else { unreachable!("all of them are") };
            match judgement {
                Judgement::Recipient => {
                    assert_eq!(final_outcome(meaning), failed(hash, ReasonCode::Refused, "why".to_owned()));
                }
                Judgement::Held | Judgement::Unclear => {
                    assert_eq!(kept(&meaning), (Release::Refused(&hash), ReasonCode::Refused, "refused: why"));
                    assert_eq!(meaning.hold, (judgement == Judgement::Held).then_some(suspect));
                }
            }
        }
    }

    #[test]
    fn temporary_refusal_is_tried_again() {
        let hash = address_hash();
        let meaning = classify(&refused(RefusalKind::Temporary), usual(&hash));
        assert_eq!(kept(&meaning), (Release::Refused(&hash), ReasonCode::RefusedForNow, "not accepted for now: why"));
        assert_eq!(meaning.next, NotificationState::Unfinished(Unfinished::NotAccepted));
        assert_eq!(meaning.signal, Signal::Reached);
    }

    #[test]
    fn message_without_a_response_is_handed_over_twice_at_most() {
        let hash = address_hash();
        let first = classify(&unanswered(), usual(&hash));
        assert_eq!(kept(&first), (Release::Unanswered, ReasonCode::NoResponse, "handed over without a response: why"));
        for earlier in [1, 7] {
            let second = classify(&unanswered(), Circumstances { unanswered: earlier, ..usual(&hash) });
            assert_eq!(second.signal, Signal::NoResponse("why".to_owned()));
            let reason = "handed over twice without a response: why".to_owned();
            assert_eq!(final_outcome(second), failed(hash, ReasonCode::NoResponse, reason), "{earlier}");
        }
    }

    #[test]
    fn probe_makes_only_acceptance_final() {
        let hash = address_hash();
        let kinds = CERTAIN.into_iter().chain(AMBIGUOUS).chain([RefusalKind::UnknownAddress, RefusalKind::Temporary]);
        for (kind, judgement) in kinds.flat_map(|kind| JUDGEMENTS.map(|judgement| (kind, judgement))) {
            let probe = Circumstances { is_probe: true, judgement, ..usual(&hash) };
            let meaning = classify(&refused(kind), probe);
            assert_eq!(
                (kept(&meaning).0, meaning.suppression),
                (Release::Refused(&hash), None),
                "{kind:?} {judgement:?}"
            );
        }
        let meaning = classify(&unanswered(), Circumstances { is_probe: true, unanswered: 1, ..usual(&hash) });
        assert_eq!(kept(&meaning).0, Release::Unanswered);
    }

    #[test]
    fn unavailable_provider_is_no_customers_failure() {
        let hash = address_hash();
        for unanswered in [0, 1] {
            let sent = Err(SendError::Unreachable("why".to_owned()));
            let meaning = classify(&sent, Circumstances { unanswered, ..usual(&hash) });
            assert_eq!(kept(&meaning), (Release::Unsent, ReasonCode::ProviderUnavailable, "unreachable: why"));
            assert_eq!(meaning.next, NotificationState::Unfinished(Unfinished::BreakerOpen(Return::Soon)));
            assert_eq!(meaning.signal, Signal::Unreachable("why".to_owned()));
        }
    }

    #[test]
    fn customer_who_opted_out_with_the_provider_is_suppressed() {
        let hash = address_hash();
        let meaning = classify(&Err(SendError::OptedOut("why".to_owned())), usual(&hash));
        assert_eq!(meaning.suppression, Some(Suppression::OptedOut));
        let expected = FinalOutcome::unsent(ReasonCode::OptedOut, "why");
        assert_eq!(final_outcome(meaning), expected);
    }

    #[test]
    fn attempt_that_came_too_late_means_nothing_but_that_time_is_up() {
        let hash = address_hash();
        let meaning = classify(&Err(SendError::TooLate), usual(&hash));
        assert_eq!((meaning.record, meaning.signal), (Record::Nothing, Signal::Unknown));
        assert_eq!(meaning.next, NotificationState::Unfinished(Unfinished::NoTime));
    }
}
