//! What functions read of the push that a queue message names.

use std::time::Duration;

use domain::{OfferId, PushId, TraceId};
use serde_json::json;
use store::offers::PushRequest;
use store::pushes::Plan;
use store::{MAX_READ_AGE, PushedOffers};
use testing::Fault;

use crate::world::{World, offer, offer_id, push, push_key, request};

/// A running push of a stored offer, requested with `retryRejected`.
async fn pushed(world: &World) -> PushedOffers {
    world.offers().create(&offer(), None, TraceId::generate(&world.sources)).await.unwrap();
    let requested = PushRequest { retry_rejected: true, ..request(2) };
    assert!(world.offers().request_push(&requested).await.unwrap());
    world.pushes().create(&requested, Plan::Now { slices: 3 }).await.unwrap();
    world.dynamo.forget_calls();
    PushedOffers::new(world.offers(), world.pushes(), world.sources.clone())
}

#[tokio::test(start_paused = true)]
async fn a_push_is_read_with_its_offer_and_its_request() {
    let world = World::new();
    let read = pushed(&world).await.get(push(2)).await.unwrap().unwrap();
    assert_eq!((read.push.id, read.push.slices), (push(2), 3));
    assert_eq!((&*read.offer, read.request.retry_rejected), (&offer(), true));
    for call in world.dynamo.requests("GetItem", "Offers").iter().chain(&world.dynamo.requests("GetItem", "Pushes")) {
        assert_eq!(call["ConsistentRead"], true, "{call}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_push_without_item_request_or_offer_is_none() {
    for (table, pk, sk) in [
        ("Pushes", push_key(2), "push"),
        ("Offers", offer_id().to_string(), "push#0002"),
        ("Offers", offer_id().to_string(), "offer"),
    ] {
        let world = World::new();
        let read = pushed(&world).await;
        world.dynamo.delete(table, json!({"pk": pk, "sk": sk}));
        assert_eq!(read.get(push(2)).await.unwrap(), None, "{sk}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_offer_is_read_again_after_five_seconds_and_a_push_each_time() {
    let world = World::new();
    let read = pushed(&world).await;
    // Wall-clock time: Lambda freezes a function between two messages.
    for (skipped, reads) in
        [(Duration::ZERO, 2), (MAX_READ_AGE - Duration::from_millis(1), 2), (Duration::from_millis(1), 4)]
    {
        world.clock.skip(skipped);
        read.get(push(2)).await.unwrap().unwrap();
        assert_eq!(world.dynamo.count("GetItem", "Offers"), reads, "{skipped:?} later");
    }
    assert_eq!(world.dynamo.count("GetItem", "Pushes"), 3);
    world.pushes().cancel(&request(2), "bank").await.unwrap();
    assert!(world.pushes().is_cancelled(push(2)).await.unwrap());
    assert_eq!(read.get(push(2)).await.unwrap().unwrap().push.cancelled_by.as_deref(), Some("bank"));
}

#[tokio::test(start_paused = true)]
async fn only_the_offers_of_the_last_pushes_are_remembered() {
    let world = World::new();
    let read = pushed(&world).await;
    let others = 3..30;
    for number in others.clone() {
        world.offers().request_push(&request(number)).await.unwrap();
        world.pushes().create(&request(number), Plan::Now { slices: 1 }).await.unwrap();
        read.get(push(number)).await.unwrap().unwrap();
    }
    let reads = async |number: u32| {
        world.dynamo.forget_calls();
        read.get(push(number)).await.unwrap().unwrap();
        world.dynamo.count("GetItem", "Offers")
    };
    assert_eq!((reads(29).await, reads(22).await, reads(21).await), (0, 0, 2));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_stored_or_cannot_be_read_is_not_remembered() {
    let world = World::new();
    let read = pushed(&world).await;
    let unknown = PushId { offer: OfferId::generate(&world.sources), number: 1 };
    for _ in 0..2 {
        assert_eq!(read.get(unknown).await.unwrap(), None);
    }
    assert_eq!(world.dynamo.count("GetItem", "Offers"), 4);
    world.dynamo.inject_always("GetItem", "Offers", Fault::Unavailable);
    read.get(push(2)).await.unwrap_err();
    world.dynamo.clear_faults();
    read.get(push(2)).await.unwrap().unwrap();
}
