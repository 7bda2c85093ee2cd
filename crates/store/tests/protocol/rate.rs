//! The rate limit of a transport.

use std::num::NonZeroU32;
use std::time::Duration;

use domain::TransportId;
use domain::push::waiting::Delay;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use store::TransportLimits;
use store::limits::{Reservation, Sender};
use testing::{Dynamo, Fault};

use crate::world::{World, push};

const SES: TransportId = TransportId::Ses;

/// Reserves slots for the first push.
async fn reserve(limits: &TransportLimits, per_second: u32, wanted: u32) -> Reservation {
    reserve_for(1, limits, per_second, wanted).await
}

async fn reserve_for(number: u32, limits: &TransportLimits, per_second: u32, wanted: u32) -> Reservation {
    let sender = Sender::Push(push(number));
    limits.reserve(SES, NonZeroU32::new(per_second).unwrap(), sender, wanted).await.unwrap()
}

/// The times of all slots, in milliseconds since the start.
async fn slots(world: &World, limits: &TransportLimits, per_second: u32, wanted: u32) -> Vec<i64> {
    slots_for(1, world, limits, per_second, wanted).await
}

async fn slots_for(number: u32, world: &World, limits: &TransportLimits, per_second: u32, wanted: u32) -> Vec<i64> {
    match reserve_for(number, limits, per_second, wanted).await {
        Reservation::Reserved(mut slots) => {
            let now = world.now();
            std::iter::from_fn(|| slots.take_next(now)).map(since_start).collect()
        }
        Reservation::Full { until } => panic!("full until {until}"),
    }
}

fn since_start(at: Timestamp) -> i64 {
    at.as_millisecond() - testing::clock::START.as_millisecond()
}

#[tokio::test(start_paused = true)]
async fn sends_of_all_callers_are_evenly_spread() {
    let world = World::new();
    let (first, second) = (world.limits(), world.limits());
    assert_eq!(slots(&world, &first, 10, 3).await, [0, 100, 200]);
    assert_eq!(slots(&world, &second, 10, 2).await, [300, 400]);
    assert_eq!(slots(&world, &first, 10, 1).await, [500]);
    assert_eq!(world.dynamo.count("UpdateItem", "Pacing"), 4, "two for the first, one for each other");
    // Another transport has a rate of its own.
    let smtp = first.reserve(TransportId::Smtp, NonZeroU32::MIN, Sender::Direct, 1).await.unwrap();
    assert!(matches!(smtp, Reservation::Reserved(_)));
}

#[tokio::test(start_paused = true)]
async fn slots_are_reserved_up_to_a_second_ahead() {
    let world = World::new();
    let limits = world.limits();
    assert_eq!(slots(&world, &limits, 10, 50).await.len(), 10, "at most those of a second");
    assert_eq!(slots(&world, &limits, 10, 10).await[0], 1_000, "the last one that may be reserved");
    let full = reserve(&limits, 10, 1).await;
    assert_eq!(full, Reservation::Full { until: world.now() + SignedDuration::from_secs(1) });
    assert_eq!(world.limits().delay(push(1), SES).await.unwrap(), Some(Delay::Rate));
    tokio::time::sleep(Duration::from_millis(999)).await;
    assert!(matches!(reserve(&limits, 10, 1).await, Reservation::Full { .. }));
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(slots(&world, &limits, 10, 1).await, [2_000]);
}

/// A large push always has slots reserved; a second one gets the next, and not all of them.
#[tokio::test(start_paused = true)]
async fn pushes_take_turns() {
    let world = World::new();
    let limits = world.limits();
    let full = async |number, until| {
        let full = Reservation::Full { until: testing::clock::START + SignedDuration::from_secs(until) };
        assert_eq!(reserve_for(number, &limits, 10, 10).await, full, "push {number}");
    };
    assert_eq!(slots_for(1, &world, &limits, 10, 10).await[0], 0);
    assert_eq!(slots_for(1, &world, &limits, 10, 10).await[0], 1_000);
    full(1, 1).await;
    assert_eq!(slots_for(2, &world, &limits, 10, 10).await[0], 2_000, "at once, behind a second's slots more");
    full(2, 2).await;
    full(1, 1).await;
    // Now the first push may reserve as far ahead as the second one did, and then the second one again.
    tokio::time::sleep(Duration::from_secs(1)).await;
    full(2, 2).await;
    assert_eq!(slots_for(1, &world, &limits, 10, 10).await[0], 3_000);
    full(1, 3).await;
    full(2, 2).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(slots_for(2, &world, &limits, 10, 10).await[0], 4_000);
}

/// The batches of a small push have few customers each. Together they have as many slots in a turn as a whole batch.
#[tokio::test(start_paused = true)]
async fn batches_of_a_push_share_its_turn() {
    let world = World::new();
    let limits = world.limits();
    for _ in 0..2 {
        reserve_for(1, &limits, 10, 10).await;
    }
    // Two seconds are reserved; the slots of a turn are counted, not its reservations.
    tokio::time::sleep(Duration::from_secs(1)).await;
    for first in [2_000, 2_300, 2_600] {
        assert_eq!(slots_for(2, &world, &limits, 10, 3).await, [first, first + 100, first + 200]);
    }
    assert_eq!(slots_for(2, &world, &limits, 10, 3).await, [2_900], "the last one");
    let until = testing::clock::START + SignedDuration::from_secs(2);
    assert_eq!(reserve_for(2, &limits, 10, 1).await, Reservation::Full { until });
    let item = world.only("Pacing");
    assert_eq!((&item["turnOf"], &item["turnSlots"]), (&json!(push(2).to_string()), &json!(10)));
}

/// Two seconds are reserved for a push, and the first three slots in the turn of another.
async fn in_the_turn_of_the_second_push() -> (World, TransportLimits) {
    let world = World::new();
    let limits = world.limits();
    for (number, wanted) in [(1, 10), (1, 10), (2, 3)] {
        reserve_for(number, &limits, 10, wanted).await;
    }
    (world, limits)
}

/// Another batch of the same push may use up the turn between two calls of this one.
#[tokio::test(start_paused = true)]
async fn a_turn_that_others_use_up_meanwhile_is_not_continued() {
    let (world, limits) = in_the_turn_of_the_second_push().await;
    let used_up = Fault::before(|dynamo: &Dynamo| dynamo.set("Pacing", json!({"pk": "ses"}), "turnSlots", 10));
    world.dynamo.inject("UpdateItem", "Pacing", [Fault::Nothing, used_up]);
    // 2.3 s are reserved, and the push has had its turn.
    let until = testing::clock::START + SignedDuration::from_millis(1_300);
    assert_eq!(reserve_for(2, &limits, 10, 3).await, Reservation::Full { until });
    assert_eq!(world.dynamo.faults_left(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_reservation_in_a_turn_whose_response_is_lost_is_made_once() {
    let (world, limits) = in_the_turn_of_the_second_push().await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    // The first call finds that the turn has begun.
    world.dynamo.inject("UpdateItem", "Pacing", [Fault::Nothing, Fault::LoseResponse]);
    assert_eq!(slots_for(2, &world, &limits, 10, 3).await, [2_300, 2_400, 2_500]);
    assert_eq!(world.only("Pacing")["turnSlots"], 6);
    assert_eq!(world.dynamo.faults_left(), 0);
}

#[tokio::test(start_paused = true)]
async fn after_a_pause_slots_start_from_now() {
    let world = World::new();
    let limits = world.limits();
    slots(&world, &limits, 10, 2).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(world.limits().delay(push(1), SES).await.unwrap(), None, "the next slot is free now");
    assert_eq!(slots(&world, &limits, 10, 1).await, [200], "the next slot is just now");
    tokio::time::sleep(Duration::from_millis(101)).await;
    assert_eq!(world.limits().delay(push(1), SES).await.unwrap(), None);
    assert_eq!(slots(&world, &limits, 10, 1).await, [301], "the time in between is lost");
}

#[tokio::test(start_paused = true)]
async fn a_reservation_starts_when_its_response_arrives() {
    let world = World::new();
    world.dynamo.set_latency(Duration::from_millis(400));
    let limits = world.limits();
    // Two calls of 400 ms: the second one allows for what the first one took.
    let Reservation::Reserved(mut first) = reserve(&limits, 10, 1).await else { panic!("full") };
    assert_eq!(first.take_next(world.now()).map(since_start), Some(800));
    assert_eq!(since_start(world.now()), 800);
    // The next reservation knows the latency from the start.
    tokio::time::sleep(Duration::from_secs(10)).await;
    let Reservation::Reserved(mut second) = reserve(&limits, 10, 1).await else { panic!("full") };
    assert_eq!(second.take_next(world.now()).map(since_start), Some(11_600));
}

/// A frozen process has measured minutes. The other senders must not wait for so long.
#[tokio::test(start_paused = true)]
async fn no_more_than_three_seconds_of_latency_are_allowed_for() {
    let world = World::new();
    let limits = world.limits();
    let clock = world.clock.clone();
    world.dynamo.inject("UpdateItem", "Pacing", [Fault::before(move |_| clock.skip(Duration::from_secs(600)))]);
    reserve(&limits, 10, 1).await;
    let now = since_start(world.now());
    assert_eq!(now, 600_000);
    tokio::time::sleep(Duration::from_secs(60)).await;
    let Reservation::Reserved(mut slots) = reserve(&limits, 10, 1).await else { panic!("full") };
    assert_eq!(slots.take_next(world.now()).map(since_start), Some(663_000));
    // The call after that was quick.
    tokio::time::sleep(Duration::from_secs(60)).await;
    let Reservation::Reserved(mut slots) = reserve(&limits, 10, 1).await else { panic!("full") };
    assert_eq!(slots.take_next(world.now()).map(since_start), Some(720_000));
}

#[tokio::test(start_paused = true)]
async fn a_reservation_whose_response_is_lost_is_made_once() {
    let world = World::new();
    let limits = world.limits();
    reserve(&limits, 1_000, 100).await;
    let before = world.only("Pacing")["nextSend"].as_i64().unwrap();
    world.dynamo.inject("UpdateItem", "Pacing", [Fault::LoseResponse]);
    let Reservation::Reserved(mut slots) = reserve(&limits, 1_000, 100).await else { panic!("full") };
    assert_eq!(slots.take_next(Timestamp::UNIX_EPOCH).map(Timestamp::as_microsecond), Some(before));
    let after = world.only("Pacing")["nextSend"].as_i64().unwrap();
    assert_eq!(after, before + 100_000, "a hundred slots of a millisecond");
    assert_eq!(world.dynamo.faults_left(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_restart_whose_response_is_lost_is_made_once() {
    let world = World::new();
    world.dynamo.inject("UpdateItem", "Pacing", [Fault::Nothing, Fault::LoseResponse]);
    let Reservation::Reserved(mut slots) = reserve(&world.limits(), 10, 2).await else { panic!("full") };
    assert_eq!(slots.take_next(Timestamp::UNIX_EPOCH).map(since_start), Some(0));
    let end = world.only("Pacing")["nextSend"].as_i64().unwrap();
    assert_eq!(end, testing::clock::START.as_microsecond() + 200_000);
}

fn set_next_send(at: Timestamp) -> impl FnMut(&Dynamo) + Send + 'static {
    move |dynamo| dynamo.put("Pacing", json!({"pk": "ses", "nextSend": at.as_microsecond()}))
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_loses_a_race_appends_to_the_winners_slots() {
    let world = World::new();
    let soon = world.now() + SignedDuration::from_millis(300);
    // The first attempt finds nothing to append to; another caller restarts before this one can.
    world.dynamo.inject("UpdateItem", "Pacing", [Fault::Nothing, Fault::before(set_next_send(soon))]);
    assert_eq!(slots(&world, &world.limits(), 10, 1).await, [300]);
    assert_eq!(world.dynamo.count("UpdateItem", "Pacing"), 3);
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_keeps_losing_waits_a_moment() {
    let world = World::new();
    let now = world.now();
    // Each time the caller wants to append, the slots have passed; each time it wants to restart, they have not.
    let passed = || Fault::before(set_next_send(now - SignedDuration::from_secs(9)));
    let ahead = || Fault::before(set_next_send(now + SignedDuration::from_millis(500)));
    let faults = [passed(), ahead(), passed(), ahead(), passed(), ahead()];
    world.dynamo.inject("UpdateItem", "Pacing", faults);
    assert_eq!(reserve(&world.limits(), 10, 1).await, Reservation::Full { until: now });
    assert_eq!(world.dynamo.count("UpdateItem", "Pacing"), 5);
}

#[tokio::test(start_paused = true)]
async fn an_unavailable_store_is_an_error() {
    let world = World::new();
    world.dynamo.inject_always("UpdateItem", "Pacing", Fault::Unavailable);
    let error = world.limits().reserve(SES, NonZeroU32::MIN, Sender::Direct, 1).await.unwrap_err();
    assert!(error.to_string().contains("UpdateItem on Pacing failed"), "{error}");
}
