//! Stored first, and only with consent: nothing is begun for an offer that is not stored or has expired, for a push that was
//! cancelled, or for a customer who must not get it.

use jiff::{SignedDuration, Timestamp};
use store::MAX_READ_AGE;

use super::Violation;
use super::facts::{Facts, Handover, Notification};

/// How long a call usually takes: what is read is read that long before it is known, and a claim is asked for a moment
/// after its age was looked at.
const USUAL: SignedDuration = SignedDuration::from_millis(200);

/// Checks the promises.
pub fn check(facts: &Facts) -> Vec<Violation> {
    let mut found = Vec::new();
    for handover in &facts.handovers {
        let mut add = |promise, what: String| {
            let Handover { process, provider, code, begun, .. } = handover;
            let started = facts.started(handover);
            let to = handover.notification.as_ref().map_or("?", |notification| &notification.customer);
            found.push(Violation {
                promise,
                what: format!(
                    "process {process} handed {code} for {to} to {provider} at {begun}, claimed at {started}, {what}"
                ),
            });
        };
        let is_its = |id: &String, code: &str| match (&handover.notification, handover.code.is_empty()) {
            // A mail server that refuses the recipient has not seen the offer.
            (Some(notification), true) => notification.offer == *id,
            (None, true) => false,
            (_, false) => handover.code == code,
        };
        match facts.offers.iter().find(|(id, offer)| is_its(id, &offer.code)) {
            None if handover.code.is_empty() && handover.taken_at.is_none() => {}
            None => add("stored first", "although the offer is not stored".to_owned()),
            Some((_, offer)) if handover.begun < offer.stored_at => {
                add("stored first", format!("before it was stored at {}", offer.stored_at));
            }
            Some((id, offer)) => {
                if let Some(until) = offer.valid_until
                    && is_late(facts, handover, until)
                {
                    add("not expired", format!("after it expired at {until}"));
                }
                if let Some(what) = without_push(facts, handover, id) {
                    add("cancel", what);
                }
            }
        }
        if let Some(notification) = &handover.notification {
            if let Some(what) = not_reachable(facts, handover, notification) {
                add("only with consent", what);
            }
            for what in blocked(facts, handover, notification) {
                add("only with consent", what);
            }
        }
    }
    found
}

/// What a process may still use of what it read before this moment: for five seconds, and as long as it was held up.
fn oldest_read(facts: &Facts, handover: &Handover) -> Timestamp {
    let started = facts.started(handover);
    let allowed = SignedDuration::try_from(MAX_READ_AGE).unwrap_or_default() + USUAL;
    let oldest = started - allowed;
    // While it is held up it cannot read, so it may have read before.
    oldest - facts.held_up(handover.process, oldest, started)
}

/// Whether a process must have known of what happened at this moment, by its own clock.
fn is_late(facts: &Facts, handover: &Handover, moment: Timestamp) -> bool {
    oldest_read(facts, handover) > moment + facts.limits.skew
}

/// Whether each push of the offer was cancelled, or not requested yet, at every time that the process may have read.
fn without_push(facts: &Facts, handover: &Handover, offer: &str) -> Option<String> {
    let started = facts.started(handover);
    let pushes =
        || facts.pushes.iter().filter(|push| push.offer == offer && push.requested_at <= started + facts.limits.skew);
    let may_know_it_open = pushes().any(|push| push.cancelled_at.is_none_or(|at| !is_late(facts, handover, at)));
    let last = pushes().filter_map(|push| push.cancelled_at).max();
    (!may_know_it_open).then(|| match last {
        Some(at) => format!("after its last push was cancelled at {at}"),
        None => "although no push was requested".to_owned(),
    })
}

/// Whether the customer had this address, and consented, at no time that the process may have read.
fn not_reachable(facts: &Facts, handover: &Handover, notification: &Notification) -> Option<String> {
    let (from, until) = (oldest_read(facts, handover), facts.started(handover));
    let versions = facts.customers.get(&notification.customer).map_or(&[][..], Vec::as_slice);
    let mut possible = versions.iter().enumerate().filter(|(index, version)| {
        let next = versions.get(index + 1).map(|next| next.from);
        version.from <= until && next.is_none_or(|next| next >= from)
    });
    let has_it = |record: Option<&str>| record == Some(handover.address.as_str());
    let is_allowed = possible
        .any(|(_, version)| has_it(version.record.as_ref().and_then(|record| record.address(notification.channel))));
    if is_allowed {
        return None;
    }
    let now = versions.iter().rfind(|version| version.from <= until);
    let since = now.map_or("ever".to_owned(), |version| version.from.to_string());
    let why = match now.and_then(|version| version.record.as_ref()) {
        None => "the customer does not exist",
        Some(record) if !record.channels.contains(&notification.channel) => "there is no consent",
        Some(_) => "the address is another one",
    };
    Some(format!("although {why} since {since}"))
}

fn blocked<'f>(
    facts: &'f Facts,
    handover: &'f Handover,
    notification: &'f Notification,
) -> impl Iterator<Item = String> + 'f {
    let (oldest, started) = (oldest_read(facts, handover), facts.started(handover));
    let blocks = facts.blocks.iter().filter(move |block| {
        let is_it = match &block.address {
            Some(address) => *address == handover.address,
            None => block.customer == notification.customer,
        };
        is_it
            && block.channel == notification.channel
            && block.from < oldest
            && block.until.is_none_or(|until| until > started)
    });
    blocks.map(|block| format!("although {} since {}", block.why, block.from))
}

#[cfg(test)]
mod tests {
    use domain::Channel;

    use super::super::facts::{Block, Freeze, Hitch, Version};
    use super::super::samples::{self, ADDRESS, OFFER, at, broken_by};
    use super::*;

    /// The claim is asked for at 10 s. What happens by 3 s must be known by then, and what happens at 6 s need not.
    fn both(change: impl Fn(&mut Facts, Timestamp), expected: &str) {
        let what = broken_by(check, |facts| change(facts, at(3_000)));
        assert_eq!(what.len(), 1, "{what:?}");
        assert!(what[0].contains(expected), "{what:?}");
        let mut facts = samples::facts();
        change(&mut facts, at(6_000));
        assert_eq!(check(&facts), [], "{expected}");
        let mut facts = samples::facts();
        change(&mut facts, at(3_000));
        facts.freezes.push(Freeze { process: 3, from: at(5_000), until: at(9_900), point: String::new() });
        assert_eq!(check(&facts), [], "{expected}, frozen");
        facts.freezes.clear();
        facts.hitches.push(Hitch { process: 3, from: at(5_000), until: at(9_900) });
        assert_eq!(check(&facts), [], "{expected}, slow");
    }

    #[test]
    fn an_ordinary_run_sends_only_what_it_may() {
        assert_eq!(check(&samples::facts()), []);
    }

    #[test]
    fn nothing_is_sent_before_it_is_stored() {
        let what = broken_by(check, |facts| facts.offers.clear());
        assert!(what[0].contains("is not stored"), "{what:?}");
        let what = broken_by(check, |facts| facts.offers.get_mut(OFFER).unwrap().stored_at = at(10_060));
        assert!(what[0].contains("before it was stored"), "{what:?}");
    }

    #[test]
    fn nothing_is_begun_after_expiry_or_a_cancel() {
        both(|facts, at| facts.offers.get_mut(OFFER).unwrap().valid_until = Some(at), "after it expired");
        both(|facts, at| facts.pushes[0].cancelled_at = Some(at), "was cancelled");
    }

    #[test]
    fn another_push_that_is_open_may_go_on() {
        let mut facts = samples::facts();
        facts.pushes[0].cancelled_at = Some(at(3_000));
        facts.pushes.push(super::super::facts::Push { number: 2, cancelled_at: None, ..facts.pushes[0].clone() });
        assert_eq!(check(&facts), []);
    }

    #[test]
    fn nothing_is_sent_to_who_withdrew_moved_or_was_deleted() {
        let change = |facts: &mut Facts, from, change: fn(&mut super::super::facts::Customer)| {
            let versions = facts.customers.get_mut("c-1").unwrap();
            let mut record = versions[0].record.clone().unwrap();
            change(&mut record);
            versions.push(Version { from, record: Some(record) });
        };
        both(|facts, at| change(facts, at, |record| record.channels.clear()), "there is no consent");
        both(|facts, at| change(facts, at, |record| record.email = Some("zq2@person.example".into())), "another one");
        both(
            |facts, from| facts.customers.get_mut("c-1").unwrap().push(Version { from, record: None }),
            "does not exist",
        );
    }

    #[test]
    fn nothing_is_sent_to_who_unsubscribed_until_that_is_lifted() {
        let block = |from, address: Option<&str>| Block {
            customer: "c-1".to_owned(),
            channel: Channel::Email,
            address: address.map(str::to_owned),
            why: "customer.unsubscribed".to_owned(),
            from,
            until: None,
        };
        both(|facts, at| facts.blocks.push(block(at, None)), "customer.unsubscribed");
        both(|facts, at| facts.blocks.push(block(at, Some(ADDRESS))), "customer.unsubscribed");
        for harmless in [
            Block { until: Some(at(9_000)), ..block(at(3_000), None) },
            Block { channel: Channel::Sms, ..block(at(3_000), None) },
            block(at(3_000), Some("zq2@person.example")),
            Block { customer: "c-2".to_owned(), ..block(at(3_000), None) },
        ] {
            let mut facts = samples::facts();
            facts.blocks.push(harmless.clone());
            assert_eq!(check(&facts), [], "{harmless:?}");
        }
    }
}
