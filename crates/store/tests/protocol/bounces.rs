//! Bounces that suppress an address once there are enough of them.

use std::time::Duration;

use domain::AddressHash;
use serde_json::json;
use store::suppressions::{BounceResult, BounceRule, Reason, Suppression, UnknownAddressResult};
use testing::Fault;

use crate::world::{World, address, recipient, report};

const DAY: Duration = Duration::from_secs(86_400);

fn asha() -> AddressHash {
    address("asha@example.com")
}

fn rule() -> BounceRule {
    BounceRule::new(3, 14).unwrap()
}

async fn count(world: &World, event: &str) -> BounceResult {
    world.suppressions().count_bounce(&report(&asha(), world.now(), "ses"), event, rule()).await.unwrap()
}

async fn unknown(world: &World, others_are_accepted: bool) -> UnknownAddressResult {
    world.suppressions().unknown_address(&report(&asha(), world.now(), "smtp"), others_are_accepted).await.unwrap()
}

async fn suppression(world: &World) -> Option<Suppression> {
    let stored = world.suppressions().for_address(&asha(), &[]).await.unwrap();
    let found = world.suppressions().lookup(&[recipient("c-1", "asha@example.com")]).await.unwrap();
    assert_eq!(stored.map(|stored| stored.reason), found[0], "both readers agree");
    stored
}

#[tokio::test(start_paused = true)]
async fn the_third_transient_bounce_within_the_days_suppresses() {
    let world = World::new();
    for (event, expected) in [("a", 1), ("b", 2)] {
        assert_eq!(count(&world, event).await, BounceResult::Counted(expected));
        assert_eq!(suppression(&world).await, None);
        world.clock.skip(7 * DAY);
    }
    assert_eq!(count(&world, "c").await, BounceResult::Suppressed);
    assert_eq!(suppression(&world).await, Some(Suppression { reason: Reason::Bounced, since: world.now() }));
}

#[tokio::test(start_paused = true)]
async fn bounces_further_apart_do_not_suppress() {
    let world = World::new();
    for event in ["a", "b", "c", "d", "e"] {
        count(&world, event).await;
        world.clock.skip(8 * DAY);
    }
    assert_eq!(suppression(&world).await, None);
    let item = world.only("Suppressions");
    assert_eq!(item["bounces"].as_array().unwrap().len(), 2, "older ones are not kept");
    let latest = item["bounces"][0]["at"].as_i64().unwrap();
    assert_eq!(item["expiresAt"].as_i64(), Some((latest + 14 * 86_400_000) / 1_000));
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_delivered_twice_counts_once() {
    let world = World::new();
    for _ in 0..5 {
        assert_eq!(count(&world, "a").await, BounceResult::Counted(1));
    }
    // The response to the write is lost, and the SDK repeats the call.
    world.dynamo.inject("PutItem", "Suppressions", [Fault::LoseResponse]);
    assert_eq!(count(&world, "b").await, BounceResult::Counted(2));
    assert_eq!(suppression(&world).await, None);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_failed_half_way_suppresses_when_it_comes_again() {
    let world = World::new();
    count(&world, "a").await;
    count(&world, "b").await;
    world.dynamo.inject("TransactWriteItems", "Suppressions", [Fault::Refuse]);
    let counted = world.suppressions().count_bounce(&report(&asha(), world.now(), "ses"), "c", rule()).await;
    assert!(counted.is_err() && suppression(&world).await.is_none());
    world.dynamo.clear_faults();
    assert_eq!(count(&world, "c").await, BounceResult::Suppressed);
}

#[tokio::test(start_paused = true)]
async fn bounces_counted_at_the_same_time_all_count() {
    let world = World::new();
    let (one, two, three) = (world.suppressions(), world.suppressions(), world.suppressions());
    let hash = asha();
    let report = report(&hash, world.now(), "ses");
    world.dynamo.set_latency(Duration::from_millis(5));
    let (one, two, three) = tokio::join!(
        one.count_bounce(&report, "a", rule()),
        two.count_bounce(&report, "b", rule()),
        three.count_bounce(&report, "c", rule()),
    );
    let results = [one.unwrap(), two.unwrap(), three.unwrap()];
    assert!(results.contains(&BounceResult::Suppressed), "{results:?}");
}

#[tokio::test(start_paused = true)]
async fn a_time_ahead_of_the_clock_does_not_drop_the_other_bounces() {
    let world = World::new();
    count(&world, "a").await;
    let later = world.now() + 100 * DAY;
    let counted = world.suppressions().count_bounce(&report(&asha(), later, "ses"), "b", rule()).await.unwrap();
    assert_eq!(counted, BounceResult::Counted(2));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_address_is_suppressed_at_once_while_others_are_accepted() {
    let world = World::new();
    assert_eq!(unknown(&world, true).await, UnknownAddressResult::Suppressed);
    assert_eq!(suppression(&world).await, Some(Suppression { reason: Reason::Bounced, since: world.now() }));
    assert_eq!(world.only("Suppressions")["by"], "smtp");
}

#[tokio::test(start_paused = true)]
async fn an_address_unknown_again_a_day_later_is_suppressed() {
    let world = World::new();
    let hour = Duration::from_secs(3_600);
    // For hours, as Gmail once answered for valid accounts.
    for _ in 0..24 {
        assert_eq!(unknown(&world, false).await, UnknownAddressResult::Remembered);
        world.clock.skip(hour);
    }
    assert_eq!(suppression(&world).await, None);
    assert_eq!(unknown(&world, false).await, UnknownAddressResult::Suppressed);
    assert_eq!(suppression(&world).await.unwrap().reason, Reason::Bounced);
}

#[tokio::test(start_paused = true)]
async fn the_first_sighting_of_an_unknown_address_is_forgotten_after_thirty_days() {
    let world = World::new();
    // The response is lost, and the SDK repeats the call.
    world.dynamo.inject("PutItem", "Suppressions", [Fault::LoseResponse]);
    assert_eq!(unknown(&world, false).await, UnknownAddressResult::Remembered);
    world.clock.skip(31 * DAY);
    assert_eq!(unknown(&world, false).await, UnknownAddressResult::Remembered, "it begins again");
    world.clock.skip(30 * DAY);
    assert_eq!(unknown(&world, false).await, UnknownAddressResult::Suppressed);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_counted_in_clear_or_listed_as_a_suppression() {
    let world = World::new();
    count(&world, "asha@example.com bounced").await;
    unknown(&world, false).await;
    let items = world.dynamo.items("Suppressions");
    assert_eq!(items.len(), 2);
    for item in &items {
        assert!(item.get("addressHash").is_none() && item.get("reason").is_none(), "{item}");
    }
    assert!(!json!(items).to_string().contains("asha"));
}

#[tokio::test(start_paused = true)]
async fn lifting_a_suppression_forgets_the_bounces() {
    let world = World::new();
    for event in ["a", "b", "c"] {
        count(&world, event).await;
    }
    unknown(&world, false).await;
    world.suppressions().lift(&asha(), &[], &testing::hash_key(), "operator").await.unwrap();
    world.clock.skip(DAY);
    assert_eq!(count(&world, "d").await, BounceResult::Counted(1));
    assert_eq!(unknown(&world, false).await, UnknownAddressResult::Remembered);
    assert_eq!(suppression(&world).await, None);
}
