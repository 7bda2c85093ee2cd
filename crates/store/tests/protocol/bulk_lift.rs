//! Suppressions that are lifted in bulk.

use std::collections::BTreeSet;
use std::time::Duration;

use domain::unsubscribe::Subscription;
use domain::{AddressHash, Channel};
use jiff::Timestamp;
use serde_json::json;
use store::Cursor;
use store::suppressions::{BulkReason, Notified, Reason, Report, Selection};
use testing::Fault;
use testing::clock::START;

use crate::world::{World, address, customer, offer_id, recipient, report};

const BOUNCED: Selection = Selection { reason: BulkReason::Bounced, channel: None, since: None, until: None };

fn number(number: &str) -> AddressHash {
    testing::address_hash(Channel::Sms, number)
}

async fn suppress(world: &World, address: &AddressHash, reason: Reason, at: Timestamp, by: &str) {
    world.suppressions().suppress(&report(address, at, by), reason).await.unwrap();
}

/// Lifts every page; returns how many were lifted.
async fn lift(world: &World, selection: &Selection, dry_run: bool) -> u64 {
    let (mut lifted, mut after) = (0, None);
    loop {
        let page =
            world.suppressions().lift_page(selection, after, dry_run, &testing::hash_key(), "operator").await.unwrap();
        lifted += page.lifted;
        match page.next {
            // As a caller sends it back.
            Some(next) => after = Some(next.encode().parse::<Cursor>().unwrap()),
            None => return lifted,
        }
        store::Suppressions::check_cursor(after.as_ref().unwrap()).unwrap();
    }
}

/// The addresses that are suppressed, of these.
async fn suppressed(world: &World, addresses: &[(&'static str, AddressHash)]) -> BTreeSet<&'static str> {
    let mut suppressed = BTreeSet::new();
    for (name, hash) in addresses {
        if world.suppressions().for_address(hash, &[]).await.unwrap().is_some() {
            suppressed.insert(*name);
        }
    }
    suppressed
}

#[tokio::test(start_paused = true)]
async fn exactly_the_selected_suppressions_are_lifted() {
    let second = Duration::from_secs(1);
    let addresses = [
        ("before", address("before@example.com")),
        ("first", address("first@example.com")),
        ("last", address("last@example.com")),
        ("after", address("after@example.com")),
        ("complained", address("complained@example.com")),
        ("optedOut", address("optedOut@example.com")),
        ("number", number("+351912345678")),
    ];
    let all: BTreeSet<_> = addresses.iter().map(|(name, _)| *name).collect();
    let period = |_: &World| Selection { since: Some(START), until: Some(START + 10 * second), ..BOUNCED };
    for (name, selection, lifted) in [
        (
            "everything",
            Box::new(|_: &World| BOUNCED) as Box<dyn Fn(&World) -> Selection>,
            &["before", "first", "last", "after", "number"][..],
        ),
        ("a period", Box::new(period), &["first", "last", "number"]),
        (
            "a channel",
            Box::new(move |world| Selection { channel: Some(Channel::Email), ..period(world) }),
            &["first", "last"],
        ),
        ("numbers", Box::new(|_| Selection { channel: Some(Channel::Sms), ..BOUNCED }), &["number"]),
        ("complaints", Box::new(|_| Selection { reason: BulkReason::Complained, ..BOUNCED }), &["complained"]),
    ] {
        let world = World::new();
        let start = START;
        world.clock.skip(60 * second);
        for (name, hash) in &addresses {
            let (reason, at, by) = match *name {
                "before" => (Reason::Bounced, start - Duration::from_millis(1), "ses"),
                "last" => (Reason::Bounced, start + Duration::from_millis(9_999), "smtp"),
                "after" => (Reason::Bounced, start + 10 * second, "ses"),
                "complained" => (Reason::Complained, start, "ses"),
                "optedOut" => {
                    let (customer, channel) = (customer("c-1"), Channel::Email);
                    let subscription = Subscription { customer, channel, address: *hash };
                    world.suppressions().opt_out(&subscription, &testing::hash_key(), start).await.unwrap();
                    continue;
                }
                "number" => (Reason::Bounced, start, "sns"),
                _ => (Reason::Bounced, start, "ses"),
            };
            suppress(&world, hash, reason, at, by).await;
        }
        let selection = selection(&world);
        assert_eq!(lift(&world, &selection, true).await, lifted.len() as u64, "{name}");
        assert_eq!(suppressed(&world, &addresses).await, all, "{name}: only counted");
        assert_eq!(lift(&world, &selection, false).await, lifted.len() as u64, "{name}");
        let left: BTreeSet<_> = all.iter().copied().filter(|name| !lifted.contains(name)).collect();
        assert_eq!(suppressed(&world, &addresses).await, left, "{name}");
        let items = world.dynamo.items("Suppressions");
        let records: Vec<_> = items.iter().filter(|item| item["pk"].as_str().unwrap().starts_with("lift#")).collect();
        assert_eq!(records.len(), lifted.len(), "{name}");
        assert!(records.iter().all(|record| record["by"] == "operator"), "{name}");
        assert_eq!(lift(&world, &selection, false).await, 0, "{name}: nothing is left");
    }
}

#[tokio::test(start_paused = true)]
async fn lifting_complaints_lifts_the_opt_outs_that_came_with_them_but_not_the_customers_own() {
    let world = World::new();
    let (hash, channel) = (address("asha@example.com"), Channel::Email);
    for id in ["c-1", "c-2"] {
        let notified =
            Notified { offer: offer_id(), customer: customer(id), channel, hash: testing::customer_hash(channel, id) };
        let complaint = Report { notified: Some(&notified), ..report(&hash, world.now(), "ses") };
        world.suppressions().suppress(&complaint, Reason::Complained).await.unwrap();
    }
    let own = Subscription { customer: customer("c-2"), channel, address: address("new@example.com") };
    world.suppressions().opt_out(&own, &testing::hash_key(), world.now()).await.unwrap();
    world.clock.skip(Duration::from_secs(1));
    assert_eq!(lift(&world, &Selection { reason: BulkReason::Complained, ..BOUNCED }, false).await, 1);
    let recipients = [recipient("c-1", "asha@example.com"), recipient("c-2", "asha@example.com")];
    assert_eq!(world.suppressions().lookup(&recipients).await.unwrap(), [None, Some(Reason::OptedOut)]);
}

#[tokio::test(start_paused = true)]
async fn many_suppressions_are_lifted_page_by_page() {
    let world = World::new();
    for number in 0..600 {
        suppress(&world, &address(&format!("{number}@example.com")), Reason::Bounced, world.now(), "ses").await;
    }
    world.dynamo.forget_calls();
    assert_eq!(lift(&world, &BOUNCED, true).await, 600);
    assert_eq!(world.dynamo.count("Scan", "Suppressions"), 2);
    assert_eq!(lift(&world, &BOUNCED, false).await, 600);
    assert!(world.dynamo.items("Suppressions").iter().all(|item| item.get("reason").is_none()));
}

#[tokio::test(start_paused = true)]
async fn a_complaint_that_came_meanwhile_stays() {
    let world = World::new();
    let hash = address("asha@example.com");
    suppress(&world, &hash, Reason::Bounced, world.now(), "ses").await;
    let pk = world.only("Suppressions")["pk"].clone();
    let complain = Fault::before(move |dynamo| dynamo.set("Suppressions", json!({"pk": pk}), "reason", "complained"));
    world.dynamo.inject("UpdateItem", "Suppressions", [complain]);
    assert_eq!(lift(&world, &BOUNCED, false).await, 0);
    assert_eq!(world.suppressions().for_address(&hash, &[]).await.unwrap().unwrap().reason, Reason::Complained);
}

#[tokio::test(start_paused = true)]
async fn a_lost_response_is_counted_as_lifted() {
    let world = World::new();
    suppress(&world, &address("asha@example.com"), Reason::Bounced, world.now(), "ses").await;
    world.dynamo.inject("UpdateItem", "Suppressions", [Fault::LoseResponse]);
    assert_eq!(lift(&world, &BOUNCED, false).await, 1);
}
