//! Nobody has failed for our fault: each failure has a reason that the provider, the recipient or the offer's text gave.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::Violation;
use super::facts::{Facts, Handover, Notification, Record, Refused, StruckSend, Write};

const PROMISE: &str = "nobody failed for our fault";
/// How often a message is handed over without an answer before its recipient has failed.
const MAX_UNANSWERED: usize = 2;

/// Checks the promise.
pub fn check(facts: &Facts) -> Vec<Violation> {
    let failed = facts.records.iter().filter(|(_, record)| record.state == "failed");
    let undeserved = failed.filter_map(|(notification, record)| {
        let why = undeserved(facts, notification, record)?;
        let Record { code, reason, updated_at, .. } = record;
        let (code, reason) = (code.as_deref().unwrap_or("?"), reason.as_deref().unwrap_or("?"));
        Some(format!("{notification}: failed at {updated_at} as {code} ({reason}), but {why}"))
    });
    undeserved.map(|what| Violation { promise: PROMISE, what }).collect()
}

/// Why a failure is not deserved.
fn undeserved(facts: &Facts, notification: &Notification, record: &Record) -> Option<String> {
    let refusals = |kinds: &[Refused]| {
        // Before the message only the address is known, which may be that of two customers.
        let has_it = |handover: &Handover| handover.code.is_empty() && has_had(facts, notification, &handover.address);
        // What came after it failed is no reason for it: another offer's message may be refused at the same address.
        let failed_by = record.updated_at + facts.limits.skew + facts.limits.skew;
        let handovers = facts.handovers.iter().filter(|handover| handover.begun <= failed_by).filter(|handover| {
            let is_named = handover.notification.as_ref() == Some(notification);
            is_named || (handover.provider.channel() == notification.channel && has_it(handover))
        });
        let refused = handovers.filter(|handover| handover.refused.is_some_and(|refused| kinds.contains(&refused)));
        refused.collect::<Vec<&Handover>>()
    };
    match record.code.as_deref() {
        Some(code @ ("addressUnknown" | "recipientRefused" | "messageRefused" | "refused")) => {
            let is_deserved = !refusals(&[Refused::Deserved]).is_empty();
            let is_judged = code == "refused" && is_the_recipients(facts, &refusals(&[Refused::Unclear]));
            let late = kept_refused(facts, record, &refusals(&RECIPIENTS));
            (!is_deserved && !is_judged && !late)
                .then(|| "the provider never refused its recipient or message for good".to_owned())
        }
        Some("refusedForNow") => {
            let refusals = refusals(&RECIPIENTS);
            let first = refusals.iter().map(|handover| handover.begun).min();
            let since = first.map_or("never".to_owned(), |at| at.to_string());
            (!kept_refused(facts, record, &refusals))
                .then(|| format!("its first refusal was {since}, less than {:#} before", facts.limits.retry_for))
        }
        Some("noResponse") => {
            let claims = claims(facts, notification).filter(|claim| was_unanswered(facts, notification, claim));
            let count = claims.count();
            (count < MAX_UNANSWERED).then(|| format!("it was handed over without an answer {count} times"))
        }
        Some("notComposable") => {
            let offer = facts.offers.get(&notification.offer)?;
            let versions = facts.customers.get(&notification.customer)?;
            let lacks = |name: &String| {
                let mut items = versions.iter().filter_map(|version| version.record.as_ref());
                items.any(|record| record.item["attributes"].get(name).is_none() && record.item.get(name).is_none())
            };
            (!offer.placeholders.iter().any(lacks)).then(|| "its customer lacks nothing that its text needs".to_owned())
        }
        other => Some(format!("{} is no fault of a customer", other.unwrap_or("nothing"))),
    }
}

/// Whether refusals that may be about us are about the recipient: another message was accepted between two of them; or there
/// were so many, for so long, and too few other messages to compare with.
fn is_the_recipients(facts: &Facts, refusals: &[&Handover]) -> bool {
    // A message that was begun first may be refused last: its sender stood still.
    let begun = |handover: &&&Handover| handover.begun;
    let (Some(first), Some(last)) = (refusals.iter().min_by_key(begun), refusals.iter().max_by_key(begun)) else {
        return false;
    };
    // Refusals and acceptances are compared by the clocks of their processes.
    let times = first.begun - facts.limits.skew - facts.limits.skew..=last.begun;
    let is_other = |handover: &&Handover| handover.provider == last.provider && handover.address != last.address;
    let mut others = facts.handovers.iter().filter(is_other);
    // Whether a message is accepted is known when the reply comes.
    let is_accepted = others.clone().any(|other| {
        let known_at = other.taken_at.max(other.answered_at);
        other.taken_at.is_some_and(|at| at <= *times.end()) && known_at >= Some(*times.start())
    });
    // A push is held by its own messages' refusals: those of another offer's content say nothing of this one's.
    let offer = |handover: &Handover| handover.notification.as_ref().map(|notification| notification.offer.clone());
    let refused: BTreeSet<_> = others
        .by_ref()
        .filter(|other| offer(other) == offer(last))
        .filter(|other| other.refused == Some(Refused::Unclear) && times.contains(&other.begun))
        .map(|other| &other.address)
        .collect();
    let is_long = last.begun.duration_since(first.begun) >= ALONE_FOR && refusals.len() >= ALONE_REFUSALS;
    is_accepted || (is_long && refused.len() + 1 < HELD_AT)
}

/// Five recipients in a row whom the provider refuses, and none who is accepted, show that it may be our fault.
const HELD_AT: usize = 5;
/// Fewer have failed after so many refusals each, and so long, with some seconds for clocks that differ.
const ALONE_REFUSALS: usize = 5;
const ALONE_FOR: SignedDuration = SignedDuration::from_secs(25);
/// Refusals that may be about the recipient. What is certainly ours never makes anybody fail.
const RECIPIENTS: [Refused; 3] = [Refused::Deserved, Refused::ForNow, Refused::Unclear];

/// Whether a recipient was refused for as long as refusals are retried.
fn kept_refused(facts: &Facts, record: &Record, refusals: &[&Handover]) -> bool {
    let first = refusals.iter().map(|handover| handover.begun).min();
    let margin = facts.limits.skew + facts.limits.skew;
    first.is_some_and(|first| record.updated_at.duration_since(first) + margin >= facts.limits.retry_for)
}

fn claims<'f>(facts: &'f Facts, notification: &'f Notification) -> impl Iterator<Item = &'f Write> {
    let claims = facts.writes.iter().filter(|write| write.is_claim() && write.at.is_some());
    claims.filter(move |write| write.notification == *notification)
}

/// Whether the customer of a notification has, or had, this address.
fn has_had(facts: &Facts, notification: &Notification, address: &str) -> bool {
    let versions = facts.customers.get(&notification.customer).map_or(&[][..], Vec::as_slice);
    let mut records = versions.iter().filter_map(|version| version.record.as_ref());
    records.any(|record| record.known_address(notification.channel) == Some(address))
}

/// Whether the process that had this claim got no answer: the provider gave none, or a fault took it.
fn was_unanswered(facts: &Facts, notification: &Notification, claim: &Write) -> bool {
    let from = claim.asked_at;
    let released = facts.writes.iter().filter(|write| !write.is_claim() && write.token == claim.token);
    let until = released.map(|write| write.asked_at).max().or(claim.lease_until).unwrap_or(Timestamp::MAX);
    let is_meanwhile = |process: u32, at: Timestamp| process == claim.process && (from..=until).contains(&at);
    // A message that was lost on its way was never handed over: its address tells whose it was.
    let is_its = |send: &StruckSend| send.address.as_ref().is_none_or(|address| has_had(facts, notification, address));
    let mut handovers = facts.handovers.iter().filter(|handover| handover.notification.as_ref() == Some(notification));
    handovers.any(|handover| is_meanwhile(handover.process, handover.begun) && handover.answered_at.is_none())
        || facts.struck_sends.iter().any(|send| is_meanwhile(send.process, send.at) && is_its(send))
}

#[cfg(test)]
mod tests {
    use super::super::samples::{self, again, at, broken_by, notification};
    use super::*;

    /// Some time after all that led to it.
    const FAILED_AT: i64 = 1_000_000;

    fn fail(facts: &mut Facts, code: &str) {
        let record = facts.records.get_mut(&notification()).unwrap();
        "failed".clone_into(&mut record.state);
        record.code = Some(code.to_owned());
        record.reason = Some("why".to_owned());
        record.updated_at = at(FAILED_AT);
        facts.handovers[0].taken_at = None;
    }

    fn refused(code: &str, refused: Refused) -> usize {
        let mut facts = samples::facts();
        fail(&mut facts, code);
        facts.handovers[0].refused = Some(refused);
        check(&facts).len()
    }

    #[test]
    fn nobody_has_failed_in_an_ordinary_run() {
        assert_eq!(check(&samples::facts()), []);
    }

    #[test]
    fn only_a_refusal_of_the_recipient_or_the_message_is_deserved() {
        for code in ["addressUnknown", "recipientRefused", "messageRefused", "refused"] {
            assert_eq!(refused(code, Refused::Deserved), 0, "{code}");
            assert_eq!(refused(code, Refused::Ours), 1, "{code}");
            assert_eq!(refused(code, Refused::ForNow), 1, "{code}");
        }
        for code in ["providerUnavailable", "customerUnreadable"] {
            assert_eq!(refused(code, Refused::Deserved), 1, "{code}");
        }
        let what = broken_by(check, |facts| fail(facts, "recipientRefused"));
        assert!(what[0].contains("the provider never refused"), "{what:?}");
    }

    #[test]
    fn an_unclear_refusal_is_deserved_once_another_message_is_accepted_before_the_next() {
        let with = |refusals: i64, seconds: i64, others: usize, accepted: Option<i64>| {
            let mut facts = samples::facts();
            fail(&mut facts, "refused");
            let first = Handover { refused: Some(Refused::Unclear), ..facts.handovers.remove(0) };
            let later = |handover: &Handover, seconds| {
                let begun = handover.begun + SignedDuration::from_secs(seconds);
                Handover { begun, ..handover.clone() }
            };
            facts.handovers.extend((0..refusals).map(|number| later(&first, seconds * number)));
            let other = |number: usize| {
                let customer = format!("other-{number}");
                let notification = Some(Notification { customer: customer.clone(), ..notification() });
                Handover { address: customer, notification, ..later(&first, 1) }
            };
            facts.handovers.extend((0..others).map(other));
            facts.handovers.extend(accepted.map(|seconds| {
                let accepted = later(&other(0), seconds);
                Handover { taken_at: Some(accepted.begun), refused: None, ..accepted }
            }));
            let found = check(&facts);
            facts.handovers.reverse();
            assert_eq!(check(&facts), found, "the order does not matter: a sender may stand still");
            found.len()
        };
        assert_eq!((with(2, 10, 0, Some(3)), with(2, 10, 0, Some(30)), with(2, 10, 0, None)), (0, 1, 1));
        assert_eq!((with(5, 10, 3, None), with(5, 10, 4, None), with(5, 2, 0, None)), (0, 1, 1));
    }

    #[test]
    fn a_refusal_after_it_failed_is_neither_a_reason_nor_against_one() {
        let mut facts = samples::facts();
        fail(&mut facts, "recipientRefused");
        facts.handovers[0].refused = Some(Refused::Deserved);
        facts.handovers[0].begun = at(FAILED_AT) + SignedDuration::from_mins(1);
        assert_eq!(check(&facts).len(), 1);

        let mut facts = samples::facts();
        fail(&mut facts, "refused");
        let first = Handover { refused: Some(Refused::Unclear), ..facts.handovers.remove(0) };
        let alone =
            (0..5).map(|n| Handover { begun: first.begun + SignedDuration::from_secs(10 * n), ..first.clone() });
        facts.handovers.extend(alone);
        let later = at(FAILED_AT) + SignedDuration::from_mins(1);
        facts.handovers.extend((0..9).map(|n| Handover {
            address: format!("other-{n}"),
            begun: later,
            ..first.clone()
        }));
        facts.handovers.push(Handover { begun: later + SignedDuration::from_secs(1), ..first });
        assert_eq!(check(&facts), []);
    }

    #[test]
    fn an_acceptance_is_known_when_its_reply_comes() {
        let with = |answered: i64| {
            let mut facts = samples::facts();
            let accepted = Handover { address: "other".to_owned(), ..facts.handovers[0].clone() };
            fail(&mut facts, "refused");
            let first = Handover { refused: Some(Refused::Unclear), ..facts.handovers.remove(0) };
            let (second, third) = (SignedDuration::from_secs(2), SignedDuration::from_secs(answered));
            let taken_at = Some(first.begun - SignedDuration::from_secs(10));
            let answered_at = taken_at.map(|at| at + third);
            facts.handovers.push(Handover { begun: first.begun + second, ..first.clone() });
            facts.handovers.push(Handover { taken_at, answered_at, ..accepted });
            facts.handovers.push(first);
            check(&facts).len()
        };
        assert_eq!((with(0), with(11)), (1, 0));
    }

    #[test]
    fn refusals_for_now_fail_after_the_hours_of_retries() {
        assert_eq!(refused("refusedForNow", Refused::ForNow), 1);
        let mut facts = samples::facts();
        fail(&mut facts, "refusedForNow");
        facts.handovers[0].refused = Some(Refused::ForNow);
        facts.records.get_mut(&notification()).unwrap().updated_at = at(10_050) + SignedDuration::from_hours(72);
        assert_eq!(check(&facts), []);
        facts.handovers[0].refused = Some(Refused::Ours);
        assert_eq!(check(&facts).len(), 1, "our fault is nobody else's, however long it lasts");
    }

    #[test]
    fn two_handovers_without_an_answer_are_needed() {
        let mut facts = samples::facts();
        fail(&mut facts, "noResponse");
        again(&mut facts, 4, 20_000);
        facts.handovers[0].answered_at = None;
        let found = check(&facts);
        assert!(found[0].what.contains("without an answer 1 times"), "{found:?}");
        let send = |address: Option<&str>| {
            let address = address.map(str::to_owned);
            StruckSend { process: 4, at: at(30_060), address, is_fault: true }
        };
        facts.struck_sends.push(send(Some("zq2@person.example")));
        assert_eq!(check(&facts).len(), 1, "a message to somebody else");
        for address in [None, Some(samples::ADDRESS)] {
            facts.struck_sends = vec![send(address)];
            assert_eq!(check(&facts), []);
        }
        facts.struck_sends.clear();
        facts.handovers[1].answered_at = None;
        assert_eq!(check(&facts), []);
    }

    #[test]
    fn a_message_that_lacks_a_value_is_deserved() {
        let with = |placeholder: &str| {
            let mut facts = samples::facts();
            fail(&mut facts, "notComposable");
            facts.offers.get_mut(samples::OFFER).unwrap().placeholders.insert(placeholder.to_owned());
            check(&facts).len()
        };
        assert_eq!((with("tier"), with("name"), with("balance")), (1, 1, 0));
    }
}
