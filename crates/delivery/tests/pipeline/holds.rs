//! Refusals whose fault is unclear: the recipient's, ours, or the content's. How the other messages fare shows it.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use delivery::{DeferReason, RefusalKind, SendError, Suspect};
use domain::TransportId;
use domain::push::OutcomeCounts;
use domain::queue::Batch;
use serde_json::{Value, json};
use testing::string_set;

use crate::bank::{Bank, RETRY_FOR, assert_waits, sent};
use crate::logs::Logs;
use crate::provider::{Reply, accepted, refused};
use crate::stored::{assert_has, hash_of};

const MINUTE: Duration = Duration::from_secs(60);

fn ambiguous(suspect: Suspect) -> Reply {
    refused(SendError::refused(RefusalKind::Ambiguous(suspect), "554 5.7.1 refused")).after(Duration::from_millis(20))
}

fn temporary() -> Reply {
    refused(SendError::refused(RefusalKind::Temporary, "450 4.2.1 try later"))
}

fn unknown() -> Reply {
    refused(SendError::refused(RefusalKind::UnknownAddress, "550 5.1.1 no such mailbox"))
}

fn ok() -> Reply {
    accepted().after(Duration::from_millis(20))
}

fn failed(failed: u64) -> OutcomeCounts {
    OutcomeCounts { failed, ..sent(0) }
}

/// How the item of a push is stored while its recipients are refused.
fn hold_of(bank: &Bank) -> Value {
    let pk = format!("push#{}#smtp", bank.push_id(1));
    bank.dynamo.item("Pacing", json!({"pk": pk})).unwrap_or_default()
}

fn left_in(batches: &[Batch]) -> usize {
    batches.iter().map(|batch| batch.customers().len()).sum()
}

#[tokio::test(start_paused = true)]
async fn refusals_of_every_recipient_fail_none_and_all_are_served_afterwards() {
    for suspect in Suspect::ALL {
        for (customers, size) in [(100, 25), (30, 4), (6, 1)] {
            let bank = Bank::with_customers(customers).await;
            let batches = bank.push_in_batches_of(size, 1).await;
            bank.smtp.always(ambiguous(suspect));
            let (counts, left) = bank.run(&batches, 2 * MINUTE).await;
            assert_eq!((counts, left_in(&left)), (sent(0), customers), "{suspect}");
            assert_eq!(bank.deliveries_in("failed"), 0);
            assert_has(
                &hold_of(&bank),
                &json!({"suspect": suspect.as_str(), "lastError": "refused: 554 5.7.1 refused"}),
            );
            // A few before the push was held, and one probe at a time since.
            let most = batches.len().min(8) * 10 + 12;
            assert!(bank.smtp.count() < most, "{} attempts", bank.smtp.count());

            bank.smtp.always(ok());
            let (counts, left) = bank.run(&left, 3 * MINUTE).await;
            assert_eq!((counts, left_in(&left)), (sent(customers as u64), 0), "{suspect}");
            assert_eq!(bank.deliveries_in("sent"), customers);
            assert_eq!(hold_of(&bank)["blockedUntil"], Value::Null);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn recipient_who_is_refused_among_others_has_failed() {
    for suspect in Suspect::ALL {
        for size in [20, 1] {
            let bank = Bank::with_customers(20).await;
            let batches = bank.push_in_batches_of(size, 1).await;
            bank.smtp.replies(move |_, customer| if customer == "c-7" { ambiguous(suspect) } else { ok() });
            let (counts, left) = bank.run(&batches, MINUTE).await;
            assert_eq!((counts, left.len()), (OutcomeCounts { failed: 1, ..sent(19) }, 0));
            let recorded = json!({
                "state": "failed", "code": "refused", "reason": "554 5.7.1 refused", "addressHash": hash_of("c-7").to_string(),
                "refusals": null, "refusedAt": null, "refusedSince": null, "refusedAlikeSince": null, "refusedAddress": null,
            });
            assert_has(&bank.delivery("c-7"), &recorded);
            assert_eq!(bank.dynamo.items("Suppressions"), [json!(null); 0], "not suppressed");
        }
    }
}

/// Fewer than make a row: nothing but their own refusals shows whose fault it is.
#[tokio::test(start_paused = true)]
async fn few_recipients_who_are_refused_without_others_have_failed_after_half_a_minute() {
    let bank = Bank::with_customers(4).await;
    let batch = bank.push(1).await;
    bank.smtp.always(ambiguous(Suspect::Sender));
    let (counts, left) = bank.run(&[batch], MINUTE).await;
    assert_eq!((counts, left.len(), bank.smtp.count()), (failed(4), 0, 32));
    let passed = bank.sources.now().duration_since(testing::clock::START).as_secs();
    assert!((30..45).contains(&passed), "{passed} s");
}

/// As a provider does that slows a sender down before it blocks it.
#[tokio::test(start_paused = true)]
async fn temporary_refusals_before_a_block_count_for_nothing() {
    let bank = Bank::with_customers(30).await;
    let batches = bank.push_in_batches_of(10, 1).await;
    bank.smtp.replies(|number, customer| match number {
        30.. => ambiguous(Suspect::Sender),
        _ if customer.len() == 3 => temporary(),
        _ => ok(),
    });
    let (counts, left) = bank.run(&batches, 2 * MINUTE).await;
    assert_eq!((counts.failed, bank.deliveries_in("sent"), bank.deliveries_in("failed")), (0, 21, 0));
    bank.smtp.always(ok());
    let (more, left) = bank.run(&left, 3 * MINUTE).await;
    assert_eq!((counts.sent + more.sent, left.len()), (30, 0));
}

#[tokio::test(start_paused = true)]
async fn outage_longer_than_retry_hours_fails_no_recipient() {
    let bank = Bank::with_customers(1).await.with_one_retry_hour();
    let batch = bank.push(1).await;
    bank.smtp.always(temporary());
    let (_, left) = bank.run(&[batch], 5 * MINUTE).await;
    bank.smtp.always(refused(SendError::Unreachable("no connection".to_owned())));
    let (_, left) = bank.run(&left, 120 * MINUTE).await;
    bank.smtp.always(ok());
    let (counts, left) = bank.run(&left, 30 * MINUTE).await;
    assert_eq!((counts, left.len()), (sent(1), 0));
}

#[tokio::test(start_paused = true)]
async fn messages_without_a_response_do_not_count_in_a_later_push() {
    let bank = Bank::with_customers(1).await;
    bank.smtp.always(refused(SendError::Unanswered("silence".to_owned())));
    let (counts, _) = bank.run(&[bank.push(1).await], 10 * MINUTE).await;
    assert_eq!(counts, failed(1));
    let again = bank.push(2).await;
    bank.set_retry_rejected(2);
    bank.smtp.always(temporary());
    let (_, left) = bank.run(&[again], 2 * MINUTE).await;
    bank.smtp.always(ok());
    let (counts, left) = bank.run(&left, 10 * MINUTE).await;
    assert_eq!((counts, left.len()), (sent(1), 0));
}

/// A provider blocks us in the middle of a push.
#[tokio::test(start_paused = true)]
async fn refusals_that_begin_in_the_middle_of_a_push_fail_no_recipient() {
    for suspect in Suspect::ALL {
        let bank = Bank::with_customers(100).await.with_rate(20);
        let batches = bank.push_in_batches_of(25, 1).await;
        let is_blocked = Arc::new(AtomicBool::new(false));
        let blocked = is_blocked.clone();
        bank.smtp.replies(
            move |number, _| {
                if number >= 40 && blocked.load(Ordering::Relaxed) { ambiguous(suspect) } else { ok() }
            },
        );
        is_blocked.store(true, Ordering::Relaxed);
        let (counts, left) = bank.run(&batches, 2 * MINUTE).await;
        assert_eq!((bank.deliveries_in("sent"), bank.deliveries_in("failed")), (40, 0), "{suspect}");
        is_blocked.store(false, Ordering::Relaxed);
        let (more, left) = bank.run(&left, 3 * MINUTE).await;
        assert_eq!((counts.sent + more.sent, left.len()), (100, 0), "{suspect}");
        assert_eq!(bank.deliveries_in("sent"), 100);
    }
}

/// A round stands still after a message that was accepted. Meanwhile others are refused, of which it has not heard.
#[tokio::test(start_paused = true)]
async fn acceptance_from_before_a_pause_disproves_no_refusal_since() {
    for suspect in Suspect::ALL {
        let bank = Bank::with_customers(2).await.with_rate(1);
        let batch = bank.push(1).await;
        let (dynamo, clock, push) = (bank.dynamo.clone(), bank.clock.clone(), bank.push_id(1));
        bank.smtp.replies(move |number, _| {
            if number == 0 {
                return ok();
            }
            clock.skip(Duration::from_secs(20));
            let refused = string_set(["a", "b", "c", "d", "e"]);
            dynamo.put("Pacing", json!({"pk": "smtp", "refused": refused, "nextSend": 0}));
            dynamo.put("Pacing", json!({"pk": format!("push#{push}#smtp"), "refused": refused}));
            ambiguous(suspect)
        });
        assert_waits(&bank.defer(&batch).await, DeferReason::Held, 0.0..=10.0);
        assert_eq!((bank.deliveries_in("sent"), bank.deliveries_in("retry")), (1, 1), "{suspect}");
    }
}

/// Of five batches with ten customers each, ten customers are refused at once; the others have their turn first.
#[tokio::test(start_paused = true)]
async fn probes_use_recipients_who_were_not_refused_yet() {
    let bank = Bank::with_customers(50).await;
    let batches = bank.push_in_batches_of(10, 1).await;
    let in_a_row = Arc::new(Mutex::new(Vec::new()));
    let seen = in_a_row.clone();
    bank.smtp.replies(move |_, customer| {
        seen.lock().unwrap().push(customer.to_owned());
        ambiguous(Suspect::Sender)
    });
    bank.run(&batches, Duration::from_secs(50 * 61)).await;
    let attempts = in_a_row.lock().unwrap();
    let first: BTreeSet<_> = attempts.iter().take(50).collect();
    assert_eq!(first.len(), 50, "everybody is tried once before anybody is tried again: {attempts:?}");
}

#[tokio::test(start_paused = true)]
async fn offer_to_dead_addresses_does_not_slow_another_offer() {
    let bank = Bank::with_customers(150).await.with_rate(200);
    let other = bank.another_offer(100).await;
    bank.smtp.replies(|_, customer| if customer.starts_with('c') { ambiguous(Suspect::Sender) } else { ok() });
    let (dead, alive) = (bank.push_in_batches_of(50, 1).await, other.push_in_batches_of(50, 1).await);
    let began = bank.sources.now();
    let ((counts, left), took) = tokio::join!(bank.run(&dead, 5 * MINUTE), async {
        let (counts, left) = other.run(&alive, 10 * MINUTE).await;
        assert_eq!((counts, left.len()), (sent(100), 0));
        other.sources.now().duration_since(began).as_secs()
    });
    assert!(took < 30, "the other offer took {took} s");
    assert_eq!(bank.deliveries_in("failed") + left_in(&left), 150, "{counts:?}");
    let attempts = bank.smtp.customers().iter().filter(|customer| customer.starts_with('c')).count();
    assert!(attempts < 2 * 150 + 50, "{attempts} attempts at dead addresses");
}

/// While messages of other offers are accepted, the dead addresses of one are found out quickly.
#[tokio::test(start_paused = true)]
async fn dead_addresses_fail_while_other_offers_are_accepted() {
    let bank = Bank::with_customers(60).await.with_rate(20);
    let other = bank.another_offer(600).await;
    bank.smtp.replies(|_, customer| {
        if customer.starts_with('c') {
            ambiguous(Suspect::Sender)
        } else {
            accepted().after(Duration::from_millis(500))
        }
    });
    let (dead, alive) = (bank.push_in_batches_of(15, 1).await, other.push_in_batches_of(50, 1).await);
    let ((counts, left), _) = tokio::join!(bank.run(&dead, 5 * MINUTE), other.run(&alive, 5 * MINUTE));
    assert_eq!((counts, left.len()), (failed(60), 0));
}

#[tokio::test(start_paused = true)]
async fn content_that_is_refused_holds_its_push_and_no_other() {
    let bank = Bank::with_customers(60).await;
    let other = bank.another_offer(60).await;
    bank.smtp.replies(|_, customer| if customer.starts_with('c') { ambiguous(Suspect::Content) } else { ok() });
    let (spam, ham) = (bank.push_in_batches_of(20, 1).await, other.push_in_batches_of(20, 1).await);
    let ((counts, left), (others, _)) =
        tokio::join!(bank.run(&spam, 2 * MINUTE), other.run(&ham, Duration::from_secs(5)));
    assert_eq!((others, counts, left_in(&left)), (sent(60), sent(0), 60));
    assert_eq!(bank.deliveries_in("failed"), 0);
    assert_eq!(bank.limits_of(TransportId::Smtp)["blockedUntil"], Value::Null);
}

#[tokio::test(start_paused = true)]
async fn held_push_is_served_by_the_fallback() {
    let bank = Bank::with_customers(40).await.with_fallback();
    let batches = bank.push_in_batches_of(20, 1).await;
    bank.smtp.always(ambiguous(Suspect::Sender));
    let (counts, left) = bank.run(&batches, MINUTE).await;
    assert_eq!((counts, left.len()), (sent(40), 0));
    assert!(bank.ses.count() >= 20);
}

#[tokio::test(start_paused = true)]
async fn held_push_says_so_once() {
    let bank = Bank::with_customers(20).await;
    let batch = bank.push(1).await;
    bank.smtp.always(ambiguous(Suspect::Sender));
    let logs = Logs::capture();
    let deferral = bank.defer(&batch).await;
    assert_waits(&deferral, DeferReason::Held, 1.0..=3.0);
    assert_eq!(logs.with("push held").len(), 1);
    tokio::time::sleep(deferral.delay).await;
    bank.smtp.always(ok());
    let (counts, _) = bank.run(&[deferral.again], MINUTE).await;
    assert_eq!((counts, logs.with("push no longer held").len()), (sent(20), 1));
}

#[tokio::test(start_paused = true)]
async fn recipients_refused_for_long_enough_fail_though_their_push_is_held() {
    let bank = Bank::with_customers(8).await.with_one_retry_hour();
    let batches = bank.push_in_batches_of(2, 1).await;
    bank.smtp.always(ambiguous(Suspect::Sender));
    let (counts, left) = bank.run(&batches, 59 * MINUTE).await;
    assert_eq!((counts, left_in(&left)), (sent(0), 8));
    let (counts, left) = bank.run(&left, 20 * MINUTE).await;
    assert_eq!((counts, left.len()), (failed(8), 0));
}

#[tokio::test(start_paused = true)]
async fn recipient_refused_for_now_is_tried_for_retry_hours_and_then_failed() {
    let bank = Bank::with_customers(2).await;
    let batch = bank.push(1).await;
    bank.smtp.replies(|_, customer| if customer == "c-1" { temporary() } else { ok() });
    let almost = Duration::try_from(RETRY_FOR).unwrap() - 20 * MINUTE;
    let (_, left) = bank.run(&[batch], almost).await;
    assert_eq!((left_in(&left), bank.delivery("c-1")["state"].clone()), (1, json!("retry")));
    let (counts, left) = bank.run(&left, 60 * MINUTE).await;
    assert_eq!((counts, left.len()), (OutcomeCounts { failed: 1, ..sent(1) }, 0));
    let recorded = json!({"code": "refusedForNow", "reason": "not accepted for now: 450 4.2.1 try later"});
    assert_has(&bank.delivery("c-1"), &recorded);
    // Often at first, and at least each quarter of an hour.
    assert!((250..400).contains(&bank.smtp.count()), "{}", bank.smtp.count());
}

#[tokio::test(start_paused = true)]
async fn unknown_address_is_suppressed_while_others_are_accepted() {
    // In one batch, and in batches of their own, whichever is first.
    for (size, dead) in [(3, "c-1"), (3, "c-3"), (1, "c-1"), (1, "c-3")] {
        let bank = Bank::with_customers(3).await;
        let batches = bank.push_in_batches_of(size, 1).await;
        bank.smtp.replies(move |_, customer| if customer == dead { unknown() } else { ok() });
        let (counts, left) = bank.run(&batches, MINUTE).await;
        assert_eq!((counts, left.len()), (OutcomeCounts { failed: 1, ..sent(2) }, 0));
        assert_has(&bank.delivery(dead), &json!({"state": "failed", "code": "addressUnknown"}));
        assert_eq!(bank.smtp.count(), 3, "tried once");
        let pk = json!({"pk": format!("reported#{}", hash_of(dead))});
        assert_has(&bank.dynamo.item("Suppressions", pk).unwrap(), &json!({"reason": "bounced", "by": "smtp"}));
    }
}

/// A provider has once said so of all of its customers, for hours.
#[tokio::test(start_paused = true)]
async fn unknown_addresses_are_not_suppressed_while_no_recipient_is_accepted() {
    let bank = Bank::with_customers(20).await;
    let batch = bank.push(1).await;
    bank.smtp.always(unknown());
    let (counts, left) = bank.run(&[batch], MINUTE).await;
    assert_eq!((counts, left.len()), (failed(20), 0));
    let suppressed = bank.dynamo.items("Suppressions").into_iter().filter(|item| item["reason"] == "bounced").count();
    assert_eq!(suppressed, 0);
}
