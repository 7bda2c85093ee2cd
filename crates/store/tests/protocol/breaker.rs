//! The circuit breaker of a transport.

use std::time::Duration;

use domain::TransportId;
use domain::push::waiting::Delay;
use jiff::Timestamp;
use serde_json::{Value, json};
use store::limits::{BreakerState, OpenResult, Probe};
use testing::Fault;
use testing::clock::START;

use crate::world::{World, push as push_id};

const SES: TransportId = TransportId::Ses;
const LEASE: Duration = Duration::from_secs(100);

async fn check(world: &World) -> BreakerState {
    world.limits().check_breaker(SES, LEASE).await.unwrap().state
}

async fn open(world: &World, probe: Option<&Probe>) -> OpenResult {
    world.limits().open_breaker(SES, probe, "no connection").await.unwrap()
}

/// Opens the breaker, waits for the end of the block, and acquires the probe.
async fn probe(world: &World) -> Probe {
    open(world, None).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    acquire(world).await
}

async fn acquire(world: &World) -> Probe {
    match check(world).await {
        BreakerState::HalfOpen(probe) => probe,
        other => panic!("{other:?}"),
    }
}

/// Open since the start of the test, which began with the first block.
fn open_until(until: Timestamp) -> BreakerState {
    BreakerState::Open { until, since: START, probed_until: None }
}

/// The same while another caller probes.
fn probed(until: Timestamp, probed_until: Timestamp) -> BreakerState {
    BreakerState::Open { until, since: START, probed_until: Some(probed_until) }
}

#[tokio::test(start_paused = true)]
async fn a_transport_that_was_never_blocked_may_be_called() {
    let world = World::new();
    assert_eq!(check(&world).await, BreakerState::Closed);
    world.dynamo.put("Pacing", json!({"pk": "ses", "nextSend": 1}));
    assert_eq!(check(&world).await, BreakerState::Closed);
    assert_eq!(world.limits().delay(push_id(1), SES).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn the_first_failure_blocks_the_transport_for_a_second() {
    let world = World::new();
    let until = world.now() + Duration::from_secs(1);
    assert_eq!(open(&world, None).await, OpenResult::Opened { until });
    assert_eq!(check(&world).await, open_until(until));
    let item = world.only("Pacing");
    assert_eq!((&item["failures"], &item["lastError"]), (&json!(0), &json!("no connection")));
    let outage = Delay::Outage { last_error: Some("no connection".to_owned()), blocked_until: until };
    assert_eq!(world.limits().delay(push_id(1), SES).await.unwrap(), Some(outage));
    // Another transport is not affected.
    assert_eq!(world.limits().check_breaker(TransportId::Smtp, LEASE).await.unwrap().state, BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn of_many_failures_at_a_time_the_first_one_counts() {
    let world = World::new();
    open(&world, None).await;
    let before = world.only("Pacing");
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(open(&world, None).await, OpenResult::Superseded);
    assert_eq!(world.only("Pacing"), before);
}

#[tokio::test(start_paused = true)]
async fn one_caller_probes_and_the_others_look_again_after_a_second() {
    let world = World::new();
    probe(&world).await;
    for _ in 0..3 {
        assert_eq!(check(&world).await, probed(world.now() + Duration::from_secs(1), START + Duration::from_secs(101)));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let item = world.only("Pacing");
    assert_eq!(item["probeUntil"], (testing::clock::START + Duration::from_secs(101)).as_millisecond());
}

#[tokio::test(start_paused = true)]
async fn a_dead_prober_is_replaced_when_its_lease_ends() {
    let world = World::new();
    let dead = probe(&world).await;
    tokio::time::sleep(LEASE - Duration::from_millis(1)).await;
    assert!(matches!(check(&world).await, BreakerState::Open { .. }));
    tokio::time::sleep(Duration::from_millis(1)).await;
    let next = acquire(&world).await;
    assert_ne!(next, dead);
}

/// A server that scans each message for 40 seconds is slow, not down.
#[tokio::test(start_paused = true)]
async fn a_slow_probe_closes_the_breaker_even_after_its_lease() {
    let world = World::new();
    let slow = probe(&world).await;
    tokio::time::sleep(LEASE + Duration::from_secs(5)).await;
    acquire(&world).await;
    assert!(world.limits().close_breaker(SES, &slow).await.unwrap());
    assert_eq!(check(&world).await, BreakerState::Closed);
    let item = world.only("Pacing");
    for gone in ["blockedUntil", "failures", "probeUntil", "probeToken"] {
        assert_eq!(item[gone], Value::Null, "{gone}");
    }
}

#[tokio::test(start_paused = true)]
async fn each_failed_probe_blocks_for_twice_as_long() {
    let world = World::new();
    let mut probe = probe(&world).await;
    for (failures, seconds) in [(1, 2), (2, 4), (3, 8), (4, 16), (5, 32), (6, 60), (7, 60)] {
        let until = world.now() + Duration::from_secs(seconds);
        assert_eq!(open(&world, Some(&probe)).await, OpenResult::Opened { until });
        let item = world.only("Pacing");
        assert_eq!((&item["failures"], &item["blockedUntil"]), (&json!(failures), &json!(until.as_millisecond())));
        assert_eq!((&item["probeUntil"], &item["probeToken"]), (&Value::Null, &Value::Null));
        tokio::time::sleep(Duration::from_millis(seconds * 1_000 - 1)).await;
        assert_eq!(check(&world).await, open_until(until));
        tokio::time::sleep(Duration::from_millis(1)).await;
        probe = acquire(&world).await;
    }
}

/// After a failed probe of another caller, the result of this one is of the past.
#[tokio::test(start_paused = true)]
async fn a_probe_that_another_one_has_overtaken_changes_nothing() {
    let world = World::new();
    let first = probe(&world).await;
    tokio::time::sleep(LEASE).await;
    let second = acquire(&world).await;
    open(&world, Some(&second)).await;
    let before = world.only("Pacing");
    assert!(!world.limits().close_breaker(SES, &first).await.unwrap());
    assert_eq!(open(&world, Some(&first)).await, OpenResult::Superseded);
    assert_eq!(world.only("Pacing"), before);
}

#[tokio::test(start_paused = true)]
async fn a_breaker_that_another_probe_closed_is_closed() {
    let world = World::new();
    let first = probe(&world).await;
    tokio::time::sleep(LEASE).await;
    let second = acquire(&world).await;
    assert!(world.limits().close_breaker(SES, &second).await.unwrap());
    assert!(world.limits().close_breaker(SES, &first).await.unwrap());
    assert_eq!(open(&world, Some(&first)).await, OpenResult::Superseded);
    assert_eq!(check(&world).await, BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_released_probe_is_the_next_callers() {
    let world = World::new();
    let unused = probe(&world).await;
    world.limits().release_probe(SES, &unused).await.unwrap();
    let next = acquire(&world).await;
    // Only the holder can release it.
    world.limits().release_probe(SES, &unused).await.unwrap();
    assert!(matches!(check(&world).await, BreakerState::Open { .. }));
    world.limits().release_probe(SES, &next).await.unwrap();
    acquire(&world).await;
}

#[tokio::test(start_paused = true)]
async fn writes_whose_response_is_lost_are_recognised() {
    let world = World::new();
    let lose = || world.dynamo.inject("UpdateItem", "Pacing", [Fault::LoseResponse]);
    lose();
    let until = world.now() + Duration::from_secs(1);
    let opened = open(&world, None).await;
    // The pause before the repetition does not prolong the block.
    assert_eq!(opened, OpenResult::Opened { until });
    tokio::time::sleep(Duration::from_secs(1)).await;
    lose();
    let probe = acquire(&world).await;
    lose();
    assert!(matches!(open(&world, Some(&probe)).await, OpenResult::Opened { .. }));
    assert_eq!(world.only("Pacing")["failures"], 1);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let probe = acquire(&world).await;
    lose();
    assert!(world.limits().close_breaker(SES, &probe).await.unwrap());
    assert_eq!(world.dynamo.faults_left(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_repeated_call_does_not_take_another_callers_block_for_its_own() {
    let world = World::new();
    open(&world, None).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    world.dynamo.inject("UpdateItem", "Pacing", [Fault::LoseResponse]);
    assert_eq!(open(&world, None).await, OpenResult::Superseded);
}

/// Puts a change by another caller between this one's two calls.
async fn check_while(world: &World, change: impl FnMut(&testing::Dynamo) + Send + 'static) -> BreakerState {
    open(world, None).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.dynamo.inject("UpdateItem", "Pacing", [Fault::before(change)]);
    check(world).await
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_loses_the_race_for_the_probe_learns_what_is_stored() {
    let key = json!({"pk": "ses"});

    let world = World::new();
    let probe_until = (world.now() + Duration::from_secs(50)).as_millisecond();
    let acquired = {
        let key = key.clone();
        move |dynamo: &testing::Dynamo| dynamo.set("Pacing", &key, "probeUntil", probe_until)
    };
    let state = check_while(&world, acquired).await;
    assert_eq!(state, probed(world.now() + Duration::from_secs(1), START + Duration::from_secs(50)));

    let world = World::new();
    let closed = {
        let key = key.clone();
        move |dynamo: &testing::Dynamo| dynamo.remove("Pacing", &key, "blockedUntil")
    };
    assert_eq!(check_while(&world, closed).await, BreakerState::Closed);

    let world = World::new();
    let blocked_until = (world.now() + Duration::from_secs(33)).as_millisecond();
    let blocked = move |dynamo: &testing::Dynamo| dynamo.set("Pacing", &key, "blockedUntil", blocked_until);
    assert_eq!(check_while(&world, blocked).await, open_until(world.now() + Duration::from_secs(32)));
}

#[tokio::test(start_paused = true)]
async fn a_block_that_ended_since_may_be_probed_at_once() {
    let world = World::new();
    let just_ended = (world.now() + Duration::from_millis(500)).as_millisecond();
    let change = move |dynamo: &testing::Dynamo| dynamo.set("Pacing", json!({"pk": "ses"}), "blockedUntil", just_ended);
    let state = check_while(&world, change).await;
    assert_eq!(state, open_until(world.now()));
}

/// The release before stored refusals here, of whichever push.
#[tokio::test(start_paused = true)]
async fn only_an_outage_and_the_rate_delay_a_transport() {
    let world = World::new();
    let refused = json!({"pk": "ses", "refusedAt": world.now().as_millisecond(), "lastError": "busy"});
    world.dynamo.put("Pacing", &refused);
    assert_eq!(world.limits().delay(push_id(1), SES).await.unwrap(), None);
    open(&world, None).await;
    let blocked_until = world.now() + Duration::from_secs(1);
    let outage = Delay::Outage { last_error: Some("no connection".to_owned()), blocked_until };
    assert_eq!(world.limits().delay(push_id(1), SES).await.unwrap(), Some(outage));
}
