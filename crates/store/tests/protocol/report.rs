//! What a batch reports once all of its notifications are final.

use std::time::Duration;

use domain::Channel;
use domain::notification::ReasonCode;
use domain::push::{CountedReason, OutcomeCounts, ScanCounts, Tally};
use serde_json::{Value, json};
use store::pushes::{PartialReport, Report, ReportResult, SliceScan};
use testing::Fault;

use crate::world::{World, push, start_scan};

const COUNTS: OutcomeCounts =
    OutcomeCounts { sent: 1, failed: 2, suppressed: 3, opted_out: 4, expired: 5, cancelled: 6, already_served: 7 };

fn report_of(batch: u32, generation: u32) -> Report {
    Report { push: push(1), slice: 0, generation, batch, tally: COUNTS.into() }
}

async fn report(world: &World, batch: u32) -> ReportResult {
    world.pushes().report(&report_of(batch, 1)).await.unwrap()
}

async fn commit(world: &World, scan: &SliceScan, batches: &[u32]) {
    world.pushes().commit_page(scan, ScanCounts::default(), batches, None).await.unwrap();
}

/// A push of one slice that is scanned and has these many batches.
async fn scanned(batches: usize) -> (World, Vec<u32>) {
    let world = World::new();
    world.push(1).await;
    let scan = start_scan(&world, 1).await;
    let numbers: Vec<_> = scan.batch_numbers(Channel::Email).take(batches).collect();
    commit(&world, &scan, &numbers).await;
    (world, numbers)
}

#[tokio::test(start_paused = true)]
async fn each_batch_counts_once_and_the_last_one_completes_the_push() {
    let (world, batches) = scanned(2).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(report(&world, batches[0]).await, ReportResult::Counted);
    let item = world.slice(0).unwrap();
    for (name, count) in COUNTS.named() {
        assert_eq!(item[name], count, "{name}");
    }
    assert_eq!((&item["batchesOpen"], &item["batches"]), (&json!([batches[1]]), &json!(2)));
    assert_eq!(item["heartbeat"], world.now().as_millisecond());
    assert_eq!(world.push_item()["state"], "running");

    assert_eq!(report(&world, batches[0]).await, ReportResult::NotOutstanding);
    assert_eq!(world.slice(0), Some(item));

    assert_eq!(report(&world, batches[1]).await, ReportResult::Counted);
    assert_eq!(world.slice(0).unwrap()["alreadyServed"], 14);
    assert_eq!(world.push_item()["state"], "completed");
}

#[tokio::test(start_paused = true)]
async fn reasons_are_added_up_over_batches_whether_they_are_finished_or_not() {
    let (world, batches) = scanned(3).await;
    let of = |batch, reasons: &[ReasonCode]| {
        let mut tally = Tally::default();
        reasons.iter().for_each(|reason| tally.count(reason.outcome(), Some(*reason)));
        Report { tally, ..report_of(batch, 1) }
    };
    let (unknown, bounced) = (ReasonCode::AddressUnknown, ReasonCode::AddressBounced);
    for (batch, reasons) in [(batches[0], [unknown, bounced]), (batches[1], [unknown, unknown])] {
        assert_eq!(world.pushes().report(&of(batch, &reasons)).await.unwrap(), ReportResult::Counted);
    }
    let so_far = of(batches[2], &[bounced, unknown]);
    let deferred = PartialReport { so_far, refused: 1, has_progressed: true, refusal: None };
    assert!(world.pushes().report_partial(&deferred).await.unwrap());
    let progress = world.pushes().progress(push(1)).await.unwrap().unwrap();
    assert_eq!(progress.tally.reasons.top(9), [CountedReason::new(unknown, 4), CountedReason::new(bounced, 2)]);
    assert_eq!(progress.tally.outcomes, OutcomeCounts { failed: 4, suppressed: 2, ..OutcomeCounts::default() });
}

#[tokio::test(start_paused = true)]
async fn a_batch_of_no_scan_counts_nowhere() {
    let world = World::new();
    world.push(1).await;
    assert_eq!(report(&world, 0).await, ReportResult::NotOutstanding);
    assert_eq!(world.slice(0), None);
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_too_early_until_its_page_is_committed() {
    let world = World::new();
    world.push(1).await;
    let scan = start_scan(&world, 1).await;
    let batch = scan.batch_numbers(Channel::Sms).next().unwrap();
    assert_eq!(report(&world, batch).await, ReportResult::TooEarly);
    assert_eq!(world.slice(0).unwrap()["sent"], Value::Null);
    commit(&world, &scan, &[batch]).await;
    assert_eq!(report(&world, batch).await, ReportResult::Counted);
}

#[tokio::test(start_paused = true)]
async fn a_batch_of_a_superseded_page_or_generation_is_not_outstanding() {
    let world = World::new();
    world.push(1).await;
    let dead = start_scan(&world, 1).await;
    let batch = dead.batch_numbers(Channel::Email).next().unwrap();
    let successor = start_scan(&world, 1).await;
    assert_eq!(report(&world, batch).await, ReportResult::NotOutstanding);
    let others: Vec<_> = successor.batch_numbers(Channel::Email).take(1).collect();
    commit(&world, &successor, &others).await;
    assert_eq!(report(&world, batch).await, ReportResult::NotOutstanding);
    for generation in [0, 2] {
        let result = world.pushes().report(&report_of(others[0], generation)).await.unwrap();
        assert_eq!(result, ReportResult::NotOutstanding, "{generation}");
    }
}

/// Of another generation it is not too early, even if the versions are equal.
#[tokio::test(start_paused = true)]
async fn a_batch_of_an_earlier_generation_is_never_too_early() {
    let world = World::new();
    world.push(1).await;
    world.restarted(0, 2);
    let scan = start_scan(&world, 2).await;
    let batch = scan.batch_numbers(Channel::Email).next().unwrap();
    let result = world.pushes().report(&report_of(batch, 1)).await.unwrap();
    assert_eq!(result, ReportResult::NotOutstanding);
}

/// The invocation that reported the last batch died before it counted the slice.
#[tokio::test(start_paused = true)]
async fn a_repeated_report_counts_a_finished_slice() {
    let (world, batches) = scanned(1).await;
    report(&world, batches[0]).await;
    world.uncount(0);
    assert_eq!(report(&world, batches[0]).await, ReportResult::NotOutstanding);
    let item = world.push_item();
    assert_eq!((&item["state"], &item["slicesCounted"]), (&json!("completed"), &json!(1)));
}

#[tokio::test(start_paused = true)]
async fn a_report_whose_response_is_lost_is_counted() {
    for fault in [Fault::LoseResponse, Fault::HangAfterEffect] {
        let (world, batches) = scanned(2).await;
        world.dynamo.inject("UpdateItem", "Pushes", [fault]);
        assert_eq!(report(&world, batches[0]).await, ReportResult::Counted);
        assert_eq!(world.slice(0).unwrap()["sent"], 1);
        assert_eq!(world.dynamo.faults_left(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_repeated_report_that_never_counted_is_not_taken_for_counted() {
    // Too early, and of another generation: neither can have been written by the first attempt.
    let world = World::new();
    world.push(1).await;
    let scan = start_scan(&world, 1).await;
    let batch = scan.batch_numbers(Channel::Email).next().unwrap();
    world.dynamo.inject("UpdateItem", "Pushes", [Fault::LoseResponse]);
    assert_eq!(report(&world, batch).await, ReportResult::TooEarly);
    commit(&world, &scan, &[batch]).await;
    world.dynamo.inject("UpdateItem", "Pushes", [Fault::LoseResponse]);
    let result = world.pushes().report(&report_of(batch, 2)).await.unwrap();
    assert_eq!(result, ReportResult::NotOutstanding);
}

#[tokio::test(start_paused = true)]
async fn numbers_of_the_form_before_are_still_counted() {
    let world = World::new();
    world.push(1).await;
    let scan = start_scan(&world, 1).await;
    // Version 1: page 1 of an earlier release, e-mail and text message.
    assert_eq!(report(&world, 64).await, ReportResult::TooEarly);
    commit(&world, &scan, &[64, 65]).await;
    let progress = world.pushes().progress(push(1)).await.unwrap().unwrap();
    assert_eq!(progress.outstanding_channels, [Channel::Email, Channel::Sms].into());
    assert_eq!(report(&world, 64).await, ReportResult::Counted);
    assert_eq!(report(&world, 65).await, ReportResult::Counted);
    assert_eq!(world.push_item()["state"], "completed");
}
