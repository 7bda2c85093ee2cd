//! The delivery that the tag of a return path was made for.

use domain::notification::ReasonCode;
use domain::return_path::{ReturnPath, ReturnTag};
use domain::unsubscribe::KeyRing;
use serde_json::{Value, json};
use store::deliveries::{FinalOutcome, TaggedDelivery};

use crate::world::{World, address, claim, customer, email_to, offer, offer_id, push};

fn ring() -> KeyRing {
    KeyRing::parse(r#"{"current": "k1", "k1": "0123456789012345678901234567890123456789"}"#).unwrap()
}

/// The tag for a customer, as it comes back.
fn tag(id: &str) -> ReturnTag {
    let path: ReturnPath = "bounces@bank.example".parse().unwrap();
    ReturnTag::find(&path.tagged(&ring(), offer_id(), &customer(id)).to_ascii_uppercase()).unwrap()
}

async fn of_tag(world: &World, tag: &ReturnTag) -> TaggedDelivery {
    world.deliveries().of_tag(tag, &ring(), &testing::hash_key()).await.unwrap()
}

/// Stores deliveries with the addresses that they went to.
async fn store(world: &World, ids: &[String]) {
    for id in ids {
        let outcome = FinalOutcome::unsent(ReasonCode::Refused, "why");
        world.deliveries().record_unsent(&email_to(id), push(1), &offer(), &outcome, None).await.unwrap();
    }
    for item in world.dynamo.items("Deliveries") {
        let id = item["sk"].as_str().unwrap().split_once('#').unwrap().0;
        let key = json!({"pk": item["pk"], "sk": item["sk"]});
        world.dynamo.set("Deliveries", key, "addressHash", address(&format!("{id}@example.com")).to_string());
    }
}

fn found(id: &str) -> TaggedDelivery {
    let address = Some(address(&format!("{id}@example.com")));
    TaggedDelivery::Found { id: email_to(id), address, is_claimed: false }
}

#[tokio::test(start_paused = true)]
async fn a_delivery_is_found_by_its_tag() {
    let world = World::new();
    let ids: Vec<String> = ["c-1", "c-10", "c", &"x".repeat(20)].map(str::to_owned).into();
    store(&world, &ids).await;
    world.dynamo.forget_calls();
    for id in &ids {
        assert_eq!(of_tag(&world, &tag(id)).await, found(id), "{id}");
    }
    assert_eq!(world.dynamo.calls().len(), ids.len(), "one call each");
}

#[tokio::test(start_paused = true)]
async fn a_delivery_to_a_customer_with_a_long_id_is_found_among_those_that_begin_in_the_same_way() {
    let world = World::new();
    let ids: Vec<String> = (0..40).map(|number| format!("customer-of-the-bank-{number:03}")).collect();
    store(&world, &ids).await;
    for id in &ids {
        assert!(!id.starts_with(tag(id).prefix()) || tag(id).prefix().len() < id.len());
        assert_eq!(of_tag(&world, &tag(id)).await, found(id), "{id}");
    }
    assert_eq!(of_tag(&world, &tag("customer-of-the-bank-999")).await, TaggedDelivery::Forged, "no delivery has it");
}

#[tokio::test(start_paused = true)]
async fn a_forged_tag_finds_nothing_and_costs_little() {
    let world = World::new();
    store(&world, &["asha-1".to_owned()]).await;
    let other = KeyRing::parse(r#"{"current": "k1", "k1": "another-key-another-key-another-key-1234"}"#).unwrap();
    world.dynamo.forget_calls();
    let found = world.deliveries().of_tag(&tag("asha-1"), &other, &testing::hash_key()).await.unwrap();
    assert_eq!((found, world.dynamo.calls().len()), (TaggedDelivery::Forged, 0));
    // Of one that seems to be cut, the deliveries that begin so are looked at.
    let found = world.deliveries().of_tag(&tag(&"y".repeat(64)), &other, &testing::hash_key()).await.unwrap();
    assert_eq!((found, world.dynamo.calls().len()), (TaggedDelivery::Forged, 16));
}

#[tokio::test(start_paused = true)]
async fn a_delivery_that_is_being_sent_or_has_expired_is_told_apart() {
    let world = World::new();
    assert_eq!(of_tag(&world, &tag("c-1")).await, TaggedDelivery::Gone(email_to("c-1")));
    claim(&world, 1).await;
    let expected = TaggedDelivery::Found { id: email_to("c-1"), address: None, is_claimed: true };
    assert_eq!(of_tag(&world, &tag("c-1")).await, expected);
    // Its address cannot be read: nothing is suppressed.
    let item = world.only("Deliveries");
    let key = json!({"pk": item["pk"], "sk": item["sk"]});
    world.dynamo.set("Deliveries", key, "addressHash", Value::from("00"));
    assert_eq!(of_tag(&world, &tag("c-1")).await, expected);
}
