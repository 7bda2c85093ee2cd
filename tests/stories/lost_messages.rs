//! Messages that get lost. One test at a time: they share the queues.

use anyhow::ensure;
use end_to_end::{Bank, each_once, wait_for};
use serde_json::{Value, json};
use tokio::sync::Mutex;

static QUEUES: Mutex<()> = Mutex::const_new(());

/// Sweeps until the push is completed.
async fn sweep_until_completed(bank: &Bank, offer: &Value) -> Value {
    wait_for("the sweep to find what is missing", async || {
        bank.sweep(offer).await;
        let push = bank.push(offer).await;
        ensure!(push["state"] == "completed", "{push}");
        Ok(push)
    })
    .await
}

#[tokio::test]
async fn lost_batches_are_found_and_sent_once() {
    let _guard = QUEUES.lock().await;
    let bank = Bank::open();
    bank.put_many(600).await;
    let offer = bank.post_offer(&json!({"code": "PURGED", "description": "Hello"})).await;
    bank.wait_until_count(&offer, "sent", 50).await;
    bank.queues().purge("email").await;
    assert!(bank.mail().await.len() < 600, "the purge happens during the push");

    let push = sweep_until_completed(&bank, &offer).await;
    assert_eq!((&push["sent"], &push["eligible"], &push["failed"]), (&json!(600), &json!(600), &json!(0)), "{push}");
    assert_eq!(bank.mail_count().await, each_once(600));
    bank.close().await;
}

#[tokio::test]
async fn push_missed_by_the_stream_is_started_by_the_sweep() {
    let _guard = QUEUES.lock().await;
    let bank = Bank::open();
    bank.put_many(10).await;
    // An offer of five minutes ago, written as the offer function writes it. The stream delivers it immediately …
    let offer = bank.post_offer(&json!({"code": "UNPUBLISHED", "description": "Hello", "eligibility": "false"})).await;
    let first = bank.wait_until_completed(&offer).await;
    bank.tables().backdate_push_request(&offer, 5).await;
    // … so the test deletes what the push function stored.
    bank.tables().forget_push(&offer).await;

    // The stack's own sweep may come first.
    let minute = json!({"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}});
    bank.invoke("push", &minute).await.unwrap();
    let push = bank.wait_until_completed(&offer).await;
    assert_ne!(push["startedAt"], first["startedAt"], "it was started again");
    assert_eq!((&push["slicesDone"], &push["slices"]), (&first["slices"], &first["slices"]));
}
