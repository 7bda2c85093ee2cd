//! Counts: what is told of a push equals the deliveries, and adds up.

use std::collections::{BTreeMap, BTreeSet};

use domain::notification::{Outcome, ReasonCode};

use super::Violation;
use super::facts::{Facts, Push};
use super::lost::may_stay;

const PROMISE: &str = "counts";
/// As the table names them.
const ALREADY_SERVED: &str = "alreadyServed";

/// Checks the promise.
pub fn check(facts: &Facts) -> Vec<Violation> {
    let mut found = Vec::new();
    for push in &facts.pushes {
        if push.total() > push.eligible {
            found.push(format!("{}: {:?} are more than {} eligible", push.name(), push.outcomes, push.eligible));
        }
        for outcome in Outcome::ALL {
            let with_reason = |(code, count): (&String, &u64)| {
                code.parse::<ReasonCode>().is_ok_and(|code| code.outcome() == outcome).then_some(*count)
            };
            let with_reason: u64 = push.reasons.iter().filter_map(with_reason).sum();
            let counted = push.count(outcome.as_str());
            if outcome != Outcome::Sent && with_reason != counted {
                found.push(format!("{}: {counted} {outcome}, and {with_reason} of them with a reason", push.name()));
            }
        }
        let is_partly_scanned = push.state == "cancelled" && may_stay(facts, &push.offer);
        if !push.has_ended() || push.total() < push.eligible || is_partly_scanned {
            // `never lost` says so, or it is excused there.
            continue;
        }
        found.extend(unlike_records(facts, push));
    }
    found.into_iter().map(|what| Violation { promise: PROMISE, what }).collect()
}

/// Where a push's counts differ from the records. Those of customers whose record changed meanwhile may: a scan that
/// begins again no longer finds them. Of all but the last push, only what was sent can be compared: any other outcome may
/// have been replaced.
fn unlike_records(facts: &Facts, push: &Push) -> Vec<String> {
    let records = || facts.records.iter().filter(|(notification, _)| notification.offer == push.offer);
    let is_last = facts.pushes.iter().all(|other| other.offer != push.offer || other.number <= push.number);
    let unsteady = facts.offers.get(&push.offer).map(|offer| &offer.unsteady);
    let slack = records().filter(|(notification, _)| unsteady.is_some_and(|who| who.contains(&notification.customer)));
    let slack = u64::try_from(slack.count()).unwrap_or(u64::MAX);
    let (mut outcomes, mut reasons): (BTreeMap<&str, u64>, BTreeMap<&str, u64>) = Default::default();
    for (_, record) in records().filter(|(_, record)| record.is_final()) {
        let is_others = record.state == "sent" && record.push != push.number;
        *outcomes.entry(if is_others { ALREADY_SERVED } else { &record.state }).or_default() += 1;
        if let Some(code) = record.code.as_deref().filter(|_| record.state != "sent") {
            *reasons.entry(code).or_default() += 1;
        }
    }
    // A cancelled push does not scan what it had not begun to.
    let may_be_less = push.state == "cancelled"
        || facts.offers.get(&push.offer).is_some_and(|offer| {
            offer.valid_until.is_some_and(|until| {
                push.ended_at.is_none_or(|ended| ended + facts.limits.skew + facts.limits.skew >= until)
            })
        });
    let mut found = Vec::new();
    for (counts, expected, because) in [(&push.outcomes, &outcomes, ""), (&push.reasons, &reasons, " not sent as")] {
        let names = expected.keys().copied().chain(counts.keys().map(String::as_str));
        for name in names.collect::<BTreeSet<_>>() {
            let counted = counts.get(name).copied().unwrap_or_default();
            let stored = expected.get(name).copied().unwrap_or_default();
            let is_sent = because.is_empty() && name == "sent";
            let is_less = counted + slack < stored && (is_sent || !may_be_less);
            if (is_last || is_sent) && (counted > stored + slack || is_less) {
                found.push(format!("{} counts {counted}{because} {name}, and {stored} are stored", push.name()));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::samples::{self, broken_by, notification};
    use super::*;

    fn count(facts: &mut Facts, name: &str, count: u64) {
        facts.pushes[0].outcomes.insert(name.to_owned(), count);
    }

    #[test]
    fn counts_of_an_ordinary_run_are_those_of_its_records() {
        assert_eq!(check(&samples::facts()), []);
    }

    #[test]
    fn more_outcomes_than_notifications_do_not_add_up() {
        let what = broken_by(check, |facts| count(facts, "failed", 1));
        assert!(what[0].contains("are more than 1 eligible"), "{what:?}");
        assert!(what[1].contains("1 failed, and 0 of them with a reason"), "{what:?}");
    }

    #[test]
    fn a_count_that_no_record_has_is_wrong() {
        let what = broken_by(check, |facts| {
            count(facts, "sent", 0);
            count(facts, "failed", 1);
            facts.pushes[0].reasons.insert("refused".to_owned(), 1);
        });
        assert_eq!(what.len(), 3, "{what:?}");
        assert!(what[2].contains("counts 1 not sent as refused, and 0 are stored"), "{what:?}");
        assert!(what[0].contains("counts 1 failed, and 0 are stored"), "{what:?}");
        let changed = |facts: &mut Facts| {
            facts.pushes[0].eligible = 2;
            count(facts, "sent", 2);
        };
        assert_eq!(broken_by(check, changed).len(), 1);
        let mut facts = samples::facts();
        changed(&mut facts);
        facts.offers.get_mut(samples::OFFER).unwrap().unsteady.insert("c-1".to_owned());
        assert_eq!(check(&facts), []);
    }

    #[test]
    fn what_another_push_sent_is_already_served() {
        let mut facts = samples::facts();
        let mut second = Push { number: 2, ..facts.pushes[0].clone() };
        second.outcomes = BTreeMap::from([("alreadyServed".to_owned(), 1)]);
        facts.pushes.push(second);
        assert_eq!(check(&facts), []);
        facts.records.get_mut(&notification()).unwrap().push = 2;
        assert_eq!(check(&facts).len(), 3, "both count what the other one sent");
    }
}
