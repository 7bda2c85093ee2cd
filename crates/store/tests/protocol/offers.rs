//! Offers, requests for pushes, and idempotency keys.

use std::time::Duration;

use domain::{Offer, OfferId, TraceId};
use serde_json::json;
use store::offers::{CreateResult, Idempotency, PushRequest};
use testing::Fault;

use crate::world::{World, offer, offer_id, push, request};

fn trace() -> TraceId {
    "4bf92f3577b34da6a3ce929d0e0e4736".parse().unwrap()
}

fn idempotency(owner: &str, key: &str, fingerprint: &str) -> Idempotency {
    Idempotency { owner: owner.to_owned(), key: key.to_owned(), fingerprint: fingerprint.to_owned() }
}

/// The offer with this number, posted now.
fn numbered(world: &World, number: u8) -> Offer {
    let id: OfferId = format!("01980000-0000-7000-8000-0000000000{number:02}").parse().unwrap();
    Offer { id, created_at: world.now(), ..offer() }
}

async fn create(world: &World, offer: &Offer, idempotency: Option<&Idempotency>) -> CreateResult {
    world.offers().create(offer, idempotency, trace()).await.unwrap()
}

fn is_replay_of(result: &CreateResult, id: OfferId) -> bool {
    matches!(result, CreateResult::Replayed(offer) if offer.id == id)
}

#[tokio::test(start_paused = true)]
async fn an_offer_is_stored_with_the_request_for_its_first_push() {
    let world = World::new();
    assert!(matches!(create(&world, &offer(), None).await, CreateResult::Stored));
    assert_eq!(world.offers().get(offer_id()).await.unwrap(), Some(offer()));
    let requested = world.offers().push_request(push(1)).await.unwrap();
    assert_eq!(requested, Some(PushRequest { trace: Some(trace()), ..request(1) }));
    assert_eq!(world.offers().last_push_number(offer_id()).await.unwrap(), Some(1));
    assert_eq!(world.dynamo.count("TransactWriteItems", "Offers"), 1);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_known_of_an_offer_that_is_not_stored() {
    let world = World::new();
    assert_eq!(world.offers().get(offer_id()).await.unwrap(), None);
    assert_eq!(world.offers().push_request(push(1)).await.unwrap(), None);
    assert_eq!(world.offers().last_push_number(offer_id()).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_repeated_request_returns_the_offer_that_is_stored() {
    let world = World::new();
    let key = idempotency("service", "order-1", "f-1");
    create(&world, &numbered(&world, 1), Some(&key)).await;
    let second = numbered(&world, 2);
    assert!(is_replay_of(&create(&world, &second, Some(&key)).await, numbered(&world, 1).id));
    assert_eq!(world.offers().get(second.id).await.unwrap(), None);
    let other_body = idempotency("service", "order-1", "f-2");
    assert!(matches!(create(&world, &second, Some(&other_body)).await, CreateResult::KeyReused));
    let found = world.offers().find_replay(&key).await.unwrap().unwrap();
    assert!(is_replay_of(&found, numbered(&world, 1).id));
}

#[tokio::test(start_paused = true)]
async fn two_callers_may_use_the_same_key() {
    let world = World::new();
    for (number, owner, key) in [(1, "a", "order-1"), (2, "b", "order-1"), (3, "a#b", "c"), (4, "a", "b#c")] {
        let created = create(&world, &numbered(&world, number), Some(&idempotency(owner, key, "f-1"))).await;
        assert!(matches!(created, CreateResult::Stored), "{owner}, {key}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_is_forgotten_after_a_day() {
    let world = World::new();
    let key = idempotency("service", "order-1", "f-1");
    create(&world, &numbered(&world, 1), Some(&key)).await;
    tokio::time::sleep(Duration::from_secs(24 * 3_600 - 1)).await;
    assert!(world.offers().find_replay(&key).await.unwrap().is_some());
    assert!(!matches!(create(&world, &numbered(&world, 2), Some(&key)).await, CreateResult::Stored));
    // DynamoDB removes expired items within days, not immediately.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(world.offers().find_replay(&key).await.unwrap().is_none());
    assert!(matches!(create(&world, &numbered(&world, 2), Some(&key)).await, CreateResult::Stored));
    let found = world.offers().find_replay(&key).await.unwrap().unwrap();
    assert!(is_replay_of(&found, numbered(&world, 2).id));
}

#[tokio::test(start_paused = true)]
async fn an_offer_whose_response_is_lost_is_stored_once() {
    for fault in [Fault::LoseResponse, Fault::HangAfterEffect] {
        let world = World::new();
        world.dynamo.inject("TransactWriteItems", "Offers", [fault]);
        let key = idempotency("service", "order-1", "f-1");
        assert!(matches!(create(&world, &offer(), Some(&key)).await, CreateResult::Stored));
        assert_eq!(world.dynamo.items("Offers").len(), 3);
    }
}

/// All attempts are written, or the first one is, but no response ever arrives.
#[tokio::test(start_paused = true)]
async fn without_any_response_the_offer_is_looked_up() {
    let world = World::new();
    world.dynamo.inject_always("TransactWriteItems", "Offers", Fault::LoseResponse);
    assert!(matches!(create(&world, &offer(), None).await, CreateResult::Stored));

    let world = World::new();
    world.dynamo.inject_always("TransactWriteItems", "Offers", Fault::Unavailable);
    let error = world.offers().create(&offer(), None, trace()).await.unwrap_err();
    assert!(error.to_string().contains("TransactWriteItems on Offers failed"), "{error}");
    assert!(world.dynamo.items("Offers").is_empty(), "both or neither");
}

#[tokio::test(start_paused = true)]
async fn a_conflict_is_tried_again_and_then_returned() {
    let world = World::new();
    world.dynamo.inject("TransactWriteItems", "Offers", [Fault::Conflict, Fault::Conflict]);
    assert!(matches!(create(&world, &numbered(&world, 1), None).await, CreateResult::Stored));
    world.dynamo.forget_calls();
    world.dynamo.inject_always("TransactWriteItems", "Offers", Fault::Conflict);
    assert!(matches!(create(&world, &numbered(&world, 2), None).await, CreateResult::Contended));
    assert_eq!(world.dynamo.count("TransactWriteItems", "Offers"), 3);
}

#[tokio::test(start_paused = true)]
async fn an_offer_with_the_same_id_is_an_error_and_not_replaced() {
    let world = World::new();
    create(&world, &offer(), None).await;
    let other = Offer { code: "OTHER".to_owned(), ..offer() };
    assert!(world.offers().create(&other, None, trace()).await.is_err());
    assert_eq!(world.offers().get(offer_id()).await.unwrap(), Some(offer()));
}

#[tokio::test(start_paused = true)]
async fn offers_are_listed_newest_first() {
    let world = World::new();
    for number in 1..=5 {
        create(&world, &numbered(&world, number), None).await;
        tokio::time::sleep(Duration::from_millis(999)).await;
    }
    let mut listed = Vec::new();
    let mut after = None;
    loop {
        let page = world.offers().list(2, after).await.unwrap();
        listed.extend(page.items.iter().map(|offer| offer.created_at));
        match page.next {
            Some(next) => {
                store::Offers::check_cursor(&next).unwrap();
                after = Some(next);
            }
            None => break,
        }
    }
    let expected: Vec<_> =
        (0..5).rev().map(|number| testing::clock::START + Duration::from_millis(number * 999)).collect();
    assert_eq!(listed, expected);
}

/// Lambda returns 6 MB at most.
#[tokio::test(start_paused = true)]
async fn page_of_long_offers_fits_into_a_response() {
    let world = World::new();
    let description = "é".repeat(10_000);
    let translations = json!({"de": {"description": description}, "fr": {"description": description},
                              "es": {"description": description}, "it": {"description": description}});
    let long = testing::offer(json!({"code": "LONG", "description": description, "translations": translations}));
    for number in 0..45 {
        create(&world, &Offer { announcement: long.announcement.clone(), ..numbered(&world, number) }, None).await;
    }
    let first = world.offers().list(100, None).await.unwrap();
    let bytes: usize = first.items.iter().map(|offer| serde_json::to_vec(offer).unwrap().len()).sum();
    assert!((3_500_000..4_000_000).contains(&bytes), "{bytes}");
    let second = world.offers().list(100, first.next.clone()).await.unwrap();
    assert_eq!((first.items.len() + second.items.len(), second.next), (45, None));
    assert!(first.items.iter().all(|offer| !second.items.contains(offer)));
}

#[tokio::test(start_paused = true)]
async fn all_that_an_offer_says_is_read_as_it_was_stored() {
    let world = World::new();
    let offer = testing::offer(json!({
        "code": "SUMMER", "subject": "Summer", "description": "Get **5 %**", "preheader": "5 % back", "terms": "Once",
        "link": {"url": "https://bank.example/?c={{ customer.id }}", "label": "See the offer"},
        "image": {"url": "https://bank.example/beach.png", "alt": "A beach"},
        "sms": {"cut": false, "dltEntityId": "1101234567890123456"},
        "translations": {
            "de": {"subject": "Sommer", "link": {"label": "Zum Angebot"}, "image": {"alt": "Ein Strand"}},
            "pt-PT": {"description": "Receba **5 %**", "link": {"url": "https://bank.example/pt"}}, "ar": {}
        }
    }));
    create(&world, &offer, None).await;
    assert_eq!(world.offers().get(offer.id).await.unwrap().unwrap(), offer);
    assert_eq!(world.offers().list(10, None).await.unwrap().items, [offer]);
}

/// A release that refuses a rule must still list the offers that an older one stored.
#[tokio::test(start_paused = true)]
async fn an_offer_with_a_rule_that_is_refused_now_is_read_and_listed() {
    let world = World::new();
    create(&world, &offer(), None).await;
    let key = json!({"pk": crate::world::OFFER, "sk": "offer"});
    world.dynamo.set("Offers", &key, "eligibility", "customer.tier >= >= 'gold'");
    world.dynamo.set("Offers", &key, "description", "Dear {name");
    let read = world.offers().get(offer_id()).await.unwrap().unwrap();
    assert_eq!(read.announcement.description.source(), "Dear {name");
    assert_eq!(world.offers().list(10, None).await.unwrap().items, [read]);
}

#[tokio::test(start_paused = true)]
async fn each_number_is_requested_once() {
    let world = World::new();
    create(&world, &offer(), None).await;
    assert!(world.offers().request_push(&request(2)).await.unwrap());
    let other =
        PushRequest { requested_by: "another".to_owned(), retry_rejected: true, lost_deliveries: 5, ..request(2) };
    assert!(!world.offers().request_push(&other).await.unwrap());
    assert_eq!(world.offers().push_request(push(2)).await.unwrap(), Some(request(2)));
    for number in 3..=11 {
        assert!(world.offers().request_push(&request(number)).await.unwrap());
    }
    assert_eq!(world.offers().last_push_number(offer_id()).await.unwrap(), Some(11));
}

/// Otherwise the response would be that another push is open: the one that this call requested.
#[tokio::test(start_paused = true)]
async fn a_request_whose_response_is_lost_is_recognised() {
    let world = World::new();
    world.dynamo.inject("PutItem", "Offers", [Fault::LoseResponse]);
    assert!(world.offers().request_push(&request(2)).await.unwrap());
    world.dynamo.inject("PutItem", "Offers", [Fault::LoseResponse]);
    let other = PushRequest { requested_by: "another".to_owned(), ..request(2) };
    assert!(!world.offers().request_push(&other).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn requests_are_found_by_their_time() {
    let world = World::new();
    for number in 1..=4 {
        let requested_at = testing::clock::START + Duration::from_secs(u64::from(number));
        world.offers().request_push(&PushRequest { requested_at, ..request(number) }).await.unwrap();
    }
    create(&world, &numbered(&world, 2), None).await;
    let at = |seconds| testing::clock::START + Duration::from_secs(seconds);
    let found = world.offers().requested_between(at(2), at(4)).await.unwrap();
    assert_eq!(found, [push(2), push(3)]);
}
