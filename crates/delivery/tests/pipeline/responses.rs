//! What each response of a provider means: for the delivery, for the batch, for the circuit breaker.

use delivery::{DeferReason, Delivered, RefusalKind, SendError};
use domain::TransportId;
use domain::push::OutcomeCounts;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::bank::{Bank, assert_waits, customers_of, sent};
use crate::logs::Logs;
use crate::provider::{accepted, refused};
use crate::stored::{after, assert_has, hash_of, millis};

fn silence() -> SendError {
    SendError::Unanswered("silence".to_owned())
}

fn busy() -> SendError {
    SendError::refused(RefusalKind::Temporary, "busy")
}

/// The refusal that a slice has.
fn refusal(reason: &str, at: Timestamp) -> Value {
    json!({"refusal": {"transport": "smtp", "at": millis(at), "reason": reason}})
}

#[tokio::test(start_paused = true)]
async fn rejected_message_failed_at_its_address() {
    let bank = Bank::with_customers(2).await;
    let batch = bank.push(1).await;
    bank.smtp.replies(|_, customer| match customer {
        "c-1" => refused(SendError::refused(RefusalKind::Recipient, "no such mailbox")),
        _ => accepted(),
    });
    assert_eq!(bank.complete(&batch).await, OutcomeCounts { failed: 1, ..sent(1) });
    let recorded = json!({
        "state": "failed", "reason": "no such mailbox", "addressHash": hash_of("c-1").to_string(),
        "providerMessageId": null, "attempts": 1, "leaseToken": null,
    });
    assert_has(&bank.delivery("c-1"), &recorded);
    assert_has(&bank.slice(1), &json!({"sent": 1, "failed": 1}));
    assert_has(&bank.slice(1), &json!({"refusal": null}));
    assert_has(&bank.limits_of(TransportId::Smtp), &json!({"blockedUntil": null}));
}

#[tokio::test(start_paused = true)]
async fn opt_out_with_the_provider_suppresses_the_address() {
    for (primary_is_open, transport) in [(false, TransportId::Smtp), (true, TransportId::Ses)] {
        let bank = Bank::with_customers(1).await.with_fallback();
        if primary_is_open {
            bank.limits().open_breaker(TransportId::Smtp, None, "down").await.unwrap();
        }
        let batch = bank.push(1).await;
        for provider in [&bank.smtp, &bank.ses] {
            provider.always(refused(SendError::OptedOut("on its list".to_owned())));
        }
        assert_eq!(bank.complete(&batch).await, OutcomeCounts { opted_out: 1, ..sent(0) });
        let recorded =
            json!({"state": "optedOut", "reason": "on its list", "addressHash": null, "transport": transport});
        assert_has(&bank.delivery("c-1"), &recorded);
        let hash = hash_of("c-1").to_string();
        let suppressed = bank.dynamo.item("Suppressions", json!({"pk": format!("reported#{hash}")})).unwrap();
        let expected = json!({"addressHash": hash, "reason": "optedOut", "by": transport, "since": millis(after(0.0))});
        assert_has(&suppressed, &expected);

        // The next push need not ask the provider.
        assert_eq!(bank.complete(&bank.push(2).await).await, OutcomeCounts { opted_out: 1, ..sent(0) });
        assert_eq!(bank.smtp.count() + bank.ses.count(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn throttled_message_comes_again_and_the_reason_is_stored_for_those_who_watch() {
    let bank = Bank::with_customers(3).await;
    let batch = bank.push(1).await;
    bank.smtp.replies(|_, customer| if customer == "c-2" { refused(busy()) } else { accepted() });
    let deferral = bank.defer(&batch).await;
    assert_waits(&deferral, DeferReason::Refused, 1.0..=1.5);
    assert_eq!(customers_of(&deferral.again), ["c-2"]);
    assert_eq!((deferral.again.counts(), deferral.again.deferrals), (sent(2), 1));
    let recorded = json!({
        "state": "retry", "reason": "not accepted for now: busy", "unanswered": null, "addressHash": null,
        "leaseUntil": null, "leaseToken": null, "attempts": 1,
    });
    assert_has(&bank.delivery("c-2"), &recorded);
    assert_has(&bank.slice(1), &refusal("busy", bank.sources.now()));
    assert_eq!(bank.limits_of(TransportId::Smtp)["blockedUntil"], json!(null));
    assert_eq!(bank.slice(1)["sent"], json!(null), "counted once, with the rest");

    bank.smtp.always(accepted());
    assert_eq!(bank.complete(&deferral.again).await, sent(3));
    assert_has(&bank.delivery("c-2"), &json!({"state": "sent", "attempts": 2}));
    assert_eq!(bank.slice(1)["sent"], 3);
    assert_eq!(bank.smtp.count(), 4);
}

#[tokio::test(start_paused = true)]
async fn message_that_is_refused_again_and_again_waits_longer_each_time() {
    let bank = Bank::with_customers(1).await;
    let mut batch = bank.push(1).await;
    bank.smtp.always(refused(busy()));
    for (deferrals, delay) in [(1, 1.0..=1.5), (2, 1.5..=2.25), (3, 2.25..=3.375)] {
        let deferral = bank.defer(&batch).await;
        assert_waits(&deferral, DeferReason::Refused, delay);
        assert_eq!(deferral.again.deferrals, deferrals);
        batch = deferral.again;
    }
}

#[tokio::test(start_paused = true)]
async fn message_without_a_response_is_handed_over_once_more_and_then_failed() {
    let bank = Bank::with_customers(1).await;
    let batch = bank.push(1).await;
    bank.smtp.always(refused(silence()));
    let deferral = bank.defer(&batch).await;
    assert_waits(&deferral, DeferReason::Refused, 1.0..=1.5);
    let first = json!({
        "state": "retry", "reason": "handed over without a response: silence", "unanswered": 1,
        "unansweredVia": "smtp", "unansweredAt": millis(after(0.0)), "leaseToken": null,
    });
    assert_has(&bank.delivery("c-1"), &first);
    assert_has(&bank.slice(1), &refusal("silence", after(0.0)));

    assert_eq!(bank.complete(&deferral.again).await, OutcomeCounts { failed: 1, ..sent(0) });
    let second = json!({
        "state": "failed", "reason": "handed over twice without a response: silence",
        "addressHash": hash_of("c-1").to_string(), "attempts": 2,
    });
    assert_has(&bank.delivery("c-1"), &second);
    assert_eq!(bank.limits_of(TransportId::Smtp)["blockedUntil"], json!(null));
}

#[tokio::test(start_paused = true)]
async fn only_handovers_without_a_response_count() {
    let bank = Bank::with_customers(1).await;
    let mut batch = bank.push(1).await;
    for (error, unanswered) in [(silence(), 1), (busy(), 1), (busy(), 1)] {
        bank.smtp.always(refused(error));
        batch = bank.defer(&batch).await.again;
        assert_has(&bank.delivery("c-1"), &json!({"state": "retry", "unanswered": unanswered}));
    }
    bank.smtp.always(accepted());
    assert_eq!(bank.complete(&batch).await, sent(1));
}

#[tokio::test(start_paused = true)]
async fn message_that_came_too_late_is_left_claimed() {
    let bank = Bank::with_customers(1).await;
    let batch = bank.push(1).await;
    bank.smtp.always(refused(SendError::TooLate));
    let deferral = bank.defer(&batch).await;
    assert_waits(&deferral, DeferReason::Deadline, 0.0..=0.0);
    assert_eq!((deferral.again.customers(), deferral.again.deferrals), (batch.customers(), 0));
    assert_has(&bank.delivery("c-1"), &json!({"state": "claimed", "leaseUntil": millis(after(155.0))}));
    assert_has(&bank.slice(1), &json!({"refusal": null}));
    assert_has(&bank.limits_of(TransportId::Smtp), &json!({"blockedUntil": null}));
}

#[tokio::test(start_paused = true)]
async fn outcome_of_another_invocation_counts_if_the_lease_was_lost() {
    let bank = Bank::with_customers(1).await;
    let batch = bank.push(1).await;
    let logs = Logs::capture();
    let dynamo = bank.dynamo.clone();
    bank.smtp.replies(move |_, _| {
        let item = dynamo.items("Deliveries").remove(0);
        let key = json!({"pk": item["pk"], "sk": item["sk"]});
        dynamo.set("Deliveries", &key, "leaseToken", "another invocation's");
        accepted()
    });
    let deferral = bank.defer(&batch).await;
    assert_waits(&deferral, DeferReason::Leased, 1.0..=1.5);
    assert_eq!(deferral.again.counts(), sent(0));
    assert_has(&bank.delivery("c-1"), &json!({"state": "claimed", "leaseToken": "another invocation's"}));
    let lines = logs.with("lease lost while sending");
    assert!(lines.len() == 1 && lines[0].contains("WARN") && lines[0].contains("customer.id=c-1"), "{lines:?}");
}

#[tokio::test(start_paused = true)]
async fn each_message_that_was_not_sent_is_logged() {
    let bank = Bank::with_customers(2).await;
    let batch = bank.push(1).await;
    let logs = Logs::capture();
    bank.smtp.replies(|_, customer| match customer {
        "c-1" => refused(SendError::refused(RefusalKind::Recipient, "no such mailbox")),
        _ => refused(SendError::Unreachable("no connection".to_owned())),
    });
    assert!(matches!(bank.deliver(&batch).await, Delivered::Deferred(_)));
    let lines = logs.with("notification not sent");
    // The breaker logs that the transport is unreachable, once for all.
    assert!(lines.len() == 1 && lines[0].contains("customer.id=c-1 delivery.state=\"failed\""), "{lines:?}");
    assert_eq!(logs.with("circuit breaker open").len(), 1);
}
