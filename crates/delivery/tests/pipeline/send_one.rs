//! One message on direct invocation: through the same rate limit and circuit breaker, without a record.

use std::time::Duration;

use delivery::{Accepted, RefusalKind, SendError, SendOneError};
use domain::TransportId;
use serde_json::{Value, json};
use testing::Fault;

use crate::bank::{Bank, TIMEOUT};
use crate::composer::Letter;
use crate::provider::{Reply, accepted, message_id, refused};
use crate::stored::{after, assert_has, millis};

fn letter() -> Letter {
    Letter { customer: "c-1".to_owned(), to: "c-1@example.com".to_owned(), subject: String::new() }
}

async fn send_one(bank: &Bank) -> Result<Accepted, SendOneError> {
    bank.function().send_one(&letter(), bank.sources.now() + TIMEOUT).await
}

/// The primary was unreachable; its block has just ended.
async fn bank_after_a_block() -> Bank {
    let bank = Bank::with_customers(1).await;
    bank.limits().open_breaker(TransportId::Smtp, None, "down").await.unwrap();
    tokio::time::advance(Duration::from_secs(1)).await;
    bank
}

fn unreachable() -> Reply {
    refused(SendError::Unreachable("sender not allowed".to_owned()))
}

/// All slots before this time are reserved by others.
fn reserve_until(bank: &Bank, seconds: f64) {
    bank.dynamo.put("Pacing", json!({"pk": "smtp", "nextSend": after(seconds).as_microsecond()}));
}

#[tokio::test(start_paused = true)]
async fn message_is_sent_once_without_a_record() {
    let bank = Bank::with_customers(1).await;
    let accepted = send_one(&bank).await.unwrap();
    assert_eq!(accepted.message_id, message_id(TransportId::Smtp, "c-1"));
    let received = bank.smtp.received();
    assert_eq!((received.len(), received[0].letter.clone(), received[0].until), (1, letter(), after(150.0)));
    assert_eq!(bank.dynamo.items("Deliveries"), [] as [Value; 0]);
    assert_eq!(bank.limits_of(TransportId::Smtp)["nextSend"], after(0.001).as_microsecond());
}

#[tokio::test(start_paused = true)]
async fn message_waits_for_a_slot_for_as_long_as_there_is_time() {
    // Of 150 s, 118 are for sending; slots can be reserved two seconds ahead while it is the turn of others.
    let bank = Bank::with_customers(1).await;
    reserve_until(&bank, 34.0);
    send_one(&bank).await.unwrap();
    assert_eq!(bank.smtp.times(), [34_000]);

    let bank = Bank::with_customers(1).await;
    reserve_until(&bank, 34.001);
    assert!(matches!(send_one(&bank).await, Err(SendOneError::Busy)));
    assert_eq!((bank.smtp.count(), bank.sources.now()), (0, after(0.0)));
}

#[tokio::test(start_paused = true)]
async fn open_breakers_refuse_the_message() {
    let bank = Bank::with_customers(1).await.with_fallback();
    for (transport, seconds) in [("smtp", 30.0), ("ses", 20.0)] {
        bank.dynamo.put("Pacing", json!({"pk": transport, "blockedUntil": millis(after(seconds))}));
    }
    let error = send_one(&bank).await.unwrap_err();
    assert!(matches!(error, SendOneError::BreakerOpen { until } if until == after(20.0)), "{error}");
    assert_eq!(bank.smtp.count() + bank.ses.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn fallback_sends_the_message_while_the_primary_is_unreachable() {
    let bank = Bank::with_customers(1).await.with_fallback();
    bank.limits().open_breaker(TransportId::Smtp, None, "down").await.unwrap();
    assert_eq!(send_one(&bank).await.unwrap().message_id, message_id(TransportId::Ses, "c-1"));
    assert_eq!((bank.smtp.count(), bank.ses.count()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn result_of_sending_is_passed_through_and_opens_no_breaker() {
    for error in [
        SendError::refused(RefusalKind::Recipient, "no such mailbox"),
        SendError::OptedOut("on its list".to_owned()),
        SendError::refused(RefusalKind::Temporary, "busy"),
        SendError::Unanswered("silence".to_owned()),
        SendError::TooLate,
        // The provider may refuse just this caller's sender.
        SendError::Unreachable("sender not allowed".to_owned()),
    ] {
        let bank = Bank::with_customers(1).await;
        bank.smtp.always(refused(error.clone()));
        for _ in 0..5 {
            match send_one(&bank).await.unwrap_err() {
                SendOneError::Send(sent) => assert_eq!(sent, error),
                other => panic!("{other}"),
            }
        }
        assert_eq!((bank.smtp.count(), bank.breaker_writes()), (5, 0), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn message_that_reaches_a_transport_after_its_block_closes_the_breaker() {
    for reply in [accepted(), refused(SendError::refused(RefusalKind::Recipient, "no such mailbox"))] {
        let bank = bank_after_a_block().await;
        bank.smtp.always(reply);
        let _ = send_one(&bank).await;
        assert_eq!(bank.smtp.count(), 1);
        assert_has(&bank.limits_of(TransportId::Smtp), &json!({"blockedUntil": null, "probeUntil": null}));
    }
}

#[tokio::test(start_paused = true)]
async fn message_without_a_response_after_a_block_blocks_the_transport_for_longer() {
    let bank = bank_after_a_block().await;
    bank.smtp.always(refused(SendError::Unanswered("silence".to_owned())));
    send_one(&bank).await.unwrap_err();
    let blocked = json!({"blockedUntil": millis(after(3.0)), "failures": 1, "lastError": "silence"});
    assert_has(&bank.limits_of(TransportId::Smtp), &blocked);
}

#[tokio::test(start_paused = true)]
async fn probe_that_says_nothing_of_the_transport_is_left_to_the_next_caller() {
    let released = json!({"blockedUntil": millis(after(1.0)), "failures": 0, "probeUntil": null, "probeToken": null});
    for reply in [unreachable(), refused(SendError::TooLate)] {
        let bank = bank_after_a_block().await;
        bank.smtp.always(reply);
        send_one(&bank).await.unwrap_err();
        assert_eq!(bank.smtp.count(), 1);
        assert_has(&bank.limits_of(TransportId::Smtp), &released);
    }

    // The rate is used up.
    let bank = bank_after_a_block().await;
    bank.dynamo.set("Pacing", json!({"pk": "smtp"}), "nextSend", after(90.0).as_microsecond());
    assert!(matches!(send_one(&bank).await, Err(SendOneError::Busy)));
    assert_has(&bank.limits_of(TransportId::Smtp), &released);

    // The store is unavailable.
    let bank = bank_after_a_block().await;
    bank.dynamo.inject("UpdateItem", "Pacing", [Fault::Nothing, Fault::Conflict]);
    assert!(matches!(send_one(&bank).await, Err(SendOneError::Store(_))));
    assert_has(&bank.limits_of(TransportId::Smtp), &released);
}
