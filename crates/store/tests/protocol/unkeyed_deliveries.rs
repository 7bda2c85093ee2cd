//! Deliveries whose addresses a release before keyed hashes stored. They expire by themselves, so they are not migrated.

use std::time::Duration;

use domain::notification::ReasonCode;
use domain::return_path::{ReturnPath, ReturnTag};
use domain::unsubscribe::KeyRing;
use serde_json::json;
use store::deliveries::{ClaimResult, FinalOutcome, ResendPolicy, TaggedDelivery};
use testing::hash_key;

use crate::world::{EMAIL_ONLY, World, address, claim, customer, email_to, offer_id, try_claim};

const ASHA: &str = "asha@example.com";

fn set(world: &World, attribute: &str, value: impl Into<serde_json::Value>) {
    let item = world.only("Deliveries");
    world.dynamo.set("Deliveries", json!({"pk": item["pk"], "sk": item["sk"]}), attribute, value);
}

fn unkeyed() -> String {
    address(ASHA).unkeyed().unwrap()
}

async fn failed_at_asha(world: &World) {
    let claim = claim(world, 1).await;
    let failed = FinalOutcome::unsent(ReasonCode::RecipientRefused, "no such mailbox");
    let outcome = FinalOutcome { address_hash: Some(address(ASHA)), ..failed };
    world.deliveries().record(&claim, &outcome).await.unwrap();
    set(world, "addressHash", unkeyed());
}

#[tokio::test(start_paused = true)]
async fn what_failed_in_an_earlier_release_is_not_sent_again_to_the_same_address() {
    for (at, is_sent_again) in [(ASHA, false), ("Asha@Example.com", false), ("new@example.com", true)] {
        let world = World::new();
        failed_at_asha(&world).await;
        let claimed = try_claim(&world, 2, ResendPolicy::Unsent(address(at)), EMAIL_ONLY).await;
        assert_eq!(matches!(claimed, ClaimResult::Granted(_)), is_sent_again, "{at}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_in_an_earlier_release_is_known_to_be_of_the_same_address() {
    let world = World::new();
    claim(&world, 1).await;
    for (attribute, value) in [
        ("refusedAt", json!(world.now().as_millisecond())),
        ("refusedSince", json!(world.now().as_millisecond())),
        ("refusals", json!(2)),
        ("refusedAddress", json!(unkeyed())),
    ] {
        set(&world, attribute, value);
    }
    world.clock.skip(Duration::from_secs(61));
    let refusal = claim(&world, 1).await.refusal.unwrap();
    assert!(refusal.is_at(&address(ASHA)) && !refusal.is_at(&address("new@example.com")));
    assert_eq!(refusal.alike_since, refusal.at, "no earlier one is known to be alike");
}

#[tokio::test(start_paused = true)]
async fn a_bounce_of_mail_that_an_earlier_release_sent_is_of_the_same_address() {
    let world = World::new();
    failed_at_asha(&world).await;
    let ring = KeyRing::parse(r#"{"current": "k1", "k1": "0123456789012345678901234567890123456789"}"#).unwrap();
    let path: ReturnPath = "bounces@bank.example".parse().unwrap();
    let tag = ReturnTag::find(&path.tagged(&ring, offer_id(), &customer("c-1"))).unwrap();
    let found = world.deliveries().of_tag(&tag, &ring, &hash_key()).await.unwrap();
    let expected = TaggedDelivery::Found { id: email_to("c-1"), address: Some(address(ASHA)), is_claimed: false };
    assert_eq!(found, expected);
}
