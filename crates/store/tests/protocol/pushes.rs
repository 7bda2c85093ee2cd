//! Creating, starting, cancelling and listing pushes.

use std::time::Duration;

use domain::push::PushState;
use serde_json::{Value, json};
use store::pushes::Plan;
use testing::Fault;

use crate::world::{World, push, push_key, request};

#[tokio::test(start_paused = true)]
async fn a_push_is_created_once() {
    let world = World::new();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let created = world.pushes().create(&request(1), Plan::Now { slices: 8 }).await.unwrap();
    assert_eq!((created.id, created.state, created.slices), (push(1), PushState::Running, 8));
    assert_eq!((created.starts_at, created.started_at), (None, Some(world.now())));
    assert_eq!((created.requested_by.as_str(), created.requested_at), ("bank", testing::clock::START));
    let item = world.push_item();
    assert_eq!((&item["open"], &item["unpublished"]), (&json!("open"), &json!("yes")));

    tokio::time::sleep(Duration::from_secs(3)).await;
    let repeated = world.pushes().create(&request(1), Plan::Now { slices: 9 }).await.unwrap();
    assert_eq!(repeated, created, "with the slices that are stored");
    assert_eq!(world.pushes().get(push(1)).await.unwrap(), Some(created));
    assert_eq!(world.pushes().get(push(2)).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn only_the_first_push_announces_its_offer() {
    let world = World::new();
    world.pushes().create(&request(2), Plan::Now { slices: 1 }).await.unwrap();
    let item = world.dynamo.item("Pushes", json!({"pk": push_key(2), "sk": "push"})).unwrap();
    assert_eq!(item["unpublished"], Value::Null);
}

#[tokio::test(start_paused = true)]
async fn a_scheduled_push_starts_once() {
    let world = World::new();
    let starts_at = world.now() + Duration::from_secs(60);
    let scheduled = world.pushes().create(&request(1), Plan::At(starts_at)).await.unwrap();
    assert_eq!((scheduled.state, scheduled.slices), (PushState::Scheduled, 0));
    assert_eq!((scheduled.starts_at, scheduled.started_at), (Some(starts_at), None));

    tokio::time::sleep(Duration::from_secs(60)).await;
    let started = world.pushes().start(push(1), 8).await.unwrap().unwrap();
    assert_eq!((started.state, started.slices, started.started_at), (PushState::Running, 8, Some(world.now())));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(world.pushes().start(push(1), 9).await.unwrap(), Some(started));
    assert_eq!(world.pushes().start(push(2), 9).await.unwrap(), None);
    assert_eq!(world.dynamo.items("Pushes").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_open_push_can_be_cancelled() {
    for plan in [Plan::Now { slices: 1 }, Plan::At(testing::clock::START)] {
        let world = World::new();
        let created = world.pushes().create(&request(1), plan).await.unwrap();
        let key = json!({"pk": push_key(1), "sk": "push"});
        world.dynamo.remove("Pushes", key, "unpublished");
        tokio::time::sleep(Duration::from_secs(2)).await;
        let cancelled = world.pushes().cancel(&request(1), "operator").await.unwrap();
        assert_eq!(cancelled.state, PushState::Cancelled);
        assert_eq!((cancelled.cancelled_by.as_deref(), cancelled.completed_at), (Some("operator"), Some(world.now())));
        assert_eq!(cancelled.requested_by, created.requested_by);
        let item = world.push_item();
        assert_eq!((&item["open"], &item["unpublished"]), (&Value::Null, &json!("yes")));
        // A second caller changes nothing.
        assert_eq!(world.pushes().cancel(&request(1), "another").await.unwrap(), cancelled);
    }
}

#[tokio::test(start_paused = true)]
async fn a_completed_push_cannot_be_cancelled() {
    let world = World::new();
    world.push(1).await;
    let key = json!({"pk": push_key(1), "sk": "push"});
    world.dynamo.set("Pushes", key, "state", "completed");
    let before = world.push_item();
    assert_eq!(world.pushes().cancel(&request(1), "operator").await.unwrap().state, PushState::Completed);
    assert_eq!(world.push_item(), before);
}

/// Its request is stored, but the stream has not delivered it.
#[tokio::test(start_paused = true)]
async fn a_push_that_has_not_started_is_created_as_cancelled() {
    let world = World::new();
    let cancelled = world.pushes().cancel(&request(1), "operator").await.unwrap();
    assert_eq!((cancelled.state, cancelled.slices), (PushState::Cancelled, 0));
    assert_eq!((cancelled.requested_by.as_str(), cancelled.requested_at), ("bank", testing::clock::START));
    let created = world.pushes().create(&request(1), Plan::Now { slices: 8 }).await.unwrap();
    assert_eq!(created.state, PushState::Cancelled);
    assert_eq!(world.pushes().start(push(1), 8).await.unwrap().unwrap().state, PushState::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn writes_whose_response_is_lost_return_what_is_stored() {
    let world = World::new();
    let starts_at = world.now();
    world.dynamo.inject("PutItem", "Pushes", [Fault::LoseResponse]);
    let created = world.pushes().create(&request(1), Plan::At(starts_at)).await.unwrap();
    assert_eq!(created.state, PushState::Scheduled);
    world.dynamo.inject("UpdateItem", "Pushes", [Fault::LoseResponse]);
    assert_eq!(world.pushes().start(push(1), 8).await.unwrap().unwrap().slices, 8);
    world.dynamo.inject("UpdateItem", "Pushes", [Fault::LoseResponse]);
    let cancelled = world.pushes().cancel(&request(1), "operator").await.unwrap();
    assert_eq!(cancelled.cancelled_by.as_deref(), Some("operator"));
    assert_eq!(world.dynamo.faults_left(), 0);
}

#[tokio::test(start_paused = true)]
async fn open_pushes_are_listed_page_by_page() {
    let world = World::new();
    for number in 1..=5 {
        world.pushes().create(&request(number), Plan::Now { slices: 1 }).await.unwrap();
    }
    world.pushes().cancel(&request(2), "operator").await.unwrap();
    let mut listed = Vec::new();
    let mut after = None;
    loop {
        let page = world.pushes().list_open(3, after).await.unwrap();
        listed.extend(page.items.iter().map(|push| push.id.number));
        match page.next {
            Some(next) => {
                store::Pushes::check_cursor(&next).unwrap();
                after = Some(next.encode().parse().unwrap());
            }
            None => break,
        }
    }
    assert_eq!(listed, [1, 3, 4, 5]);
}

#[tokio::test(start_paused = true)]
async fn pushes_that_exist_are_found_in_one_call() {
    let world = World::new();
    for number in [1, 3] {
        world.pushes().create(&request(number), Plan::Now { slices: 1 }).await.unwrap();
    }
    world.dynamo.forget_calls();
    let existing = world.pushes().existing(&[1, 2, 3].map(push)).await.unwrap();
    assert_eq!(existing, [push(1), push(3)].into());
    assert_eq!(world.dynamo.calls(), [("BatchGetItem", "Pushes")]);
}
