//! What must not be sent.

use std::collections::HashMap;
use std::time::Duration;

use domain::Channel;
use domain::unsubscribe::Subscription;
use serde_json::json;
use store::suppressions::{Reason, Suppression};
use testing::Fault;

use crate::world::{World, address, customer};

const EMAIL: Channel = Channel::Email;

fn subscription(id: &str) -> Subscription {
    Subscription { customer: customer(id), channel: EMAIL, address: address("asha@example.com") }
}

async fn reason(world: &World, id: &str) -> Option<Reason> {
    let recipients = [(customer(id), address("asha@example.com"))];
    world.suppressions().lookup(EMAIL, &recipients).await.unwrap().remove(&customer(id))
}

#[tokio::test(start_paused = true)]
async fn an_opt_out_concerns_one_customer_and_channel_until_they_opt_in() {
    let world = World::new();
    let at = world.now();
    world.suppressions().opt_out(&subscription("c-1"), at).await.unwrap();
    // Repeating it later changes nothing.
    world.suppressions().opt_out(&subscription("c-1"), at + Duration::from_secs(60)).await.unwrap();
    assert_eq!(world.suppressions().opted_out(EMAIL, &customer("c-1")).await.unwrap(), Some(at));
    assert_eq!(world.suppressions().opted_out(Channel::Sms, &customer("c-1")).await.unwrap(), None);
    assert_eq!(reason(&world, "c-1").await, Some(Reason::OptedOut));
    assert_eq!(reason(&world, "c-2").await, None, "they share the address, not the decision");
    world.suppressions().opt_in(EMAIL, &customer("c-1")).await.unwrap();
    assert_eq!(reason(&world, "c-1").await, None);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_stored_in_clear() {
    let world = World::new();
    world.suppressions().opt_out(&subscription("c-1"), world.now()).await.unwrap();
    world.suppressions().suppress(&address("asha@example.com"), Reason::Bounced, world.now(), "ses").await.unwrap();
    let stored = json!(world.dynamo.items("Suppressions")).to_string();
    assert!(!stored.contains("asha") && !stored.contains("c-1"), "{stored}");
}

#[tokio::test(start_paused = true)]
async fn a_suppressed_address_concerns_everyone_who_has_it() {
    let world = World::new();
    world.suppressions().suppress(&address("asha@example.com"), Reason::Bounced, world.now(), "ses").await.unwrap();
    assert_eq!(reason(&world, "c-1").await, Some(Reason::Bounced));
    assert_eq!(reason(&world, "c-2").await, Some(Reason::Bounced));
    let recipients = [(customer("c-3"), address("other@example.com"))];
    assert_eq!(world.suppressions().lookup(EMAIL, &recipients).await.unwrap(), HashMap::new());
}

#[tokio::test(start_paused = true)]
async fn only_a_complaint_replaces_an_earlier_suppression() {
    for (first, second, expected) in [
        (Reason::Bounced, Reason::OptedOut, Reason::Bounced),
        (Reason::OptedOut, Reason::Bounced, Reason::OptedOut),
        (Reason::Bounced, Reason::Complained, Reason::Complained),
        (Reason::OptedOut, Reason::Complained, Reason::Complained),
        (Reason::Complained, Reason::Bounced, Reason::Complained),
    ] {
        let world = World::new();
        let hash = address("asha@example.com");
        let at = world.now();
        world.suppressions().suppress(&hash, first, at, "ses").await.unwrap();
        world.suppressions().suppress(&hash, second, at + Duration::from_secs(1), "sns").await.unwrap();
        let since = if expected == first { at } else { at + Duration::from_secs(1) };
        let stored = world.suppressions().for_address(&hash).await.unwrap();
        assert_eq!(stored, Some(Suppression { reason: expected, since }), "{second} after {first}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_repeated_complaint_keeps_its_date() {
    let world = World::new();
    let (hash, at) = (address("asha@example.com"), world.now());
    for seconds in [0, 60] {
        let at = at + Duration::from_secs(seconds);
        world.suppressions().suppress(&hash, Reason::Complained, at, "ses").await.unwrap();
    }
    assert_eq!(world.suppressions().for_address(&hash).await.unwrap().unwrap().since, at);
}

#[tokio::test(start_paused = true)]
async fn the_strongest_of_several_reasons_counts() {
    let world = World::new();
    world.suppressions().opt_out(&subscription("c-1"), world.now()).await.unwrap();
    world.suppressions().suppress(&address("asha@example.com"), Reason::Complained, world.now(), "ses").await.unwrap();
    assert_eq!(reason(&world, "c-1").await, Some(Reason::Complained));
    let strongest = world.suppressions().for_address(&address("asha@example.com")).await.unwrap();
    assert_eq!(strongest.map(|suppression| suppression.reason), Some(Reason::Complained));
}

#[tokio::test(start_paused = true)]
async fn recipients_are_looked_up_fifty_at_a_time() {
    let world = World::new();
    let recipients: Vec<_> =
        (0..120).map(|number| (customer(&format!("c-{number}")), address(&format!("{number}@example.com")))).collect();
    world.suppressions().suppress(&address("119@example.com"), Reason::Bounced, world.now(), "ses").await.unwrap();
    world.dynamo.forget_calls();
    // DynamoDB may leave some of them, which are read again.
    world.dynamo.inject("BatchGetItem", "Suppressions", [Fault::Nothing, Fault::Nothing, Fault::Unprocessed(39)]);
    let found = world.suppressions().lookup(EMAIL, &recipients).await.unwrap();
    assert_eq!(found, HashMap::from([(customer("c-119"), Reason::Bounced)]));
    assert_eq!(world.dynamo.count("BatchGetItem", "Suppressions"), 4);
    let request = &world.dynamo.requests("BatchGetItem", "Suppressions")[0];
    assert_eq!(request["RequestItems"]["Suppressions"]["ConsistentRead"], true, "an opt-out counts at once");
}

#[tokio::test(start_paused = true)]
async fn a_lifted_address_leaves_a_record_of_who_asked() {
    let world = World::new();
    let hash = address("asha@example.com");
    world.suppressions().opt_out(&subscription("c-1"), world.now()).await.unwrap();
    world.suppressions().suppress(&hash, Reason::Bounced, world.now(), "ses").await.unwrap();
    assert!(world.suppressions().lift(&hash, "operator").await.unwrap());
    assert_eq!(reason(&world, "c-1").await, None);
    assert_eq!(world.suppressions().for_address(&hash).await.unwrap(), None);
    let record = world.only("Suppressions");
    assert!(record["pk"].as_str().unwrap().starts_with("lift#"));
    assert_eq!((&record["lifted"], &record["by"]), (&json!(hash.to_string()), &json!("operator")));
    assert_eq!(record["at"], world.now().as_millisecond());
    // There is nothing left to lift; that is recorded as well.
    assert!(!world.suppressions().lift(&hash, "operator").await.unwrap());
    assert_eq!(world.dynamo.items("Suppressions").len(), 2);
}
