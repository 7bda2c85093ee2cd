use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::aws::call::{Body, Call, Service};
use crate::aws::lambda::Function;
use crate::aws::testing::{planned, world};

const EMAIL: &str = "EmailQueue";
const DEAD: &str = "EmailDeadLetters";

fn send(world: &Arc<World>, body: &str) -> String {
    world.queues.send(world, EMAIL, body.to_owned(), None).unwrap()
}

/// The bodies and receive counts of what is received now.
fn receive(world: &Arc<World>) -> Vec<(String, u32)> {
    let mut received: Vec<_> =
        world.queues.receive(world, EMAIL, 10).into_iter().map(|message| (message.body, message.times)).collect();
    received.sort();
    received
}

async fn pass(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}

fn call(operation: &str, body: Value) -> Call {
    let target = EMAIL.to_owned();
    Call {
        function: Function::Push,
        service: Service::Sqs,
        operation: operation.to_owned(),
        target,
        body: Body::Json(body),
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_is_hidden_while_it_is_in_flight_and_comes_again_unless_it_is_deleted() {
    let world = world(vec![]);
    send(&world, "a");
    let first = world.queues.receive(&world, EMAIL, 10).remove(0);
    assert_eq!(world.queues.counts(EMAIL), Counts { in_flight: 1, ..Counts::default() });
    pass(899).await;
    assert_eq!(receive(&world), []);
    pass(1).await;
    let second = world.queues.receive(&world, EMAIL, 10).remove(0);
    assert_eq!((second.times, second.id), (2, first.id));
    assert!(!world.queues.delete(EMAIL, &first.receipt), "the receipt is an old one");
    assert!(world.queues.change_visibility(EMAIL, &second.receipt, Duration::from_secs(5)));
    pass(5).await;
    let third = world.queues.receive(&world, EMAIL, 10).remove(0);
    assert!(world.queues.delete(EMAIL, &third.receipt));
    assert!(world.queues.is_empty());
    assert_eq!(world.queues.bodies(EMAIL), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_was_received_too_often_is_a_dead_letter_until_it_is_redriven() {
    let world = world(vec![]);
    send(&world, "a");
    for time in 1..=5 {
        assert_eq!(receive(&world), [("a".to_owned(), time)]);
        pass(900).await;
    }
    assert_eq!(world.queues.dead_letters(), []);
    assert_eq!(receive(&world), []);
    assert_eq!(world.queues.dead_letters(), [(DEAD, "a".to_owned())]);
    assert!(world.queues.is_empty());
    assert_eq!(world.queues.redrive(&world, DEAD), 1);
    assert_eq!(world.queues.dead_letters(), []);
    assert_eq!(receive(&world), [("a".to_owned(), 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_fault_of_a_message_strikes_as_planned() {
    for (fault, at_once, after_ten_seconds, after_a_minute) in
        [(Fault::Twice(10_000), 1, 1, 0), (Fault::Late(10_000), 0, 1, 0), (Fault::Gone, 0, 0, 0)]
    {
        let world = world(planned(&[("message EmailQueue", 2, Moment::Before, fault)]));
        send(&world, "a");
        send(&world, "b");
        let received = || {
            let messages = world.queues.receive(&world, EMAIL, 10);
            messages.iter().for_each(|message| assert!(world.queues.delete(EMAIL, &message.receipt)));
            messages.iter().filter(|message| message.body == "b").count()
        };
        assert_eq!(received(), at_once, "{fault:?}");
        pass(10).await;
        assert_eq!(received(), after_ten_seconds, "{fault:?}");
        pass(50).await;
        assert_eq!(received(), after_a_minute, "{fault:?}");
        assert!(world.queues.is_empty(), "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn once_calm_a_copy_comes_soon() {
    let world = world(planned(&[("message EmailQueue", 1, Moment::Before, Fault::Twice(3_600_000))]));
    send(&world, "a");
    world.calm();
    for _ in 0..2 {
        assert!(!world.queues.is_empty());
        let message = world.queues.receive(&world, EMAIL, 10).remove(0);
        assert!(world.queues.delete(EMAIL, &message.receipt));
        pass(10).await;
    }
    assert!(world.queues.is_empty());
}

#[tokio::test(start_paused = true)]
async fn each_entry_of_a_batch_has_its_result() {
    let world = world(planned(&[
        ("message EmailQueue", 2, Moment::Before, Fault::Throttle),
        ("message EmailQueue", 3, Moment::After, Fault::Unavailable),
    ]));
    let entry = |id: &str| json!({"Id": id, "MessageBody": id, "DelaySeconds": 900});
    let late = json!({"Id": "late", "MessageBody": "late", "DelaySeconds": 901});
    let request = json!({"Entries": [entry("a"), entry("b"), entry("c"), late]});
    let reply = world.queues.serve(&world, &call("SendMessageBatch", request));
    let body: Value = serde_json::from_str(&reply.body).unwrap();
    let ids = |name: &str| -> Vec<String> {
        body[name].as_array().unwrap().iter().map(|entry| entry["Id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!((ids("Successful"), ids("Failed")), (vec!["a".into()], vec!["b".into(), "c".into(), "late".into()]));
    assert_eq!(world.queues.counts(EMAIL).delayed, 2, "c was stored all the same");
    pass(900).await;
    assert_eq!(receive(&world), [("a".to_owned(), 1), ("c".to_owned(), 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_sqs_does_not_take_is_refused() {
    let world = world(vec![]);
    let entries = |count: usize, id: &dyn Fn(usize) -> String, body: &str| {
        let entries: Vec<_> = (0..count).map(|at| json!({"Id": id(at), "MessageBody": body})).collect();
        json!({"Entries": entries})
    };
    let own = |at: usize| at.to_string();
    let half = "x".repeat(600_000);
    for (request, kind) in [
        (entries(0, &own, "a"), "EmptyBatchRequest"),
        (entries(11, &own, "a"), "TooManyEntriesInBatchRequest"),
        (entries(2, &|_| "same".to_owned(), "a"), "BatchEntryIdsNotDistinct"),
        (entries(2, &own, &half), "BatchRequestTooLong"),
    ] {
        let reply = world.queues.serve(&world, &call("SendMessageBatch", request));
        assert_eq!(reply.status, 400);
        assert!(reply.body.contains(kind), "{}", reply.body);
    }
    assert!(world.queues.is_empty());
}

#[tokio::test(start_paused = true)]
async fn counts_may_be_those_of_a_minute_ago_and_are_exact_once_calm() {
    let world = world(vec![]);
    pass(3_600).await;
    send(&world, "a");
    let visible = || {
        let request = json!({"AttributeNames": ["ApproximateNumberOfMessages"]});
        let reply = world.queues.serve(&world, &call("GetQueueAttributes", request));
        let body: Value = serde_json::from_str(&reply.body).unwrap();
        assert_eq!(body["Attributes"].as_object().unwrap().len(), 1);
        body["Attributes"]["ApproximateNumberOfMessages"].as_str().unwrap().to_owned()
    };
    let answers: Vec<_> = (0..50).map(|_| visible()).collect();
    assert!(answers.iter().any(|answer| answer == "0") && answers.iter().any(|answer| answer == "1"), "{answers:?}");
    pass(60).await;
    assert!((0..50).all(|_| visible() == "1"));
    send(&world, "b");
    world.calm();
    assert!((0..50).all(|_| visible() == "2"));
}

#[tokio::test(start_paused = true)]
async fn order_is_kept_mostly() {
    let world = world(vec![]);
    let sent: Vec<_> = (0..200).map(|at| send(&world, &format!("{at:03}"))).collect();
    let mut received = Vec::new();
    while received.len() < sent.len() {
        received.extend(world.queues.receive(&world, EMAIL, 10).into_iter().map(|message| message.id));
    }
    assert_ne!(received, sent);
    received.sort();
    assert_eq!(received, sent);
}

#[tokio::test(start_paused = true)]
async fn one_who_waits_is_woken_by_a_message_and_by_the_end_of_its_time_out() {
    let world = world(vec![]);
    let began = tokio::time::Instant::now();
    let waiting = {
        let world = Arc::clone(&world);
        tokio::spawn(async move { world.queues.changed(EMAIL).await })
    };
    pass(100_000).await;
    world.queues.send(&world, EMAIL, "a".to_owned(), Some(Duration::from_secs(30))).unwrap();
    waiting.await.unwrap();
    assert_eq!(began.elapsed().as_secs(), 100_000);
    world.queues.changed(EMAIL).await;
    assert_eq!(began.elapsed().as_secs(), 100_030);
    assert_eq!(receive(&world).len(), 1);
    world.queues.changed(EMAIL).await;
    assert_eq!(began.elapsed().as_secs(), 100_930);
}

#[tokio::test(start_paused = true)]
async fn messages_are_purged_by_operators_and_after_two_weeks() {
    let world = world(vec![]);
    send(&world, "a");
    send(&world, "b");
    assert_eq!(receive(&world).len(), 2);
    assert_eq!(world.queues.purge(&world, EMAIL), 2);
    assert!(world.queues.is_empty());
    world.queues.send(&world, DEAD, "a".to_owned(), None).unwrap();
    pass(14 * 24 * 3_600).await;
    assert_eq!(world.queues.receive(&world, DEAD, 10), []);
    assert_eq!(world.queues.dead_letters(), []);
}
