//! Bounded calls: whatever the provider does, a notification is tried so often, and costs so many calls, and no more.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::Violation;
use super::facts::{Facts, Notification};

const PROMISE: &str = "bounded calls";
/// Attempts to hand a notification over within an hour, at most. Without progress its batch waits 1 s, 1.5 s, and so on up to
/// 15 minutes: some 20 attempts. While the provider is away, or the push is held, it may be each probe: 1 s, 2 s, up to a
/// minute: some 65. Each of the 49 others of its batch that becomes final lets the waits begin again.
const PER_HOUR: usize = 150;
/// How often a batch is put off within an hour, at most. While the provider is away, at each probe, some 65 times, and every two
/// seconds while another caller waits for the provider's reply to its probe, which takes ten seconds or more.
const DEFERRALS_PER_HOUR: usize = 2_000;
/// Calls of DynamoDB for each notification, each handover and each round of a batch: some 15, and each may be repeated.
const STORE_CALLS: u64 = 50;
/// Those of functions that start, and of what is left of batches that were done already.
const STORE_CALLS_ANYWAY: u64 = 2_000;

/// Checks the promise.
pub fn check(facts: &Facts) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut by_notification: BTreeMap<&Notification, Vec<Timestamp>> = BTreeMap::new();
    for handover in &facts.handovers {
        if let Some(notification) = &handover.notification {
            by_notification.entry(notification).or_default().push(handover.begun);
        }
    }
    for (notification, mut begun) in by_notification {
        begun.sort_unstable();
        let hour = SignedDuration::from_hours(1);
        let mut windows = begun.windows(PER_HOUR + 1);
        if let Some(window) = windows.find(|window| window[PER_HOUR].duration_since(window[0]) < hour) {
            let (count, from, to) = (window.len(), window[0], window[PER_HOUR]);
            found.push(format!("{notification}: handed over {count} times from {from} to {to}"));
        }
    }
    for (batch, at) in &facts.deferrals {
        let mut at = at.clone();
        at.sort_unstable();
        let mut windows = at.windows(DEFERRALS_PER_HOUR + 1);
        let is_hour = |window: &&[Timestamp]| {
            window[DEFERRALS_PER_HOUR].duration_since(window[0]) < SignedDuration::from_hours(1)
        };
        if let Some(window) = windows.find(is_hour) {
            found.push(format!("batch {batch}: put off {} times within an hour from {}", window.len(), window[0]));
        }
    }
    for (function, effort) in &facts.effort {
        let of_function = |notification: &&Notification| {
            matches!((function.as_str(), notification.channel.as_str()), ("email", "email") | ("sms", "sms"))
        };
        let notifications = facts.records.keys().filter(of_function).count();
        let handovers = facts.handovers.iter().filter_map(|handover| handover.notification.as_ref());
        let handovers = handovers.filter(of_function).count();
        let ended = facts.deaths.iter().filter(|death| death.function == *function).count();
        let work = u64::try_from(notifications + handovers + ended).unwrap_or(u64::MAX) + effort.deferrals;
        let most = STORE_CALLS_ANYWAY + STORE_CALLS * work;
        if effort.store_calls > most {
            found.push(format!(
                "{function} made {} calls of DynamoDB for {notifications} notifications, {handovers} handovers and {} \
                 deferrals: at most {most} are expected",
                effort.store_calls, effort.deferrals
            ));
        }
    }
    found.into_iter().map(|what| Violation { promise: PROMISE, what }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::facts::Effort;
    use super::super::samples::{self, broken_by, handover};
    use super::*;

    #[test]
    fn an_ordinary_run_makes_few_calls() {
        let mut facts = samples::facts();
        facts.effort.insert("email".to_owned(), Effort { store_calls: 40, deferrals: 0 });
        assert_eq!(check(&facts), []);
    }

    #[test]
    fn a_notification_that_is_tried_again_and_again_is_found() {
        let tried = |count: i64, seconds: i64| {
            let mut facts = samples::facts();
            let first = handover();
            facts.handovers = (0..count)
                .map(|number| {
                    let begun = first.begun + SignedDuration::from_secs(seconds * number);
                    super::super::facts::Handover { begun, ..first.clone() }
                })
                .collect();
            check(&facts).len()
        };
        assert_eq!((tried(151, 10), tried(150, 10), tried(1_000, 60)), (1, 0, 0));
    }

    #[test]
    fn a_batch_that_is_put_off_without_end_is_found() {
        let put_off = |count: i64, seconds: i64| {
            let mut facts = samples::facts();
            let times = (0..count).map(|number| samples::at(number * seconds * 1_000)).collect();
            facts.deferrals.insert("b".to_owned(), times);
            check(&facts).len()
        };
        assert_eq!((put_off(2_001, 1), put_off(2_000, 1), put_off(4_000, 60)), (1, 0, 0));
    }

    #[test]
    fn calls_without_end_are_found() {
        let what = broken_by(check, |facts| {
            facts.effort.insert("email".to_owned(), Effort { store_calls: 5_000, deferrals: 10 });
        });
        assert!(what[0].contains("email made 5000 calls"), "{what:?}");
    }
}
