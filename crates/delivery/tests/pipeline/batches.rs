//! A whole batch: once, again, and by two invocations at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use delivery::{DeferReason, Delivered};
use domain::TransportId;
use serde_json::json;

use crate::bank::{Bank, TIMEOUT, assert_waits, sent};
use crate::provider::{accepted, message_id};
use crate::stored::{assert_has, hash_of, millis};

#[tokio::test(start_paused = true)]
async fn batch_is_sent_recorded_and_counted_once() {
    let bank = Bank::with_customers(50).await;
    let batch = bank.push(1).await;
    assert_eq!(bank.complete(&batch).await, sent(50));
    assert_eq!((bank.smtp.count(), bank.smtp.reached().len()), (50, 50));
    assert_eq!(bank.smtp.received()[0].letter.to, "c-1@example.com");

    for customer in bank.smtp.reached() {
        let recorded = json!({
            "state": "sent", "push": 1, "attempts": 1, "transport": "smtp", "reason": null, "unanswered": null,
            "providerMessageId": message_id(TransportId::Smtp, &customer),
            "addressHash": hash_of(&customer).to_string(), "leaseUntil": null, "leaseToken": null,
        });
        assert_has(&bank.delivery(&customer), &recorded);
    }
    assert_has(&bank.slice(1), &json!({"sent": 50, "failed": 0, "alreadyServed": 0, "batchesOpen": null}));
    assert_eq!(bank.state_of_push(1), "completed");
}

#[tokio::test(start_paused = true)]
async fn batch_that_is_redelivered_sends_nothing_and_is_not_counted_again() {
    let bank = Bank::with_customers(3).await;
    let batch = bank.push(1).await;
    bank.deliver(&batch).await;
    bank.dynamo.forget_calls();
    assert_eq!(bank.deliver(&batch).await, Delivered::NothingToReport);
    assert_eq!(bank.smtp.count(), 3);
    assert_eq!(bank.slice(1)["sent"], 3);
    // What is known to be final needs neither a claim nor a slot.
    assert_eq!((bank.dynamo.count("UpdateItem", "Deliveries"), bank.dynamo.count("UpdateItem", "Pacing")), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn at_most_ten_notifications_are_in_progress() {
    let bank = Bank::with_customers(50).await;
    bank.smtp.always(accepted().after(Duration::from_secs(1)));
    let batch = bank.push(1).await;
    bank.complete(&batch).await;
    assert_eq!(bank.smtp.most_in_progress(), 10);
    let last = bank.smtp.times()[49];
    assert!((4_000..4_100).contains(&last), "{last} ms");
}

/// A provider that takes a while for each message: claims and outcomes of the ten in progress share calls.
#[tokio::test(start_paused = true)]
async fn claims_and_outcomes_share_calls_and_no_more_is_claimed_than_is_in_progress() {
    let bank = Bank::with_customers(50).await.with_rate(100_000);
    let dynamo = bank.dynamo.clone();
    bank.dynamo.set_latency(Duration::from_millis(4));
    let most_claimed = Arc::new(AtomicUsize::new(0));
    let most = most_claimed.clone();
    bank.smtp.replies(move |_, _| {
        let claimed = dynamo.items("Deliveries").iter().filter(|item| item["state"] == "claimed").count();
        most.fetch_max(claimed, Ordering::Relaxed);
        accepted().after(Duration::from_millis(20))
    });
    let batch = bank.push(1).await;
    assert_eq!(bank.complete(&batch).await, sent(50));
    assert_eq!(most_claimed.load(Ordering::Relaxed), 10);
    let calls = ["BatchExecuteStatement", "UpdateItem"].map(|operation| bank.dynamo.count(operation, "Deliveries"));
    assert!(calls.iter().sum::<usize>() < 25, "{calls:?} for 50 claims and 50 outcomes");
}

#[tokio::test(start_paused = true)]
async fn two_invocations_with_the_same_batch_send_each_message_once() {
    let bank = Bank::with_customers(50).await;
    let batch = bank.push(1).await;
    bank.dynamo.set_latency(Duration::from_millis(10));
    bank.smtp.always(accepted().after(Duration::from_millis(200)));
    let (first, second) = tokio::join!(bank.deliver_to_the_end(&batch), bank.deliver_to_the_end(&batch));
    assert_eq!((bank.smtp.count(), bank.smtp.reached().len()), (50, 50));
    let results = [first, second];
    assert!(results.contains(&Delivered::Completed(sent(50))), "{results:?}");
    assert!(results.contains(&Delivered::NothingToReport), "{results:?}");
    assert_has(&bank.slice(1), &json!({"sent": 50, "batchesOpen": null}));
    assert_eq!(bank.state_of_push(1), "completed");
}

#[tokio::test(start_paused = true)]
async fn notification_that_another_invocation_sends_is_left_to_it_and_looked_at_again_soon() {
    let bank = Bank::with_customers(1).await;
    let batch = bank.push(1).await;
    bank.smtp.always(accepted().after(Duration::from_secs(20)));
    let (first, second) = tokio::join!(bank.deliver(&batch), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        bank.defer(&batch).await
    });
    assert_eq!(first, Delivered::Completed(sent(1)));
    // Not after the whole lease.
    assert_waits(&second, DeferReason::Leased, 1.0..=1.5);
    assert_eq!((second.again.customers(), second.again.deferrals), (batch.customers(), 1));
    assert_eq!(bank.deliver(&second.again).await, Delivered::NothingToReport);
    assert_eq!(bank.smtp.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn lease_ends_five_seconds_after_the_deadline() {
    let bank = Bank::with_customers(1).await;
    let batch = bank.push(1).await;
    let lease_until = bank.sources.now() + TIMEOUT + Duration::from_secs(5);
    bank.smtp.always(accepted().after(Duration::from_secs(60)));
    let (_, claimed) = tokio::join!(bank.deliver(&batch), async {
        tokio::time::sleep(Duration::from_secs(30)).await;
        bank.delivery("c-1")
    });
    assert_has(&claimed, &json!({"state": "claimed", "push": 1, "attempts": 1, "leaseUntil": millis(lease_until)}));
    // It is handed over within half a minute or not at all.
    let claimed_at = lease_until - TIMEOUT - Duration::from_secs(5);
    assert_eq!(bank.smtp.received()[0].until, claimed_at + Duration::from_secs(30));
}

#[tokio::test(start_paused = true)]
async fn delivery_whose_sender_died_is_sent_half_a_minute_after_its_last_sign_of_life() {
    let bank = Bank::with_customers(1).await;
    let batch = bank.push(1).await;
    bank.smtp.always(accepted().after(Duration::from_secs(60)));
    tokio::select! {
        biased;
        delivered = bank.deliver(&batch) => panic!("{delivered:?}"),
        // Its last heartbeat was five seconds ago.
        () = tokio::time::sleep(Duration::from_secs(45)) => {}
    }
    // Clocks may differ by five seconds.
    tokio::time::advance(Duration::from_secs(30)).await;
    assert_waits(&bank.defer(&batch).await, DeferReason::Leased, 1.0..=1.5);
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(bank.complete(&batch).await, sent(1));
    assert_has(&bank.delivery("c-1"), &json!({"state": "sent", "attempts": 2}));
}
