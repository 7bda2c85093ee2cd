//! Facts of a small run in which all went well, for the tests of the checks.

use std::collections::{BTreeMap, BTreeSet};

use domain::{Channel, TransportId};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use testing::clock::START;

use super::facts::{
    Customer, Facts, Handover, Limits, Notification, Offer, Published, Push, Record, Reservation, Version, Write,
};
use super::{Check, Violation};

pub(super) const OFFER: &str = "01980000-0000-7000-8000-000000000001";
pub(super) const ADDRESS: &str = "zq1@person.example";

/// A moment of the run, in milliseconds since its beginning.
pub(super) fn at(millis: i64) -> Timestamp {
    START + SignedDuration::from_millis(millis)
}

pub(super) fn notification() -> Notification {
    Notification { offer: OFFER.to_owned(), customer: "c-1".to_owned(), channel: Channel::Email }
}

/// A claim of process 3, asked for at 10,000 ms.
pub(super) fn claim() -> Write {
    Write {
        process: 3,
        notification: notification(),
        asked_at: at(10_000),
        at: Some(at(10_004)),
        status: Some(200),
        is_refused: false,
        is_struck: false,
        state: "claimed".to_owned(),
        token: Some("t-1".to_owned()),
        lease_until: Some(at(165_000)),
        code: None,
        is_unanswered: false,
    }
}

/// The record of the outcome under that claim.
pub(super) fn outcome() -> Write {
    Write { asked_at: at(10_200), at: Some(at(10_204)), state: "sent".to_owned(), lease_until: None, ..claim() }
}

/// The message that was handed over under that claim.
pub(super) fn handover() -> Handover {
    Handover {
        number: 0,
        provider: TransportId::Ses,
        process: 3,
        address: ADDRESS.to_owned(),
        code: "OFFER-1".to_owned(),
        notification: Some(notification()),
        begun: at(10_050),
        taken_at: Some(at(10_100)),
        refused: None,
        answered_at: Some(at(10_150)),
    }
}

/// The same claim, message and record by another process, this much later.
pub(super) fn again(facts: &mut Facts, process: u32, millis: i64) {
    let later = |moment: Timestamp| moment + SignedDuration::from_millis(millis);
    let token = Some(format!("t-{process}"));
    for write in [claim(), outcome()] {
        facts.writes.push(Write {
            process,
            asked_at: later(write.asked_at),
            at: write.at.map(later),
            lease_until: write.lease_until.map(later),
            token: token.clone(),
            ..write
        });
    }
    let first = handover();
    facts.handovers.push(Handover {
        number: facts.handovers.len(),
        process,
        begun: later(first.begun),
        taken_at: first.taken_at.map(later),
        answered_at: first.answered_at.map(later),
        ..first
    });
    facts.reservations.push(Reservation { process, first: later(at(10_000)).as_microsecond(), ..reservation() });
}

fn reservation() -> Reservation {
    Reservation {
        process: 3,
        transport: TransportId::Ses,
        at: at(9_990),
        first: at(10_000).as_microsecond(),
        length: 100_000,
    }
}

/// One offer to one customer, by e-mail at ten a second, which is sent at once.
pub(super) fn facts() -> Facts {
    let customer = Customer {
        email: Some(ADDRESS.to_owned()),
        mobile: None,
        channels: BTreeSet::from([Channel::Email]),
        item: json!({"name": "Zq", "attributes": {"tier": "gold"}}),
    };
    let offer = Offer {
        code: "OFFER-1".to_owned(),
        stored_at: at(1_000),
        valid_until: None,
        placeholders: BTreeSet::new(),
        wanted: BTreeSet::from([("c-1".to_owned(), Channel::Email)]),
        unsteady: BTreeSet::new(),
    };
    let push = Push {
        offer: OFFER.to_owned(),
        number: 1,
        state: "completed".to_owned(),
        requested_at: at(1_000),
        cancelled_at: None,
        ended_at: Some(at(11_000)),
        eligible: 1,
        outcomes: BTreeMap::from([("sent".to_owned(), 1)]),
        reasons: BTreeMap::new(),
        outstanding: 0,
        is_unpublished: false,
    };
    let sent = Record { state: "sent".to_owned(), push: 1, code: None, reason: None, updated_at: at(10_200) };
    let event = |millis: i64, kind: &str, detail| Published { at: at(millis), kind: kind.to_owned(), detail };
    let counts = json!({"eligible": 1, "sent": 1, "failed": 0, "suppressed": 0, "optedOut": 0, "expired": 0,
                        "cancelled": 0, "alreadyServed": 0, "pending": 0});
    Facts {
        limits: Limits {
            rates: BTreeMap::from([(TransportId::Ses, 10)]),
            retry_for: SignedDuration::from_hours(72),
            skew: SignedDuration::from_millis(500),
        },
        customers: BTreeMap::from([("c-1".to_owned(), vec![Version { from: at(0), record: Some(customer) }])]),
        offers: BTreeMap::from([(OFFER.to_owned(), offer)]),
        confirmed: BTreeMap::from([("OFFER-1".to_owned(), at(1_010))]),
        requests: BTreeSet::from([(OFFER.to_owned(), 1)]),
        pushes: vec![push],
        records: BTreeMap::from([(notification(), sent)]),
        handovers: vec![handover()],
        writes: vec![claim(), outcome()],
        reservations: vec![reservation()],
        published: vec![
            event(1_500, "offer.created", json!({"id": format!("{OFFER}/offer.created"), "offer": {"id": OFFER}})),
            event(
                11_500,
                "push.completed",
                json!({"id": format!("{OFFER}/1/push.completed"), "offer": {"id": OFFER},
                       "push": {"number": 1, "counts": counts}}),
            ),
        ],
        ..Facts::default()
    }
}

/// What a check finds once the facts are changed.
pub(super) fn broken_by(check: Check, change: impl FnOnce(&mut Facts)) -> Vec<String> {
    let mut facts = facts();
    assert_eq!(check(&facts), [], "before the change");
    change(&mut facts);
    check(&facts).into_iter().map(|Violation { what, .. }| what).collect()
}
