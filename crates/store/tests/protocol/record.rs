//! Recording what became of a claimed delivery.

use std::time::Duration;

use domain::notification::ReasonCode;
use jiff::Timestamp;
use serde_json::{Value, json};
use store::deliveries::{FinalOutcome, RecordResult, Release};
use testing::Fault;

use crate::world::{World, address, claim, customer, email_to, push, sent};

#[tokio::test(start_paused = true)]
async fn an_outcome_ends_the_claim() {
    let world = World::new();
    let claim = claim(&world, 1).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(world.deliveries().record(&claim, &sent()).await.unwrap(), RecordResult::Recorded);
    let item = world.only("Deliveries");
    assert_eq!((&item["state"], &item["providerMessageId"]), (&json!("sent"), &json!("m-1")));
    assert_eq!(item["addressHash"], address("asha@example.com").to_string());
    assert_eq!(item["updatedAt"], world.now().as_millisecond());
    assert_eq!((&item["leaseUntil"], &item["leaseToken"]), (&Value::Null, &Value::Null));
    assert_eq!(item["reason"], Value::Null);
}

#[tokio::test(start_paused = true)]
async fn a_failure_keeps_its_reason() {
    let world = World::new();
    let claim = claim(&world, 1).await;
    world
        .deliveries()
        .record(&claim, &FinalOutcome::unsent(ReasonCode::RecipientRefused, "no such user"))
        .await
        .unwrap();
    let item = world.only("Deliveries");
    assert_eq!((&item["state"], &item["reason"]), (&json!("failed"), &json!("no such user")));
    assert_eq!((&item["addressHash"], &item["providerMessageId"]), (&Value::Null, &Value::Null));
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_was_taken_over_records_nothing() {
    let world = World::new();
    let first = claim(&world, 1).await;
    tokio::time::sleep(Duration::from_secs(61)).await;
    let second = claim(&world, 1).await;
    let before = world.only("Deliveries");
    assert_eq!(world.deliveries().record(&first, &sent()).await.unwrap(), RecordResult::LeaseLost);
    let released =
        world.deliveries().release(&first, ReasonCode::RefusedForNow, "why", Release::Unanswered).await.unwrap();
    assert_eq!(released, RecordResult::LeaseLost);
    assert_eq!(world.only("Deliveries"), before);
    assert_eq!(world.deliveries().record(&second, &sent()).await.unwrap(), RecordResult::Recorded);
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_claim_may_still_be_recorded_if_nobody_took_it_over() {
    let world = World::new();
    let claim = claim(&world, 1).await;
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert_eq!(world.deliveries().record(&claim, &sent()).await.unwrap(), RecordResult::Recorded);
}

#[tokio::test(start_paused = true)]
async fn a_release_counts_only_messages_without_a_response() {
    let world = World::new();
    let first = claim(&world, 1).await;
    world.deliveries().release(&first, ReasonCode::RefusedForNow, "mailbox busy", Release::Unsent).await.unwrap();
    let item = world.only("Deliveries");
    assert_eq!((&item["state"], &item["reason"]), (&json!("retry"), &json!("mailbox busy")));
    assert_eq!((&item["unanswered"], &item["leaseToken"]), (&Value::Null, &Value::Null));
    assert_eq!(item["updatedAt"], world.now().as_millisecond());

    tokio::time::sleep(Duration::from_secs(1)).await;
    let second = claim(&world, 1).await;
    assert_eq!(second.unanswered, 0);
    world.deliveries().release(&second, ReasonCode::RefusedForNow, "no reply", Release::Unanswered).await.unwrap();
    let item = world.only("Deliveries");
    assert_eq!((&item["unanswered"], &item["unansweredVia"]), (&json!(1), &json!("ses")));
    assert_eq!(item["unansweredAt"], world.now().as_millisecond());

    let third = claim(&world, 1).await;
    assert_eq!(third.unanswered, 1);
    world.deliveries().release(&third, ReasonCode::RefusedForNow, "no reply", Release::Unanswered).await.unwrap();
    assert_eq!(world.only("Deliveries")["unanswered"], 2);
}

#[tokio::test(start_paused = true)]
async fn a_record_whose_response_is_lost_is_no_lost_lease() {
    for fault in [Fault::LoseResponse, Fault::HangAfterEffect] {
        let world = World::new();
        let claim = claim(&world, 1).await;
        world.dynamo.forget_calls();
        world.dynamo.inject("UpdateItem", "Deliveries", [fault]);
        assert_eq!(world.deliveries().record(&claim, &sent()).await.unwrap(), RecordResult::Recorded);
        assert_eq!(world.dynamo.count("UpdateItem", "Deliveries"), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_release_whose_response_is_lost_is_no_lost_lease_and_counts_once() {
    let world = World::new();
    let claim = claim(&world, 1).await;
    world.dynamo.inject("UpdateItem", "Deliveries", [Fault::LoseResponse]);
    let released =
        world.deliveries().release(&claim, ReasonCode::RefusedForNow, "no reply", Release::Unanswered).await.unwrap();
    assert_eq!(released, RecordResult::Recorded);
    assert_eq!(world.only("Deliveries")["unanswered"], 1);
}

/// Between the two attempts of a release, another invocation may claim the delivery.
#[tokio::test(start_paused = true)]
async fn a_release_is_recognised_although_the_delivery_was_claimed_since() {
    let world = World::new();
    let released = claim(&world, 1).await;
    let before = world.only("Deliveries");
    let key = json!({"pk": before["pk"], "sk": before["sk"]});
    let take_over = Fault::before(move |dynamo| {
        dynamo.set("Deliveries", &key, "state", "claimed");
        dynamo.set("Deliveries", &key, "leaseToken", "another");
    });
    world.dynamo.inject("UpdateItem", "Deliveries", [Fault::LoseResponse, take_over]);
    let result =
        world.deliveries().release(&released, ReasonCode::RefusedForNow, "busy", Release::Unsent).await.unwrap();
    assert_eq!(result, RecordResult::Recorded);
    assert_eq!(world.only("Deliveries")["leaseToken"], "another");
}

/// The caller tries again after the SDK has given up.
#[tokio::test(start_paused = true)]
async fn a_record_is_recognised_by_a_later_call_as_well() {
    let world = World::new();
    let claim = claim(&world, 1).await;
    world.dynamo.inject_always("UpdateItem", "Deliveries", Fault::LoseResponse);
    world.deliveries().record(&claim, &sent()).await.unwrap_err();
    world.dynamo.clear_faults();
    assert_eq!(world.deliveries().record(&claim, &sent()).await.unwrap(), RecordResult::Recorded);
}

/// A first attempt that did not arrive is not taken for a write.
#[tokio::test(start_paused = true)]
async fn a_record_that_was_not_written_is_a_lost_lease() {
    let world = World::new();
    let first = claim(&world, 1).await;
    tokio::time::sleep(Duration::from_secs(61)).await;
    claim(&world, 1).await;
    world.dynamo.inject("UpdateItem", "Deliveries", [Fault::Unavailable]);
    assert_eq!(world.deliveries().record(&first, &sent()).await.unwrap(), RecordResult::LeaseLost);
}

/// Refusals count only with those like them, and so does the time since the first of them.
#[tokio::test(start_paused = true)]
async fn refusals_of_another_kind_begin_a_new_row() {
    let world = World::new();
    let began = world.now();
    let asha = address("asha@example.com");
    let mut row = Vec::new();
    for code in [ReasonCode::RefusedForNow, ReasonCode::RefusedForNow, ReasonCode::Refused, ReasonCode::Refused] {
        let claim = claim(&world, 1).await;
        world.deliveries().release(&claim, code, "why", Release::Refused(&asha)).await.unwrap();
        let known = world.deliveries().look_up(push(1), &[email_to("c-1")]).await.unwrap();
        let past = known.pending[&customer("c-1")].refusal.clone().unwrap();
        let after = |at: Timestamp| at.duration_since(began).as_secs();
        row.push((past.count, after(past.alike_since), after(past.since), after(past.at)));
        tokio::time::sleep(Duration::from_secs(10)).await;
    }
    assert_eq!(row, [(1, 0, 0, 0), (2, 0, 0, 10), (1, 20, 0, 20), (2, 20, 0, 30)]);
}
