//! Events: each at least once, and none for what is not stored.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::Value;

use super::Violation;
use super::facts::{CustomerEvent, Facts, Published, Push};

const PROMISE: &str = "events";

/// Checks the promise.
pub fn check(facts: &Facts) -> Vec<Violation> {
    let expected = expected(facts);
    let published: BTreeSet<_> = facts.published.iter().filter_map(|event| event.detail["id"].as_str()).collect();
    let mut found = Vec::new();
    for (id, Expected { kind, since, .. }) in &expected {
        // An operator has the events of such a time published again.
        let waits = facts.loses_customer_events && kind.starts_with("customer.");
        if !published.contains(id.as_str()) && !waits {
            found.push(format!("{kind} with the id {id} was not published, and is stored since {since}"));
        }
    }
    for Published { at, kind, detail } in &facts.published {
        let id = detail["id"].as_str().unwrap_or("none");
        match expected.get(id) {
            None => found.push(format!("{kind} with the id {id} was published at {at}, and nothing is stored of it")),
            Some(event) => found.extend(event.unlike(*at, kind, detail)),
        }
    }
    for push in facts.pushes.iter().filter(|push| push.is_unpublished) {
        found.push(format!("{} is still marked as having events to publish", push.name()));
    }
    found.into_iter().map(|what| Violation { promise: PROMISE, what }).collect()
}

struct Expected<'f> {
    kind: String,
    since: Timestamp,
    customer: Option<&'f CustomerEvent>,
    /// The completed push whose counts it has.
    counts: Option<&'f Push>,
}

impl Expected<'_> {
    /// How an event that was published differs from what is stored.
    fn unlike(&self, at: Timestamp, kind: &str, detail: &Value) -> Option<String> {
        let id = &detail["id"];
        if kind != self.kind {
            return Some(format!("{id} was published at {at} as {kind}, and is {}", self.kind));
        }
        if at < self.since {
            return Some(format!("{kind} {id} was published at {at}, before it was stored at {}", self.since));
        }
        if let Some(event) = self.customer {
            let same = detail["customer"]["id"] == event.customer.as_str()
                && detail["channel"] == event.channel.as_str()
                && detail["offer"]["id"].as_str() == event.offer.as_deref();
            return (!same).then(|| format!("{kind} {id} was published with other contents than are stored"));
        }
        let counts = detail["push"]["counts"].as_object()?;
        let number = |name: &str| counts.get(name).and_then(Value::as_u64).unwrap_or_default();
        let parts: u64 = counts.keys().filter(|name| *name != "eligible").map(|name| number(name)).sum();
        let is_whole = kind != "push.completed" || number("pending") == 0;
        if let Some(push) = self.counts
            && let Some(name) = push.outcomes.keys().find(|name| number(name) != push.count(name))
        {
            let (told, stored) = (number(name), push.count(name));
            return Some(format!("{kind} {id} tells of {told} {name}, and {stored} are stored"));
        }
        (parts != number("eligible") || !is_whole)
            .then(|| format!("the counts of {kind} {id} do not add up: {counts:?}"))
    }
}

/// The events of all that is stored, by their ids.
fn expected(facts: &Facts) -> BTreeMap<String, Expected<'_>> {
    let mut expected = BTreeMap::new();
    for push in &facts.pushes {
        let (offer, number) = (&push.offer, push.number);
        if number == 1
            && let Some(stored) = facts.offers.get(offer)
        {
            let kind = "offer.created".to_owned();
            expected.insert(
                format!("{offer}/{kind}"),
                Expected { kind, since: stored.stored_at, customer: None, counts: None },
            );
        }
        if push.has_ended() {
            let kind = format!("push.{}", push.state);
            let is_completed = push.state == "completed";
            // By the clock of the process that completed it.
            let ended = push.ended_at.filter(|_| is_completed).map(|at| at - facts.limits.skew);
            let since = ended.or(push.cancelled_at).unwrap_or(push.requested_at);
            let counts = is_completed.then_some(push);
            expected.insert(format!("{offer}/{number}/{kind}"), Expected { kind, since, customer: None, counts });
        }
    }
    for event in &facts.customer_events {
        let (kind, since) = (event.kind.clone(), event.at);
        // A transaction that the client repeats takes effect once.
        expected.entry(event.id.clone()).or_insert(Expected { kind, since, customer: Some(event), counts: None });
    }
    expected
}

#[cfg(test)]
mod tests {
    use domain::Channel;
    use serde_json::json;

    use super::super::samples::{self, at, broken_by};
    use super::*;

    fn unsubscribed() -> CustomerEvent {
        CustomerEvent {
            id: "e-1".to_owned(),
            at: at(5_000),
            kind: "customer.unsubscribed".to_owned(),
            customer: "c-1".to_owned(),
            channel: Channel::Email,
            offer: None,
        }
    }

    fn published(detail: Value) -> Published {
        Published { at: at(6_000), kind: "customer.unsubscribed".to_owned(), detail }
    }

    #[test]
    fn an_ordinary_run_publishes_what_it_stores() {
        let mut facts = samples::facts();
        facts.customer_events.push(unsubscribed());
        facts.published.push(published(json!({"id": "e-1", "customer": {"id": "c-1"}, "channel": "email"})));
        assert_eq!(check(&facts), []);
        facts.published.extend(facts.published.clone());
        assert_eq!(check(&facts), [], "twice");
    }

    #[test]
    fn each_missing_or_untrue_event_is_found() {
        type Change = fn(&mut Facts);
        let changes: [(Change, &str); 9] = [
            (|facts| drop(facts.published.remove(0)), "offer.created with the id"),
            (|facts| drop(facts.published.remove(1)), "push.completed with the id"),
            (|facts| facts.customer_events.push(unsubscribed()), "customer.unsubscribed with the id e-1"),
            (|facts| facts.published.push(published(json!({"id": "e-2"}))), "nothing is stored of it"),
            (|facts| facts.published[0].at = at(999), "before it was stored"),
            (|facts| facts.published[1].at = at(9_000), "before it was stored"),
            (|facts| facts.published[1].kind = "push.cancelled".to_owned(), "and is push.completed"),
            (
                |facts| facts.published[1].detail["push"]["counts"]["sent"] = 0.into(),
                "tells of 0 sent, and 1 are stored",
            ),
            (|facts| facts.pushes[0].is_unpublished = true, "still marked"),
        ];
        for (change, expected) in changes {
            let what = broken_by(check, change);
            assert_eq!(what.len(), 1, "{what:?}");
            assert!(what[0].contains(expected), "{what:?}");
        }
        let what = broken_by(check, |facts| {
            facts.customer_events.push(unsubscribed());
            facts.published.push(published(json!({"id": "e-1", "customer": {"id": "c-2"}, "channel": "email"})));
        });
        assert!(what[0].contains("other contents"), "{what:?}");
    }
}
