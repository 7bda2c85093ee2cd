//! A later push of the same offer: who gets the message that an earlier push did not bring.

use std::time::Duration;

use delivery::{RefusalKind, SendError};
use domain::push::OutcomeCounts;
use serde_json::json;

use crate::bank::{Bank, sent};
use crate::provider::{accepted, refused};
use crate::stored::{assert_has, hash_of, hash_of_address};

/// A bank whose first push was rejected for `c-1` and `c-2`, sent to `c-3`, and suppressed for `c-4`. Since then `c-2`
/// has another address, and `c-4` may get messages again.
async fn bank_after_a_push() -> Bank {
    let bank = Bank::with_customers(4).await;
    bank.unsubscribe("c-4").await;
    bank.smtp.replies(|_, customer| match customer {
        "c-3" => accepted(),
        _ => refused(SendError::refused(RefusalKind::Recipient, "no such mailbox")),
    });
    let batch = bank.push(1).await;
    assert_eq!(bank.complete(&batch).await, OutcomeCounts { failed: 2, opted_out: 1, ..sent(1) });
    bank.put_customer("c-2", json!({"email": "new@example.com"})).await;
    bank.subscribe("c-4").await;
    bank.smtp.always(accepted());
    tokio::time::advance(Duration::from_secs(60)).await;
    bank
}

#[tokio::test(start_paused = true)]
async fn later_push_sends_what_was_not_handed_over_or_was_rejected_at_another_address() {
    let bank = bank_after_a_push().await;
    let batch = bank.push(2).await;
    let counts = OutcomeCounts { failed: 1, already_served: 1, ..sent(2) };
    assert_eq!(bank.complete(&batch).await, counts);
    assert_eq!(bank.smtp.customers()[3..], ["c-2", "c-4"]);
    let rejected = json!({"state": "failed", "push": 1, "addressHash": hash_of("c-1").to_string(), "attempts": 1});
    assert_has(&bank.delivery("c-1"), &rejected);
    let at_new_address = hash_of_address("new@example.com").to_string();
    assert_has(&bank.delivery("c-2"), &json!({"state": "sent", "push": 2, "addressHash": at_new_address}));
    assert_has(&bank.delivery("c-3"), &json!({"state": "sent", "push": 1, "attempts": 1}));
    assert_has(&bank.delivery("c-4"), &json!({"state": "sent", "push": 2, "reason": null}));
    assert_has(&bank.slice(2), &json!({"sent": 2, "failed": 1, "alreadyServed": 1, "optedOut": 0}));
}

#[tokio::test(start_paused = true)]
async fn push_that_retries_rejected_addresses_sends_again_what_was_rejected() {
    let bank = bank_after_a_push().await;
    let batch = bank.push(2).await;
    bank.set_retry_rejected(2);
    assert_eq!(bank.complete(&batch).await, OutcomeCounts { already_served: 1, ..sent(3) });
    assert_eq!(bank.smtp.customers()[3..], ["c-1", "c-2", "c-4"]);
    assert_has(&bank.delivery("c-1"), &json!({"state": "sent", "push": 2, "attempts": 2}));
}

#[tokio::test(start_paused = true)]
async fn push_does_not_retry_its_own_rejections() {
    let bank = Bank::with_customers(1).await;
    bank.smtp.always(refused(SendError::refused(RefusalKind::Recipient, "no such mailbox")));
    let batch = bank.push(1).await;
    bank.set_retry_rejected(1);
    assert_eq!(bank.complete(&batch).await, OutcomeCounts { failed: 1, ..sent(0) });
    bank.deliver(&batch).await;
    assert_eq!(bank.smtp.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn message_that_another_push_sends_meanwhile_is_found_by_the_claim() {
    let bank = Bank::with_customers(2).await.with_rate(1);
    let (first, second) = (bank.push(1).await, bank.push(2).await);
    bank.dynamo.set_latency(Duration::from_millis(5));
    let (first, second) = tokio::join!(bank.complete(&first), bank.complete(&second));
    assert_eq!((first.sent + second.sent, first.already_served + second.already_served), (2, 2));
    assert_eq!((bank.smtp.count(), bank.smtp.reached().len()), (2, 2));
    // Two claims and their records, and two claims that were not granted.
    assert_eq!(bank.dynamo.count("UpdateItem", "Deliveries"), 6);
}
