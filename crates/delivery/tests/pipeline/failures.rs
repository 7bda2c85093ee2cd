//! Failures that no retry ends: an item that cannot be read, a call that is refused, a panic, missing keys.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use delivery::{DeferReason, DeliverError, Delivered, RefusalKind, SendError};
use domain::TransportId;
use domain::queue::Batch;
use futures::FutureExt;
use serde_json::json;
use store::StoreError;
use testing::Fault;

use crate::bank::{Bank, assert_waits, sent};
use crate::composer::COMPOSING;
use crate::provider::{accepted, refused};
use crate::stored::{after, assert_has, millis};

/// Delivers a batch that panics, and returns with what.
async fn panic_of(bank: &Bank, batch: &Batch) -> String {
    let panic = AssertUnwindSafe(bank.try_deliver(batch)).catch_unwind().await.unwrap_err();
    *panic.downcast::<String>().unwrap()
}

#[tokio::test(start_paused = true)]
async fn call_that_the_store_refuses_is_an_error_after_all_had_their_turn() {
    let bank = Bank::with_customers(3).await;
    let batch = bank.push(1).await;
    bank.dynamo.inject("UpdateItem", "Deliveries", [Fault::Refuse]);
    let error = bank.try_deliver(&batch).await.unwrap_err();
    assert!(matches!(error, DeliverError::Store(StoreError::InvalidRequest { .. })), "{error}");
    assert_eq!(bank.smtp.customers(), ["c-2", "c-3"]);
    assert_eq!(bank.deliveries_in("sent"), 2);
    // SQS redelivers the batch.
    assert_eq!(bank.complete(&batch).await, sent(3));
    assert_eq!(bank.smtp.count(), 3);
}

#[tokio::test(start_paused = true)]
async fn record_that_the_store_refuses_is_not_retried() {
    let bank = Bank::with_customers(1).await;
    let batch = bank.push(1).await;
    bank.dynamo.inject("UpdateItem", "Deliveries", [Fault::Nothing, Fault::Refuse]);
    let error = bank.try_deliver(&batch).await.unwrap_err();
    assert!(matches!(error, DeliverError::Store(StoreError::InvalidRequest { .. })), "{error}");
    assert_eq!(bank.dynamo.count("UpdateItem", "Deliveries"), 2);
}

#[tokio::test(start_paused = true)]
async fn first_read_that_the_store_refuses_is_an_error() {
    let bank = Bank::with_customers(1).await;
    let batch = bank.push(1).await;
    bank.dynamo.inject("GetItem", "Pushes", [Fault::Refuse]);
    assert!(matches!(bank.try_deliver(&batch).await, Err(DeliverError::Store(StoreError::InvalidRequest { .. }))));
    assert_eq!(bank.smtp.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn delivery_that_cannot_be_read_is_an_error_after_all_had_their_turn() {
    let bank = Bank::with_customers(3).await;
    let batch = bank.push(1).await;
    bank.smtp.always(refused(SendError::refused(RefusalKind::Temporary, "busy")));
    let again = bank.defer(&batch).await.again;
    bank.set_delivery("c-2", "state", "of a later release");
    bank.smtp.always(accepted());
    let error = bank.try_deliver(&again).await.unwrap_err();
    assert!(matches!(error, DeliverError::Store(StoreError::Unreadable { .. })), "{error}");
    assert_eq!(bank.deliveries_in("sent"), 2);
    assert_eq!(bank.delivery("c-2")["state"], "of a later release");
}

#[tokio::test(start_paused = true)]
async fn panic_of_one_notification_is_raised_after_the_others_had_their_turn() {
    let bank = Bank::with_customers(20).await;
    let batch = bank.push(1).await;
    bank.put_customer("c-2", json!({"attributes": {COMPOSING: "panics"}})).await;
    bank.smtp.always(accepted().after(Duration::from_secs(1)));
    assert_eq!(panic_of(&bank, &batch).await, "the composer panics for c-2");
    assert_eq!((bank.smtp.count(), bank.deliveries_in("sent")), (19, 19));
    // SQS redelivers the batch, and the others are not sent again.
    assert_eq!(panic_of(&bank, &batch).await, "the composer panics for c-2");
    assert_eq!(bank.smtp.count(), 19);
    bank.put_customer("c-2", json!({})).await;
    assert_eq!(bank.complete(&batch).await, sent(20));
}

#[tokio::test(start_paused = true)]
async fn probe_is_released_after_an_error_and_after_a_panic() {
    let bank = Bank::with_customers(1).await;
    let batch = bank.push(1).await;
    bank.limits().open_breaker(TransportId::Smtp, None, "down").await.unwrap();
    tokio::time::advance(Duration::from_secs(1)).await;
    let released = json!({"blockedUntil": millis(after(1.0)), "probeUntil": null, "probeToken": null});

    bank.dynamo.inject("UpdateItem", "Deliveries", [Fault::Refuse]);
    bank.try_deliver(&batch).await.unwrap_err();
    assert_has(&bank.limits_of(TransportId::Smtp), &released);

    bank.put_customer("c-1", json!({"attributes": {COMPOSING: "panics"}})).await;
    panic_of(&bank, &batch).await;
    assert_has(&bank.limits_of(TransportId::Smtp), &released);
}

#[tokio::test(start_paused = true)]
async fn batch_waits_for_the_keys_that_composing_needs() {
    let bank = Bank::with_customers(3).await;
    let batch = Batch { deferrals: 1, ..bank.push(1).await };
    bank.composer.lose_keys(true);
    bank.dynamo.forget_calls();
    let deferral = bank.defer(&batch).await;
    assert_waits(&deferral, DeferReason::Composer, 1.5..=2.25);
    assert_eq!(deferral.again, Batch { deferrals: 2, ..batch });
    assert_eq!(bank.dynamo.calls(), []);
    bank.composer.lose_keys(false);
    assert_eq!(bank.deliver(&deferral.again).await, Delivered::Completed(sent(3)));
}
