//! Who may send a notification.

use std::time::Duration;

use domain::TransportId;
use domain::notification::{Outcome, ReasonCode};
use jiff::Timestamp;
use serde_json::{Value, json};
use store::deliveries::{
    Claim, ClaimResult, FinalDelivery, FinalOutcome, HolderId, Lease, Release, ResendPolicy, Route, Unclaimable,
};
use testing::Fault;

use crate::world::{EMAIL_ONLY, World, address, claim, email_to, offer, push, try_claim};

const ASHA: &str = "asha@example.com";

async fn claim_again(world: &World, number: u32) -> ClaimResult {
    try_claim(world, number, ResendPolicy::Unsent(address(ASHA)), EMAIL_ONLY).await
}

/// Puts the delivery to customer `c-1` as an earlier push left it.
async fn left_by_push_1(world: &World, outcome: FinalOutcome) {
    let claim = claim(world, 1).await;
    world.deliveries().record(&claim, &outcome).await.unwrap();
}

/// When others look whether the claim's holder lives.
fn looked_at_again(claim: &Claim) -> Timestamp {
    claim.held_until + Duration::from_secs(5)
}

fn is_granted(result: &ClaimResult) -> bool {
    matches!(result, ClaimResult::Granted(_))
}

fn key(world: &World) -> Value {
    let item = world.only("Deliveries");
    json!({"pk": item["pk"], "sk": item["sk"]})
}

#[tokio::test(start_paused = true)]
async fn a_claim_is_stored_with_its_lease() {
    let world = World::new();
    let claim = claim(&world, 1).await;
    assert_eq!((claim.id.clone(), claim.unanswered), (email_to("c-1"), 0));
    assert_eq!(claim.held_until.to_string(), "2026-06-01T12:00:30Z");
    let item = world.only("Deliveries");
    assert_eq!(item["sk"], "c-1#email");
    assert!(item["pk"].as_str().unwrap().starts_with(crate::world::OFFER));
    assert_eq!((&item["state"], &item["push"], &item["attempts"]), (&json!("claimed"), &json!(1), &json!(1)));
    assert_eq!(item["transport"], "ses");
    assert_eq!(item["updatedAt"], world.now().as_millisecond());
    let lease_until = world.now() + Duration::from_secs(60);
    assert_eq!(item["leaseUntil"], lease_until.as_millisecond());
    assert_eq!(item["heldUntil"], claim.held_until.as_millisecond());
    assert!(item["heldBy"].is_string());
    // 30 days after the last push date, in seconds.
    assert_eq!(item["expiresAt"], json!(1_780_315_200 + (90 + 30) * 86_400));
}

#[tokio::test(start_paused = true)]
async fn while_a_lease_runs_nobody_else_may_send() {
    let world = World::new();
    let first = claim(&world, 1).await;
    let until = looked_at_again(&first);
    assert_eq!(claim_again(&world, 1).await, ClaimResult::NotGranted(Unclaimable::Leased { until }));
    // The lease ends after its last millisecond.
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(!is_granted(&claim_again(&world, 1).await));
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert!(is_granted(&claim_again(&world, 1).await));
    assert_eq!(world.only("Deliveries")["attempts"], 2);
}

#[tokio::test(start_paused = true)]
async fn a_claim_whose_response_is_lost_is_recognised() {
    for fault in [Fault::LoseResponse, Fault::HangAfterEffect] {
        let world = World::new();
        world.dynamo.inject("UpdateItem", "Deliveries", [fault]);
        let claim = claim(&world, 1).await;
        assert_eq!(world.dynamo.count("UpdateItem", "Deliveries"), 2);
        assert_eq!(world.only("Deliveries")["attempts"], 1);
        assert_eq!(world.only("Deliveries")["heldUntil"], claim.held_until.as_millisecond());
    }
}

#[tokio::test(start_paused = true)]
async fn a_repeated_claim_does_not_take_another_ones_for_its_own() {
    let world = World::new();
    let other = claim(&world, 1).await;
    world.dynamo.inject("UpdateItem", "Deliveries", [Fault::LoseResponse]);
    let until = looked_at_again(&other);
    assert_eq!(claim_again(&world, 1).await, ClaimResult::NotGranted(Unclaimable::Leased { until }));
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_is_never_claimed_again() {
    let sent = FinalOutcome {
        outcome: Outcome::Sent,
        code: None,
        reason: None,
        provider_message_id: Some("m-1".to_owned()),
        address_hash: Some(address(ASHA)),
    };
    let world = World::new();
    left_by_push_1(&world, sent).await;
    let is_final = FinalDelivery { push: 1, outcome: Outcome::Sent, code: None };
    for (number, policy) in [
        (1, ResendPolicy::Unsent(address("new@example.com"))),
        (2, ResendPolicy::Unsent(address("new@example.com"))),
        (2, ResendPolicy::UnsentAndRejected),
    ] {
        let result = try_claim(&world, number, policy, EMAIL_ONLY).await;
        assert_eq!(result, ClaimResult::NotGranted(Unclaimable::Final(is_final)), "{policy:?}");
    }
}

fn final_by_push_1(code: ReasonCode) -> FinalDelivery {
    FinalDelivery { push: 1, outcome: code.outcome(), code: Some(code) }
}

#[tokio::test(start_paused = true)]
async fn only_a_later_push_sends_what_an_earlier_one_did_not() {
    let unsent = |outcome| FinalOutcome { outcome, ..FinalOutcome::unsent(ReasonCode::RecipientRefused, "why") };
    let failed_at = |at| FinalOutcome { address_hash: Some(address(at)), ..unsent(Outcome::Failed) };
    for (outcome, with_unsent, with_rejected) in [
        (unsent(Outcome::Suppressed), true, true),
        (unsent(Outcome::OptedOut), true, true),
        (unsent(Outcome::Expired), true, true),
        (unsent(Outcome::Cancelled), true, true),
        (unsent(Outcome::Failed), true, true),
        (failed_at("old@example.com"), true, true),
        (failed_at(ASHA), false, true),
    ] {
        for (policy, expected) in
            [(ResendPolicy::Unsent(address(ASHA)), with_unsent), (ResendPolicy::UnsentAndRejected, with_rejected)]
        {
            let world = World::new();
            left_by_push_1(&world, outcome.clone()).await;
            let same_push = try_claim(&world, 1, policy, EMAIL_ONLY).await;
            assert!(!is_granted(&same_push), "{outcome:?} in the same push");
            let later = try_claim(&world, 2, policy, EMAIL_ONLY).await;
            assert_eq!(is_granted(&later), expected, "{outcome:?}, {policy:?}");
            if let ClaimResult::NotGranted(unclaimable) = later {
                let is_final = FinalDelivery { push: 1, outcome: outcome.outcome, code: outcome.code };
                assert_eq!(unclaimable, Unclaimable::Final(is_final));
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_claim_forgets_why_the_earlier_push_failed() {
    let world = World::new();
    let rejected = FinalOutcome {
        address_hash: Some(address("old@example.com")),
        ..FinalOutcome::unsent(ReasonCode::RecipientRefused, "mailbox does not exist")
    };
    left_by_push_1(&world, rejected).await;
    let claim = claim(&world, 2).await;
    let item = world.only("Deliveries");
    assert_eq!((&item["reason"], &item["addressHash"]), (&Value::Null, &Value::Null));
    // It fails again, without an attempt: a third push may send it to any address.
    let unsent = FinalOutcome::unsent(ReasonCode::RecipientRefused, "cannot be composed");
    world.deliveries().record(&claim, &unsent).await.unwrap();
    assert!(is_granted(&try_claim(&world, 3, ResendPolicy::Unsent(address("old@example.com")), EMAIL_ONLY).await));
}

#[tokio::test(start_paused = true)]
async fn a_message_without_a_response_is_reserved_for_its_transport() {
    let primary = Route { transport: TransportId::Ses, other: Some(TransportId::Smtp) };
    let fallback = Route { transport: TransportId::Smtp, other: Some(TransportId::Ses) };
    let policy_address = address(ASHA);
    let policy = ResendPolicy::Unsent(policy_address);
    for (release, is_reserved) in [(Release::Unanswered, true), (Release::Unsent, false)] {
        let world = World::new();
        let ClaimResult::Granted(claim) = try_claim(&world, 1, policy, primary).await else { panic!("not granted") };
        world.deliveries().release(&claim, ReasonCode::RefusedForNow, "why", release).await.unwrap();
        let by_fallback = try_claim(&world, 1, policy, fallback).await;
        if !is_reserved {
            assert!(is_granted(&by_fallback));
            continue;
        }
        let until = world.now() + Duration::from_secs(600);
        assert_eq!(by_fallback, ClaimResult::NotGranted(Unclaimable::Leased { until }));
        tokio::time::sleep(Duration::from_millis(599_999)).await;
        assert!(!is_granted(&try_claim(&world, 1, policy, fallback).await));
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(is_granted(&try_claim(&world, 1, policy, fallback).await), "after ten minutes");
    }
}

#[tokio::test(start_paused = true)]
async fn the_transport_that_did_not_respond_may_try_again_at_once() {
    for other in [None, Some(TransportId::Smtp)] {
        let world = World::new();
        let route = Route { transport: TransportId::Ses, other };
        let first = claim(&world, 1).await;
        world.deliveries().release(&first, ReasonCode::RefusedForNow, "why", Release::Unanswered).await.unwrap();
        let again = try_claim(&world, 1, ResendPolicy::UnsentAndRejected, route).await;
        let ClaimResult::Granted(again) = again else { panic!("{again:?}") };
        assert_eq!(again.unanswered, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_outcome_without_sending_is_recorded_in_one_write() {
    let world = World::new();
    let outcome = FinalOutcome::unsent(ReasonCode::OptedOut, "the customer unsubscribed");
    let recorded = world.deliveries().record_unsent(&email_to("c-1"), push(1), &offer(), &outcome, None).await.unwrap();
    assert_eq!(recorded, Unclaimable::Final(final_by_push_1(ReasonCode::OptedOut)));
    assert_eq!(world.dynamo.calls(), [("UpdateItem", "Deliveries")]);
    let item = world.only("Deliveries");
    assert_eq!((&item["state"], &item["reason"]), (&json!("optedOut"), &json!("the customer unsubscribed")));
    assert_eq!((&item["push"], &item["attempts"]), (&json!(1), &Value::Null));
    assert_eq!(item["expiresAt"], json!(1_780_315_200 + (90 + 30) * 86_400));
}

#[tokio::test(start_paused = true)]
async fn an_outcome_without_sending_replaces_neither_a_running_claim_nor_a_final_one() {
    let outcome = FinalOutcome::unsent(ReasonCode::PushCancelled, "the push was cancelled");
    let record = async |world: &World, number| {
        let deliveries = world.deliveries();
        deliveries.record_unsent(&email_to("c-1"), push(number), &offer(), &outcome, None).await.unwrap()
    };
    let world = World::new();
    let claim = claim(&world, 1).await;
    assert_eq!(record(&world, 1).await, Unclaimable::Leased { until: looked_at_again(&claim) });
    let rejected = FinalOutcome {
        address_hash: Some(address(ASHA)),
        ..FinalOutcome::unsent(ReasonCode::RecipientRefused, "rejected")
    };
    world.deliveries().record(&claim, &rejected).await.unwrap();
    let failed = Unclaimable::Final(final_by_push_1(ReasonCode::RecipientRefused));
    assert_eq!(record(&world, 1).await, failed);
    // What was rejected stays so, whatever a later push could have done.
    assert_eq!(record(&world, 2).await, failed);
}

#[tokio::test(start_paused = true)]
async fn an_outcome_without_sending_ends_an_abandoned_claim() {
    let world = World::new();
    claim(&world, 1).await;
    tokio::time::sleep(Duration::from_millis(60_001)).await;
    let outcome = FinalOutcome::unsent(ReasonCode::OfferExpired, "the offer has expired");
    let recorded = world.deliveries().record_unsent(&email_to("c-1"), push(1), &offer(), &outcome, None).await.unwrap();
    assert_eq!(recorded, Unclaimable::Final(final_by_push_1(ReasonCode::OfferExpired)));
    let item = world.only("Deliveries");
    assert_eq!((&item["leaseUntil"], &item["leaseToken"]), (&Value::Null, &Value::Null));
}

#[tokio::test(start_paused = true)]
async fn an_unreadable_state_is_an_error_that_names_the_table() {
    let world = World::new();
    claim(&world, 1).await;
    world.dynamo.set("Deliveries", key(&world), "state", "lost");
    let holder = HolderId::generate(&world.clock.sources());
    let lease = Lease { holder: &holder, until: world.now() + Duration::from_secs(60), after: None };
    let deliveries = world.deliveries();
    let policy = ResendPolicy::UnsentAndRejected;
    let claim = deliveries.claim(email_to("c-1"), push(1), &offer(), policy, EMAIL_ONLY, lease).await;
    let error = claim.unwrap_err().to_string();
    assert!(error.contains("Deliveries") && error.contains("must be one of"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn deliveries_that_need_no_claim_are_found_in_one_call() {
    let world = World::new();
    let record = async |id: &str, number, outcome| {
        let deliveries = world.deliveries();
        let outcome = FinalOutcome { outcome, ..FinalOutcome::unsent(ReasonCode::RecipientRefused, "why") };
        deliveries.record_unsent(&email_to(id), push(number), &offer(), &outcome, None).await.unwrap();
    };
    record("sent-before", 1, Outcome::Sent).await;
    record("cancelled-before", 1, Outcome::Cancelled).await;
    record("failed-now", 2, Outcome::Failed).await;
    claim(&world, 2).await;
    world.dynamo.put("Deliveries", json!({"pk": world.dynamo.items("Deliveries")[0]["pk"], "sk": "odd#email"}));
    world.dynamo.forget_calls();
    let ids = ["sent-before", "cancelled-before", "failed-now", "c-1", "odd", "missing"].map(email_to);
    let mut found: Vec<_> = world.deliveries().look_up(push(2), &ids).await.unwrap().finals.into_iter().collect();
    found.sort_by_key(|(id, _)| id.clone());
    assert_eq!(
        found,
        [
            ("failed-now".parse().unwrap(), FinalDelivery { push: 2, ..final_by_push_1(ReasonCode::RecipientRefused) }),
            (
                "sent-before".parse().unwrap(),
                FinalDelivery { outcome: Outcome::Sent, ..final_by_push_1(ReasonCode::RecipientRefused) }
            ),
        ]
    );
    assert_eq!(world.dynamo.calls(), [("BatchGetItem", "Deliveries")]);
    let request = &world.dynamo.requests("BatchGetItem", "Deliveries")[0];
    assert_eq!(request["RequestItems"]["Deliveries"]["ConsistentRead"], false, "at half the price");
}

#[tokio::test(start_paused = true)]
async fn deliveries_of_an_offer_are_spread_over_16_partitions() {
    let world = World::new();
    for number in 0..200 {
        let outcome = FinalOutcome::unsent(ReasonCode::OfferExpired, "why");
        let id = email_to(&format!("c-{number}"));
        world.deliveries().record_unsent(&id, push(1), &offer(), &outcome, None).await.unwrap();
    }
    let mut partitions: Vec<_> = world.dynamo.items("Deliveries").iter().map(|item| item["pk"].clone()).collect();
    partitions.sort_by_key(ToString::to_string);
    partitions.dedup();
    let expected: Vec<_> = (0..16).map(|shard| json!(format!("{}#{shard:x}", crate::world::OFFER))).collect();
    assert_eq!(partitions, expected);
}

/// A release that looked elsewhere would send again what an earlier one has sent.
#[tokio::test(start_paused = true)]
async fn a_delivery_stays_in_its_partition() {
    let world = World::new();
    claim(&world, 1).await;
    assert_eq!(world.only("Deliveries")["pk"], format!("{}#6", crate::world::OFFER));
}
