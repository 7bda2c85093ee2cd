//! Scanning a slice, page by page.

use std::time::Duration;

use domain::Channel;
use domain::customer::Projection;
use domain::push::ScanCounts;
use serde_json::{Value, json};
use store::customers::{ScanPosition, Segment};
use store::pushes::{FIRST_GENERATION, PAGE_BATCHES, ScanStep, SliceScan};
use testing::Fault;

use crate::world::{World, push, start_scan};

const FOUND: ScanCounts =
    ScanCounts { customers_read: 10, customers_eligible: 5, customers_unevaluable: 2, notifications: 4 };

async fn commit(world: &World, scan: &SliceScan, batches: &[u32], next: Option<ScanPosition>) -> ScanStep {
    world.pushes().commit_page(scan, FOUND, batches, next).await.unwrap()
}

fn continued(step: ScanStep) -> SliceScan {
    match step {
        ScanStep::Continue(scan) => scan,
        other => panic!("{other:?}"),
    }
}

/// The position after customer `c-1`.
async fn position(world: &World) -> ScanPosition {
    for id in ["c-1", "c-2"] {
        world.dynamo.put("Customers", json!({"pk": id, "name": "A", "channels": [], "attributes": {}}));
    }
    world.customers().scan(Segment { number: 0, of: 1 }, &Projection::Whole, None, 1).await.unwrap().next.unwrap()
}

fn numbers(scan: &SliceScan, channel: Channel) -> Vec<u32> {
    scan.batch_numbers(channel).collect()
}

#[tokio::test(start_paused = true)]
async fn a_scan_starts_at_the_beginning_and_ends_after_the_last_page() {
    let world = World::new();
    world.push(1).await;
    let scan = start_scan(&world, 1).await;
    assert_eq!((scan.push, scan.slice, scan.generation, scan.after.clone()), (push(1), 0, 1, None));
    let item = world.slice(0).unwrap();
    assert_eq!((&item["generation"], &item["version"], &item["walked"]), (&json!(1), &json!(1), &json!(false)));
    assert_eq!(item["heartbeat"], world.now().as_millisecond());

    tokio::time::sleep(Duration::from_secs(2)).await;
    let next = position(&world).await;
    let batches = numbers(&scan, Channel::Email);
    let scan = continued(commit(&world, &scan, &batches[..2], Some(next.clone())).await);
    assert_eq!(scan.after, Some(next));
    let item = world.slice(0).unwrap();
    assert_eq!((&item["version"], &item["resumeAfter"], &item["batches"]), (&json!(2), &json!("c-1"), &json!(2)));
    assert_eq!(item["batchesOpen"], json!(batches[..2]));
    assert_eq!(item["heartbeat"], world.now().as_millisecond());

    let last = numbers(&scan, Channel::Sms)[0];
    assert!(!batches.contains(&last), "another page has other numbers");
    assert_eq!(commit(&world, &scan, &[last], None).await, ScanStep::Finished);
    let item = world.slice(0).unwrap();
    assert_eq!((&item["walked"], &item["resumeAfter"]), (&json!(true), &Value::Null));
    assert_eq!((&item["customersRead"], &item["customersEligible"]), (&json!(20), &json!(10)));
    assert_eq!((&item["customersUnevaluable"], &item["notifications"]), (&json!(4), &json!(8)));
    assert_eq!((&item["batches"], &item["batchesOpen"]), (&json!(3), &json!([batches[0], batches[1], last])));
    // Its batches are outstanding.
    assert_eq!(world.push_item()["state"], "running");
}

#[tokio::test(start_paused = true)]
async fn a_page_has_numbers_for_each_channel() {
    let world = World::new();
    world.push(1).await;
    let scan = start_scan(&world, 1).await;
    let (email, sms) = (numbers(&scan, Channel::Email), numbers(&scan, Channel::Sms));
    assert_eq!((email.len(), sms.len()), (PAGE_BATCHES as usize, PAGE_BATCHES as usize));
    assert!(email.iter().all(|number| !sms.contains(number)));
}

#[tokio::test(start_paused = true)]
async fn a_slice_without_batches_is_done_when_it_is_scanned() {
    let world = World::new();
    world.push(2).await;
    let scan = start_scan(&world, 1).await;
    assert_eq!(commit(&world, &scan, &[], None).await, ScanStep::Finished);
    let push = world.push_item();
    assert_eq!((&push["slicesCounted"], &push["state"]), (&json!(1), &json!("running")));
    assert_eq!(world.slice(0).unwrap()["batches"], 0);
}

#[tokio::test(start_paused = true)]
async fn the_last_slice_completes_the_push() {
    let world = World::new();
    world.push(2).await;
    for slice in [1, 0] {
        let step = world.pushes().start_scan(push(1), slice, 1).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        commit(&world, &continued(step), &[], None).await;
    }
    let item = world.push_item();
    assert_eq!((&item["state"], &item["slicesCounted"]), (&json!("completed"), &json!(2)));
    assert_eq!((&item["completedAt"], &item["open"]), (&json!(world.now().as_millisecond()), &Value::Null));
    assert_eq!(item["unpublished"], "yes");
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_push_stays_cancelled_when_its_slices_end() {
    let world = World::new();
    world.push(1).await;
    let scan = start_scan(&world, 1).await;
    world.pushes().cancel(&crate::world::request(1), "bank").await.unwrap();
    let before = world.push_item();
    commit(&world, &scan, &[], None).await;
    let item = world.push_item();
    assert_eq!((&item["state"], &item["completedAt"]), (&json!("cancelled"), &before["completedAt"]));
}

#[tokio::test(start_paused = true)]
async fn a_scan_is_taken_over_at_its_checkpoint() {
    let world = World::new();
    world.push(1).await;
    let dead = start_scan(&world, 1).await;
    let next = position(&world).await;
    let dead = continued(commit(&world, &dead, &[], Some(next.clone())).await);
    let successor = start_scan(&world, 1).await;
    assert_eq!(successor.after, Some(next));
    let numbers_of = |scan| numbers(scan, Channel::Email);
    assert!(numbers_of(&successor).iter().all(|number| !numbers_of(&dead).contains(number)));
    // The first scanner is alive after all: its page does not count.
    let before = world.slice(0);
    assert_eq!(commit(&world, &dead, &[numbers_of(&dead)[0]], None).await, ScanStep::Superseded);
    assert_eq!(world.slice(0), before);
    assert_eq!(commit(&world, &successor, &[], None).await, ScanStep::Finished);
}

#[tokio::test(start_paused = true)]
async fn a_message_of_another_generation_or_of_a_finished_scan_starts_nothing() {
    let world = World::new();
    world.push(1).await;
    world.restarted(0, 2);
    let scan = start_scan(&world, 2).await;
    for generation in [1, 3] {
        let step = world.pushes().start_scan(push(1), 0, generation).await.unwrap();
        assert_eq!(step, ScanStep::Superseded, "{generation}");
    }
    let batch = numbers(&scan, Channel::Email)[0];
    commit(&world, &scan, &[batch], None).await;
    assert_eq!(world.pushes().start_scan(push(1), 0, 2).await.unwrap(), ScanStep::Finished);
    assert_eq!(world.slice(0).unwrap()["version"], 2);
    assert_eq!(world.push_item()["slicesCounted"], Value::Null, "a batch is outstanding");
}

/// No sweep has restarted it, so another principal wrote that message.
#[tokio::test(start_paused = true)]
async fn a_slice_without_a_scan_is_started_in_the_first_generation_only() {
    let world = World::new();
    world.push(1).await;
    for generation in [0, 2, u32::MAX] {
        let step = world.pushes().start_scan(push(1), 0, generation).await.unwrap();
        assert_eq!((step, world.slice(0)), (ScanStep::Superseded, None), "{generation}");
    }
    start_scan(&world, FIRST_GENERATION).await;
}

#[tokio::test(start_paused = true)]
async fn a_page_of_an_earlier_generation_is_not_committed() {
    let world = World::new();
    world.push(1).await;
    let scan = start_scan(&world, 1).await;
    let key = json!({"pk": crate::world::push_key(1), "sk": "slice#0000"});
    world.dynamo.set("Pushes", key, "generation", 2);
    assert_eq!(commit(&world, &scan, &[], None).await, ScanStep::Superseded);
}

/// The scanner died between its last commit and counting the slice.
#[tokio::test(start_paused = true)]
async fn a_repeated_message_counts_a_finished_slice() {
    let world = World::new();
    world.push(1).await;
    let scan = start_scan(&world, 1).await;
    commit(&world, &scan, &[], None).await;
    world.uncount(0);
    assert_eq!(world.pushes().start_scan(push(1), 0, 1).await.unwrap(), ScanStep::Finished);
    assert_eq!(world.push_item()["state"], "completed");
}

#[tokio::test(start_paused = true)]
async fn writes_whose_response_is_lost_are_recognised() {
    let world = World::new();
    world.push(1).await;
    world.dynamo.inject("UpdateItem", "Pushes", [Fault::LoseResponse]);
    let scan = start_scan(&world, 1).await;
    let next = position(&world).await;
    world.dynamo.inject("UpdateItem", "Pushes", [Fault::LoseResponse]);
    let scan = continued(commit(&world, &scan, &numbers(&scan, Channel::Email)[..1], Some(next)).await);
    world.dynamo.inject("UpdateItem", "Pushes", [Fault::HangAfterEffect]);
    assert_eq!(commit(&world, &scan, &[], None).await, ScanStep::Finished);
    let item = world.slice(0).unwrap();
    assert_eq!((&item["batches"], &item["customersRead"]), (&json!(1), &json!(20)), "each page counts once");
    assert_eq!(world.dynamo.faults_left(), 0);
}

/// The repeated start would otherwise continue with a version that is no longer stored.
#[tokio::test(start_paused = true)]
async fn a_repeated_start_continues_with_the_stored_version() {
    let world = World::new();
    world.push(1).await;
    start_scan(&world, 1).await;
    world.dynamo.inject("UpdateItem", "Pushes", [Fault::LoseResponse]);
    let scan = start_scan(&world, 1).await;
    assert_eq!(commit(&world, &scan, &[], None).await, ScanStep::Finished);
}

#[tokio::test(start_paused = true)]
async fn a_repeated_commit_does_not_take_another_scanners_page_for_its_own() {
    let world = World::new();
    world.push(1).await;
    let scan = start_scan(&world, 1).await;
    start_scan(&world, 1).await;
    world.dynamo.inject("UpdateItem", "Pushes", [Fault::LoseResponse]);
    assert_eq!(commit(&world, &scan, &[], None).await, ScanStep::Superseded);
}

#[tokio::test(start_paused = true)]
async fn a_slice_is_started_once_a_scanner_has_begun() {
    let world = World::new();
    world.push(2).await;
    start_scan(&world, 1).await;
    assert!(world.pushes().is_started(push(1), 0).await.unwrap());
    assert!(!world.pushes().is_started(push(1), 1).await.unwrap());
}

/// An invocation whose response was lost counts it again, and so does one that is given the last batch once more.
#[tokio::test(start_paused = true)]
async fn a_slice_is_counted_once() {
    for fault in [Fault::Nothing, Fault::LoseResponse, Fault::HangAfterEffect, Fault::Conflict] {
        let world = World::new();
        world.push(2).await;
        world.dynamo.inject("TransactWriteItems", "Pushes", [fault]);
        commit(&world, &start_scan(&world, 1).await, &[], None).await;
        assert_eq!(world.dynamo.faults_left(), 0);
        for _ in 0..2 {
            world.pushes().count_slice(push(1), 0).await.unwrap();
        }
        assert_eq!((&world.push_item()["slicesCounted"], &world.push_item()["state"]), (&json!(1), &json!("running")));
    }
}
