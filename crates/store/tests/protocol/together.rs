//! Claims and outcomes of several deliveries in one call: each means what a single one does.

use std::time::Duration;

use domain::notification::Outcome;
use serde_json::{Map, Value};
use store::deliveries::{
    Claim, ClaimResult, FinalDelivery, FinalOutcome, FirstClaim, HolderId, Lease, RecordResult, ResendPolicy,
    Unclaimable,
};
use testing::Fault;

use crate::world::{EMAIL_ONLY, World, address, email_to, offer, push, sent};

const BATCH: &str = "BatchExecuteStatement";

/// Claims these deliveries together, for a minute at most.
async fn claim(world: &World, customers: &[&str]) -> Vec<Result<ClaimResult, String>> {
    let (holder, offer) = (HolderId::generate(&world.clock.sources()), offer());
    let claims = customers.iter().map(|customer| FirstClaim {
        id: email_to(customer),
        push: push(1),
        offer: &offer,
        policy: ResendPolicy::Unsent(address("asha@example.com")),
        route: EMAIL_ONLY,
        holder: holder.clone(),
        until: world.now() + Duration::from_secs(60),
    });
    let results = world.deliveries().claim_first(claims.collect()).await;
    results.into_iter().map(|result| result.map_err(|error| error.to_string())).collect()
}

fn granted(results: Vec<Result<ClaimResult, String>>) -> Vec<Claim> {
    let granted = |result| match result {
        Ok(ClaimResult::Granted(claim)) => claim,
        other => panic!("{other:?}"),
    };
    results.into_iter().map(granted).collect()
}

async fn single(world: &World, customer: &str) -> Claim {
    let holder = HolderId::generate(&world.clock.sources());
    let lease = Lease { holder: &holder, until: world.now() + Duration::from_secs(60), after: None };
    let policy = ResendPolicy::Unsent(address("asha@example.com"));
    let (deliveries, offer) = (world.deliveries(), offer());
    match deliveries.claim(email_to(customer), push(1), &offer, policy, EMAIL_ONLY, lease).await.unwrap() {
        ClaimResult::Granted(claim) => claim,
        refused @ ClaimResult::NotGranted(_) => panic!("{refused:?}"),
    }
}

/// The stored deliveries, without what differs: keys, and who claimed them.
fn stored(world: &World) -> Vec<Map<String, Value>> {
    let items = world.dynamo.items("Deliveries").into_iter();
    let alike = |item: Value| {
        let mut item = item.as_object().unwrap().clone();
        item.retain(|name, _| !["pk", "sk", "leaseToken", "heldBy", "recordedBy"].contains(&name.as_str()));
        item
    };
    items.map(alike).collect()
}

#[tokio::test(start_paused = true)]
async fn what_is_written_together_is_what_single_writes_leave() {
    let world = World::new();
    let single = single(&world, "c-0").await;
    let together = granted(claim(&world, &["c-1", "c-2", "c-3"]).await);
    let items = stored(&world);
    assert_eq!((items.len(), items.iter().all(|item| *item == items[0])), (4, true), "{items:#?}");
    assert_eq!(items[0]["transport"], EMAIL_ONLY.transport.as_str());
    assert!(together.iter().all(|claim| claim.held_until == single.held_until && claim.is_first), "{together:?}");

    let failed = FinalOutcome::unsent(domain::notification::ReasonCode::RecipientRefused, "no such user");
    for outcome in [sent(), failed] {
        let world = World::new();
        let single = self::single(&world, "c-0").await;
        let together = granted(claim(&world, &["c-1", "c-2"]).await);
        world.deliveries().record(&single, &outcome).await.unwrap();
        let outcomes = together.into_iter().map(|claim| (claim, outcome.clone())).collect();
        for recorded in world.deliveries().record_first(outcomes).await {
            assert_eq!(recorded.unwrap(), RecordResult::Recorded);
        }
        let items = stored(&world);
        assert_eq!((items.len(), items.iter().all(|item| *item == items[0])), (3, true), "{items:#?}");
        assert_eq!(world.dynamo.count(BATCH, "Deliveries"), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_delivery_that_is_stored_already_is_what_a_single_claim_finds_and_hinders_no_other() {
    let world = World::new();
    let ended = single(&world, "ended").await;
    world.deliveries().record(&ended, &sent()).await.unwrap();
    single(&world, "leased").await;
    let results = claim(&world, &["new-1", "ended", "leased", "new-2"]).await;
    let ended = Unclaimable::Final(FinalDelivery { push: 1, outcome: Outcome::Sent, code: None });
    assert!(matches!(&results[0], Ok(ClaimResult::Granted(claim)) if claim.is_first), "{results:?}");
    assert_eq!(results[1], Ok(ClaimResult::NotGranted(ended)));
    assert!(matches!(results[2], Ok(ClaimResult::NotGranted(Unclaimable::Leased { .. }))), "{results:?}");
    assert!(matches!(results[3], Ok(ClaimResult::Granted(_))), "{results:?}");
}

/// Whatever becomes of the call, what took effect is known, and nothing has two owners.
#[tokio::test(start_paused = true)]
async fn lost_responses_repeated_calls_and_throttled_statements_change_no_result() {
    for faults in [
        vec![Fault::LoseResponse],
        vec![Fault::HangAfterEffect],
        vec![Fault::Unavailable],
        vec![Fault::Throttle],
        vec![Fault::Unprocessed(1)],
        vec![Fault::Unprocessed(3)],
        vec![Fault::LoseResponse, Fault::Unprocessed(2)],
    ] {
        let world = World::new();
        world.dynamo.inject(BATCH, "Deliveries", faults.clone());
        let claims = granted(claim(&world, &["c-1", "c-2", "c-3"]).await);
        assert!(stored(&world).iter().all(|item| item["attempts"] == 1), "{faults:?}");
        // No other caller gets them.
        let others = claim(&world, &["c-1", "c-2", "c-3"]).await;
        assert!(others.iter().all(|other| matches!(other, Ok(ClaimResult::NotGranted(_)))), "{faults:?}: {others:?}");

        world.dynamo.inject(BATCH, "Deliveries", faults.clone());
        let outcomes = claims.into_iter().map(|claim| (claim, sent())).collect();
        for recorded in world.deliveries().record_first(outcomes).await {
            assert_eq!(recorded.unwrap(), RecordResult::Recorded, "{faults:?}");
        }
        assert!(stored(&world).iter().all(|item| item["state"] == "sent"), "{faults:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_was_taken_over_records_nothing_and_hinders_no_other() {
    let world = World::new();
    let claims = granted(claim(&world, &["c-1", "c-2"]).await);
    tokio::time::sleep(Duration::from_secs(61)).await;
    let taken_over = single(&world, "c-1").await;
    let before = world.dynamo.items("Deliveries");
    let outcomes = claims.into_iter().map(|claim| (claim, sent())).collect();
    let recorded: Vec<_> = world.deliveries().record_first(outcomes).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(recorded, [RecordResult::LeaseLost, RecordResult::Recorded]);
    let of = |items: &[Value]| items.iter().find(|item| item["sk"] == "c-1#email").cloned();
    assert_eq!(of(&world.dynamo.items("Deliveries")), of(&before));
    assert!(!taken_over.is_first);
}

#[tokio::test(start_paused = true)]
async fn an_unavailable_store_is_an_error_for_each() {
    let world = World::new();
    world.dynamo.inject_always(BATCH, "Deliveries", Fault::Unavailable);
    let claims = claim(&world, &["c-1", "c-2"]).await;
    assert!(claims.iter().all(|claim| claim.as_ref().is_err_and(|error| error.contains(BATCH))), "{claims:?}");
    assert_eq!(claims.len(), 2);
    assert!(world.dynamo.items("Deliveries").is_empty());
}
