//! Who gets no message, what is recorded instead, and that it costs no slot of the rate.

use std::time::Duration;

use delivery::{DeliverError, UnusableBatch};
use domain::TransportId;
use domain::push::OutcomeCounts;
use serde_json::{Value, json};
use store::suppressions::Reason;

use crate::bank::{Bank, sent};
use crate::composer::COMPOSING;
use crate::stored::{after, assert_has, hash_of, hash_of_address, report};

/// Checks that the customers have this outcome, for this reason, and that the provider and its rate were not used.
fn assert_unsent(bank: &Bank, customers: &[&str], state: &str, reason: &str) {
    for customer in customers {
        let expected = json!({
            "state": state, "reason": reason, "push": 1, "attempts": null, "addressHash": null, "leaseToken": null,
        });
        assert_has(&bank.delivery(customer), &expected);
    }
    assert_eq!(bank.smtp.count(), 0);
    assert_eq!(bank.limits_of(TransportId::Smtp), Value::Null);
}

#[tokio::test(start_paused = true)]
async fn cancelled_push_sends_nothing() {
    let bank = Bank::with_customers(2).await;
    let batch = bank.push(1).await;
    bank.cancel(1).await;
    assert_eq!(bank.complete(&batch).await, OutcomeCounts { cancelled: 2, ..sent(0) });
    assert_unsent(&bank, &["c-1", "c-2"], "cancelled", "the push was cancelled");
    assert_has(&bank.slice(1), &json!({"cancelled": 2, "sent": 0}));
}

#[tokio::test(start_paused = true)]
async fn offer_has_expired_exactly_at_its_last_push_date() {
    let bank = Bank::with_customers(1).await.valid_until(after(10.0));
    let batch = bank.push(1).await;
    tokio::time::advance(Duration::from_secs(10)).await;
    assert_eq!(bank.complete(&batch).await, OutcomeCounts { expired: 1, ..sent(0) });
    assert_unsent(&bank, &["c-1"], "expired", "the offer has expired");

    let bank = Bank::with_customers(1).await.valid_until(after(10.0));
    let batch = bank.push(1).await;
    tokio::time::advance(Duration::from_millis(9_999)).await;
    assert_eq!(bank.complete(&batch).await, sent(1));
}

#[tokio::test(start_paused = true)]
async fn push_that_disappears_while_messages_wait_sends_no_more_of_them() {
    let bank = Bank::with_customers(8).await.with_rate(1);
    let batch = bank.push(1).await;
    let (delivered, ()) = tokio::join!(bank.try_deliver(&batch), async {
        tokio::time::sleep(Duration::from_millis(4_500)).await;
        bank.dynamo.delete("Pushes", json!({"pk": bank.push_id(1).to_string(), "sk": "push"}));
    });
    assert!(delivered.unwrap_err().to_string().contains("the push is missing"));
    assert_eq!(bank.smtp.customers(), ["c-1", "c-2", "c-3", "c-4", "c-5"]);
    let unusable = bank.try_deliver(&batch).await.unwrap_err();
    assert!(matches!(unusable, DeliverError::Unusable(UnusableBatch::NotStored)), "{unusable}");
}

#[tokio::test(start_paused = true)]
async fn customer_who_is_gone_unreachable_or_unreadable_gets_no_message() {
    let (opted_out, failed) = (OutcomeCounts { opted_out: 1, ..sent(0) }, OutcomeCounts { failed: 1, ..sent(0) });
    let removed = "the customer's consent or address was removed";
    let uncomposable = json!({"attributes": {COMPOSING: "fails"}});
    for (change, state, reason, counts) in [
        (None, "optedOut", "the customer no longer exists", opted_out),
        (Some(json!({"channels": []})), "optedOut", removed, opted_out),
        (Some(json!({"email": null})), "optedOut", removed, opted_out),
        (Some(uncomposable), "failed", "description: customer.points is missing", failed),
    ] {
        let bank = Bank::with_customers(1).await;
        let batch = bank.push(1).await;
        match change {
            Some(fields) => bank.put_customer("c-1", fields).await,
            None => bank.dynamo.delete("Customers", json!({"pk": "c-1"})),
        }
        assert_eq!(bank.complete(&batch).await, counts, "{reason}");
        assert_unsent(&bank, &["c-1"], state, reason);
    }
    let bank = Bank::with_customers(1).await;
    let batch = bank.push(1).await;
    bank.dynamo.put("Customers", json!({"pk": "c-1", "name": 7}));
    assert_eq!(bank.complete(&batch).await, failed);
    assert_unsent(&bank, &["c-1"], "failed", "the customer's record cannot be read");
}

#[tokio::test(start_paused = true)]
async fn suppressed_customer_gets_no_message() {
    let bank = Bank::with_customers(3).await;
    let batch = bank.push(1).await;
    bank.unsubscribe("c-1").await;
    let suppressions = bank.suppressions();
    for (customer, reason) in [("c-2", Reason::Bounced), ("c-3", Reason::Complained)] {
        suppressions.suppress(&report(&hash_of(customer), bank.clock.now()), reason).await.unwrap();
    }
    assert_eq!(bank.complete(&batch).await, OutcomeCounts { opted_out: 1, suppressed: 2, ..sent(0) });
    assert_unsent(&bank, &["c-1"], "optedOut", "the customer unsubscribed");
    assert_unsent(&bank, &["c-2"], "suppressed", "the address bounced");
    assert_unsent(&bank, &["c-3"], "suppressed", "a complaint came from the address");
    assert_has(&bank.slice(1), &json!({"optedOut": 1, "suppressed": 2, "sent": 0}));
}

#[tokio::test(start_paused = true)]
async fn a_bounce_holds_for_the_address_and_not_for_the_customer() {
    let bank = Bank::with_customers(1).await;
    let batch = bank.push(1).await;
    bank.suppressions().suppress(&report(&hash_of("c-1"), bank.clock.now()), Reason::Bounced).await.unwrap();
    bank.put_customer("c-1", json!({"email": "new@example.com"})).await;
    assert_eq!(bank.complete(&batch).await, sent(1));
    assert_eq!(bank.smtp.received()[0].letter.to, "new@example.com");
    assert_eq!(bank.delivery("c-1")["addressHash"], hash_of_address("new@example.com").to_string());
}

#[tokio::test(start_paused = true)]
async fn an_opt_out_holds_for_the_customer_anywhere_and_for_everyone_at_the_address() {
    let bank = Bank::with_customers(3).await;
    bank.unsubscribe("c-1").await;
    bank.put_customer("c-1", json!({"email": "new@example.com"})).await;
    bank.put_customer("c-2", json!({"email": "C-1@Example.com"})).await;
    let batch = bank.push(1).await;
    assert_eq!(bank.complete(&batch).await, OutcomeCounts { opted_out: 2, ..sent(1) });
    assert_eq!(bank.smtp.customers(), ["c-3"]);
}

#[tokio::test(start_paused = true)]
async fn only_those_who_may_get_a_message_share_the_rate() {
    let bank = Bank::with_customers(6).await.with_rate(10);
    let batch = bank.push(1).await;
    for customer in ["c-1", "c-2", "c-4", "c-5"] {
        bank.unsubscribe(customer).await;
    }
    assert_eq!(bank.complete(&batch).await, OutcomeCounts { opted_out: 4, ..sent(2) });
    assert_eq!(bank.smtp.customers(), ["c-3", "c-6"]);
    // By then two of the six were screened out, so four slots were reserved.
    assert_eq!(bank.limits_of(TransportId::Smtp)["nextSend"], after(0.4).as_microsecond());
}
