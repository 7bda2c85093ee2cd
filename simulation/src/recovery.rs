//! How long a killed or frozen invocation delays what it held.
//!
//! A small push is run without a fault, and once more with one fault at a random call of a function. The delay is how much later
//! all events of the first run were published in the second: that the push is completed; of `feedback`, who was suppressed.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::aws::lambda::Function;
use crate::chance::Chance;
use crate::fault::{Fault, Moment, Planned};
use crate::people::{Action, Post};
use crate::promises::Violation;
use crate::run::{Outcome, run};
use crate::scenario::points::is_call;
use crate::scenario::{Options, Scenario, Settings, TimedAction};

/// The functions that carry an offer to its customers, and reports back.
pub const FUNCTIONS: [Function; 5] =
    [Function::Push, Function::Audience, Function::Email, Function::Sms, Function::Feedback];
/// Enough for a few batches of each channel, and some bounces.
const CUSTOMERS: u32 = 40;
const POSTED_AT_MS: u64 = 20_000;
/// The fault comes by then.
const CALM_AFTER_MS: u64 = 60_000;
/// Longer than any time-out.
const FROZEN_FOR_MS: u64 = 30 * 60_000;
/// The first call of an invocation that has messages of a queue. Before it the queue's own time-out holds.
const FIRST_CALL: &str = "SQS.ChangeMessageVisibilityBatch";

/// What happens to an invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    Killed,
    Frozen,
}

/// When it happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum When {
    /// Once the invocation has begun its first call.
    Working,
    /// Before that.
    BeforeItsFirstCall,
}

/// A fault and what it delayed.
#[derive(Debug, Clone)]
pub struct Recovery {
    /// What was run: with `cargo xtask simulate --replay` once more.
    pub scenario: Scenario,
    pub function: Function,
    pub end: End,
    pub when: When,
    pub delay: Duration,
    pub violations: Vec<Violation>,
}

/// Measures one fault for each of these ends, at each function, in the push of a seed. Fewer if the push has no call of a
/// function.
pub fn measure(seed: u64, ends: &[End]) -> Vec<Recovery> {
    let scenario = scenario(seed);
    let calm = run(&scenario, true);
    let chance = Chance::of(seed, "recovery");
    let mut found = Vec::new();
    for function in FUNCTIONS {
        for end in ends {
            let Some((planned, when)) = fault(&chance, &calm.passed, function, *end) else { continue };
            let scenario = Scenario { faults: vec![planned], ..scenario.clone() };
            let struck = run(&scenario, true);
            let delay = delay(&published(function, &calm), &published(function, &struck));
            found.push(Recovery { scenario, function, end: *end, when, delay, violations: struck.violations });
        }
    }
    found
}

/// A push at full speed, by e-mail and text message.
fn scenario(seed: u64) -> Scenario {
    let fast = Settings { email_rate: 500, sms_rate: 500, ..Settings::plain() };
    let post = Post {
        code: "OFFER-1".to_owned(),
        channels: domain::Channel::ALL.into_iter().collect(),
        eligibility: None,
        starts_after_ms: None,
        valid_for_ms: None,
        names_tier: false,
    };
    let posted = TimedAction { at_ms: POSTED_AT_MS, action: Action::PostOffer(post) };
    let drawn = Scenario::draw(seed, Options { customers: Some(CUSTOMERS) });
    Scenario {
        settings: fast,
        actions: vec![posted],
        outages: Vec::new(),
        faults: Vec::new(),
        calm_after_ms: CALM_AFTER_MS,
        ..drawn
    }
}

/// A fault at one of the calls of a function: each call is as likely.
fn fault(chance: &Chance, passed: &BTreeMap<String, u32>, function: Function, end: End) -> Option<(Planned, When)> {
    let own = format!("{function} ");
    let calls: Vec<_> = passed.iter().filter(|(point, _)| is_call(point) && point.starts_with(&own)).collect();
    let all: u32 = calls.iter().map(|(_, times)| **times).sum();
    let mut nth = u32::try_from(chance.below(usize::try_from(all).ok().filter(|all| *all > 0)?)).ok()?;
    let moment = *chance.pick(&[Moment::Before, Moment::After]);
    let (point, _) = calls.into_iter().find(|(_, times)| {
        let is_here = nth < **times;
        nth -= if is_here { 0 } else { **times };
        is_here
    })?;
    let fault = match end {
        End::Killed => Fault::Kill,
        End::Frozen => Fault::Freeze(FROZEN_FOR_MS),
    };
    let is_first = point.contains(FIRST_CALL) && moment == Moment::Before;
    let when = if is_first { When::BeforeItsFirstCall } else { When::Working };
    Some((Planned { point: point.clone(), nth: nth + 1, moment, fault }, when))
}

/// When events of each kind were published that show that a function's work is done. When a customer complains is drawn anew in
/// each run.
fn published(function: Function, outcome: &Outcome) -> BTreeMap<&str, Vec<Timestamp>> {
    let mut published: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (at, line) in &outcome.lines {
        // `event push.completed #1`
        if let Some((kind, _)) = line.strip_prefix("event ").and_then(|event| event.split_once(" #")) {
            if kind.starts_with("customer.") != (function == Function::Feedback) {
                continue;
            }
            published.entry(kind).or_default().push(*at);
        }
    }
    published
}

/// How much later as many events of each kind were published.
fn delay(calm: &BTreeMap<&str, Vec<Timestamp>>, struck: &BTreeMap<&str, Vec<Timestamp>>) -> Duration {
    let delays = calm.iter().map(|(kind, times)| {
        let later = struck.get(kind).and_then(|later| later.get(times.len() - 1));
        // An event that never comes breaks a promise.
        later.map_or(Duration::MAX, |later| {
            Duration::try_from(later.duration_since(times[times.len() - 1])).unwrap_or_default()
        })
    });
    delays.max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_killed_invocation_delays_its_messages_by_less_than_a_minute() {
        for recovery in (1..=3).flat_map(|seed| measure(seed, &[End::Killed])) {
            assert_eq!(recovery.violations, []);
            if recovery.when == When::Working {
                assert!(recovery.delay <= Duration::from_secs(60), "{recovery:?}");
            }
        }
    }
}
