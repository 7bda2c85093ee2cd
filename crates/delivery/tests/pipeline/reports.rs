//! The report of a batch: its counts are added once, when the page that it comes from is committed.

use delivery::{DeferReason, Delivered};
use domain::push::OutcomeCounts;
use domain::queue::Batch;
use serde_json::{Value, json};

use crate::bank::{Bank, assert_waits, counted, sent};
use crate::stored::assert_has;

#[tokio::test(start_paused = true)]
async fn batch_that_is_faster_than_its_scan_waits_for_the_page_without_its_customers() {
    let bank = Bank::with_customers(3).await;
    let scan = bank.start_push(1).await;
    let batch = bank.uncommitted(&scan);
    let deferral = bank.defer(&batch).await;
    assert_waits(&deferral, DeferReason::PageNotCommitted, 1.0..=1.5);
    let again = Batch { notifications: counted(sent(3)), deferrals: 1, ..batch.clone() };
    assert_eq!((deferral.again.clone(), bank.slice(1)["sent"].clone()), (again, Value::Null));

    let later = bank.defer(&deferral.again).await;
    assert_waits(&later, DeferReason::PageNotCommitted, 1.5..=2.25);
    assert_eq!(later.again.deferrals, 2);

    bank.commit(&scan, std::slice::from_ref(&batch)).await;
    assert_eq!(bank.complete(&later.again).await, sent(3));
    assert_has(&bank.slice(1), &json!({"sent": 3, "batchesOpen": null}));
    assert_eq!((bank.state_of_push(1), bank.smtp.count()), (json!("completed"), 3));
}

#[tokio::test(start_paused = true)]
async fn batch_of_a_scan_that_was_restarted_is_not_counted() {
    let bank = Bank::with_customers(3).await;
    let batch = bank.push(1).await;
    let pushes = bank.pushes();
    let push = pushes.get(batch.push).await.unwrap().unwrap();
    let mut statuses = Vec::new();
    pushes.each_slice(&push, |status| statuses.push(status)).await.unwrap();
    let status = statuses.remove(0);
    assert_eq!(pushes.restart_scan(batch.push, &status).await.unwrap(), Some(2));
    assert_eq!(bank.deliver(&batch).await, Delivered::NothingToReport);
    assert_has(&bank.slice(1), &json!({"sent": null, "generation": 2}));
    assert_eq!((bank.smtp.count(), bank.state_of_push(1)), (3, json!("running")));
}

#[tokio::test(start_paused = true)]
async fn batch_that_no_scan_has_queued_is_not_counted() {
    let bank = Bank::with_customers(1).await;
    let batch = Batch { number: 7, ..bank.push(1).await };
    assert_eq!(bank.deliver(&batch).await, Delivered::NothingToReport);
    assert_eq!(bank.slice(1)["sent"], Value::Null);
}

#[tokio::test(start_paused = true)]
async fn cancelled_push_gives_up_a_batch_whose_page_is_never_committed() {
    let bank = Bank::with_customers(1).await;
    let scan = bank.start_push(1).await;
    let mut batch = bank.uncommitted(&scan);
    bank.cancel(1).await;
    let mut waited = 0;
    let mut deferrals = 0;
    let last = loop {
        match bank.deliver(&batch).await {
            Delivered::Deferred(deferral) => {
                assert_eq!(deferral.reason, DeferReason::PageNotCommitted);
                assert_eq!(deferral.again.counts(), OutcomeCounts { cancelled: 1, ..sent(0) });
                (waited, deferrals) = (waited + deferral.delay.as_secs(), deferrals + 1);
                batch = deferral.again;
            }
            last => break last,
        }
    };
    assert_eq!((last, deferrals), (Delivered::NothingToReport, 16));
    assert!((20 * 60..40 * 60).contains(&waited), "{waited} s");
}

#[tokio::test(start_paused = true)]
async fn running_push_never_gives_up_a_batch() {
    let bank = Bank::with_customers(1).await;
    let scan = bank.start_push(1).await;
    let mut batch = bank.uncommitted(&scan);
    for deferrals in 1..=30 {
        let deferral = bank.defer(&batch).await;
        assert_eq!(deferral.again.deferrals, deferrals);
        batch = deferral.again;
    }
    bank.commit(&scan, std::slice::from_ref(&batch)).await;
    assert_eq!(bank.complete(&batch).await, sent(1));
}

#[tokio::test(start_paused = true)]
async fn push_is_complete_when_its_last_batch_has_reported() {
    let bank = Bank::with_customers(9).await;
    let batches = bank.push_in_batches_of(3, 1).await;
    for (batch, state) in batches.iter().zip(["running", "running", "completed"]) {
        assert_eq!(bank.complete(batch).await, sent(3));
        assert_eq!(bank.state_of_push(1), state);
    }
    assert_eq!(bank.slice(1)["sent"], 9);
}
