//! The circuit breaker: one failure protects the transport from all functions.

use std::time::Duration;

use delivery::{DeferReason, RefusalKind, SendError};
use domain::TransportId;
use domain::push::OutcomeCounts;
use serde_json::{Value, json};

use crate::bank::{Bank, assert_waits, sent};
use crate::logs::Logs;
use crate::provider::{Reply, accepted, refused};
use crate::stored::{after, assert_has, millis};

fn unreachable() -> Reply {
    refused(SendError::Unreachable("no connection".to_owned()))
}

fn silence() -> Reply {
    refused(SendError::Unanswered("silence".to_owned()))
}

/// A provider that responds like this to the first messages, and accepts the rest.
fn first(replies: Vec<Reply>) -> impl FnMut(usize, &str) -> Reply + Send {
    move |number, _| replies.get(number).cloned().unwrap_or_else(accepted)
}

#[tokio::test(start_paused = true)]
async fn unreachable_transport_is_left_alone() {
    let bank = Bank::with_customers(50).await;
    let batch = bank.push(1).await;
    let logs = Logs::capture();
    bank.smtp.always(unreachable());
    let deferral = bank.defer(&batch).await;
    // Another notification may have waited for its slot.
    assert_waits(&deferral, DeferReason::BreakerOpen, 1.9..=3.0);
    assert_eq!((deferral.again.customers().len(), deferral.again.deferrals), (50, 0));
    assert_eq!(bank.smtp.count(), 1);
    let blocked = json!({
        "blockedUntil": millis(after(1.0)), "failures": 0, "lastError": "no connection", "probeUntil": null,
    });
    assert_has(&bank.limits_of(TransportId::Smtp), &blocked);
    let released = json!({"state": "retry", "reason": "unreachable: no connection", "unanswered": null});
    assert_has(&bank.delivery("c-1"), &released);
    assert_eq!((bank.delivery("c-2"), bank.deliveries_in("retry")), (Value::Null, 1));
    let lines = logs.with("circuit breaker open");
    assert!(lines.len() == 1 && lines[0].contains("transport=smtp"), "{lines:?}");
}

#[tokio::test(start_paused = true)]
async fn batch_waits_untouched_while_the_breaker_is_open() {
    let bank = Bank::with_customers(5).await;
    let batch = bank.push(1).await;
    bank.limits().open_breaker(TransportId::Smtp, None, "down").await.unwrap();
    bank.dynamo.forget_calls();
    let deferral = bank.defer(&batch).await;
    assert_eq!(deferral.again, batch);
    assert_waits(&deferral, DeferReason::BreakerOpen, 2.0..=3.0);
    let mut calls = bank.dynamo.calls();
    calls.sort_unstable();
    assert_eq!(calls, [("GetItem", "Offers"), ("GetItem", "Offers"), ("GetItem", "Pacing"), ("GetItem", "Pushes")]);
}

#[tokio::test(start_paused = true)]
async fn batch_of_which_nothing_may_be_sent_does_not_wait_for_the_breaker() {
    let bank = Bank::with_customers(2).await.valid_until(after(10.0));
    let batch = bank.push(1).await;
    let later = bank.push(2).await;
    bank.dynamo.put("Pacing", json!({"pk": "smtp", "blockedUntil": millis(after(60.0)), "failures": 6}));
    bank.cancel(1).await;
    assert_eq!(bank.complete(&batch).await, OutcomeCounts { cancelled: 2, ..sent(0) });
    tokio::time::advance(Duration::from_secs(10)).await;
    bank.dynamo.forget_calls();
    // Cancelled for the first push; a later one finds that the offer has expired.
    assert_eq!(bank.complete(&later).await, OutcomeCounts { expired: 2, ..sent(0) });
    assert_eq!(bank.dynamo.count("GetItem", "Pacing"), 0);
}

#[tokio::test(start_paused = true)]
async fn messages_on_their_way_are_finished_when_another_one_finds_the_transport_unreachable() {
    let bank = Bank::with_customers(50).await;
    let batch = bank.push(1).await;
    // The third fails while the first ten are on their way.
    bank.smtp.replies(|number, _| match number {
        2 => unreachable().after(Duration::from_millis(100)),
        _ => accepted().after(Duration::from_millis(200)),
    });
    let deferral = bank.defer(&batch).await;
    assert_waits(&deferral, DeferReason::BreakerOpen, 1.9..=2.9);
    assert_eq!((bank.smtp.count(), deferral.again.counts()), (10, sent(9)));
    assert_eq!(deferral.again.customers().len(), 41);
}

#[tokio::test(start_paused = true)]
async fn messages_that_wait_for_a_slot_when_the_breaker_opens_ask_for_none() {
    let bank = Bank::with_customers(10).await.with_rate(1);
    let batch = bank.push(1).await;
    bank.smtp.always(unreachable().after(Duration::from_millis(500)));
    let deferral = bank.defer(&batch).await;
    assert_waits(&deferral, DeferReason::BreakerOpen, 1.5..=2.6);
    assert_eq!((bank.smtp.count(), deferral.again.customers().len()), (1, 10));
    // The second has its slot by then, and the third is about to reserve one.
    assert_eq!(bank.limits_of(TransportId::Smtp)["nextSend"], after(3.0).as_microsecond());
}

#[tokio::test(start_paused = true)]
async fn function_opens_the_breaker_once_for_all_its_messages() {
    let bank = Bank::with_customers(10).await;
    let batch = bank.push(1).await;
    bank.smtp.always(unreachable().after(Duration::from_secs(5)));
    let deferral = bank.defer(&batch).await;
    assert_waits(&deferral, DeferReason::BreakerOpen, 2.0..=3.0);
    assert_eq!((bank.smtp.count(), bank.breaker_writes()), (10, 1));
    assert_eq!(bank.limits_of(TransportId::Smtp)["failures"], 0);
}

#[tokio::test(start_paused = true)]
async fn three_messages_in_a_row_without_a_response_open_the_breaker() {
    let bank = Bank::with_customers(20).await;
    let batch = bank.push(1).await;
    bank.smtp.always(silence());
    let deferral = bank.defer(&batch).await;
    assert_waits(&deferral, DeferReason::BreakerOpen, 2.0..=3.0);
    assert_eq!((bank.smtp.count(), deferral.again.customers().len()), (3, 20));
    let limits = bank.limits_of(TransportId::Smtp);
    assert_has(&limits, &json!({"blockedUntil": millis(after(1.002)), "failures": 0, "lastError": "silence"}));
}

#[tokio::test(start_paused = true)]
async fn message_that_was_not_handed_over_does_not_end_the_row() {
    let bank = Bank::with_customers(20).await;
    let batch = bank.push(1).await;
    bank.smtp.replies(first(vec![silence(), silence(), refused(SendError::TooLate), silence()]));
    assert_waits(&bank.defer(&batch).await, DeferReason::BreakerOpen, 2.0..=3.0);
    assert_eq!((bank.smtp.count(), bank.limits_of(TransportId::Smtp)["lastError"].clone()), (4, json!("silence")));
}

#[tokio::test(start_paused = true)]
async fn fewer_messages_in_a_row_without_a_response_are_a_coincidence() {
    let throttled = || refused(SendError::refused(RefusalKind::Temporary, "busy"));
    let rejected = || refused(SendError::refused(RefusalKind::Recipient, "no such mailbox"));
    for replies in [
        vec![silence(), silence(), accepted(), silence(), silence()],
        // The provider responds, whatever it says.
        vec![silence(), silence(), rejected(), silence(), silence(), throttled(), silence(), silence()],
    ] {
        let bank = Bank::with_customers(20).await;
        let batch = bank.push(1).await;
        bank.smtp.replies(first(replies));
        let deferral = bank.defer(&batch).await;
        assert_waits(&deferral, DeferReason::Refused, 1.0..=1.5);
        assert_eq!(bank.smtp.count(), 20);
        assert_eq!(bank.limits_of(TransportId::Smtp)["blockedUntil"], Value::Null);
    }
}

#[tokio::test(start_paused = true)]
async fn breaker_that_another_function_has_opened_stays_as_it_is() {
    let bank = Bank::with_customers(1).await;
    let batch = bank.push(1).await;
    let dynamo = bank.dynamo.clone();
    bank.smtp.replies(move |_, _| {
        let blocked_until = after(0.7).as_millisecond();
        dynamo
            .put("Pacing", json!({"pk": "smtp", "blockedUntil": blocked_until, "failures": 4, "lastError": "theirs"}));
        unreachable()
    });
    let logs = Logs::capture();
    let deferral = bank.defer(&batch).await;
    assert_waits(&deferral, DeferReason::BreakerOpen, 1.0..=1.5);
    let theirs = json!({"blockedUntil": millis(after(0.7)), "failures": 4, "lastError": "theirs"});
    assert_has(&bank.limits_of(TransportId::Smtp), &theirs);
    assert_eq!(logs.with("circuit breaker open"), Vec::<String>::new());
}
