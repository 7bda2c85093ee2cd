//! Functions end in time: none times out by itself, while it was not frozen and all that it called answered.

use jiff::{SignedDuration, Timestamp};

use super::Violation;
use super::facts::{Death, Facts};
use crate::providers::Mode;
use crate::scenario::{Scenario, Trouble};

const PROMISE: &str = "functions end in time";

/// A time in which a process, or all of them, may be kept from its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Troubled {
    /// `None`: all.
    pub process: Option<u32>,
    pub from: Timestamp,
    pub until: Timestamp,
}

/// The outages of a scenario that may keep any process from its work: a provider that refuses answers at once.
pub fn outages(scenario: &Scenario, began: Timestamp) -> Vec<Troubled> {
    let keeps = |trouble: &Trouble| match trouble {
        Trouble::Provider(_, mode) => {
            matches!(mode, Mode::Down | Mode::Slow(_) | Mode::Silent | Mode::Unanswering | Mode::Drops(_))
        }
        _ => true,
    };
    let later = |from: Timestamp, millis: u64| {
        let time = SignedDuration::from_millis(i64::try_from(millis).unwrap_or(i64::MAX));
        from.saturating_add(time).unwrap_or(Timestamp::MAX)
    };
    let outages = scenario.outages.iter().filter(|outage| keeps(&outage.what));
    let troubled = outages.map(|outage| {
        let from = later(began, outage.from_ms);
        Troubled { process: None, from, until: later(from, outage.for_ms) }
    });
    troubled.collect()
}

/// Checks the promise.
pub fn check(facts: &Facts) -> Vec<Violation> {
    let timed_out = facts.deaths.iter().filter_map(|death| Some((death, death.timed_out?)));
    let by_itself = timed_out.filter(|(death, invoked)| !was_kept(facts, death, *invoked));
    let what = by_itself.map(|(Death { process, function, at, .. }, invoked)| {
        format!("process {process} of {function}, invoked at {invoked} at the latest, timed out by itself at {at}")
    });
    what.map(|what| Violation { promise: PROMISE, what }).collect()
}

/// Whether something kept a process from its work since it was invoked.
fn was_kept(facts: &Facts, death: &Death, invoked: Timestamp) -> bool {
    let overlaps = |from: Timestamp, until: Timestamp| from <= death.at && until >= invoked;
    let frozen = facts.freezes.iter().filter(|freeze| freeze.process == death.process);
    let mut frozen = frozen.map(|freeze| (freeze.from, freeze.until));
    let troubled =
        facts.troubles.iter().filter(|trouble| trouble.process.is_none_or(|process| process == death.process));
    let mut troubled = troubled.map(|trouble| (trouble.from, trouble.until));
    frozen.any(|(from, until)| overlaps(from, until)) || troubled.any(|(from, until)| overlaps(from, until))
}

#[cfg(test)]
mod tests {
    use super::super::facts::Freeze;
    use super::super::samples::{self, at};
    use super::*;

    #[test]
    fn only_what_was_kept_from_its_work_may_time_out() {
        let with = |invoked: Option<i64>, change: fn(&mut Facts)| {
            let mut facts = samples::facts();
            let timed_out = invoked.map(at);
            facts.deaths.push(Death { process: 3, function: "email".to_owned(), at: at(120_000), timed_out });
            change(&mut facts);
            check(&facts).len()
        };
        let trouble = |process, from| Troubled { process, from: at(from), until: at(from) };
        assert_eq!((with(Some(0), |_| {}), with(None, |_| {})), (1, 0), "one that was killed did not time out");
        let frozen = |facts: &mut Facts| {
            facts.freezes.push(Freeze { process: 3, from: at(9), until: at(99), point: String::new() });
        };
        assert_eq!(with(Some(0), frozen), 0);
        assert_eq!(with(Some(1_000), frozen), 1, "in an earlier invocation");
        let excused = |process, from: i64| {
            let mut facts = samples::facts();
            let timed_out = Some(at(0));
            facts.deaths.push(Death { process: 3, function: "email".to_owned(), at: at(120_000), timed_out });
            facts.troubles.push(trouble(process, from));
            check(&facts).len()
        };
        assert_eq!(
            (excused(Some(3), 50), excused(Some(4), 50), excused(None, 50), excused(None, 130_000)),
            (0, 1, 0, 1)
        );
    }
}
