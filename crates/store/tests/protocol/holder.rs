//! Which invocations hold claims, and when others take over.

use std::time::Duration;

use serde_json::json;
use store::deliveries::{Claim, ClaimResult, Held, HolderId, Lease, ResendPolicy, Unclaimable};
use testing::Fault;
use tokio::time::sleep;

use crate::world::{EMAIL_ONLY, World, email_to, offer, push};

fn holder(world: &World) -> HolderId {
    HolderId::generate(&world.clock.sources())
}

/// The invocation claims the delivery, which it may take over from `after`.
async fn claim(world: &World, holder: &HolderId, after: Option<&HolderId>) -> ClaimResult {
    // As long as the function's time-out, and more.
    let lease = Lease { holder, until: world.now() + Duration::from_secs(155), after };
    let policy = ResendPolicy::UnsentAndRejected;
    world.deliveries().claim(email_to("c-1"), push(1), &offer(), policy, EMAIL_ONLY, lease).await.unwrap()
}

async fn claimed(world: &World, holder: &HolderId) -> Claim {
    match claim(world, holder, None).await {
        ClaimResult::Granted(claim) => claim,
        refused => panic!("{refused:?}"),
    }
}

/// What others find out about the claim's holder.
async fn found(world: &World) -> Held {
    world.deliveries().look_up(push(1), &[email_to("c-1")]).await.unwrap().held.into_values().next().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_claim_is_taken_over_half_a_minute_after_its_holder_died() {
    let world = World::new();
    let (dead, next) = (holder(&world), holder(&world));
    claimed(&world, &dead).await;
    let held = found(&world).await;
    assert_eq!(held, Held { by: dead.clone(), until: world.now() + Duration::from_secs(30) });
    // Clocks differ by a few seconds.
    sleep(Duration::from_secs(35)).await;
    assert!(!held.is_over(world.now()));
    sleep(Duration::from_millis(1)).await;
    assert!(held.is_over(world.now()));
    assert!(!matches!(claim(&world, &next, None).await, ClaimResult::Granted(_)), "it is not ended yet");
    assert!(world.deliveries().end_holder(&dead).await.unwrap());
    assert!(matches!(claim(&world, &next, Some(&dead)).await, ClaimResult::Granted(_)));
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_beats_keeps_its_claims() {
    let world = World::new();
    let alive = holder(&world);
    claimed(&world, &alive).await;
    for _ in 0..10 {
        sleep(Duration::from_secs(10)).await;
        assert!(world.deliveries().beat(&alive).await.unwrap());
    }
    assert!(!world.deliveries().end_holder(&alive).await.unwrap());
    sleep(Duration::from_secs(35)).await;
    assert!(!world.deliveries().end_holder(&alive).await.unwrap());
    sleep(Duration::from_millis(1)).await;
    assert!(world.deliveries().end_holder(&alive).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_is_ended_learns_it_from_its_next_heartbeat() {
    for beats_before in [false, true] {
        let world = World::new();
        let frozen = holder(&world);
        if beats_before {
            assert!(world.deliveries().beat(&frozen).await.unwrap());
            sleep(Duration::from_secs(36)).await;
        }
        assert!(world.deliveries().end_holder(&frozen).await.unwrap());
        assert!(world.deliveries().end_holder(&frozen).await.unwrap(), "by another as well");
        assert!(!world.deliveries().beat(&frozen).await.unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_others_took_over_is_not_taken_over_from_the_one_before() {
    let world = World::new();
    let (dead, second, third) = (holder(&world), holder(&world), holder(&world));
    claimed(&world, &dead).await;
    sleep(Duration::from_secs(36)).await;
    assert!(world.deliveries().end_holder(&dead).await.unwrap());
    let ClaimResult::Granted(now) = claim(&world, &second, Some(&dead)).await else { panic!("not granted") };
    let until = now.held_until + Duration::from_secs(5);
    let refused = claim(&world, &third, Some(&dead)).await;
    assert_eq!(refused, ClaimResult::NotGranted(Unclaimable::Leased { until }));
}

#[tokio::test(start_paused = true)]
async fn repeated_calls_have_one_result() {
    let world = World::new();
    let holder = holder(&world);
    let lost = || world.dynamo.inject("UpdateItem", "Deliveries", [Fault::LoseResponse]);
    lost();
    assert!(world.deliveries().beat(&holder).await.unwrap());
    sleep(Duration::from_secs(36)).await;
    lost();
    assert!(world.deliveries().end_holder(&holder).await.unwrap());
    lost();
    assert!(!world.deliveries().beat(&holder).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn an_outcome_ends_what_names_the_holder() {
    let world = World::new();
    let claim = claimed(&world, &holder(&world)).await;
    let release = store::deliveries::Release::Unsent;
    let code = domain::notification::ReasonCode::ProviderUnavailable;
    world.deliveries().release(&claim, code, "why", release).await.unwrap();
    let item = world.only("Deliveries");
    assert_eq!((&item["heldBy"], &item["heldUntil"]), (&json!(null), &json!(null)));
}
