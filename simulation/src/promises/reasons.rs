//! Reasons are true: what is recorded as the reason why a customer did not get an offer was so when it was recorded.

use domain::Channel;
use jiff::{SignedDuration, Timestamp};
use store::MAX_READ_AGE;

use super::Violation;
use super::facts::{Facts, Notification, Record, Version};
use super::told::Confirmed;

const PROMISE: &str = "reasons are true";
/// How long calls usually take between reading and recording.
const USUAL: SignedDuration = SignedDuration::from_secs(1);
/// How far back a process may have been held up since it read.
const HELD_UP_WITHIN: SignedDuration = SignedDuration::from_mins(15);
/// What a check at the edge of a time may be off.
const MARGIN: SignedDuration = SignedDuration::from_secs(5);

/// Checks the promise.
pub fn check(facts: &Facts) -> Vec<Violation> {
    let untrue = facts.records.iter().filter_map(|(notification, record)| {
        let why = untrue(facts, notification, record)?;
        let code = record.code.as_deref().unwrap_or("no code");
        Some(format!("{notification}: {} at {} ({code}), but {why}", record.state, record.updated_at))
    });
    untrue.map(|what| Violation { promise: PROMISE, what }).collect()
}

/// What contradicts a record's reason.
fn untrue(facts: &Facts, notification: &Notification, record: &Record) -> Option<String> {
    let (state, code) = (record.state.as_str(), record.code.as_deref()?);
    if !matches!(state, "suppressed" | "optedOut" | "expired" | "cancelled") {
        return None;
    }
    let (from, until) = decided(facts, notification, record);
    let is_true = match (state, code) {
        ("cancelled", "pushCancelled") => {
            let mut own = facts.pushes.iter().filter(|push| push.offer == notification.offer);
            own.any(|push| {
                push.number == record.push && push.cancelled_at.is_some_and(|at| at <= until + facts.limits.skew)
            })
        }
        ("expired", "offerExpired") => {
            let valid_until = facts.offers.get(&notification.offer).and_then(|offer| offer.valid_until);
            valid_until.is_some_and(|at| at <= until + facts.limits.skew + MARGIN)
        }
        ("optedOut", "customerDeleted") => was(facts, notification, from, until, |version| version.record.is_none()),
        ("optedOut", "notReachable") => was(facts, notification, from, until, |version| {
            let record = version.record.as_ref();
            record.is_some_and(|record| record.address(notification.channel).is_none())
        }),
        ("optedOut", "optedOut") => {
            has_event(facts, notification, until, &["customer.unsubscribed", "customer.complained"])
                || may_have_opted_out(facts, notification, until)
        }
        ("suppressed", "addressBounced") => has_event(facts, notification, until, &["customer.bounced"]),
        ("suppressed", "addressComplained") => has_event(facts, notification, until, &["customer.complained"]),
        _ => return Some("that is no reason of this state".to_owned()),
    };
    (!is_true).then(|| match code {
        "pushCancelled" => format!("push {} was not cancelled by then", record.push),
        "offerExpired" => "the offer was still valid".to_owned(),
        "customerDeleted" | "notReachable" => format!("that was not so from {from} to {until}"),
        _ => format!("nothing of the kind had happened by {until}"),
    })
}

/// From when to when what the reason was made of may have been read.
fn decided(facts: &Facts, notification: &Notification, record: &Record) -> (Timestamp, Timestamp) {
    let mut writes = facts.writes.iter().filter(|write| {
        write.notification == *notification && write.state == record.state && !write.is_claim() && write.at.is_some()
    });
    let allowed = SignedDuration::try_from(MAX_READ_AGE).unwrap_or_default() + USUAL;
    match writes.next_back() {
        Some(write) => {
            let held_up = facts.held_up(write.process, write.asked_at - HELD_UP_WITHIN, write.asked_at);
            (write.asked_at - allowed - held_up, write.at.unwrap_or(write.asked_at))
        }
        None => {
            let skew = facts.limits.skew;
            (record.updated_at - allowed - skew - HELD_UP_WITHIN, record.updated_at + skew + USUAL)
        }
    }
}

/// Whether a version of the customer's record that was the present one at some time between these is like this.
fn was(
    facts: &Facts,
    notification: &Notification,
    from: Timestamp,
    until: Timestamp,
    is_like: impl Fn(&Version) -> bool,
) -> bool {
    let versions = facts.customers.get(&notification.customer).map_or(&[][..], Vec::as_slice);
    let before = Version { from: Timestamp::MIN, record: None };
    let all: Vec<_> = std::iter::once(&before).chain(versions).collect();
    all.iter().enumerate().any(|(index, version)| {
        let next = all.get(index + 1).map(|next| next.from);
        version.from <= until && next.is_none_or(|next| next >= from) && is_like(version)
    })
}

fn has_event(facts: &Facts, notification: &Notification, until: Timestamp, kinds: &[&str]) -> bool {
    facts.customer_events.iter().any(|event| {
        kinds.contains(&event.kind.as_str())
            && shares_address(facts, notification, &event.customer)
            && event.channel == notification.channel
            && event.at <= until + facts.limits.skew
    })
}

/// Whether this is the customer, or one who had an address that the customer had as well: suppressions hold for the address.
fn shares_address(facts: &Facts, notification: &Notification, other: &str) -> bool {
    let versions = |customer: &str| facts.customers.get(customer).map_or(&[][..], Vec::as_slice);
    let addresses = |customer| {
        let records = versions(customer).iter().filter_map(|version| version.record.as_ref());
        records.filter_map(|record| record.known_address(notification.channel)).collect::<Vec<_>>()
    };
    let own = addresses(&notification.customer);
    other == notification.customer || addresses(other).iter().any(|address| own.contains(address))
}

/// Whether the customer, or another one of the address, opted out by then, as far as they know. No event says so where the answer
/// was lost, or where an operator lifted suppressions at the same time.
fn may_have_opted_out(facts: &Facts, notification: &Notification, until: Timestamp) -> bool {
    facts.told.iter().filter(|told| told.begun <= until).any(|told| {
        let customer = match (&told.what, notification.channel) {
            (Confirmed::Unsubscribed { customer }, Channel::Email)
            | (Confirmed::Stopped { customer }, Channel::Sms) => customer,
            _ => return false,
        };
        shares_address(facts, notification, customer)
    })
}

#[cfg(test)]
mod tests {
    use super::super::facts::CustomerEvent;
    use super::super::samples::{self, OFFER, at, notification};
    use super::super::told::Told;
    use super::*;

    fn found(state: &str, code: &str, change: impl FnOnce(&mut Facts)) -> Vec<Violation> {
        let mut facts = samples::facts();
        let record = facts.records.get_mut(&notification()).unwrap();
        record.state = state.to_owned();
        record.code = Some(code.to_owned());
        facts.writes[1].state = state.to_owned();
        change(&mut facts);
        check(&facts)
    }

    #[test]
    fn an_ordinary_run_needs_no_reasons() {
        assert_eq!(check(&samples::facts()), []);
    }

    #[test]
    fn a_cancel_and_an_expiry_must_have_been() {
        assert_eq!(found("cancelled", "pushCancelled", |_| {}).len(), 1);
        assert_eq!(found("cancelled", "pushCancelled", |facts| facts.pushes[0].cancelled_at = Some(at(9_000))), []);
        assert_eq!(found("expired", "offerExpired", |_| {}).len(), 1);
        let until = |facts: &mut Facts, at| facts.offers.get_mut(OFFER).unwrap().valid_until = Some(at);
        assert_eq!(found("expired", "offerExpired", |facts| until(facts, at(10_000))), []);
        assert_eq!(found("expired", "offerExpired", |facts| until(facts, at(60_000))).len(), 1);
    }

    #[test]
    fn who_was_there_all_the_time_was_not_deleted() {
        let gone = |facts: &mut Facts, seconds: i64| {
            facts.customers.get_mut("c-1").unwrap().push(Version { from: at(seconds * 1_000), record: None });
        };
        assert_eq!(found("optedOut", "customerDeleted", |_| {}).len(), 1);
        assert_eq!(found("optedOut", "customerDeleted", |facts| gone(facts, 9)), []);
        assert_eq!(found("optedOut", "customerDeleted", |facts| gone(facts, 20)).len(), 1);
        assert_eq!(found("optedOut", "notReachable", |facts| gone(facts, 9)).len(), 1);
        let withdraw = |facts: &mut Facts| {
            let versions = facts.customers.get_mut("c-1").unwrap();
            let mut record = versions[0].record.clone().unwrap();
            record.channels.clear();
            versions.push(Version { from: at(9_000), record: Some(record) });
        };
        assert_eq!(found("optedOut", "notReachable", withdraw), []);
    }

    #[test]
    fn who_did_not_opt_out_bounce_or_complain_is_not_suppressed() {
        let event = |kind: &str, seconds: i64| CustomerEvent {
            id: "e-1".to_owned(),
            at: at(seconds * 1_000),
            kind: kind.to_owned(),
            customer: "c-1".to_owned(),
            channel: Channel::Email,
            offer: None,
        };
        for (state, code, kind) in [
            ("optedOut", "optedOut", "customer.unsubscribed"),
            ("suppressed", "addressBounced", "customer.bounced"),
            ("suppressed", "addressComplained", "customer.complained"),
        ] {
            assert_eq!(found(state, code, |_| {}).len(), 1, "{code}");
            assert_eq!(found(state, code, |facts| facts.customer_events.push(event(kind, 20))).len(), 1, "{code}");
            assert_eq!(found(state, code, |facts| facts.customer_events.push(event(kind, 9))), [], "{code}");
        }
        assert_eq!(found("suppressed", "optedOut", |_| {}).len(), 1);
    }

    #[test]
    fn who_answered_stop_opted_out_of_text_messages() {
        let stop = |facts: &mut Facts, seconds: i64| {
            let what = Confirmed::Stopped { customer: "c-1".to_owned() };
            facts.told.push(Told { what, begun: at(seconds * 1_000), at: at(seconds * 1_000) });
        };
        let by_sms = |facts: &mut Facts| {
            let record = facts.records.remove(&notification()).unwrap();
            let by_sms = Notification { channel: Channel::Sms, ..notification() };
            facts.writes.iter_mut().for_each(|write| write.notification.channel = Channel::Sms);
            facts.records.insert(by_sms, record);
        };
        let found = |seconds: i64, is_sms: bool| {
            found("optedOut", "optedOut", |facts| {
                stop(facts, seconds);
                if is_sms {
                    by_sms(facts);
                }
            })
            .len()
        };
        assert_eq!((found(9, true), found(20, true), found(9, false)), (0, 1, 1));
    }

    #[test]
    fn an_opt_out_holds_for_all_who_have_the_address_with_consent_or_without() {
        let of_another = |facts: &mut Facts, email: &str| {
            let mut other = facts.customers["c-1"].clone();
            let record = other[0].record.as_mut().unwrap();
            record.channels.clear();
            record.email = Some(email.to_owned());
            facts.customers.insert("c-2".to_owned(), other);
            facts.customer_events.push(CustomerEvent {
                id: "e-1".to_owned(),
                at: at(9_000),
                kind: "customer.unsubscribed".to_owned(),
                customer: "c-2".to_owned(),
                channel: Channel::Email,
                offer: None,
            });
        };
        let own = samples::facts().customers["c-1"][0].record.as_ref().unwrap().email.clone().unwrap();
        assert_eq!(found("optedOut", "optedOut", |facts| of_another(facts, &own)), []);
        assert_eq!(found("optedOut", "optedOut", |facts| of_another(facts, "other@person.example")).len(), 1);
    }
}
