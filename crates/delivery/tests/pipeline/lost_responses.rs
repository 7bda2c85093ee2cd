//! Writes that take effect although no response arrives: the repeated call is recognised as the same.

use std::time::Duration;

use delivery::{DeferReason, RefusalKind, SendError};
use domain::TransportId;
use domain::push::OutcomeCounts;
use serde_json::json;
use testing::Fault;

use crate::bank::{Bank, assert_waits, sent};
use crate::provider::{accepted, refused};
use crate::stored::assert_has;

/// The response of an update of this table is lost, after so many updates with a response.
fn lose(bank: &Bank, table: &str, updates_before: usize, fault: &Fault) {
    lose_of(bank, "UpdateItem", table, updates_before, fault);
}

fn lose_of(bank: &Bank, operation: &str, table: &str, calls_before: usize, fault: &Fault) {
    let faults = std::iter::repeat_n(Fault::Nothing, calls_before).chain([fault.clone()]);
    bank.dynamo.inject(operation, table, faults);
}

/// The connection closes, or the call takes too long.
const LOST: [Fault; 2] = [Fault::LoseResponse, Fault::HangAfterEffect];

#[tokio::test(start_paused = true)]
async fn message_is_sent_and_counted_once_whichever_response_is_lost() {
    for (write, operation, table, calls_before) in [
        ("look for slots", "UpdateItem", "Pacing", 0),
        ("reserve", "UpdateItem", "Pacing", 1),
        ("claim", "UpdateItem", "Deliveries", 0),
        ("record", "UpdateItem", "Deliveries", 1),
        ("report", "UpdateItem", "Pushes", 0),
        ("count the slice", "TransactWriteItems", "Pushes", 0),
        ("complete the push", "UpdateItem", "Pushes", 1),
    ] {
        for fault in LOST {
            let bank = Bank::with_customers(1).await;
            let batch = bank.push(1).await;
            lose_of(&bank, operation, table, calls_before, &fault);
            assert_eq!(bank.complete(&batch).await, sent(1), "{write}: {fault:?}");
            assert_eq!((bank.smtp.count(), bank.dynamo.faults_left()), (1, 0), "{write}: {fault:?}");
            assert_has(&bank.delivery("c-1"), &json!({"state": "sent", "attempts": 1}));
            assert_has(&bank.slice(1), &json!({"sent": 1, "batchesOpen": null}));
            assert_eq!(bank.state_of_push(1), "completed", "{write}: {fault:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn outcome_without_sending_is_counted_once() {
    for fault in LOST {
        let bank = Bank::with_customers(1).await;
        let batch = bank.push(1).await;
        bank.unsubscribe("c-1").await;
        lose(&bank, "Deliveries", 0, &fault);
        assert_eq!(bank.complete(&batch).await, OutcomeCounts { opted_out: 1, ..sent(0) });
        assert_eq!((bank.slice(1)["optedOut"].clone(), bank.dynamo.faults_left()), (json!(1), 0));
    }
}

#[tokio::test(start_paused = true)]
async fn released_message_is_not_taken_for_one_of_another_invocation() {
    for fault in LOST {
        for error in [SendError::refused(RefusalKind::Temporary, "busy"), SendError::Unanswered("silence".to_owned())] {
            let bank = Bank::with_customers(1).await;
            let batch = bank.push(1).await;
            bank.smtp.always(refused(error));
            lose(&bank, "Deliveries", 1, &fault);
            assert_waits(&bank.defer(&batch).await, DeferReason::Refused, 1.0..=1.5);
            assert_has(&bank.delivery("c-1"), &json!({"state": "retry", "attempts": 1}));
            assert_eq!(bank.dynamo.faults_left(), 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn breaker_is_opened_probed_and_closed_once() {
    for fault in LOST {
        let bank = Bank::with_customers(1).await;
        let batch = bank.push(1).await;
        bank.smtp.replies(|number, _| match number {
            0 => refused(SendError::Unreachable("no connection".to_owned())),
            _ => accepted(),
        });
        lose(&bank, "Pacing", 2, &fault);
        assert_waits(&bank.defer(&batch).await, DeferReason::BreakerOpen, 1.0..=1.5);
        assert_has(&bank.limits_of(TransportId::Smtp), &json!({"failures": 0, "lastError": "no connection"}));

        tokio::time::advance(Duration::from_secs(1)).await;
        lose(&bank, "Pacing", 0, &fault);
        lose(&bank, "Pacing", 1, &fault);
        lose(&bank, "Pacing", 0, &fault);
        assert_eq!(bank.complete(&batch).await, sent(1));
        let closed = json!({"blockedUntil": null, "probeUntil": null, "failures": null});
        assert_has(&bank.limits_of(TransportId::Smtp), &closed);
        assert_eq!((bank.smtp.count(), bank.dynamo.faults_left()), (2, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn reason_of_a_refusal_is_stored_if_its_response_is_lost() {
    for fault in LOST {
        let bank = Bank::with_customers(1).await;
        let batch = bank.push(1).await;
        bank.smtp.always(refused(SendError::refused(RefusalKind::Temporary, "busy")));
        lose(&bank, "Pushes", 0, &fault);
        assert_waits(&bank.defer(&batch).await, DeferReason::Refused, 1.0..=1.5);
        assert_eq!(bank.slice(1)["refusal"]["reason"], "busy");
        assert_eq!(bank.dynamo.faults_left(), 0);
    }
}
