//! Answers count: a claim hands over once, an answer that came is recorded as what it was, and one that did not come as
//! unanswered.

use std::collections::BTreeMap;

use domain::TransportId;
use jiff::SignedDuration;

use super::Violation;
use super::facts::{Facts, Handover, Notification, Write};

const PROMISE: &str = "answers count";
/// How often a message is handed over without an answer before its recipient has failed.
const MAX_UNANSWERED: usize = 2;
/// How long a process may take from a message to its record.
const RECORDED_WITHIN: SignedDuration = SignedDuration::from_mins(15);

/// Checks the promise.
pub fn check(facts: &Facts) -> Vec<Violation> {
    let mut found = once_a_claim(facts);
    for handover in facts.handovers.iter().filter(|handover| handover.taken_at.is_some()) {
        let what = match handover.answered_at {
            Some(_) => not_sent(facts, handover),
            None => not_unanswered(facts, handover),
        };
        found.extend(what);
    }
    found.extend(too_often(facts));
    found.into_iter().map(|what| Violation { promise: PROMISE, what }).collect()
}

fn describe(handover: &Handover) -> String {
    let Handover { number, provider, process, begun, notification, .. } = handover;
    let notification = notification.as_ref().map_or("a message".to_owned(), ToString::to_string);
    format!("{notification}: process {process} handed number {number} to {provider} at {begun}")
}

/// Claims under which more was handed over than one message. A mail server may be tried again at another connection, as long
/// as it has not taken the message; a call of SES or SNS is made once.
fn once_a_claim(facts: &Facts) -> Vec<String> {
    let mut by_token: BTreeMap<&str, Vec<&Handover>> = BTreeMap::new();
    for handover in &facts.handovers {
        if let Some(token) = facts.claim_of(handover).and_then(|claim| claim.token.as_deref()) {
            by_token.entry(token).or_default().push(handover);
        }
    }
    let too_many = by_token.into_values().filter_map(|handovers| {
        let taken = handovers.iter().filter(|handover| handover.taken_at.is_some()).count();
        let calls = handovers.iter().filter(|handover| handover.provider != TransportId::Smtp).count();
        let last = handovers.last()?;
        (taken > 1 || calls > 1).then(|| format!("{}, of {} under one claim", describe(last), handovers.len()))
    });
    too_many.collect()
}

/// What was recorded of a handover under its claim.
fn outcomes<'f>(facts: &'f Facts, handover: &'f Handover) -> (Option<&'f Write>, Vec<&'f Write>) {
    let claim = facts.claim_of(handover);
    let Some(token) = claim.and_then(|claim| claim.token.as_ref()) else { return (claim, Vec::new()) };
    let own = facts.writes.iter().filter(|write| !write.is_claim() && write.token.as_ref() == Some(token));
    (claim, own.filter(|write| write.asked_at >= handover.begun).collect())
}

/// Whether the process died, or stood still, before it can have recorded what became of a message.
fn was_ended(facts: &Facts, handover: &Handover) -> bool {
    let (process, from) = (handover.process, handover.begun);
    let until = from + RECORDED_WITHIN;
    facts.deaths.iter().any(|death| death.process == process && (from..=until).contains(&death.at))
        || facts.freezes.iter().any(|freeze| freeze.process == process && freeze.from <= until && freeze.until >= from)
}

/// Whether a record was struck, came after its lease, or the store did not take it.
fn was_hampered(claim: &Write, writes: &[&Write]) -> bool {
    let is_hampered = |write: &Write| {
        write.is_struck
            || (write.at.is_none() && !write.is_refused)
            || claim.lease_until.is_some_and(|lease| write.asked_at >= lease)
    };
    writes.iter().any(|write| is_hampered(write))
}

/// A message whose answer came, and that is not recorded as sent at the end.
fn not_sent(facts: &Facts, handover: &Handover) -> Option<String> {
    let notification = handover.notification.as_ref()?;
    let (claim, writes) = outcomes(facts, handover);
    if was_hampered(claim?, &writes) {
        return None;
    }
    let is_recorded = writes.iter().any(|write| write.at.is_some());
    let until = handover.begun + RECORDED_WITHIN;
    let is_held_up = facts.held_up(handover.process, handover.begun, until) > SignedDuration::ZERO;
    if !is_recorded && (was_ended(facts, handover) || is_held_up) {
        return None;
    }
    let state = facts.records.get(notification).map_or("without a record", |record| record.state.as_str());
    (state != "sent").then(|| format!("{}, had the answer, and it is {state}", describe(handover)))
}

/// A message without an answer whose record does not say so.
fn not_unanswered(facts: &Facts, handover: &Handover) -> Option<String> {
    let (_, writes) = outcomes(facts, handover);
    if was_ended(facts, handover) || facts.was_struck(handover) {
        return None;
    }
    // Another handover under this claim may have had its answer.
    let wrong = writes.iter().find(|write| write.at.is_some() && !write.is_unanswered && write.state != "failed")?;
    Some(format!("{}, had no answer, and recorded it at {} as {}", describe(handover), wrong.asked_at, wrong.state))
}

/// Notifications that one transport took without an answer more often than is tried, by processes that lived.
fn too_often(facts: &Facts) -> Vec<String> {
    let mut unanswered: BTreeMap<(&Notification, TransportId), Vec<&Handover>> = BTreeMap::new();
    for handover in facts.handovers.iter().filter(|handover| handover.answered_at.is_none()) {
        let Some(notification) = handover.notification.as_ref().filter(|_| handover.taken_at.is_some()) else {
            continue;
        };
        let (claim, writes) = outcomes(facts, handover);
        let is_recorded = writes.iter().any(|write| write.at.is_some());
        let is_usual = claim.is_some_and(|claim| !was_hampered(claim, &writes)) && is_recorded;
        if is_usual && !was_ended(facts, handover) && !facts.was_struck(handover) {
            unanswered.entry((notification, handover.provider)).or_default().push(handover);
        }
    }
    let too_often = unanswered.into_iter().filter_map(|((notification, _), handovers)| {
        // Another push may try again what has failed.
        let pushes = facts.requests.iter().filter(|(offer, _)| *offer == notification.offer).count();
        let last = handovers.last()?;
        (handovers.len() > MAX_UNANSWERED * pushes.max(1))
            .then(|| format!("{}, the {}th time without an answer", describe(last), handovers.len()))
    });
    too_often.collect()
}

#[cfg(test)]
mod tests {
    use super::super::facts::{Death, Freeze, Refused, StruckSend};
    use super::super::samples::{self, again, at, broken_by, notification};
    use super::*;

    /// Nothing answered the message, and that is recorded.
    fn unanswered(facts: &mut Facts) {
        for handover in &mut facts.handovers {
            handover.answered_at = None;
        }
        for write in facts.writes.iter_mut().filter(|write| !write.is_claim()) {
            write.state = "retry".to_owned();
            write.is_unanswered = true;
        }
    }

    #[test]
    fn an_ordinary_run_records_its_answer() {
        assert_eq!(check(&samples::facts()), []);
    }

    #[test]
    fn a_claim_hands_over_once() {
        let twice = |provider, is_taken: bool| {
            let mut facts = samples::facts();
            facts.handovers[0].provider = provider;
            let mut second = Handover { number: 1, begun: at(10_120), ..facts.handovers[0].clone() };
            if !is_taken {
                (second.taken_at, second.refused) = (None, Some(Refused::ForNow));
            }
            facts.handovers.push(second);
            check(&facts).len()
        };
        assert_eq!((twice(TransportId::Ses, true), twice(TransportId::Ses, false)), (1, 1));
        assert_eq!((twice(TransportId::Smtp, true), twice(TransportId::Smtp, false)), (1, 0));
    }

    #[test]
    fn a_missing_answer_is_recorded_as_missing() {
        let recorded = |is_unanswered: bool, change: fn(&mut Facts)| {
            let mut facts = samples::facts();
            unanswered(&mut facts);
            facts.writes[1].is_unanswered = is_unanswered;
            change(&mut facts);
            check(&facts).len()
        };
        assert_eq!((recorded(true, |_| {}), recorded(false, |_| {})), (0, 1));
        let died = |facts: &mut Facts| {
            let death = Death { process: 3, function: "email".to_owned(), at: at(10_300), timed_out: None };
            facts.deaths.push(death);
        };
        let struck = |facts: &mut Facts| {
            facts.struck_sends.push(StruckSend { process: 3, at: at(10_050), address: None, is_fault: true });
        };
        let unheard = |facts: &mut Facts| {
            facts.struck_sends.push(StruckSend { process: 3, at: at(10_050), address: None, is_fault: false });
        };
        assert_eq!((recorded(false, died), recorded(false, struck), recorded(false, unheard)), (0, 0, 1));
    }

    #[test]
    fn a_message_is_handed_over_twice_without_an_answer_and_no_more() {
        let times = |count: u32| {
            let mut facts = samples::facts();
            (1..count).for_each(|process| again(&mut facts, 3 + process, 600_000 * i64::from(process)));
            unanswered(&mut facts);
            check(&facts).len()
        };
        assert_eq!((times(2), times(3)), (0, 1));
    }

    #[test]
    fn what_was_taken_and_answered_ends_as_sent() {
        let failed = |facts: &mut Facts| {
            facts.records.get_mut(&notification()).unwrap().state = "failed".to_owned();
        };
        let what = broken_by(check, failed);
        assert!(what[0].contains("had the answer, and it is failed"), "{what:?}");
        let freeze = Freeze { process: 3, from: at(10_160), until: at(99_000), point: String::new() };
        let excuses: [fn(&mut Facts); 3] = [
            |facts| facts.writes[1].is_struck = true,
            |facts| facts.writes[1].at = None,
            |facts| facts.writes[1].asked_at = at(166_000),
        ];
        for excuse in excuses {
            let mut facts = samples::facts();
            failed(&mut facts);
            excuse(&mut facts);
            assert_eq!(check(&facts), []);
        }
        let mut facts = samples::facts();
        failed(&mut facts);
        facts.writes.remove(1);
        assert_eq!(check(&facts).len(), 1);
        facts.freezes.push(freeze);
        assert_eq!(check(&facts), []);
    }
}
