//! Never lost: every eligible customer has the message or a recorded reason why not, and every push ends.

use super::Violation;
use super::facts::{Facts, Notification, Offer, Push};

const PROMISE: &str = "never lost";

/// Checks the promise.
pub fn check(facts: &Facts) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut add = |what: String| found.push(Violation { promise: PROMISE, what });
    for (code, at) in &facts.confirmed {
        if !facts.offers.values().any(|offer| offer.code == *code) {
            add(format!("the API confirmed the offer {code} at {at}, and it is not stored"));
        }
    }
    for (offer, number) in &facts.requests {
        if !facts.pushes.iter().any(|push| push.offer == *offer && push.number == *number) {
            add(format!("push {number} of offer {offer} was requested and never started"));
        }
    }
    for push in &facts.pushes {
        if let Some(what) = unended(facts, push) {
            add(what);
        }
    }
    for (id, offer) in &facts.offers {
        for what in without_outcome(facts, id, offer) {
            add(what);
        }
    }
    for (notification, record) in &facts.records {
        let ended = facts.pushes.iter().filter(|push| push.offer == notification.offer).all(Push::has_ended);
        // A scan that begins again does not find a customer who was deleted meanwhile.
        let is_steady =
            facts.offers.get(&notification.offer).is_none_or(|offer| !offer.unsteady.contains(&notification.customer));
        if !record.is_final() && ended && is_steady && !may_stay(facts, &notification.offer) {
            let at = record.updated_at;
            add(format!("{notification}: its pushes have ended, and it is left as {} since {at}", record.state));
        }
        if record.is_final() && record.state != "sent" && (record.code.is_none() || record.reason.is_none()) {
            add(format!("{notification}: recorded as {} without a reason", record.state));
        }
        let is_taken = |notification: &Notification| {
            let mut handovers = facts.handovers.iter();
            handovers.any(|taken| taken.notification.as_ref() == Some(notification) && taken.taken_at.is_some())
        };
        if record.state == "sent" && !is_taken(notification) {
            add(format!("{notification}: recorded as sent at {}, and no provider took it", record.updated_at));
        }
    }
    found
}

/// What is left of a push. A batch of a cancelled push that its queue lost is not looked for: it was not going to be sent.
fn unended(facts: &Facts, push: &Push) -> Option<String> {
    let left = push.eligible.saturating_sub(push.total());
    let name = push.name();
    match push.state.as_str() {
        "completed" | "cancelled" if left == 0 && push.outstanding == 0 => None,
        "cancelled" if may_stay(facts, &push.offer) => None,
        "completed" | "cancelled" => Some(format!(
            "{name} is {}, and {left} notifications are pending, in {} batches without a report",
            push.state, push.outstanding
        )),
        state => Some(format!(
            "{name} never ended: it is {state}, with {} of {} notifications done",
            push.total(),
            push.eligible
        )),
    }
}

/// Whether notifications of an offer may be left without an outcome: a cancelled push lost their batch.
pub(super) fn may_stay(facts: &Facts, offer: &str) -> bool {
    let own = ["AudienceDeadLetters", "EmailDeadLetters", "SmsDeadLetters"];
    let has_lost = facts.loses_messages || own.iter().any(|queue| facts.dead_letters.contains_key(*queue));
    has_lost && facts.pushes.iter().any(|push| push.offer == offer && push.state == "cancelled")
}

/// The customers who have neither the message nor a record, though a push of the offer was completed while it was valid.
fn without_outcome(facts: &Facts, id: &str, offer: &Offer) -> Vec<String> {
    let is_full = |push: &&Push| {
        let in_time = offer.valid_until.is_none_or(|until| {
            // Both are by clocks of processes.
            push.ended_at.is_some_and(|ended| ended + facts.limits.skew + facts.limits.skew < until)
        });
        push.offer == *id && push.state == "completed" && in_time
    };
    let Some(push) = facts.pushes.iter().rfind(is_full) else {
        return Vec::new();
    };
    let missing = offer.wanted.iter().filter_map(|(customer, channel)| {
        let notification = Notification { offer: id.to_owned(), customer: customer.clone(), channel: *channel };
        let is_missing = !facts.records.contains_key(&notification);
        is_missing.then(|| format!("{notification}: neither sent nor a reason, though {} is completed", push.name()))
    });
    missing.collect()
}

#[cfg(test)]
mod tests {
    use super::super::samples::{self, broken_by, notification};
    use super::*;

    #[test]
    fn an_ordinary_run_loses_nobody() {
        assert_eq!(check(&samples::facts()), []);
    }

    #[test]
    fn a_customer_without_a_record_is_lost() {
        let what = broken_by(check, |facts| facts.records.clear());
        assert_eq!(what.len(), 1);
        assert!(what[0].contains("to c-1 by email: neither sent nor a reason"), "{what:?}");
    }

    #[test]
    fn customers_of_an_expired_or_cancelled_offer_need_no_record() {
        let mut facts = samples::facts();
        facts.records.clear();
        facts.offers.get_mut(samples::OFFER).unwrap().valid_until = facts.pushes[0].ended_at;
        assert_eq!(check(&facts), []);
        facts.offers.get_mut(samples::OFFER).unwrap().valid_until = None;
        facts.pushes[0].state = "cancelled".to_owned();
        assert_eq!(check(&facts), []);
    }

    #[test]
    fn a_push_that_never_starts_or_ends_is_lost() {
        for (what, expected) in [
            (broken_by(check, |facts| facts.pushes.clear()), "was requested and never started"),
            (broken_by(check, |facts| facts.pushes[0].state = "running".to_owned()), "never ended: it is running"),
            (broken_by(check, |facts| facts.pushes[0].eligible = 2), "1 notifications are pending"),
            (broken_by(check, |facts| facts.pushes[0].outstanding = 1), "in 1 batches"),
            (
                broken_by(check, |facts| {
                    facts.confirmed.insert("OFFER-2".to_owned(), samples::at(0));
                }),
                "confirmed the offer OFFER-2",
            ),
        ] {
            assert_eq!(what.len(), 1, "{what:?}");
            assert!(what[0].contains(expected), "{what:?}");
        }
    }

    #[test]
    fn only_a_cancelled_push_may_keep_what_its_queue_lost() {
        let mut facts = samples::facts();
        facts.loses_messages = true;
        facts.pushes[0].eligible = 2;
        assert_eq!(check(&facts).len(), 1);
        facts.pushes[0].state = "cancelled".to_owned();
        assert_eq!(check(&facts), []);
        facts.loses_messages = false;
        facts.dead_letters.insert("FeedbackDeadLetters".to_owned(), 1);
        assert_eq!(check(&facts).len(), 1, "what another queue lost is no part of a push");
        facts.dead_letters.insert("EmailDeadLetters".to_owned(), 1);
        assert_eq!(check(&facts), []);
    }

    #[test]
    fn a_record_has_its_message_or_its_reason() {
        let change = |state: &str| {
            broken_by(check, |facts| {
                state.clone_into(&mut facts.records.get_mut(&notification()).unwrap().state);
                facts.handovers.clear();
            })
        };
        assert!(change("sent")[0].contains("no provider took it"));
        assert!(change("failed")[0].contains("without a reason"));
        assert!(change("retry")[0].contains("it is left as retry"));
    }
}
