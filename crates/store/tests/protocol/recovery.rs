//! What the sweep reads and restarts.

use std::collections::{BTreeMap, BTreeSet};

use domain::Channel;
use domain::notification::ReasonCode;
use domain::push::waiting::{Delays, WaitingFor};
use domain::push::{OutcomeCounts, ReasonCounts, ScanCounts, Tally};
use serde_json::{Value, json};
use store::pushes::{Push, Report, SliceState, SliceStatus};
use testing::Fault;

use crate::world::{World, push, push_key, start_scan};

const FOUND: ScanCounts =
    ScanCounts { customers_read: 9, customers_eligible: 8, customers_unevaluable: 1, notifications: 7 };

/// A push whose first slice is scanned, with two batches of e-mails and one of text messages outstanding.
async fn scanned(world: &World) -> (Push, Vec<u32>) {
    let push = world.push(3).await;
    let scan = start_scan(world, 1).await;
    let mut batches: Vec<_> = scan.batch_numbers(Channel::Email).take(2).collect();
    batches.extend(scan.batch_numbers(Channel::Sms).take(1));
    world.pushes().commit_page(&scan, FOUND, &batches, None).await.unwrap();
    (push, batches)
}

async fn status(world: &World, push: &Push, slice: usize) -> SliceStatus {
    world.slices(push).await[slice].clone()
}

async fn report(world: &World, batch: u32, generation: u32) {
    let tally = OutcomeCounts { sent: 1, ..OutcomeCounts::default() }.into();
    world.pushes().report(&Report { push: push(1), slice: 0, generation, batch, tally }).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn each_slice_has_a_state() {
    let world = World::new();
    let (stored, batches) = scanned(&world).await;
    world.restarted(2, 4);
    world.pushes().start_scan(push(1), 2, 4).await.unwrap();
    let slices = world.slices(&stored).await;
    let heartbeat = Some(world.now());
    let outstanding_batches = BTreeMap::from([(Channel::Email, 2), (Channel::Sms, 1)]);
    let scanned = SliceState::Scanned { version: 2, outstanding_batches };
    let started = |slice, generation, starts_in_vain, state| SliceStatus {
        slice,
        generation,
        heartbeat,
        starts_in_vain,
        state,
        partials: BTreeSet::new(),
    };
    let not_started = SliceStatus { heartbeat: None, ..started(1, 0, 0, SliceState::NotStarted) };
    assert_eq!(slices, [started(0, 1, 0, scanned), not_started, started(2, 4, 1, SliceState::Scanning)]);
    for batch in batches {
        report(&world, batch, 1).await;
    }
    assert_eq!(status(&world, &stored, 0).await.state, SliceState::Done { is_counted: true });
}

#[tokio::test(start_paused = true)]
async fn starts_are_in_vain_until_a_page_is_committed() {
    let world = World::new();
    let stored = world.push(1).await;
    for started in 1..=3 {
        let scan = start_scan(&world, 1).await;
        assert_eq!(status(&world, &stored, 0).await.starts_in_vain, started);
        if started == 3 {
            world.pushes().commit_page(&scan, FOUND, &[], None).await.unwrap();
        }
    }
    assert_eq!(status(&world, &stored, 0).await.starts_in_vain, 0);
}

#[tokio::test(start_paused = true)]
async fn a_restarted_scan_forgets_all_counts_and_positions() {
    let world = World::new();
    let (stored, batches) = scanned(&world).await;
    let mut tally = Tally::default();
    ReasonCode::ALL.into_iter().for_each(|reason| tally.count(reason.outcome(), Some(reason)));
    world.pushes().report(&Report { push: push(1), slice: 0, generation: 1, batch: batches[0], tally }).await.unwrap();
    let slice = status(&world, &stored, 0).await;
    assert_eq!(world.slice(0).unwrap()["reasonAddressBounced"], 1);
    tokio::time::sleep(std::time::Duration::from_secs(7)).await;
    assert_eq!(world.pushes().restart_scan(push(1), &slice).await.unwrap(), Some(2));
    let item = world.slice(0).unwrap();
    assert_eq!((&item["generation"], &item["version"], &item["walked"]), (&json!(2), &json!(3), &json!(false)));
    assert_eq!(item["heartbeat"], world.now().as_millisecond());
    let counters = ScanCounts::default().named().into_iter().chain(OutcomeCounts::default().named());
    let counters = counters.map(|(name, _)| name).chain(ReasonCounts::names());
    for gone in counters.chain(["resumeAfter", "batches", "batchesOpen"]) {
        assert_eq!(item[gone], Value::Null, "{gone}");
    }
    // Batches of the earlier generation no longer count.
    report(&world, batches[1], 1).await;
    assert_eq!(world.slice(0), Some(item));
    let scan = start_scan(&world, 2).await;
    assert!(!scan.batch_numbers(Channel::Email).any(|number| batches.contains(&number)));
}

#[tokio::test(start_paused = true)]
async fn a_slice_that_has_moved_since_is_not_restarted() {
    let world = World::new();
    let (stored, batches) = scanned(&world).await;
    let seen = status(&world, &stored, 0).await;
    report(&world, batches[0], 1).await;
    assert_eq!(world.pushes().restart_scan(push(1), &seen).await.unwrap(), None, "a batch has reported");

    let seen = status(&world, &stored, 0).await;
    assert_eq!(world.pushes().restart_scan(push(1), &seen).await.unwrap(), Some(2));
    assert_eq!(world.pushes().restart_scan(push(1), &seen).await.unwrap(), None, "another sweep was faster");

    let key = json!({"pk": push_key(1), "sk": "slice#0000"});
    for (attribute, value) in [("version", json!(99)), ("walked", json!(false)), ("generation", json!(5))] {
        let world = World::new();
        let (stored, _) = scanned(&world).await;
        let seen = status(&world, &stored, 0).await;
        world.dynamo.set("Pushes", &key, attribute, value);
        assert_eq!(world.pushes().restart_scan(push(1), &seen).await.unwrap(), None, "{attribute}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_a_scanned_slice_is_restarted() {
    let world = World::new();
    let stored = world.push(2).await;
    start_scan(&world, 1).await;
    for slice in 0..2 {
        let seen = status(&world, &stored, slice).await;
        assert_eq!(world.pushes().restart_scan(push(1), &seen).await.unwrap(), None, "{seen:?}");
    }
}

/// Otherwise the slice would not be queued, and it would wait for the sweep after the next.
#[tokio::test(start_paused = true)]
async fn a_restart_whose_response_is_lost_is_recognised() {
    let world = World::new();
    let (stored, _) = scanned(&world).await;
    let slice = status(&world, &stored, 0).await;
    world.dynamo.inject("UpdateItem", "Pushes", [Fault::LoseResponse]);
    assert_eq!(world.pushes().restart_scan(push(1), &slice).await.unwrap(), Some(2));
    // Another sweep's restart is not taken for this one's.
    world.dynamo.inject("UpdateItem", "Pushes", [Fault::LoseResponse]);
    assert_eq!(world.pushes().restart_scan(push(1), &slice).await.unwrap(), None);
    assert_eq!(world.slice(0).unwrap()["generation"], 2);
}

#[tokio::test(start_paused = true)]
async fn progress_is_the_sum_over_all_slices() {
    let world = World::new();
    let (_, batches) = scanned(&world).await;
    report(&world, batches[2], 1).await;
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    let scan = match world.pushes().start_scan(push(1), 1, 1).await.unwrap() {
        store::pushes::ScanStep::Continue(scan) => scan,
        other => panic!("{other:?}"),
    };
    world.pushes().commit_page(&scan, FOUND, &[], None).await.unwrap();
    let progress = world.pushes().progress(push(1)).await.unwrap().unwrap();
    assert_eq!(progress.push.id, push(1));
    assert_eq!((progress.scan.customers_read, progress.scan.notifications), (18, 14));
    assert_eq!((progress.tally.outcomes.sent, progress.pending()), (1, 13));
    assert_eq!(progress.last_progress_at, Some(world.now()));
    assert_eq!(progress.outstanding_channels, [Channel::Email].into());
    assert_eq!(world.pushes().progress(push(9)).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn progress_says_what_a_stalled_push_waits_for() {
    let world = World::new();
    scanned(&world).await;
    let progress = world.pushes().progress(push(1)).await.unwrap().unwrap();
    assert!(!progress.is_stalled(world.now()));
    let later = world.now() + std::time::Duration::from_secs(3_600);
    assert!(progress.is_stalled(later));
    let wait = progress.wait(&Delays::new(), &[("email", 2)], later);
    assert_eq!(wait.reason, Some(WaitingFor::DeadLetters));
}
