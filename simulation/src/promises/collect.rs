//! Makes facts of what is kept, the tables and the logs.

use std::collections::{BTreeMap, BTreeSet};

use domain::eligibility::Verdict;
use domain::{Customer as Recipient, RuleText, TransportId};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use testing::clock::START;

use super::evidence::Kept;
use super::facts::{Block, CustomerEvent, Facts, Handover, Limits, Notification, Offer, Push, Version, Write};
use super::outages::Outages;
use super::tables::{self, StoredOffer};
use crate::fault::Fault;
use crate::scenario::Scenario;
use crate::world::World;

/// All that the checks know of a run.
pub fn collect(world: &World) -> Facts {
    let kept = world.evidence.all();
    let (stored, requests) = tables::offers(&world.dynamo);
    let mut pushes = tables::pushes(&world.dynamo);
    let told = super::sources::told(world);
    for push in &mut pushes {
        // By the true time, where that is known.
        let id = (push.offer.clone(), push.number);
        if let Some(at) = kept.cancels.get(&id) {
            push.cancelled_at = Some(*at);
        }
        if let Some(at) = kept.requests.get(&id) {
            push.requested_at = *at;
        }
        super::told::cancel(&told, push);
    }
    let limits = limits(&world.scenario, super::sources::rates(world));
    let offers = stored.iter().map(|offer| (offer.id.clone(), offer_of(offer, &pushes, &kept, limits.skew))).collect();
    let ids: BTreeMap<_, _> = stored.iter().map(|offer| (offer.code.as_str(), offer.id.as_str())).collect();
    let mut handovers = super::sources::handovers(world);
    for handover in &mut handovers {
        if handover.answered_at.is_none() {
            handover.answered_at = kept.answered.get(&handover.number).copied();
        }
        handover.notification = notification_of(handover, &ids, &kept);
        // Of customers who share an address, the one who is named in it.
        if let (Some(found), Some(named)) = (&mut handover.notification, world.handovers.customer(handover.number)) {
            found.customer = named;
        }
    }
    let lifts = super::sources::lifts(world);
    let mut blocks = blocks(&kept.customer_events, &kept.customers, &lifts);
    blocks.extend(super::told::blocks(&told, &kept.customer_events, &lifts));
    let mut troubles = kept.troubles;
    troubles.extend(super::deaths::outages(&world.scenario, START));
    let mut leaks = kept.leaks;
    leaks.extend(super::privacy::tables(world));
    leaks.extend(super::privacy::metrics::take());
    Facts {
        limits,
        customers: kept.customers,
        blocks,
        lifts,
        told,
        offers,
        confirmed: super::sources::confirmed(world),
        requests,
        pushes,
        records: tables::records(&world.dynamo),
        handovers,
        writes: kept.writes,
        struck_sends: kept.struck_sends,
        reservations: kept.reservations,
        breakers: kept.breakers,
        deaths: kept.deaths,
        received_in_vain: received_in_vain(world),
        troubles,
        freezes: kept.freezes,
        hitches: kept.hitches,
        published: super::sources::published(world),
        customer_events: kept.customer_events,
        dead_letters: super::sources::dead_letters(world),
        failures: kept.failures,
        reports: super::reports::of(world),
        loses_messages: QUEUES_OF_PUSHES.iter().any(|queue| loses_messages(world, queue)),
        loses_customer_events: loses_customer_events(world),
        outages: Outages::of(&world.scenario),
        effort: kept.effort,
        deferrals: kept.deferrals,
        leaks,
    }
}

/// The call with which a function queues again what is not done.
const QUEUES_AGAIN: &str = "SQS.SendMessage ";
/// How often the client makes a call before it gives up (`crates/runtime/src/clients.rs`).
const ATTEMPTS: usize = 4;

/// How often messages of each function came again although no process ended: it found no capacity, or a message that was
/// handled was not deleted.
fn received_in_vain(world: &World) -> BTreeMap<String, usize> {
    let mut in_vain: BTreeMap<String, usize> = BTreeMap::new();
    let mut refused: BTreeMap<&str, usize> = BTreeMap::new();
    let struck = world.faults.struck();
    for ((point, _), times) in &struck {
        let times = usize::try_from(*times).unwrap_or(usize::MAX);
        let function = match point.split_once(' ') {
            Some(("invoke", function)) => function.to_owned(),
            // A page whose batches are refused is scanned again.
            Some(("message", _)) => "audience".to_owned(),
            Some(("delete", queue)) => queue.trim_end_matches("Queue").to_lowercase(),
            Some((function, call)) if call.starts_with(QUEUES_AGAIN) => {
                *refused.entry(function).or_default() += times;
                continue;
            }
            _ => continue,
        };
        *in_vain.entry(function).or_default() += times;
    }
    // What is not done and cannot be queued again is returned as not handled.
    for (function, times) in refused {
        *in_vain.entry(function.to_owned()).or_default() += times / ATTEMPTS;
    }
    in_vain
}

fn limits(scenario: &Scenario, changed: BTreeMap<TransportId, u32>) -> Limits {
    let settings = &scenario.settings;
    let mut rates =
        BTreeMap::from([(settings.email_transport, settings.email_rate), (TransportId::Sns, settings.sms_rate)]);
    if let Some(fallback) = settings.fallback_email_transport {
        rates.insert(fallback, settings.fallback_email_rate);
    }
    for (transport, rate) in changed {
        let most = rates.entry(transport).or_default();
        *most = rate.max(*most);
    }
    Limits {
        rates,
        retry_for: SignedDuration::from_hours(settings.retry_hours.into()),
        skew: SignedDuration::from_millis(i64::try_from(settings.max_skew_ms).unwrap_or(i64::MAX)),
    }
}

/// The queues that what belongs to a push goes through.
const QUEUES_OF_PUSHES: [&str; 3] = ["AudienceQueue", "EmailQueue", "SmsQueue"];

/// Whether a queue lost messages for good.
pub fn loses_messages(world: &World, queue: &str) -> bool {
    loses(world, &format!("message {queue}")) || super::sources::purges(world, queue)
}

/// Whether something was lost for good at a point that begins like this.
fn loses(world: &World, point: &str) -> bool {
    let passed = world.faults.passed();
    world.scenario.faults.iter().any(|planned| {
        planned.point.starts_with(point)
            && planned.fault == Fault::Gone
            && passed.get(&planned.point).is_some_and(|times| *times >= planned.nth)
    })
}

/// Whether events about customers may be unpublished for good. They are in the table, for an operator to have them published
/// again. No sweep looks for them: a stream has each record once ("Change data capture for DynamoDB Streams" in the DynamoDB
/// Developer Guide), and what Lambda gives up leaves a dead letter.
pub fn loses_customer_events(world: &World) -> bool {
    loses(world, "record Suppressions") || super::sources::dead_letters(world).contains_key("FeedbackDeadLetters")
}

fn offer_of(stored: &StoredOffer, pushes: &[Push], kept: &Kept, skew: SignedDuration) -> Offer {
    let stored_at = kept.offers.get(&stored.id).copied().or(stored.created_at).unwrap_or_default();
    let own = pushes.iter().filter(|push| push.offer == stored.id);
    let ended = own.map(|push| push.ended_at.unwrap_or(Timestamp::MAX)).max().unwrap_or(Timestamp::MAX);
    let rule = stored.rule.as_deref().and_then(|rule| RuleText::parse(rule).ok()?.compile().ok());
    let is_eligible = |recipient: &Recipient| {
        stored.rule.is_none() || rule.as_ref().is_some_and(|rule| rule.verdict(recipient) == Verdict::Eligible)
    };
    let (mut wanted, mut unsteady) = (BTreeSet::new(), BTreeSet::new());
    for (id, versions) in &kept.customers {
        // The end is by the clock of a process.
        match steady(versions, stored_at, ended.saturating_add(skew).unwrap_or(Timestamp::MAX)) {
            None => {
                unsteady.insert(id.clone());
            }
            Some(None) => {}
            Some(Some(record)) => {
                let channels = stored.channels.iter().filter(|channel| record.address(**channel).is_some());
                if recipient(id, &record.item).is_some_and(|recipient| is_eligible(&recipient)) {
                    wanted.extend(channels.map(|channel| (id.clone(), *channel)));
                }
            }
        }
    }
    let placeholders = placeholders(&stored.item);
    let (code, valid_until) = (stored.code.clone(), stored.valid_until);
    Offer { code, stored_at, valid_until, placeholders, wanted, unsteady }
}

/// The record that a customer had all the time; `None` if it changed.
fn steady(versions: &[Version], from: Timestamp, until: Timestamp) -> Option<Option<&super::facts::Customer>> {
    let moves = |version: &&Version| (from..=until).contains(&version.from);
    if versions.iter().any(|version| moves(&version)) {
        return None;
    }
    Some(versions.iter().rfind(|version| version.from <= from).and_then(|version| version.record.as_ref()))
}

/// The customer as the product reads the record.
fn recipient(id: &str, item: &Value) -> Option<Recipient> {
    let mut body = json!({"name": item["name"], "channels": item["channels"], "attributes": item["attributes"]});
    for (field, value) in [
        ("email", if item["emailAsWritten"].is_null() { &item["email"] } else { &item["emailAsWritten"] }),
        ("mobile", &item["mobile"]),
        ("locale", &item["locale"]),
        ("timeZone", &item["timeZone"]),
    ] {
        if !value.is_null() {
            body[field] = value.clone();
        }
    }
    Recipient::parse(id, body).ok()
}

/// What the texts of an offer need of a customer: `{{customer.tier}}` needs `tier`.
fn placeholders(item: &Value) -> BTreeSet<String> {
    const BEGINNING: &str = "customer.";
    let mut names = BTreeSet::new();
    let text = ["subject", "description", "translations"].map(|field| item[field].to_string()).join(" ");
    for (at, _) in text.match_indices("{{") {
        let inside = text[at..].split("}}").next().unwrap_or_default();
        let of_customer = inside.match_indices(BEGINNING).map(|(at, _)| &inside[at + BEGINNING.len()..]);
        names.extend(
            of_customer.map(|rest| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>()),
        );
    }
    names
}

/// The notification that a message is: the last one that its process had claimed, of those to this address.
fn notification_of(handover: &Handover, offers: &BTreeMap<&str, &str>, kept: &Kept) -> Option<Notification> {
    let had_it = |notification: &Notification| {
        let versions = kept.customers.get(&notification.customer);
        let mut records = versions.into_iter().flatten().filter_map(|version| version.record.as_ref());
        records.any(|record| {
            [&record.email, &record.mobile].iter().any(|address| address.as_deref() == Some(&handover.address))
        })
    };
    let offer = offers.get(handover.code.as_str());
    let is_it = |write: &&Write| {
        write.is_claim()
            && write.process == handover.process
            && write.at.is_some_and(|at| at <= handover.begun)
            && write.notification.channel == handover.provider.channel()
            && (handover.code.is_empty() || offer.is_some_and(|offer| *offer == write.notification.offer))
            && had_it(&write.notification)
    };
    kept.writes.iter().rfind(is_it).map(|write| write.notification.clone())
}

/// A suppression that an operator lifted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lift {
    pub customer: String,
    pub channel: domain::Channel,
    pub address: String,
    pub begun: Timestamp,
    /// `None` if it may still take effect.
    pub ended: Option<Timestamp>,
}

/// What the events about customers forbid, until they are lifted.
fn blocks(events: &[CustomerEvent], customers: &BTreeMap<String, Vec<Version>>, lifts: &[Lift]) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    for event in events {
        let CustomerEvent { at, kind, customer, channel, .. } = event;
        if kind == "customer.resubscribed" {
            let own = blocks.iter_mut().filter(|block| {
                block.customer == *customer && block.channel == *channel && block.why == "customer.unsubscribed"
            });
            own.for_each(|block| block.until = block.until.or(Some(*at)));
            continue;
        }
        // Which address it was is known only if the customer never had another one. STOP holds for the number, as SNS has it; those
        // who unsubscribe on the page get a confirmation, which `told` knows.
        let addresses: BTreeSet<_> = customers
            .get(customer)
            .into_iter()
            .flatten()
            .filter_map(|version| version.record.as_ref())
            .filter_map(|record| match channel {
                domain::Channel::Email => record.email.clone(),
                domain::Channel::Sms => record.mobile.clone(),
            })
            .collect();
        let is_of_address = kind == "customer.bounced" || *channel == domain::Channel::Sms;
        if is_of_address && addresses.len() != 1 {
            continue;
        }
        let address = addresses.into_iter().next().filter(|_| is_of_address);
        let undone = lifts.iter().filter(|lift| {
            let is_it = lift.customer == *customer || Some(&lift.address) == address.as_ref();
            is_it && lift.channel == *channel && lift.ended.is_none_or(|ended| ended >= *at)
        });
        let until = undone.map(|lift| lift.begun.max(*at)).min();
        let (customer, channel, why, from) = (customer.clone(), *channel, kind.clone(), *at);
        blocks.push(Block { customer, channel, address, why, from, until });
    }
    blocks
}

#[cfg(test)]
mod tests {
    use domain::Channel;

    use super::super::samples::{self, ADDRESS, OFFER, at, claim, handover};
    use super::*;

    fn kept() -> Kept {
        let facts = samples::facts();
        Kept { customers: facts.customers, writes: facts.writes, ..Kept::default() }
    }

    #[test]
    fn a_message_is_the_last_claimed_notification_to_its_address() {
        let offers = BTreeMap::from([("OFFER-1", OFFER)]);
        let of = |change: fn(&mut Handover)| {
            let mut message = handover();
            change(&mut message);
            notification_of(&message, &offers, &kept())
        };
        let expected = Some(claim().notification);
        assert_eq!(of(|_| {}), expected);
        assert_eq!(of(|message| message.code.clear()), expected);
        for change in [
            (|message| message.code = "OFFER-2".to_owned()) as fn(&mut Handover),
            |message| message.process = 4,
            |message| message.begun = at(10_000),
            |message| message.address = "zq2@person.example".to_owned(),
            |message| message.provider = TransportId::Sns,
        ] {
            assert_eq!(of(change), None);
        }
    }

    #[test]
    fn texts_need_what_they_name() {
        let item = json!({"subject": "{{customer.name}}!", "description": "{{money(customer.balance)}} customer.x"});
        assert_eq!(placeholders(&item), BTreeSet::from(["name".to_owned(), "balance".to_owned()]));
    }

    #[test]
    fn a_steady_customer_is_wanted_and_one_who_changes_is_not_judged() {
        let record = samples::facts().customers["c-1"][0].record.clone();
        let versions = vec![Version { from: at(0), record }, Version { from: at(5_000), record: None }];
        assert_eq!(steady(&versions, at(1_000), at(6_000)), None);
        assert!(steady(&versions, at(1_000), at(4_000)).unwrap().is_some());
        assert_eq!(steady(&versions, at(6_000), at(7_000)), Some(None));
    }

    #[test]
    fn a_suppression_lasts_until_it_is_lifted() {
        let event = |kind: &str, seconds: i64| CustomerEvent {
            id: "e".to_owned(),
            at: at(seconds * 1_000),
            kind: kind.to_owned(),
            customer: "c-1".to_owned(),
            channel: Channel::Email,
            offer: None,
        };
        let events =
            [event("customer.unsubscribed", 2), event("customer.bounced", 3), event("customer.resubscribed", 4)];
        let of = |lifts: &[Lift]| blocks(&events, &kept().customers, lifts);
        let found = of(&[]);
        assert_eq!((found[0].until, found[0].address.as_deref()), (Some(at(4_000)), None));
        assert_eq!((found[1].until, found[1].address.as_deref()), (None, Some(ADDRESS)));
        let lift = Lift {
            customer: "c-2".to_owned(),
            channel: Channel::Email,
            address: ADDRESS.to_owned(),
            begun: at(8_000),
            ended: Some(at(8_100)),
        };
        assert_eq!(of(std::slice::from_ref(&lift))[1].until, Some(at(8_000)));
        let earlier = Lift { ended: Some(at(2_900)), ..lift };
        assert_eq!(of(&[earlier])[1].until, None);
    }
}
