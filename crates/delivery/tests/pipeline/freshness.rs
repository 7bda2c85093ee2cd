//! What changes while a message waits for its slot.
//!
//! At a rate of one a second, the customers `c-1`, `c-2`, … get their slots at 0, 1, … seconds.

use std::time::Duration;

use domain::push::OutcomeCounts;
use serde_json::json;
use tokio::time::sleep;

use crate::bank::{Bank, sent};
use crate::stored::{after, assert_has, hash_of_address};

#[tokio::test(start_paused = true)]
async fn what_was_read_five_seconds_ago_is_read_again() {
    let bank = Bank::with_customers(10).await.with_rate(1);
    let batch = bank.push(1).await;
    bank.dynamo.forget_calls();
    // No notification waits longer than five seconds: each asks for its slot when the one before has its own.
    assert_eq!(bank.complete(&batch).await, sent(10));
    assert_eq!(bank.smtp.times(), (0..10).map(|second| second * 1_000).collect::<Vec<_>>());
    // Once for all, and once more for each from the sixth on.
    for (operation, table, calls, at_the_end) in [
        // Whether it is the last slice of the push.
        ("GetItem", "Pushes", 1, 1),
        ("BatchGetItem", "Customers", 1, 0),
        // Until hashes are migrated, what is to be moved is read first.
        ("BatchGetItem", "Suppressions", 2, 0),
    ] {
        assert_eq!(bank.dynamo.count(operation, table), calls * (1 + 5) + at_the_end, "{operation} of {table}");
    }
}

#[tokio::test(start_paused = true)]
async fn customer_who_unsubscribes_while_the_message_waits_gets_none() {
    let bank = Bank::with_customers(8).await.with_rate(1);
    let batch = bank.push(1).await;
    let (counts, ()) = tokio::join!(bank.complete(&batch), async {
        sleep(Duration::from_secs(3)).await;
        bank.unsubscribe("c-7").await;
    });
    assert_eq!(counts, OutcomeCounts { opted_out: 1, ..sent(7) });
    assert_eq!(bank.smtp.customers(), ["c-1", "c-2", "c-3", "c-4", "c-5", "c-6", "c-8"]);
    assert_has(&bank.delivery("c-7"), &json!({"state": "optedOut", "reason": "the customer unsubscribed"}));
}

#[tokio::test(start_paused = true)]
async fn push_that_is_cancelled_while_messages_wait_sends_no_more_of_them() {
    let bank = Bank::with_customers(8).await.with_rate(1);
    let batch = bank.push(1).await;
    let (counts, ()) = tokio::join!(bank.complete(&batch), async {
        sleep(Duration::from_millis(4_500)).await;
        bank.cancel(1).await;
    });
    assert_eq!(counts, OutcomeCounts { cancelled: 3, ..sent(5) });
    assert_eq!(bank.smtp.customers(), ["c-1", "c-2", "c-3", "c-4", "c-5"]);
    assert_has(&bank.delivery("c-6"), &json!({"state": "cancelled", "reason": "the push was cancelled"}));
}

#[tokio::test(start_paused = true)]
async fn offer_that_expires_while_messages_wait_is_not_sent_any_more() {
    let bank = Bank::with_customers(8).await.with_rate(1).valid_until(after(6.0));
    let batch = bank.push(1).await;
    assert_eq!(bank.complete(&batch).await, OutcomeCounts { expired: 2, ..sent(6) });
    assert_has(&bank.delivery("c-7"), &json!({"state": "expired", "reason": "the offer has expired"}));
}

#[tokio::test(start_paused = true)]
async fn message_goes_to_the_address_that_is_stored_when_it_is_sent() {
    let bank = Bank::with_customers(8).await.with_rate(1);
    let batch = bank.push(1).await;
    let (counts, ()) = tokio::join!(bank.complete(&batch), async {
        sleep(Duration::from_secs(3)).await;
        bank.put_customer("c-7", json!({"email": "new@example.com"})).await;
    });
    assert_eq!(counts, sent(8));
    assert_eq!(bank.smtp.received()[6].letter.to, "new@example.com");
    assert_eq!(bank.delivery("c-7")["addressHash"], hash_of_address("new@example.com").to_string());
}
