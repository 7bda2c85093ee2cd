//! Probes: while a transport is blocked, only those who acquired the right to probe hand messages over, a few each.

use std::collections::BTreeSet;

use domain::TransportId;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use store::MAX_READ_AGE;

use super::Violation;
use super::facts::{Facts, Handover, Refused};

const PROMISE: &str = "only probes while blocked";
/// How long calls usually take between looking at the breaker and claiming.
const USUAL: SignedDuration = SignedDuration::from_secs(1);

/// How long after a message, or the answer to it, its process may hand over the next one: it knows better than the breaker.
const GOES_ON: SignedDuration = SignedDuration::from_secs(6);

/// How many messages one probe may hand over: one after the other, until one shows whether the transport works.
const PER_PROBE: usize = 5;

/// A change of a transport's breaker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breaker {
    pub transport: TransportId,
    pub at: Timestamp,
    pub change: Change,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is blocked, once more or for the first time.
    Opened,
    /// Somebody acquired the right to probe it.
    Probed,
    Closed,
}

impl Breaker {
    /// What a call of DynamoDB that took effect changed.
    pub fn of(request: &Value, at: Timestamp) -> Option<Self> {
        // A hold of a push has another key.
        let transport = super::evidence::transport(request["Key"]["pk"]["S"].as_str()?)?;
        let expression = request["UpdateExpression"].as_str()?;
        let change = if expression.contains("blockedUntil = ") {
            Change::Opened
        } else if expression.contains("probeToken = ") {
            Change::Probed
        } else if expression.contains("REMOVE blockedUntil") {
            Change::Closed
        } else {
            return None;
        };
        Some(Self { transport, at, change })
    }
}

/// Checks the promise.
pub fn check(facts: &Facts) -> Vec<Violation> {
    let mut found = Vec::new();
    let transports: BTreeSet<_> = facts.breakers.iter().map(|breaker| breaker.transport).collect();
    for transport in transports {
        let changes: Vec<_> = facts.breakers.iter().filter(|breaker| breaker.transport == transport).collect();
        for (index, opened) in changes.iter().enumerate().filter(|(_, change)| change.change == Change::Opened) {
            let rest = &changes[index + 1..];
            let until = rest.iter().find(|change| change.change != Change::Probed).map_or(Timestamp::MAX, |end| end.at);
            let probes = rest.iter().filter(|change| change.change == Change::Probed && change.at <= until).count();
            found.extend(unprobed(facts, transport, opened.at, until, probes));
        }
    }
    found.into_iter().map(|what| Violation { promise: PROMISE, what }).collect()
}

/// More messages than probes, in one block.
fn unprobed(facts: &Facts, transport: TransportId, from: Timestamp, until: Timestamp, probes: usize) -> Option<String> {
    let allowed = SignedDuration::try_from(MAX_READ_AGE).unwrap_or_default() + USUAL;
    let must_know = |handover: &&Handover| {
        let started = facts.started(handover);
        let known = started - allowed - facts.held_up(handover.process, from, handover.begun);
        handover.provider == transport && handover.begun <= until && known > from && !goes_on(facts, handover)
    };
    let sends: Vec<_> = facts.handovers.iter().filter(must_know).collect();
    // A mail server may be tried at several connections under one claim.
    let tokens: BTreeSet<_> = sends.iter().filter_map(|send| facts.claim_of(send)?.token.as_ref()).collect();
    (tokens.len() > probes * PER_PROBE).then(|| {
        let all: Vec<_> = sends.iter().map(|send| format!("process {} at {}", send.process, send.begun)).collect();
        format!(
            "{transport} was blocked at {from} until {until}, and {} messages were handed over with {probes} probes: {}",
            tokens.len(),
            all.join(", ")
        )
    })
}

/// Whether its process has handed over another message to the same transport just before, and knew of no refusal of us: a batch that
/// was under way goes on until one of its own messages fails, with ten on their way.
fn goes_on(facts: &Facts, handover: &Handover) -> bool {
    let own = facts.handovers.iter().filter(|other| {
        other.process == handover.process && other.provider == handover.provider && other.begun < handover.begun
    });
    let Some(before) = own.max_by_key(|other| other.begun) else { return false };
    let answered_at = before.answered_at.filter(|at| *at <= handover.begun);
    let is_refused = answered_at.is_some() && before.refused == Some(Refused::Ours);
    !is_refused && facts.started(handover) - answered_at.unwrap_or(before.begun) < GOES_ON
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::samples::{self, again, at};
    use super::*;

    #[test]
    fn changes_of_a_breaker_are_told_apart() {
        let of = |pk: &str, expression: &str| {
            let request = json!({"Key": {"pk": {"S": pk}}, "UpdateExpression": expression});
            Breaker::of(&request, at(0)).map(|breaker| breaker.change)
        };
        let opens = "REMOVE probeUntil, probeToken SET blockedUntil = :until, openedAt = :now";
        assert_eq!(of("ses", opens), Some(Change::Opened));
        assert_eq!(of("push#x#ses", opens), None);
        assert_eq!(of("ses", "SET probeUntil = :until, probeToken = :token"), Some(Change::Probed));
        assert_eq!(of("ses", "REMOVE blockedUntil, failures, probeUntil, probeToken"), Some(Change::Closed));
        assert_eq!(of("ses", "REMOVE probeUntil, probeToken"), None);
        assert_eq!(of("ses", "SET acceptedAt = :at REMOVE refused"), None);
    }

    #[test]
    fn a_batch_under_way_goes_on_until_it_is_refused() {
        for (accepted, expected) in [(true, 0), (false, 1)] {
            let mut facts = samples::facts();
            facts.handovers[0].begun = at(5_000);
            facts.handovers[0].answered_at = Some(at(6_000));
            facts.handovers[0].refused = (!accepted).then_some(Refused::Ours);
            again(&mut facts, 3, 1_000);
            facts.breakers = vec![Breaker { transport: TransportId::Ses, at: at(1_000), change: Change::Opened }];
            assert_eq!(check(&facts).len(), expected, "accepted: {accepted}");
        }
    }

    #[test]
    fn messages_while_blocked_need_a_probe() {
        let with = |opened: i64, rest: &[(i64, Change)]| {
            let mut facts = samples::facts();
            // Of another process, which knows nothing of the first one's message.
            again(&mut facts, 4, 1_000);
            let changes = [(opened, Change::Opened)].into_iter().chain(rest.iter().copied());
            facts.breakers = changes
                .map(|(millis, change)| Breaker { transport: TransportId::Ses, at: at(millis), change })
                .collect();
            check(&facts).len()
        };
        let probe = |millis| (millis, Change::Probed);
        assert_eq!(with(1_000, &[]), 1);
        assert_eq!(with(1_000, &[probe(9_000)]), 0, "two messages, one after the other");
        assert_eq!(with(1_000, &[probe(9_000), probe(10_500)]), 0);
        assert_eq!(with(1_000, &[probe(2_000), (3_000, Change::Closed)]), 0);
        assert_eq!(with(9_000, &[]), 0, "nobody needs to know yet");
    }
}
