//! A store that is unavailable: what was done is kept, and the rest comes again.
//!
//! [`Fault::Conflict`] is a call that fails without retries of the client, so it takes no time.

use std::time::Duration;

use delivery::{DeferReason, RefusalKind, SendError};
use domain::TransportId;
use domain::push::OutcomeCounts;
use domain::queue::Batch;
use serde_json::{Value, json};
use testing::Fault;

use crate::bank::{Bank, SMTP_DURATION, assert_waits, customers_of, deferral, sent};
use crate::logs::Logs;
use crate::provider::{accepted, refused};
use crate::stored::{after, assert_has, hash_of, millis};

fn busy() -> SendError {
    SendError::refused(RefusalKind::Temporary, "busy")
}

#[tokio::test(start_paused = true)]
async fn batch_comes_again_whole_if_the_store_is_down_at_a_first_read() {
    for (operation, table) in [
        ("GetItem", "Pushes"),
        ("GetItem", "Offers"),
        ("GetItem", "Pacing"),
        ("BatchGetItem", "Deliveries"),
        ("BatchGetItem", "Customers"),
        ("BatchGetItem", "Suppressions"),
    ] {
        let bank = Bank::with_customers(3).await;
        let batch = Batch { deferrals: 2, ..bank.push(1).await };
        bank.dynamo.inject_always(operation, table, Fault::Unavailable);
        let deferral = bank.defer(&batch).await;
        assert_waits(&deferral, DeferReason::Store, 2.25..=3.375);
        assert_eq!(deferral.again, Batch { deferrals: 3, ..batch }, "{operation} of {table}");
        // The offer and the request for the push are read at the same time.
        let reads = if table == "Offers" { 2 } else { 1 };
        assert_eq!(bank.dynamo.count(operation, table), 4 * reads, "the client's own retries");
        bank.dynamo.clear_faults();
        assert_eq!(bank.complete(&deferral.again).await, sent(3));
    }
}

#[tokio::test(start_paused = true)]
async fn notification_whose_claim_fails_comes_again_and_the_others_are_counted() {
    let bank = Bank::with_customers(3).await;
    let batch = bank.push(1).await;
    bank.dynamo.inject("UpdateItem", "Deliveries", [Fault::Conflict]);
    let deferral = bank.defer(&batch).await;
    assert_waits(&deferral, DeferReason::Store, 1.0..=1.5);
    assert_eq!((customers_of(&deferral.again), deferral.again.counts()), (vec!["c-1"], sent(2)));
    assert_eq!(deferral.again.deferrals, 1);
    assert_eq!(bank.complete(&deferral.again).await, sent(3));
    assert_eq!(bank.smtp.customers(), ["c-2", "c-3", "c-1"]);
}

#[tokio::test(start_paused = true)]
async fn notification_that_cannot_reserve_a_slot_comes_again_and_the_next_one_tries() {
    let bank = Bank::with_customers(3).await;
    let batch = bank.push(1).await;
    bank.dynamo.inject("UpdateItem", "Pacing", [Fault::Conflict]);
    let deferral = bank.defer(&batch).await;
    assert_waits(&deferral, DeferReason::Store, 1.0..=1.5);
    assert_eq!((customers_of(&deferral.again), deferral.again.counts()), (vec!["c-1"], sent(2)));
}

#[tokio::test(start_paused = true)]
async fn outcome_without_sending_that_cannot_be_recorded_comes_again() {
    let bank = Bank::with_customers(2).await;
    let batch = bank.push(1).await;
    bank.unsubscribe("c-1").await;
    bank.dynamo.inject("UpdateItem", "Deliveries", [Fault::Conflict]);
    let deferral = bank.defer(&batch).await;
    assert_waits(&deferral, DeferReason::Store, 1.0..=1.5);
    assert_eq!((customers_of(&deferral.again), deferral.again.counts()), (vec!["c-1"], sent(1)));
    assert_eq!(bank.complete(&deferral.again).await, OutcomeCounts { opted_out: 1, ..sent(1) });
}

#[tokio::test(start_paused = true)]
async fn record_of_a_sent_message_is_retried_with_growing_pauses() {
    let bank = Bank::with_customers(1).await;
    let batch = bank.push(1).await;
    let outage = [Fault::Nothing].into_iter().chain(std::iter::repeat_n(Fault::Conflict, 7));
    bank.dynamo.inject("UpdateItem", "Deliveries", outage);
    assert_eq!(bank.complete(&batch).await, sent(1));
    // 0.1, 0.2, 0.4, 0.8 and 1.6 s, and then every two seconds.
    let recorded_at = after(3.1 + 2.0 + 2.0);
    assert_has(&bank.delivery("c-1"), &json!({"state": "sent", "updatedAt": millis(recorded_at)}));
    assert_eq!((bank.smtp.count(), bank.dynamo.faults_left()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn record_is_retried_until_twenty_seconds_before_the_deadline() {
    for (tenths, is_retried) in [(979, true), (980, false)] {
        let bank = Bank::with_customers(1).await;
        let batch = bank.push(1).await;
        bank.smtp.always(accepted().after(Duration::from_millis(tenths * 100)));
        // The claim, a heartbeat every eight seconds, the record.
        let until_recorded = 1 + 12;
        let faults = std::iter::repeat_n(Fault::Nothing, until_recorded).chain([Fault::Conflict]);
        bank.dynamo.inject("UpdateItem", "Deliveries", faults);
        let deadline = bank.sources.now() + SMTP_DURATION + Duration::from_secs(8 + 20);
        let delivered = bank.function().deliver(&batch, deadline).await.unwrap();
        let state = bank.delivery("c-1")["state"].clone();
        if is_retried {
            assert_eq!((state, bank.slice(1)["sent"].clone()), (json!("sent"), json!(1)));
        } else {
            assert_waits(&deferral(delivered), DeferReason::Store, 1.0..=1.5);
            assert_eq!((state, bank.dynamo.count("UpdateItem", "Deliveries")), (json!("claimed"), until_recorded + 1));
        }
        assert_eq!(bank.smtp.count(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn handover_without_a_response_is_recorded_as_surely_as_a_sent_message() {
    let bank = Bank::with_customers(1).await;
    let batch = bank.push(1).await;
    bank.smtp.always(refused(SendError::Unanswered("silence".to_owned())));
    bank.dynamo.inject("UpdateItem", "Deliveries", [Fault::Nothing, Fault::Conflict, Fault::Conflict]);
    assert_waits(&bank.defer(&batch).await, DeferReason::Refused, 1.0..=1.5);
    assert_has(&bank.delivery("c-1"), &json!({"state": "retry", "unanswered": 1, "updatedAt": millis(after(0.3))}));
}

#[tokio::test(start_paused = true)]
async fn release_of_a_message_that_was_not_sent_is_tried_once() {
    let bank = Bank::with_customers(1).await;
    let batch = bank.push(1).await;
    bank.smtp.always(refused(busy()));
    bank.dynamo.inject("UpdateItem", "Deliveries", [Fault::Nothing, Fault::Conflict]);
    assert_waits(&bank.defer(&batch).await, DeferReason::Store, 1.0..=1.5);
    assert_eq!(bank.dynamo.count("UpdateItem", "Deliveries"), 2);
    // Its lease ends.
    assert_has(&bank.delivery("c-1"), &json!({"state": "claimed", "leaseUntil": millis(after(155.0))}));
}

#[tokio::test(start_paused = true)]
async fn breaker_opens_although_the_message_cannot_be_released() {
    let bank = Bank::with_customers(1).await;
    let batch = bank.push(1).await;
    bank.smtp.always(refused(SendError::Unreachable("no connection".to_owned())));
    bank.dynamo.inject("UpdateItem", "Deliveries", [Fault::Nothing, Fault::Conflict]);
    assert_waits(&bank.defer(&batch).await, DeferReason::Store, 1.0..=1.5);
    assert_eq!(bank.limits_of(TransportId::Smtp)["blockedUntil"], millis(after(1.0)));
}

#[tokio::test(start_paused = true)]
async fn opt_out_is_final_only_once_its_address_is_suppressed() {
    let bank = Bank::with_customers(1).await;
    let batch = bank.push(1).await;
    bank.smtp.always(refused(SendError::OptedOut("on its list".to_owned())));
    bank.dynamo.inject("TransactWriteItems", "Suppressions", vec![Fault::Unavailable; 4]);
    let deferral = bank.defer(&batch).await;
    assert_waits(&deferral, DeferReason::Store, 1.0..=1.5);
    assert_eq!(bank.delivery("c-1")["state"], "claimed");
    tokio::time::advance(Duration::from_secs(160)).await;
    assert_eq!(bank.complete(&deferral.again).await, OutcomeCounts { opted_out: 1, ..sent(0) });
    let pk = json!({"pk": format!("reported#{}", hash_of("c-1"))});
    assert_has(&bank.dynamo.item("Suppressions", pk).unwrap(), &json!({"reason": "optedOut"}));
}

#[tokio::test(start_paused = true)]
async fn batch_whose_report_fails_sends_nothing_when_it_comes_again() {
    let bank = Bank::with_customers(3).await;
    let batch = bank.push(1).await;
    bank.dynamo.inject("UpdateItem", "Pushes", [Fault::Conflict]);
    let deferral = bank.defer(&batch).await;
    assert_waits(&deferral, DeferReason::Store, 1.0..=1.5);
    assert_eq!(deferral.again, Batch { deferrals: 1, ..batch });
    assert_eq!(bank.complete(&deferral.again).await, sent(3));
    assert_eq!((bank.smtp.count(), bank.slice(1)["sent"].clone()), (3, json!(3)));
}

/// The first two updates of a transport's limits reserve slots. The first accepted message makes the next one.
const RESERVATION: [Fault; 2] = [Fault::Nothing, Fault::Nothing];

#[tokio::test(start_paused = true)]
async fn counts_so_far_that_cannot_be_stored_change_nothing_for_the_batch() {
    let bank = Bank::with_customers(3).await;
    let batch = bank.push(1).await;
    let logs = Logs::capture();
    bank.smtp.replies(|_, customer| if customer == "c-2" { refused(busy()) } else { accepted() });
    bank.dynamo.inject("UpdateItem", "Pushes", [Fault::Conflict]);
    let deferral = bank.defer(&batch).await;
    assert_waits(&deferral, DeferReason::Refused, 1.0..=1.5);
    assert_eq!((customers_of(&deferral.again), deferral.again.counts()), (vec!["c-2"], sent(2)));
    assert_eq!(bank.slice(1)["refusal"], Value::Null);
    assert_eq!((logs.with("failed to store the counts so far").len(), bank.dynamo.faults_left()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn breaker_that_cannot_be_opened_changes_nothing_for_the_batch() {
    let bank = Bank::with_customers(3).await;
    let batch = bank.push(1).await;
    let logs = Logs::capture();
    bank.smtp.always(refused(SendError::Unreachable("no connection".to_owned())));
    bank.dynamo.inject("UpdateItem", "Pacing", RESERVATION.into_iter().chain([Fault::Conflict]));
    let deferral = bank.defer(&batch).await;
    assert_waits(&deferral, DeferReason::BreakerOpen, 1.0..=1.5);
    assert_eq!((bank.smtp.count(), deferral.again.customers().len()), (1, 3));
    assert_eq!(bank.limits_of(TransportId::Smtp)["blockedUntil"], Value::Null);
    assert_eq!((logs.with("failed to report to the circuit breaker").len(), bank.dynamo.faults_left()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn probe_that_cannot_be_released_changes_nothing_for_the_batch() {
    let bank = Bank::with_customers(1).await;
    let batch = bank.push(1).await;
    bank.unsubscribe("c-1").await;
    bank.limits().open_breaker(TransportId::Smtp, None, "down").await.unwrap();
    tokio::time::advance(Duration::from_secs(1)).await;
    let logs = Logs::capture();
    bank.dynamo.inject("UpdateItem", "Pacing", [Fault::Nothing, Fault::Conflict]);
    assert_eq!(bank.complete(&batch).await, OutcomeCounts { opted_out: 1, ..sent(0) });
    assert_ne!(bank.limits_of(TransportId::Smtp)["probeUntil"], Value::Null);
    assert_eq!(logs.with("failed to release the probe").len(), 1);
}
