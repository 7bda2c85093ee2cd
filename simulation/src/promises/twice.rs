//! Never twice: one copy, and one more each time an answer or a record was lost.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::Violation;
use super::facts::{Facts, Handover, Notification, Write};

const PROMISE: &str = "never twice";

/// Checks the promise.
pub fn check(facts: &Facts) -> Vec<Violation> {
    let mut found: Vec<String> = Vec::new();
    let mut by_notification: BTreeMap<&Notification, Vec<&Handover>> = BTreeMap::new();
    for handover in &facts.handovers {
        match &handover.notification {
            Some(notification) => by_notification.entry(notification).or_default().push(handover),
            None => found.push(format!("{} without a claim on it", describe(handover))),
        }
    }
    for (notification, handovers) in by_notification {
        let mut copies: Vec<_> = handovers.iter().copied().filter(|handover| handover.taken_at.is_some()).collect();
        copies.sort_by_key(|handover| (handover.begun, handover.number));
        // A process that stood still at the very call could not know that its lease had ended.
        let is_late =
            |copy: &&&Handover| froze_at_handover(facts, copy).is_some_and(|until| until <= copy.begun + ON_THE_WAY);
        let excused = copies.iter().filter(|copy| excuse(facts, copy).is_some() || is_late(copy)).count();
        if copies.len() > 1 + excused {
            let lines: Vec<_> = copies
                .iter()
                .map(|copy| format!("{} ({})", describe(copy), excuse(facts, copy).unwrap_or("no excuse")))
                .collect();
            found.push(format!("{notification}: {} copies: {}", copies.len(), lines.join("; ")));
        }
        found.extend(after_sent(facts, notification, &handovers));
        found.extend(handovers.iter().filter_map(|handover| after_lease(facts, handover)));
    }
    found.into_iter().map(|what| Violation { promise: PROMISE, what }).collect()
}

fn describe(handover: &Handover) -> String {
    let Handover { provider, process, code, begun, taken_at, answered_at, .. } = handover;
    let time = |at: &Option<Timestamp>| at.map_or("never".to_owned(), |at| at.to_string());
    let (taken, answered) = (time(taken_at), time(answered_at));
    format!("process {process} handed {code} to {provider} at {begun}, taken {taken}, answered {answered}")
}

/// Why there may be another copy beside this one.
fn excuse(facts: &Facts, copy: &Handover) -> Option<&'static str> {
    if copy.answered_at.is_none() {
        return Some("its answer did not come");
    }
    let claim = facts.claim_of(copy)?;
    if is_recorded(facts, copy, claim) {
        return None;
    }
    let written = outcomes(facts, claim).filter(|write| copy.taken_at.is_some_and(|taken| write.asked_at >= taken));
    let mut written = written.peekable();
    let died = facts.deaths.iter().any(|death| death.process == copy.process && death.at >= copy.begun);
    let lease = claim.lease_until.unwrap_or(copy.begun);
    // While it stood still, it had no heartbeat.
    let frozen = facts.freezes.iter().any(|freeze| {
        freeze.process == copy.process
            && freeze.until >= lease
            && freeze.until >= copy.begun
            && freeze.from <= lease + INVOCATION
            && (freeze.from <= lease || freeze.until.duration_since(freeze.from) >= SILENCE)
    });
    if frozen {
        Some("its process froze beyond its lease")
    } else if written.peek().is_some_and(|first| first.asked_at >= lease)
        && facts.held_up(copy.process, copy.begun, lease) > SignedDuration::ZERO
    {
        Some("it was held up, and recorded after its lease")
    } else if written.any(|write| write.is_struck || (write.at.is_none() && !write.is_refused)) {
        Some("its record was lost")
    } else if died {
        Some("its process died before it was recorded")
    } else {
        None
    }
}

/// The calls that record what became of a message under a claim.
fn outcomes<'f>(facts: &'f Facts, claim: &'f Write) -> impl Iterator<Item = &'f Write> {
    facts.writes.iter().filter(move |write| !write.is_claim() && write.token == claim.token)
}

fn is_recorded(facts: &Facts, copy: &Handover, claim: &Write) -> bool {
    outcomes(facts, claim).any(|write| write.at.is_some_and(|at| at >= copy.begun))
}

/// Nothing is handed over once it is on record that the customer has it. What the provider did not take is no copy.
fn after_sent(facts: &Facts, notification: &Notification, handovers: &[&Handover]) -> Option<String> {
    let sent = facts.writes.iter().find(|write| {
        write.notification == *notification && write.state == "sent" && !write.is_claim() && write.at.is_some()
    })?;
    let late = handovers.iter().find(|handover| {
        let froze = facts.freezes.iter().any(|freeze| {
            freeze.process == handover.process && freeze.until <= handover.begun && freeze.is_at_handover()
        });
        handover.taken_at.is_some() && sent.at.is_some_and(|at| handover.begun > at) && !froze
    })?;
    let at = sent.at.unwrap_or(sent.asked_at);
    Some(format!("{notification}: process {} recorded it as sent at {at}; then {}", sent.process, describe(late)))
}

/// Nothing is handed over after the lease of its claim. A process that stood still at the very call cannot know.
fn after_lease(facts: &Facts, handover: &Handover) -> Option<String> {
    // Before the end of the message, a mail server has nothing that it could deliver.
    handover.taken_at?;
    let lease = facts.claim_of(handover)?.lease_until?;
    let over = handover.begun.duration_since(lease);
    let held_up = facts.held_up(handover.process, lease - facts.limits.skew, handover.begun);
    let froze = facts
        .freezes
        .iter()
        .any(|freeze| freeze.process == handover.process && freeze.until >= lease && freeze.is_at_handover());
    let is_late = over > facts.limits.skew + ON_THE_WAY && !froze;
    is_late.then(|| format!("{}, {over:#} after its lease (held up for {held_up:#})", describe(handover)))
}

/// Until when the process stood still at the call that hands a message over, if that was beyond its lease.
fn froze_at_handover(facts: &Facts, copy: &Handover) -> Option<Timestamp> {
    let lease = facts.claim_of(copy)?.lease_until?;
    let mut freezes = facts.freezes.iter();
    let freeze = freezes.find(|freeze| {
        freeze.process == copy.process && freeze.until >= lease && freeze.from <= lease && freeze.is_at_handover()
    });
    freeze.map(|freeze| freeze.until)
}

/// How long a process must stand still at least to be taken for dead: 35 s without a heartbeat, of which 18 s may be over, with
/// clocks that differ.
const SILENCE: SignedDuration = SignedDuration::from_secs(13);
/// How long an invocation may prolong its claims (the longest time-out of the template).
const INVOCATION: SignedDuration = SignedDuration::from_secs(150);
/// How long a message takes from the last look at its lease to the provider, at most.
const ON_THE_WAY: jiff::SignedDuration = jiff::SignedDuration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::super::facts::{Death, Freeze, Hitch};
    use super::super::samples::{self, again, at, broken_by};
    use super::*;

    /// A second copy by process 4, ten minutes later.
    fn second_copy(change: impl FnOnce(&mut Facts)) -> Vec<Violation> {
        let mut facts = samples::facts();
        again(&mut facts, 4, 600_000);
        change(&mut facts);
        check(&facts)
    }

    /// The first record never took effect.
    fn unrecorded(facts: &mut Facts) {
        facts.writes[1].at = None;
    }

    #[test]
    fn an_ordinary_run_sends_one_copy() {
        assert_eq!(check(&samples::facts()), []);
    }

    #[test]
    fn a_second_copy_without_an_excuse_is_one_too_many() {
        let found = second_copy(|_| {});
        assert!(found[0].what.contains("2 copies"), "{found:?}");
        assert!(found[1].what.contains("recorded it as sent at"), "{found:?}");
        let found = second_copy(|facts| {
            unrecorded(facts);
            facts.writes[1].is_refused = true;
        });
        assert_eq!(found.len(), 1, "another process took its claim away: {found:?}");
    }

    #[test]
    fn each_lost_answer_or_record_excuses_one_copy() {
        let freeze = Freeze { process: 3, from: at(10_170), until: at(400_000), point: String::new() };
        let death = Death { process: 3, function: "email".to_owned(), at: at(10_180), timed_out: None };
        let excuses: [fn(&mut Facts); 3] = [
            |facts| {
                facts.handovers[0].answered_at = None;
                facts.writes[1].state = "retry".to_owned();
            },
            |facts| {
                unrecorded(facts);
                facts.writes[1].status = Some(500);
            },
            |facts| {
                unrecorded(facts);
                facts.writes[1].is_struck = true;
            },
        ];
        for (index, excuse) in excuses.into_iter().enumerate() {
            assert_eq!(second_copy(excuse), [], "excuse {index}");
        }
        let died = |facts: &mut Facts| {
            facts.writes.remove(1);
            facts.deaths.push(death);
        };
        assert_eq!(second_copy(died), []);
        let frozen = |facts: &mut Facts| {
            unrecorded(facts);
            facts.writes[1].is_refused = true;
            facts.freezes.push(freeze);
        };
        assert_eq!(second_copy(frozen), []);
    }

    #[test]
    fn what_a_provider_did_not_take_is_no_copy() {
        assert_eq!(second_copy(|facts| facts.handovers.last_mut().unwrap().taken_at = None), []);
    }

    #[test]
    fn a_record_that_is_merely_late_is_no_excuse() {
        let late = |facts: &mut Facts| {
            unrecorded(facts);
            facts.writes[1].is_refused = true;
            facts.writes[1].asked_at = at(166_000);
        };
        assert_eq!(second_copy(late).len(), 1);
        let held_up = |facts: &mut Facts| {
            late(facts);
            facts.hitches.push(Hitch { process: 3, from: at(10_200), until: at(60_000) });
        };
        assert_eq!(second_copy(held_up), []);
    }

    #[test]
    fn one_excuse_does_not_excuse_two_more_copies() {
        let found = second_copy(|facts| {
            again(facts, 5, 700_000);
            facts.handovers[0].answered_at = None;
            facts.writes[1].state = "retry".to_owned();
        });
        assert!(found[0].what.contains("3 copies"), "{found:?}");
    }

    #[test]
    fn nothing_is_handed_over_without_a_claim_or_after_its_lease() {
        let what = broken_by(check, |facts| facts.handovers[0].notification = None);
        assert!(what[0].contains("without a claim"), "{what:?}");
        let what = broken_by(check, |facts| facts.handovers[0].begun = at(167_000));
        assert!(what.iter().any(|what| what.contains("after its lease")), "{what:?}");
    }
}
