//! The half-open breaker: after a block, one function at a time tries the transport, one message at a time.

use std::time::Duration;

use delivery::{DeferReason, Delivered, RefusalKind, SendError};
use domain::TransportId;
use domain::push::OutcomeCounts;
use domain::queue::Batch;
use serde_json::{Value, json};
use testing::Fault;

use crate::bank::{Bank, assert_waits, sent};
use crate::logs::Logs;
use crate::provider::{accepted, refused};
use crate::stored::{after, assert_has, millis};

/// Long enough to hand a message over (`pipeline/breaker.rs`).
const PROBE_LEASE: Duration = Duration::from_secs(45);

/// A bank whose primary was unreachable. Its block ends at one second, which is now. One batch for each customer.
async fn bank_after_a_block(customers: usize) -> (Bank, Vec<Batch>) {
    let bank = Bank::with_customers(customers).await;
    let batches = bank.push_in_batches_of(1, 1).await;
    bank.limits().open_breaker(TransportId::Smtp, None, "down").await.unwrap();
    tokio::time::advance(Duration::from_secs(1)).await;
    (bank, batches)
}

/// The breaker may be probed by the next caller, and is not closed.
fn assert_probe_is_released(bank: &Bank) {
    let released = json!({"blockedUntil": millis(after(1.0)), "probeUntil": null, "probeToken": null, "failures": 0});
    assert_has(&bank.limits_of(TransportId::Smtp), &released);
}

#[tokio::test(start_paused = true)]
async fn probe_that_reaches_the_transport_closes_the_breaker() {
    let bank = Bank::with_customers(5).await;
    let batch = bank.push(1).await;
    bank.limits().open_breaker(TransportId::Smtp, None, "down").await.unwrap();
    tokio::time::advance(Duration::from_millis(999)).await;
    assert_eq!(bank.defer(&batch).await.again, batch);
    tokio::time::advance(Duration::from_millis(1)).await;
    let logs = Logs::capture();
    bank.smtp.always(accepted().after(Duration::from_secs(1)));
    let (counts, lease) = tokio::join!(bank.complete(&batch), async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        bank.limits_of(TransportId::Smtp)
    });
    assert_eq!(lease["probeUntil"], millis(after(1.0) + PROBE_LEASE));
    assert_eq!((counts, bank.smtp.most_in_progress()), (sent(5), 1));
    let closed = json!({"blockedUntil": null, "probeUntil": null, "probeToken": null, "failures": null});
    assert_has(&bank.limits_of(TransportId::Smtp), &closed);
    // Open, and closed by the first of the five.
    assert_eq!(bank.breaker_writes(), 2);
    assert_eq!(logs.with("circuit breaker closed").len(), 1);
}

/// Otherwise all others would wait for the end of the lease, although the transport works.
#[tokio::test(start_paused = true)]
async fn report_that_fails_is_made_again_by_the_next_message() {
    let bank = Bank::with_customers(3).await;
    let batch = bank.push(1).await;
    bank.limits().open_breaker(TransportId::Smtp, None, "down").await.unwrap();
    tokio::time::advance(Duration::from_secs(1)).await;
    // The probe, a slot and its reservation, and the report.
    bank.dynamo.inject("UpdateItem", "Pacing", [Fault::Nothing, Fault::Nothing, Fault::Nothing, Fault::Conflict]);
    assert_eq!(bank.complete(&batch).await, sent(3));
    assert_eq!(bank.dynamo.faults_left(), 0);
    assert_eq!(bank.limits_of(TransportId::Smtp)["blockedUntil"], Value::Null);
}

#[tokio::test(start_paused = true)]
async fn any_response_shows_that_the_transport_is_reached() {
    let rejected = SendError::refused(RefusalKind::Recipient, "no such mailbox");
    for reply in [refused(rejected), refused(SendError::refused(RefusalKind::Temporary, "busy"))] {
        let (bank, batches) = bank_after_a_block(1).await;
        bank.smtp.always(reply);
        bank.deliver(&batches[0]).await;
        assert_eq!(bank.limits_of(TransportId::Smtp)["blockedUntil"], Value::Null);
    }
}

#[tokio::test(start_paused = true)]
async fn others_wait_as_long_again_as_the_outage_has_lasted_while_one_function_probes() {
    let (bank, batches) = bank_after_a_block(2).await;
    bank.smtp.replies(|number, _| accepted().after(Duration::from_secs(if number == 0 { 40 } else { 0 })));
    let begun = tokio::time::Instant::now();
    let (first, ()) = tokio::join!(bank.deliver(&batches[0]), async {
        let mut batch = batches[1].clone();
        for seconds in [1.0, 3.0, 9.0, 20.0] {
            tokio::time::sleep_until(begun + Duration::from_secs_f64(seconds)).await;
            let deferral = bank.defer(&batch).await;
            // It was unreachable for a second before this test.
            let away = seconds + 1.0;
            assert_waits(&deferral, DeferReason::BreakerOpen, (away / 2.0 + 1.0)..=(away + 2.0));
            batch = deferral.again;
        }
        assert_eq!(batch, batches[1]);
    });
    // However slow the probe was, it counts.
    assert_eq!(first, Delivered::Completed(sent(1)));
    assert_eq!((bank.smtp.count(), bank.limits_of(TransportId::Smtp)["blockedUntil"].clone()), (1, Value::Null));
    assert_eq!(bank.complete(&batches[1]).await, sent(1));
}

#[tokio::test(start_paused = true)]
async fn each_failed_probe_doubles_the_block() {
    let (bank, batches) = bank_after_a_block(1).await;
    let results = [SendError::Unreachable("refused".to_owned()), SendError::Unanswered("silence".to_owned())];
    for (result, failures, block) in [(results[0].clone(), 1, 2_u32), (results[1].clone(), 2, 4)] {
        bank.smtp.always(refused(result));
        let probed_at = bank.sources.now();
        let deferral = bank.defer(&batches[0]).await;
        // It comes again to probe.
        let block_s = f64::from(block);
        assert_waits(&deferral, DeferReason::BreakerOpen, (block_s + 1.0)..=(block_s + 2.0));
        let block = u64::from(block);
        let until = probed_at + Duration::from_secs(block);
        let blocked = json!({"blockedUntil": millis(until), "failures": failures, "probeUntil": null});
        assert_has(&bank.limits_of(TransportId::Smtp), &blocked);
        tokio::time::advance(Duration::from_secs(block)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn failed_probe_is_the_only_message_of_its_batch() {
    let bank = Bank::with_customers(5).await;
    let batch = bank.push(1).await;
    bank.limits().open_breaker(TransportId::Smtp, None, "down").await.unwrap();
    tokio::time::advance(Duration::from_secs(1)).await;
    bank.smtp.always(refused(SendError::Unanswered("silence".to_owned())));
    let deferral = bank.defer(&batch).await;
    assert_waits(&deferral, DeferReason::BreakerOpen, 3.0..=4.0);
    assert_eq!((bank.smtp.count(), deferral.again.customers().len()), (1, 5));
}

#[tokio::test(start_paused = true)]
async fn probe_without_a_message_is_left_to_the_next_function() {
    let (bank, batches) = bank_after_a_block(2).await;
    bank.unsubscribe("c-1").await;
    assert_eq!(bank.complete(&batches[0]).await, OutcomeCounts { opted_out: 1, ..sent(0) });
    assert_probe_is_released(&bank);

    // Another invocation holds the delivery.
    let (bank, batches) = bank_after_a_block(2).await;
    bank.smtp.always(refused(SendError::TooLate));
    assert_waits(&bank.defer(&batches[0]).await, DeferReason::Deadline, 0.0..=0.0);
    assert_probe_is_released(&bank);
    assert_waits(&bank.defer(&batches[0]).await, DeferReason::Leased, 1.0..=1.5);
    assert_probe_is_released(&bank);

    // There was no time.
    let deadline = bank.sources.now() + Duration::from_secs(30);
    bank.function().deliver(&batches[1], deadline).await.unwrap();
    assert_probe_is_released(&bank);
    bank.smtp.always(accepted());
    assert_eq!(bank.complete(&batches[1]).await, sent(1));
    assert_eq!(bank.limits_of(TransportId::Smtp)["blockedUntil"], Value::Null);
}

#[tokio::test(start_paused = true)]
async fn probe_whose_function_died_is_left_to_others_after_its_lease() {
    let (bank, batches) = bank_after_a_block(2).await;
    bank.smtp.always(accepted().after(Duration::from_secs(90)));
    tokio::select! {
        biased;
        delivered = bank.deliver(&batches[0]) => panic!("{delivered:?}"),
        () = tokio::time::sleep(Duration::from_secs(1)) => {}
    }
    bank.smtp.always(accepted());
    tokio::time::advance(PROBE_LEASE - Duration::from_secs(1) - Duration::from_millis(1)).await;
    // Until the right to probe ends.
    assert_waits(&bank.defer(&batches[1]).await, DeferReason::BreakerOpen, 1.0..=2.1);
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(bank.complete(&batches[1]).await, sent(1));
}
