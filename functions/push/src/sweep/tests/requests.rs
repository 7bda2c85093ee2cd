//! Requests that the stream did not deliver, and pushes whose time has come.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::report::Swept;
use super::world::{OFFER, World, minutes, pass, push};

/// The pushes that were to be started since this was last called: their requests were read.
fn take_tried(world: &World) -> Vec<String> {
    let requests = world.dynamo.requests("GetItem", "Offers");
    world.dynamo.forget_calls();
    let sort_key = |request: &Value| request["Key"]["sk"]["S"].as_str().unwrap().to_owned();
    requests.iter().map(sort_key).filter(|key| key.starts_with("push#")).collect()
}

#[tokio::test(start_paused = true)]
async fn requests_are_compared_with_the_pushes_in_one_call_and_missed_ones_started() {
    let world = World::new().await;
    for number in [2, 4] {
        world.create(number, 1).await;
    }
    for number in [3, 5] {
        world.request(number).await;
    }
    pass(minutes(2)).await;
    world.request(6).await;
    world.dynamo.forget_calls();
    assert_eq!(world.sweep().await.unwrap(), Swept::default(), "the stream has three minutes");
    pass(minutes(1) + Duration::from_secs(1)).await;
    world.queues.put("audience", json!({"type": "a message that keeps the slices of the open pushes where they are"}));
    world.dynamo.forget_calls();
    assert_eq!(world.sweep().await.unwrap(), Swept { started: 2, ..Swept::default() });
    assert_eq!(world.dynamo.count("BatchGetItem", "Pushes"), 1);
    assert_eq!(take_tried(&world), ["push#0003", "push#0005"]);
    assert_eq!((world.state(3), world.state(5), world.state(6)), ("running".into(), "running".into(), Value::Null));
    assert_eq!(world.queues.depth("audience"), 17);
}

#[tokio::test(start_paused = true)]
async fn a_missed_request_is_started_once_although_two_sweeps_run() {
    let world = World::new().await;
    world.request(2).await;
    pass(minutes(4)).await;
    world.dynamo.set_latency(Duration::from_millis(50));
    let other = world.another_sweeper();
    let (one, other) = tokio::join!(world.sweep(), world.sweep_with(&other, minutes(1)));
    assert_eq!((one.unwrap().started, other.unwrap().started), (1, 1), "both found it missing");
    let stored = world.push_item(2);
    assert_eq!((&stored["state"], &stored["slices"]), (&json!("running"), &json!(8)));
    // Whatever is queued twice is scanned once.
    assert_eq!(world.queues.depth("audience"), 16);
    world.scan_queued(&[]).await;
    assert_eq!(world.state(2), "completed");
    assert_eq!(world.pushes().progress(push(2)).await.unwrap().unwrap().scan.customers_read, 8);
    assert_eq!(world.sweep().await.unwrap().started, 0);
}

#[tokio::test(start_paused = true)]
async fn requests_that_cannot_be_started_are_counted() {
    let world = World::new().await;
    for number in 2..=3 {
        world.request(number).await;
    }
    world.dynamo.delete("Offers", json!({"pk": OFFER, "sk": "offer"}));
    pass(minutes(4)).await;
    let error = world.sweep().await.unwrap_err();
    assert!(error.to_string().contains("missed requests (2 failed)"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn requests_that_had_no_time_are_tried_first_by_the_next_sweep() {
    let world = World::new().await;
    for number in 2..=5 {
        world.request(number).await;
    }
    world.dynamo.delete("Offers", json!({"pk": OFFER, "sk": "offer"}));
    pass(minutes(4)).await;
    world.dynamo.set_latency(Duration::from_secs(1));
    let tried = async || {
        // Three seconds for the list, the place and the comparison, and two for each push: its request and its offer.
        world.sweep_during(Duration::from_secs(8)).await.unwrap_err();
        take_tried(&world)
    };
    take_tried(&world);
    assert_eq!(tried().await, ["push#0002", "push#0003", "push#0004"]);
    assert_eq!(tried().await, ["push#0005", "push#0002", "push#0003"]);
    assert_eq!(tried().await, ["push#0004", "push#0005", "push#0002"]);
}

#[tokio::test(start_paused = true)]
async fn a_scheduled_push_starts_when_its_time_has_come() {
    let world = World::empty();
    world.post(json!({"validFrom": "2026-06-01T13:00:00Z"})).await;
    world.start(1).await;
    assert_eq!((world.state(1), world.queues.depth("audience")), ("scheduled".into(), 0));
    pass(minutes(59)).await;
    assert_eq!(world.sweep().await.unwrap().started, 0);
    pass(minutes(1)).await;
    assert_eq!(world.sweep().await.unwrap().started, 1);
    assert_eq!(world.state(1), "running");
    assert_eq!(world.queued_slices(), (0..8).map(|slice| (1, slice, 1)).collect::<Vec<_>>());
    assert_eq!(world.sweep().await.unwrap(), Swept::default());
    world.scan_queued(&[]).await;
    assert_eq!(world.state(1), "completed");
}
