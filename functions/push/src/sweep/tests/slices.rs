//! The slices of running pushes: queued again, scanned again, or marked as done.

use std::time::Duration;

use domain::Channel;
use serde_json::json;
use store::pushes::ReportResult;
use testing::{Fault, number_set};

use super::super::report::Swept;
use super::world::{OFFER, World, minutes, pass, push};

/// A running push whose slices are scanned, each with one batch of e-mails that is outstanding and queued.
async fn scanned(slices: u32) -> World {
    let world = World::new().await;
    world.create(2, slices).await;
    for slice in 0..slices {
        world.scan_slice(push(2), slice, 1, &[Channel::Email]).await;
    }
    world
}

#[tokio::test(start_paused = true)]
async fn a_lost_slice_is_queued_again_and_its_scan_completes_the_push() {
    let world = World::new().await;
    world.request(2).await;
    world.start(2).await;
    // One of the eight messages is lost.
    let lost = world.queues.take("audience");
    for message in &lost[1..] {
        world.queues.put("audience", message.clone());
    }
    world.scan_queued(&[]).await;
    pass(minutes(2)).await;
    assert_eq!(world.sweep().await.unwrap(), Swept::default(), "it may still be on its way");
    pass(minutes(1)).await;
    assert_eq!(world.sweep().await.unwrap(), Swept { resumed: 1, ..Swept::default() });
    assert_eq!(world.queues.take("audience"), lost[..1]);
    world.queues.put("audience", lost[0].clone());
    assert_eq!(world.state(2), "running");
    world.scan_queued(&[]).await;
    assert_eq!(world.state(2), "completed");
}

#[tokio::test(start_paused = true)]
async fn a_slice_that_waits_in_its_queue_is_not_queued_again() {
    let world = World::new().await;
    world.request(2).await;
    world.start(2).await;
    pass(minutes(60)).await;
    assert_eq!(world.sweep().await.unwrap(), Swept::default());
    assert_eq!(world.queues.depth("audience"), 8);
}

#[tokio::test(start_paused = true)]
async fn a_slice_whose_scanner_died_is_queued_again_in_its_generation() {
    let world = World::new().await;
    world.create(2, 1).await;
    world.pushes().start_scan(push(2), 0, 1).await.unwrap();
    pass(minutes(4)).await;
    assert_eq!(world.sweep().await.unwrap(), Swept { resumed: 1, ..Swept::default() });
    assert_eq!(world.queued_slices(), [(2, 0, 1)]);
    world.scan_queued(&[]).await;
    assert_eq!(world.state(2), "completed");
}

#[tokio::test(start_paused = true)]
async fn a_scanned_slice_with_lost_batches_is_scanned_again_and_its_old_batches_no_longer_count() {
    let world = World::new().await;
    world.create(2, 1).await;
    world.scan_slice(push(2), 0, 1, &[Channel::Email, Channel::Email, Channel::Sms]).await;
    let lost = world.queues.take("email");
    pass(minutes(4)).await;
    // The text message is in its queue, which does not hide that the e-mails are lost.
    assert_eq!(world.sweep().await.unwrap(), Swept { restarted: 1, ..Swept::default() });
    assert_eq!(world.queued_slices(), [(2, 0, 2)]);
    assert_eq!(world.sweep().await.unwrap(), Swept::default(), "it is restarted once");
    for message in lost {
        assert_eq!(world.deliver(message).await, ReportResult::NotOutstanding);
    }
    assert_eq!(world.deliver_queued(Channel::Sms).await, [ReportResult::NotOutstanding]);
    assert_eq!(world.state(2), "running");
    world.scan_queued(&[Channel::Email, Channel::Email]).await;
    assert_eq!(world.deliver_queued(Channel::Email).await, [ReportResult::Counted; 2]);
    assert_eq!(world.state(2), "completed");
    let progress = world.pushes().progress(push(2)).await.unwrap().unwrap();
    assert_eq!((progress.scan.notifications, progress.tally.outcomes.sent), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_reports_during_the_sweep_keeps_its_slice_from_being_scanned_again() {
    let world = scanned(1).await;
    let batches = world.queues.take("email");
    pass(minutes(4)).await;
    // Between reading the slice and restarting its scan.
    let key = json!({"pk": push(2).to_string(), "sk": "slice#0000"});
    let report = Fault::before(move |dynamo| dynamo.remove("Pushes", &key, "batchesOpen"));
    world.dynamo.inject("UpdateItem", "Pushes", [report]);
    assert_eq!(world.sweep().await.unwrap(), Swept::default());
    assert_eq!((batches.len(), world.queues.depth("audience")), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn batches_that_were_lost_while_one_message_stays_in_their_queue_are_found_after_long() {
    let world = scanned(5).await;
    let batches = world.queues.take("email");
    world.queues.put("email", batches[0].clone());
    pass(minutes(44)).await;
    assert_eq!(world.sweep().await.unwrap(), Swept::default());
    pass(minutes(1)).await;
    assert_eq!(world.sweep().await.unwrap(), Swept { restarted: 5, ..Swept::default() });
    world.scan_queued(&[]).await;
    assert_eq!(world.state(2), "completed");
}

#[tokio::test(start_paused = true)]
async fn a_done_slice_that_is_not_counted_is_counted_and_completes_the_push() {
    let world = World::new().await;
    world.create(2, 5).await;
    for slice in [0, 2, 3, 4] {
        world.scan_slice(push(2), slice, 1, &[]).await;
    }
    world.scan_without_counting(push(2), 1).await;
    assert_eq!(world.push_item(2)["slicesCounted"], 4);
    world.dynamo.forget_calls();
    assert_eq!(world.sweep().await.unwrap(), Swept { closed: 1, ..Swept::default() });
    let item = world.push_item(2);
    assert_eq!((&item["state"], &item["slicesCounted"]), (&json!("completed"), &json!(5)));
    // The missing one is counted, and the push completed.
    assert_eq!(world.dynamo.count("TransactWriteItems", "Pushes"), 1);
    assert_eq!(world.dynamo.count("UpdateItem", "Pushes"), 1);
}

/// The release before added their numbers to a set.
#[tokio::test(start_paused = true)]
async fn slices_that_an_earlier_release_has_marked_are_counted() {
    let world = World::new().await;
    world.create(2, 3).await;
    for slice in 0..3 {
        world.scan_without_counting(push(2), slice).await;
    }
    world.dynamo.set("Pushes", json!({"pk": push(2).to_string(), "sk": "push"}), "slicesDone", number_set([0, 1]));
    assert_eq!(world.sweep().await.unwrap(), Swept { closed: 3, ..Swept::default() });
    assert_eq!(world.state(2), "completed");
}

#[tokio::test(start_paused = true)]
async fn a_push_whose_slices_are_all_counted_is_completed() {
    let world = World::new().await;
    world.create(2, 2).await;
    for slice in 0..2 {
        world.scan_without_counting(push(2), slice).await;
    }
    // The invocation that counted the last one died before it completed the push.
    world.dynamo.set("Pushes", json!({"pk": push(2).to_string(), "sk": "push"}), "slicesCounted", 2);
    for slice in ["slice#0000", "slice#0001"] {
        world.dynamo.set("Pushes", json!({"pk": push(2).to_string(), "sk": slice}), "counted", true);
    }
    assert_eq!(world.sweep().await.unwrap(), Swept { closed: 1, ..Swept::default() });
    assert_eq!(world.state(2), "completed");
}

#[tokio::test(start_paused = true)]
async fn counting_ends_before_the_deadline() {
    let world = World::new().await;
    world.create(2, 5).await;
    for slice in 0..5 {
        world.scan_without_counting(push(2), slice).await;
    }
    world.dynamo.set_latency(Duration::from_secs(1));
    // The push is listed and its slices are read in two seconds. Counting one takes two.
    let time = Duration::from_millis(6_500);
    assert_eq!(world.sweep_open_during(time).await.unwrap(), Swept { closed: 3, ..Swept::default() });
    assert_eq!(world.push_item(2)["slicesCounted"], 3);
    assert_eq!(world.sweep_open_during(time).await.unwrap(), Swept { closed: 2, ..Swept::default() });
    assert_eq!(world.state(2), "completed");
}

#[tokio::test(start_paused = true)]
async fn restarting_ends_before_the_deadline_and_what_was_restarted_is_queued() {
    let world = scanned(5).await;
    world.queues.take("email");
    pass(minutes(10)).await;
    world.dynamo.set_latency(Duration::from_secs(1));
    // As above: each restart takes a second.
    let swept = world.sweep_open_during(Duration::from_millis(4_500)).await.unwrap();
    assert_eq!(swept, Swept { restarted: 3, ..Swept::default() });
    assert_eq!(world.queued_slices(), [(2, 0, 2), (2, 1, 2), (2, 2, 2)]);
}

#[tokio::test(start_paused = true)]
async fn slices_that_were_restarted_are_queued_although_the_next_restart_fails() {
    let world = scanned(5).await;
    world.queues.take("email");
    pass(minutes(10)).await;
    world.dynamo.inject("UpdateItem", "Pushes", [Fault::Nothing, Fault::Nothing, Fault::Refuse]);
    let error = world.sweep().await.unwrap_err();
    assert!(error.to_string().contains("open pushes (1 failed)"), "{error}");
    assert_eq!(world.queued_slices(), [(2, 0, 2), (2, 1, 2)]);
    assert_eq!(
        world.sweep().await.unwrap(),
        Swept { restarted: 3, ..Swept::default() },
        "the next sweep does the rest"
    );
}

#[tokio::test(start_paused = true)]
async fn restarting_lost_batches_ends_before_the_deadline() {
    let world = scanned(5).await;
    let batches = world.queues.take("email");
    world.queues.put("email", batches[0].clone());
    pass(minutes(60)).await;
    world.dynamo.set_latency(Duration::from_secs(2));
    // The push is listed and its slices are read in four seconds. To restart one takes two more.
    let swept = world.sweep_during(Duration::from_secs(8)).await.unwrap();
    assert_eq!(swept, Swept { restarted: 3, ..Swept::default() });
    assert_eq!(world.queued_slices(), [(2, 0, 2), (2, 1, 2), (2, 2, 2)]);
}

#[tokio::test(start_paused = true)]
async fn an_operator_sweeps_the_open_pushes_of_an_offer_without_waiting() {
    let world = World::new().await;
    world.create(2, 1).await;
    world.create(3, 3).await;
    world.scan_slice(push(3), 1, 1, &[Channel::Email]).await;
    world.queues.take("email");
    world.scan_without_counting(push(3), 2).await;
    let swept = world.sweep_offer().await.unwrap();
    assert_eq!(swept, Swept { resumed: 2, restarted: 1, closed: 1, ..Swept::default() });
    assert_eq!(world.queued_slices(), [(2, 0, 1), (3, 0, 1), (3, 1, 2)]);
    world.scan_queued(&[]).await;
    // The event of the push that has just completed is not overdue, but it is published as well.
    assert_eq!(world.sweep_offer().await.unwrap(), Swept { published: 1, ..Swept::default() });
}

#[tokio::test(start_paused = true)]
async fn an_operator_starts_a_push_that_the_stream_has_not_delivered() {
    let world = World::empty();
    let error = world.sweep_offer().await.unwrap_err();
    assert_eq!(error.to_string(), "the offer has no push to sweep");
    world.post(json!({})).await;
    assert_eq!(world.sweep_offer().await.unwrap(), Swept { started: 1, published: 1, ..Swept::default() });
    assert_eq!((world.state(1), world.queues.depth("audience")), ("running".into(), 8));
}

/// Not only is each small: 10,000 of them with the offer inside did not fit into the function's memory.
#[tokio::test(start_paused = true)]
async fn messages_of_a_push_are_small_whatever_the_offer() {
    let world = World::empty();
    world.post(json!({"description": "\u{928}".repeat(10_000), "eligibility": "customer.id == 'c-1'"})).await;
    world.start(1).await;
    let messages = world.queues.take("audience");
    assert_eq!(messages.len(), 8);
    for message in messages {
        let expected = json!({"offer": OFFER, "number": 1});
        assert_eq!((&message["type"], &message["push"]), (&json!("slice.v2"), &expected));
        assert!(message.to_string().len() < 150, "{message}");
    }
}
