//! What runs independently of what, and what is left to the next sweep.

use std::time::Duration;

use serde_json::{Value, json};
use testing::Fault;

use super::super::report::Swept;
use super::world::{World, minutes, pass, push};

/// Each duty, the table that it lists, how many queries of that table come before, and how the error names the duty.
const DUTIES: [(&str, &str, usize, &str); 3] = [
    ("missed", "Offers", 0, "missed requests (1 failed)"),
    ("open", "Pushes", 0, "open pushes (1 failed)"),
    // The open pushes are listed before.
    ("overdue", "Pushes", 1, "overdue events (1 failed)"),
];

/// Something to do for each duty: push 2 is completed with its event unpublished, push 3 waits to be counted, and push 4
/// was requested but not delivered by the stream.
async fn something_for_each_duty() -> World {
    let world = World::new().await;
    world.complete(2).await;
    world.create(3, 1).await;
    world.scan_without_counting(push(3), 0).await;
    world.request(4).await;
    pass(minutes(4)).await;
    // Every duty has listed what there is before any goes on.
    world.dynamo.set_latency(Duration::from_millis(100));
    world
}

/// Which duties are done.
fn done(world: &World) -> Vec<&'static str> {
    let mut done = Vec::new();
    if world.state(4) == "running" {
        done.push("missed");
    }
    if world.state(3) == "completed" {
        done.push("open");
    }
    if world.push_item(2)["unpublished"].is_null() {
        done.push("overdue");
    }
    done
}

fn all_but(duty: &str) -> Vec<&'static str> {
    DUTIES.into_iter().map(|(other, ..)| other).filter(|other| *other != duty).collect()
}

#[tokio::test(start_paused = true)]
async fn a_sweep_does_all_of_its_duties() {
    let world = something_for_each_duty().await;
    assert_eq!(done(&world), [""; 0]);
    let swept = world.sweep().await.unwrap();
    assert_eq!(swept, Swept { started: 1, closed: 1, published: 1, ..Swept::default() });
    assert_eq!(done(&world), ["missed", "open", "overdue"]);
}

#[tokio::test(start_paused = true)]
async fn a_duty_that_fails_keeps_no_other_from_running_and_is_named() {
    for (duty, table, queries_before, named) in DUTIES {
        let world = something_for_each_duty().await;
        let faults = std::iter::repeat_n(Fault::Nothing, queries_before).chain([Fault::Refuse]);
        world.dynamo.inject("Query", table, faults);
        let error = world.sweep().await.unwrap_err();
        assert!(error.to_string().contains(&format!("incomplete: {named};")), "{error}");
        assert_eq!(done(&world), all_but(duty));
        world.sweep().await.unwrap();
        assert_eq!(done(&world), ["missed", "open", "overdue"], "the next sweep does the rest");
    }
}

#[tokio::test(start_paused = true)]
async fn a_duty_that_hangs_keeps_no_other_from_running() {
    for (duty, table, queries_before, _) in DUTIES {
        let world = something_for_each_duty().await;
        let faults = std::iter::repeat_n(Fault::Nothing, queries_before).chain([Fault::Hang]);
        world.dynamo.inject("Query", table, faults);
        let mut sweep = Box::pin(world.sweep());
        // Before the client repeats the call that hangs.
        assert!(tokio::time::timeout(Duration::from_secs(2), &mut sweep).await.is_err(), "{duty} hangs");
        assert_eq!(done(&world), all_but(duty));
        sweep.await.unwrap();
        assert_eq!(done(&world), ["missed", "open", "overdue"]);
    }
}

/// The pushes whose slices were read since this was last called, in order.
fn take_slices_read(world: &World) -> Vec<u32> {
    let mut requests = world.dynamo.requests("Query", "Pushes");
    requests.retain(|request| request["ExpressionAttributeValues"][":slice"].is_object());
    world.dynamo.forget_calls();
    let key = |request: &Value| request["ExpressionAttributeValues"][":pk"]["S"].clone();
    let number = |key: Value| (2..=8).find(|number| key == push(*number).to_string()).unwrap();
    requests.iter().map(key).map(number).collect()
}

#[tokio::test(start_paused = true)]
async fn open_pushes_that_had_no_time_are_swept_first_by_the_next_sweep() {
    let world = World::new().await;
    for number in 2..=8 {
        world.create(number, 1).await;
    }
    // A slice that cannot be read keeps no other push from being swept.
    world.dynamo.put("Pushes", json!({"pk": push(3).to_string(), "sk": "slice#0000", "generation": "unreadable"}));
    world.dynamo.set_latency(Duration::from_secs(1));
    let swept = async || {
        // Listing the pushes takes a second, and so does reading the place, and the slices of each.
        let result = world.sweep_open_during(Duration::from_millis(6_500)).await;
        (take_slices_read(&world), result.map_err(|error| error.to_string().contains("open pushes (1 failed)")))
    };
    assert_eq!(swept().await, (vec![2, 3, 4, 5, 6], Err(true)));
    assert_eq!(swept().await, (vec![7, 8, 2, 3, 4], Err(true)));
    // In another process as well.
    let another = world.another_sweeper();
    world.sweep_with(&another, Duration::from_secs(25)).await.unwrap();
    assert_eq!(take_slices_read(&world)[..3], [5, 6, 7]);
}

#[tokio::test(start_paused = true)]
async fn more_open_pushes_than_one_page_lists_are_all_swept() {
    let world = World::new().await;
    for number in 2..=102 {
        world.create(number, 1).await;
        world.scan_without_counting(push(number), 0).await;
    }
    assert_eq!(world.sweep().await.unwrap(), Swept { closed: 101, ..Swept::default() });
    assert_eq!((world.state(2), world.state(102)), ("completed".into(), "completed".into()));
}
