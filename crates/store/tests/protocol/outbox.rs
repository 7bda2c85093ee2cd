//! Which events about pushes are published.

use domain::event::EventKind;
use serde_json::{Value, json};
use store::pushes::Plan;

use crate::world::{World, push, push_key, request};

#[tokio::test(start_paused = true)]
async fn a_push_is_unpublished_until_all_of_its_events_are() {
    let world = World::new();
    let stored = world.push(1).await;
    assert_eq!(stored.unpublished().collect::<Vec<_>>(), [EventKind::OfferCreated]);
    world.pushes().mark_published(&stored, &[EventKind::OfferCreated]).await.unwrap();
    let item = world.push_item();
    assert_eq!((&item["published"], &item["unpublished"]), (&json!(["offer.created"]), &Value::Null));
    let stored = world.pushes().get(push(1)).await.unwrap().unwrap();
    assert_eq!(stored.unpublished().count(), 0);

    let cancelled = world.pushes().cancel(&request(1), "operator").await.unwrap();
    assert_eq!(cancelled.unpublished().collect::<Vec<_>>(), [EventKind::PushCancelled]);
    assert_eq!(world.push_item()["unpublished"], "yes");
}

#[tokio::test(start_paused = true)]
async fn a_push_that_changed_meanwhile_stays_unpublished() {
    let world = World::new();
    let read_before = world.push(1).await;
    world.pushes().cancel(&request(1), "operator").await.unwrap();
    world.pushes().mark_published(&read_before, &[EventKind::OfferCreated]).await.unwrap();
    let item = world.push_item();
    assert_eq!((&item["published"], &item["unpublished"]), (&json!(["offer.created"]), &json!("yes")));
}

#[tokio::test(start_paused = true)]
async fn a_push_with_another_event_left_stays_unpublished() {
    let world = World::new();
    world.push(1).await;
    let cancelled = world.pushes().cancel(&request(1), "operator").await.unwrap();
    world.pushes().mark_published(&cancelled, &[EventKind::PushCancelled]).await.unwrap();
    let item = world.push_item();
    assert_eq!((&item["published"], &item["unpublished"]), (&json!(["push.cancelled"]), &json!("yes")));
    assert_eq!(world.dynamo.count("UpdateItem", "Pushes"), 2, "one to cancel and one to mark");
}

#[tokio::test(start_paused = true)]
async fn unpublished_pushes_are_listed_page_by_page() {
    let world = World::new();
    for number in 1..=5 {
        world.pushes().create(&request(number), Plan::Now { slices: 1 }).await.unwrap();
        world.pushes().cancel(&request(number), "operator").await.unwrap();
    }
    let third = world.pushes().get(push(3)).await.unwrap().unwrap();
    world.pushes().mark_published(&third, &[EventKind::PushCancelled]).await.unwrap();
    let mut listed = Vec::new();
    let mut after = None;
    loop {
        let page = world.pushes().list_unpublished(2, after).await.unwrap();
        listed.extend(page.items);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(listed, [push(1), push(2), push(4), push(5)]);
}

#[tokio::test(start_paused = true)]
async fn nothing_published_is_nothing_to_mark() {
    let world = World::new();
    let stored = world.push(1).await;
    world.pushes().mark_published(&stored, &[]).await.unwrap();
    assert_eq!(world.dynamo.count("UpdateItem", "Pushes"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_push_is_not_created_again_by_its_mark() {
    let world = World::new();
    let stored = world.push(1).await;
    world.dynamo.delete("Pushes", json!({"pk": push_key(1), "sk": "push"}));
    world.pushes().mark_published(&stored, &[EventKind::OfferCreated]).await.unwrap();
    assert!(world.dynamo.items("Pushes").is_empty());
    world.pushes().create(&request(2), Plan::Now { slices: 1 }).await.unwrap();
}
