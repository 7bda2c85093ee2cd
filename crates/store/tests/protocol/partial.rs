//! What a batch reports while it is deferred.

use std::time::Duration;

use domain::push::waiting::Refusal;
use domain::push::{OutcomeCounts, PushState, ScanCounts};
use domain::{Channel, TransportId};
use serde_json::{Value, json};
use store::pushes::{MAX_PARTIALS, PartialReport, Plan, Progress, Report};
use testing::Fault;

use crate::world::{World, push, push_key, request, start_scan};

/// Four batches, of two notifications each.
const FOUND: ScanCounts =
    ScanCounts { customers_read: 8, customers_eligible: 8, customers_unevaluable: 0, notifications: 8 };

/// A push of one slice that is scanned and has these many batches.
async fn scanned(batches: usize) -> (World, Vec<u32>) {
    let world = World::new();
    world.push(1).await;
    let numbers = scan(&world, 1, batches).await;
    (world, numbers)
}

/// Scans the slice as one page for each 32 batches.
async fn scan(world: &World, generation: u32, batches: usize) -> Vec<u32> {
    let mut numbers = Vec::new();
    let mut scan = start_scan(world, generation).await;
    while batches - numbers.len() > 32 {
        let page: Vec<_> = scan.batch_numbers(Channel::Email).collect();
        let next = Some(serde_json::from_value(json!("c-1")).unwrap());
        scan = match world.pushes().commit_page(&scan, ScanCounts::default(), &page, next).await.unwrap() {
            store::pushes::ScanStep::Continue(scan) => scan,
            other => panic!("{other:?}"),
        };
        numbers.extend(page);
    }
    let page: Vec<_> = scan.batch_numbers(Channel::Email).take(batches - numbers.len()).collect();
    world.pushes().commit_page(&scan, FOUND, &page, None).await.unwrap();
    numbers.extend(page);
    numbers
}

fn sent(sent: u64) -> OutcomeCounts {
    OutcomeCounts { sent, ..OutcomeCounts::default() }
}

fn report_of(batch: u32, counts: OutcomeCounts) -> Report {
    Report { push: push(1), slice: 0, generation: 1, batch, tally: counts.into() }
}

/// One notification of the batch is sent, and the other is refused for now.
fn refused(batch: u32) -> PartialReport {
    PartialReport { so_far: report_of(batch, sent(1)), refused: 1, has_progressed: true, refusal: None }
}

fn refusal(world: &World, reason: &str) -> Refusal {
    Refusal { transport: TransportId::Smtp, at: world.now(), reason: reason.to_owned() }
}

async fn store(world: &World, partial: &PartialReport) -> bool {
    world.pushes().report_partial(partial).await.unwrap()
}

async fn progress(world: &World) -> Progress {
    world.pushes().progress(push(1)).await.unwrap().unwrap()
}

#[tokio::test(start_paused = true)]
async fn counts_so_far_are_counted_until_the_last_report_replaces_them() {
    let (world, batches) = scanned(4).await;
    let counts = OutcomeCounts { failed: 1, ..OutcomeCounts::default() };
    let failed = PartialReport { so_far: report_of(batches[1], counts), ..refused(batches[1]) };
    assert!(store(&world, &refused(batches[0])).await && store(&world, &failed).await);
    let after = progress(&world).await;
    assert_eq!(after.tally.outcomes, OutcomeCounts { failed: 1, ..sent(1) });
    assert_eq!((after.pending(), after.refused), (6, 2));

    // Reported again, the counts are those of the last report.
    let again = PartialReport { so_far: report_of(batches[0], sent(2)), refused: 0, ..refused(batches[0]) };
    assert!(store(&world, &again).await && store(&world, &again).await);
    assert_eq!((progress(&world).await.tally.outcomes.sent, progress(&world).await.refused), (2, 1));

    for batch in &batches {
        world.pushes().report(&report_of(*batch, sent(2))).await.unwrap();
        let slice = world.slice(0).unwrap();
        assert_eq!(slice[format!("partial#{batch}")], Value::Null);
    }
    assert_eq!(progress(&world).await.tally.outcomes, sent(8));
    let slice = world.slice(0).unwrap();
    assert_eq!((&slice["partials"], &slice["sent"]), (&Value::Null, &json!(8)));
    assert_eq!(world.push_item()["state"], "completed");
}

#[tokio::test(start_paused = true)]
async fn a_response_that_is_lost_changes_no_count() {
    for fault in [Fault::LoseResponse, Fault::HangAfterEffect] {
        let (world, batches) = scanned(2).await;
        world.dynamo.inject("UpdateItem", "Pushes", [fault]);
        assert!(store(&world, &refused(batches[0])).await);
        assert_eq!((progress(&world).await.tally.outcomes, world.dynamo.faults_left()), (sent(1), 0));
    }
}

#[tokio::test(start_paused = true)]
async fn only_progress_moves_the_time_of_the_last_progress() {
    let (world, batches) = scanned(1).await;
    let scanned_at = progress(&world).await.last_progress_at;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let none = PartialReport { has_progressed: false, ..refused(batches[0]) };
    store(&world, &none).await;
    assert_eq!(progress(&world).await.last_progress_at, scanned_at);
    store(&world, &refused(batches[0])).await;
    assert_eq!(progress(&world).await.last_progress_at, Some(world.now()));
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_not_outstanding_stores_no_counts() {
    let world = World::new();
    assert!(!store(&world, &refused(0)).await, "no such slice");
    assert_eq!(world.slice(0), None);

    world.push(1).await;
    let scan = start_scan(&world, 1).await;
    let batch = scan.batch_numbers(Channel::Email).next().unwrap();
    assert!(!store(&world, &refused(batch)).await, "its page is not committed");
    world.pushes().commit_page(&scan, FOUND, &[batch], None).await.unwrap();
    let of_other_generation = Report { generation: 2, ..report_of(batch, sent(1)) };
    let reason = Some(refusal(&world, "busy"));
    let other = PartialReport { so_far: of_other_generation, refusal: reason, ..refused(batch) };
    assert!(!store(&world, &other).await, "its slice was scanned again");
    world.pushes().report(&report_of(batch, sent(2))).await.unwrap();
    assert!(!store(&world, &refused(batch)).await, "it has reported");
    let after = progress(&world).await;
    assert_eq!((after.tally.outcomes, after.refused, after.refusal), (sent(2), 0, None));
}

#[tokio::test(start_paused = true)]
async fn a_slice_stores_the_counts_of_a_hundred_batches_and_the_last_refusal_of_any() {
    let (world, batches) = scanned(MAX_PARTIALS + 1).await;
    for batch in &batches[..MAX_PARTIALS] {
        assert!(store(&world, &refused(*batch)).await);
    }
    let last = *batches.last().unwrap();
    let one_too_many = PartialReport { refusal: Some(refusal(&world, "busy")), ..refused(last) };
    assert!(!store(&world, &one_too_many).await);
    let after = progress(&world).await;
    assert_eq!((after.tally.outcomes, after.refusal), (sent(100), Some(refusal(&world, "busy"))));
    // Those that are stored are replaced, and each that reports makes room.
    let more = PartialReport { so_far: report_of(batches[0], sent(2)), ..refused(batches[0]) };
    assert!(store(&world, &more).await);
    world.pushes().report(&report_of(batches[0], sent(2))).await.unwrap();
    assert!(store(&world, &one_too_many).await);
}

#[tokio::test(start_paused = true)]
async fn a_rescan_forgets_the_counts_so_far() {
    let (world, batches) = scanned(3).await;
    let with_reason = PartialReport { refusal: Some(refusal(&world, "busy")), ..refused(batches[0]) };
    store(&world, &with_reason).await;
    let push_item = world.pushes().get(push(1)).await.unwrap().unwrap();
    let seen = world.slices(&push_item).await.remove(0);
    assert_eq!(seen.partials, [batches[0]].into());
    store(&world, &refused(batches[1])).await;
    assert_eq!(world.pushes().restart_scan(push(1), &seen).await.unwrap(), None, "another one is stored since");

    let seen = world.slices(&push_item).await.remove(0);
    assert_eq!(world.pushes().restart_scan(push(1), &seen).await.unwrap(), Some(2));
    let slice = world.slice(0).unwrap();
    let left: Vec<_> = slice.as_object().unwrap().keys().filter(|name| name.starts_with("partial")).collect();
    assert!(left.is_empty() && slice["refusal"].is_null(), "{slice}");
    assert!(!store(&world, &refused(batches[0])).await);
    let batches = scan(&world, 2, 1).await;
    let so_far = Report { generation: 2, ..report_of(batches[0], sent(1)) };
    assert!(store(&world, &PartialReport { so_far, ..refused(batches[0]) }).await);
    assert_eq!((progress(&world).await.tally.outcomes, progress(&world).await.refusal), (sent(1), None));
}

/// It removes the number of the batch, but not the counts so far, which it does not know.
#[tokio::test(start_paused = true)]
async fn a_batch_that_has_reported_to_the_release_before_is_counted_once() {
    let (world, batches) = scanned(2).await;
    store(&world, &refused(batches[0])).await;
    let key = json!({"pk": push_key(1), "sk": "slice#0000"});
    world.dynamo.set("Pushes", &key, "batchesOpen", testing::number_set([batches[1]]));
    world.dynamo.set("Pushes", &key, "sent", 2);
    let after = progress(&world).await;
    assert_eq!((after.tally.outcomes, after.refused), (sent(2), 0));
}

#[tokio::test(start_paused = true)]
async fn the_last_refusal_of_all_slices_is_read() {
    let world = World::new();
    world.push(2).await;
    for slice in 0..2 {
        let scan = match world.pushes().start_scan(push(1), slice, 1).await.unwrap() {
            store::pushes::ScanStep::Continue(scan) => scan,
            other => panic!("{other:?}"),
        };
        let batch = scan.batch_numbers(Channel::Email).next().unwrap();
        world.pushes().commit_page(&scan, FOUND, &[batch], None).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let reason = refusal(&world, &slice.to_string().repeat(501));
        let so_far = Report { slice, ..report_of(batch, sent(1)) };
        assert!(store(&world, &PartialReport { so_far, refusal: Some(reason), ..refused(batch) }).await);
    }
    assert_eq!(progress(&world).await.refusal, Some(refusal(&world, &"1".repeat(500))));
    // A transport of a later release.
    let key = json!({"pk": push_key(1), "sk": "slice#0001"});
    world.dynamo.set(
        "Pushes",
        key,
        "refusal",
        json!({"transport": "pigeon", "at": 9_999_999_999_999_i64, "reason": "x"}),
    );
    assert_eq!(progress(&world).await.refusal.unwrap().reason, "0".repeat(500));
}

#[tokio::test(start_paused = true)]
async fn a_push_waits_for_recipients_only_if_it_is_scanned_and_the_rest_is_refused() {
    let world = World::new();
    world.pushes().create(&request(1), Plan::Now { slices: 1 }).await.unwrap();
    assert!(!progress(&world).await.waits_for_recipients_only(), "not scanned");
    let scan = start_scan(&world, 1).await;
    assert!(!progress(&world).await.waits_for_recipients_only(), "being scanned");
    let batches: Vec<_> = scan.batch_numbers(Channel::Email).take(2).collect();
    let found = ScanCounts { notifications: 4, ..FOUND };
    world.pushes().commit_page(&scan, found, &batches, None).await.unwrap();
    store(&world, &refused(batches[0])).await;
    assert!(!progress(&world).await.waits_for_recipients_only(), "the other batch is in progress");
    let breaker_open = PartialReport { refused: 0, ..refused(batches[1]) };
    store(&world, &breaker_open).await;
    assert!(!progress(&world).await.waits_for_recipients_only(), "the other batch waits for the breaker");
    store(&world, &refused(batches[1])).await;
    assert!(progress(&world).await.waits_for_recipients_only());
    let cancelled = world.pushes().cancel(&request(1), "bank").await.unwrap();
    assert_eq!(cancelled.state, PushState::Cancelled);
    assert!(!progress(&world).await.waits_for_recipients_only(), "cancelled");
}
