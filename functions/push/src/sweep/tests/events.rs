//! Events that the stream did not deliver, or that the bus did not take.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use testing::{BusState, Fault};

use super::super::report::Swept;
use super::world::{OFFER, World, minutes, pass, push};

/// The id of the event that a push is completed.
fn completed(number: u32) -> String {
    format!("{OFFER}/{number}/push.completed")
}

async fn completed_pushes(numbers: impl IntoIterator<Item = u32>) -> World {
    let world = World::new().await;
    for number in numbers {
        world.complete(number).await;
    }
    world
}

#[tokio::test(start_paused = true)]
async fn an_overdue_event_is_published_once_and_marked() {
    let world = completed_pushes([2]).await;
    pass(minutes(1)).await;
    assert_eq!(world.sweep().await.unwrap(), Swept::default(), "the stream has a minute");
    pass(Duration::from_millis(1)).await;
    assert_eq!(world.sweep().await.unwrap(), Swept { published: 1, ..Swept::default() });
    assert_eq!(world.sweep().await.unwrap(), Swept::default());
    assert_eq!(world.bus.take_accepted(), [completed(2)]);
    let item = world.push_item(2);
    assert_eq!((&item["published"], &item["unpublished"]), (&json!(["push.completed"]), &Value::Null));
}

#[tokio::test(start_paused = true)]
async fn an_offer_whose_push_is_still_running_is_published_as_created() {
    let world = World::empty();
    world.post(json!({})).await;
    world.start(1).await;
    pass(minutes(2)).await;
    assert_eq!(world.sweep().await.unwrap(), Swept { published: 1, ..Swept::default() });
    assert_eq!(world.bus.take_accepted(), [format!("{OFFER}/offer.created")]);
    assert_eq!(world.push_item(1)["unpublished"], Value::Null);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_cannot_be_marked_is_published_again_with_the_same_id() {
    let world = completed_pushes([2]).await;
    pass(minutes(2)).await;
    world.dynamo.inject("UpdateItem", "Pushes", [Fault::Refuse]);
    let error = world.sweep().await.unwrap_err();
    assert!(error.to_string().contains("overdue events (1 failed)"), "{error}");
    assert_eq!(world.sweep().await.unwrap().published, 1);
    assert_eq!(world.bus.take_accepted(), [completed(2), completed(2)]);
}

#[tokio::test(start_paused = true)]
async fn events_that_cannot_be_published_do_not_hide_those_of_later_pages() {
    let world = completed_pushes([2]).await;
    // They come before: one whose offer was deleted, and as many as fill a page, which have ended just now.
    let put_before = |number: u32, completed_at: Timestamp| {
        let pk = format!("01980000-0000-7000-8000-000000000000#{number:04}");
        let item = json!({
            "pk": pk, "sk": "push", "state": "completed", "slices": 1, "requestedBy": "bank", "requestedAt": 0,
            "completedAt": completed_at.as_millisecond(), "unpublished": "yes"
        });
        world.dynamo.put("Pushes", item);
    };
    put_before(1, world.clock.now());
    pass(minutes(2)).await;
    (2..=1_000).for_each(|number| put_before(number, world.clock.now()));
    let error = world.sweep().await.unwrap_err();
    assert!(error.to_string().contains("overdue events (1 failed)"), "{error}");
    let lists = world.dynamo.requests("Query", "Pushes");
    assert_eq!(lists.iter().filter(|list| list["ExclusiveStartKey"].is_object()).count(), 1, "there is a second page");
    assert_eq!(world.bus.take_accepted(), [completed(2)]);
}

#[tokio::test(start_paused = true)]
async fn events_that_had_no_time_are_published_first_by_the_next_sweep() {
    let world = completed_pushes(2..=6).await;
    pass(minutes(2)).await;
    world.bus.set(BusState::Rejecting);
    world.dynamo.set_latency(Duration::from_secs(1));
    let tried = async || {
        // A second for the list, one for the place, and three for each event: the push, its progress and its offer.
        world.sweep_during(Duration::from_secs(10)).await.unwrap_err();
        world.bus.take_tried()
    };
    assert_eq!(tried().await, [2, 3, 4].map(completed));
    assert_eq!(tried().await, [5, 6, 2].map(completed));
    assert_eq!(tried().await, [3, 4, 5].map(completed));
    assert_eq!(world.push_item(2)["unpublished"], "yes", "a rejected event stays unpublished");
}

#[tokio::test(start_paused = true)]
async fn an_unavailable_bus_is_waited_for_once_a_sweep_and_next_with_another_event() {
    for state in [BusState::Unavailable, BusState::Hanging] {
        let world = completed_pushes([2, 3]).await;
        pass(minutes(2)).await;
        world.bus.set(state.clone());
        for number in [2, 3, 2] {
            let error = world.sweep().await.unwrap_err();
            assert!(error.to_string().contains("overdue events (1 failed)"), "{error}");
            assert_eq!(world.bus.take_tried(), [completed(number)], "{state:?}");
        }
        world.bus.set(BusState::Accepting);
        assert_eq!(world.sweep().await.unwrap().published, 2);
        assert_eq!(world.push_item(3)["unpublished"], Value::Null);
    }
}

#[tokio::test(start_paused = true)]
async fn a_push_that_was_deleted_since_it_was_listed_has_no_events() {
    let world = completed_pushes([2]).await;
    pass(minutes(2)).await;
    // Deleted between being listed and being read.
    let key = json!({"pk": push(2).to_string(), "sk": "push"});
    let deleted = Fault::before(move |dynamo| dynamo.delete("Pushes", &key));
    world.dynamo.inject("GetItem", "Pushes", [deleted]);
    assert_eq!(world.sweep().await.unwrap(), Swept::default());
    assert!(world.bus.take_tried().is_empty());
}
