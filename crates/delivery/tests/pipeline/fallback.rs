//! The fallback: the transport that serves while the breaker of the primary is open.

use std::time::Duration;

use delivery::{DeferReason, RefusalKind, SendError};
use domain::TransportId;
use serde_json::json;

use crate::bank::{Bank, assert_waits, sent};
use crate::provider::{accepted, message_id, refused};
use crate::stored::{after, assert_has, millis};

/// Both transports are blocked, until these many seconds after the start.
fn block(bank: &Bank, smtp: f64, ses: f64) {
    for (transport, seconds) in [("smtp", smtp), ("ses", ses)] {
        bank.dynamo.put("Pacing", json!({"pk": transport, "blockedUntil": millis(after(seconds)), "failures": 6}));
    }
}

#[tokio::test(start_paused = true)]
async fn fallback_serves_while_the_breaker_of_the_primary_is_open() {
    let bank = Bank::with_customers(3).await.with_fallback();
    let batch = bank.push(1).await;
    bank.smtp.always(refused(SendError::Unreachable("no connection".to_owned())));
    let deferral = bank.defer(&batch).await;
    assert_waits(&deferral, DeferReason::BreakerOpen, 1.0..=1.5);
    // Before the block of a second ends.
    assert_eq!(bank.complete(&deferral.again).await, sent(3));
    assert_eq!((bank.smtp.count(), bank.ses.reached().len()), (1, 3));
    let recorded = json!({
        "state": "sent", "transport": "ses", "providerMessageId": message_id(TransportId::Ses, "c-1"), "attempts": 2,
    });
    assert_has(&bank.delivery("c-1"), &recorded);
    assert_eq!(bank.limits_of(TransportId::Smtp)["blockedUntil"], millis(after(1.0)));
}

#[tokio::test(start_paused = true)]
async fn primary_serves_while_its_breaker_is_closed() {
    let bank = Bank::with_customers(3).await.with_fallback();
    let batch = bank.push(1).await;
    assert_eq!(bank.complete(&batch).await, sent(3));
    assert_eq!((bank.smtp.count(), bank.ses.count()), (3, 0));
    assert_eq!(bank.delivery("c-1")["transport"], "smtp");
}

#[tokio::test(start_paused = true)]
async fn primary_is_probed_as_soon_as_its_block_ends() {
    let bank = Bank::with_customers(3).await.with_fallback();
    let batch = bank.push(1).await;
    block(&bank, 1.0, 0.5);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(bank.complete(&batch).await, sent(3));
    assert_eq!((bank.smtp.count(), bank.ses.count()), (3, 0));
    assert_eq!(bank.limits_of(TransportId::Smtp)["blockedUntil"], json!(null));
}

#[tokio::test(start_paused = true)]
async fn batch_waits_for_the_first_of_two_open_breakers() {
    for (smtp, ses) in [(30.0, 10.0), (10.0, 30.0)] {
        let bank = Bank::with_customers(3).await.with_fallback();
        let batch = bank.push(1).await;
        block(&bank, smtp, ses);
        let deferral = bank.defer(&batch).await;
        assert_waits(&deferral, DeferReason::BreakerOpen, 11.0..=12.0);
        assert_eq!(deferral.again, batch);
    }
}

#[tokio::test(start_paused = true)]
async fn message_without_a_response_is_reserved_for_its_transport() {
    let bank = Bank::with_customers(2).await.with_fallback();
    let batch = bank.push(1).await;
    bank.smtp.replies(|_, customer| match customer {
        "c-1" => refused(SendError::Unanswered("silence".to_owned())),
        _ => refused(SendError::refused(RefusalKind::Temporary, "busy")),
    });
    let deferral = bank.defer(&batch).await;
    bank.dynamo.set("Pacing", json!({"pk": "smtp"}), "blockedUntil", millis(after(3_600.0)));

    // The primary may recognise the message, and the fallback cannot.
    tokio::time::advance(Duration::from_secs(599)).await;
    let again = bank.defer(&deferral.again).await;
    assert_waits(&again, DeferReason::Leased, 1.0..=1.5);
    assert_eq!((bank.ses.customers(), again.again.counts()), (vec!["c-2".to_owned()], sent(1)));
    assert_has(&bank.delivery("c-1"), &json!({"state": "retry", "unansweredVia": "smtp", "attempts": 1}));

    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(bank.complete(&again.again).await, sent(2));
    assert_eq!(bank.ses.customers(), ["c-2", "c-1"]);
}

#[tokio::test(start_paused = true)]
async fn message_without_a_response_may_be_sent_again_by_its_own_transport() {
    let bank = Bank::with_customers(1).await.with_fallback();
    let batch = bank.push(1).await;
    bank.smtp.replies(|number, _| match number {
        0 => refused(SendError::Unanswered("silence".to_owned())),
        _ => accepted(),
    });
    let deferral = bank.defer(&batch).await;
    assert_eq!(bank.complete(&deferral.again).await, sent(1));
    assert_eq!((bank.smtp.count(), bank.ses.count()), (2, 0));
}
