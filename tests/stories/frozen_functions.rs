//! A function that is frozen while it sends, and another that takes over.
#![cfg(target_os = "linux")]

use std::time::Duration;

use anyhow::ensure;
use end_to_end::function::Function;
use end_to_end::{Bank, each_once, email_batch, sqs_event, wait_for, wait_long_for};
use serde_json::{Value, json};

/// The frozen invocation's time: little more than the minimum with which the email function starts to send
/// (`crates/delivery`). Its leases expire five seconds after that.
const MAY_TAKE: Duration = Duration::from_secs(125);

/// An offer that no customer is eligible for, and a batch of it for twenty customers, which only the test delivers.
async fn batch(bank: &Bank) -> (Value, Value) {
    bank.put_many(20).await;
    let offer = bank.post_offer(&json!({"code": "FROZEN", "description": "Hello", "eligibility": "false"})).await;
    bank.wait_until_completed(&offer).await;
    let customers: Vec<_> = (0..20).map(|i| bank.id(&format!("c{i}"))).collect();
    let batch = email_batch(&offer, 0, &customers);
    bank.tables().await_batch(&offer, 0, 20).await;
    (offer, sqs_event(&[batch]))
}

/// While one function is frozen, the deployed one gets the same batch and serves all customers: those that the frozen
/// function has not claimed immediately, and the others once its leases have expired. Then the frozen function resumes.
async fn another_takes_over(bank: &Bank, offer: &Value, event: &Value, frozen: &mut Function) {
    let held = bank.deliveries(offer, "state=claimed").await.len();
    assert!(held > 0, "the frozen function holds claims");
    let response = bank.invoke("email", event).await.unwrap();
    assert_eq!(response, json!({"batchItemFailures": []}), "what the frozen function claimed is deferred");
    wait_long_for("the other function to serve all customers", MAY_TAKE * 2, async || {
        let served = bank.mail_count().await.len();
        ensure!(served == 20, "{served} served");
        Ok(())
    })
    .await;
    frozen.resume();
    frozen.response().await;

    assert_eq!(
        bank.mail_count().await,
        each_once(20),
        "the frozen function held {held} claims and sent nothing under them"
    );
    assert_eq!(bank.deliveries(offer, "state=sent").await.len(), 20);
}

#[tokio::test]
async fn function_frozen_during_smtp_sends_nothing_after_its_leases_expire() {
    let bank = Bank::open();
    let (offer, event) = batch(&bank).await;
    // The server waits before it asks for the message, and the function is frozen during that time.
    bank.smtp_faults(json!([{"at": "data", "to": bank.domain(), "do": {"wait": 3_000}, "times": 10}])).await;
    let mut frozen = Function::start(&bank, "email", &[]).await;
    frozen.begin(event.clone(), MAY_TAKE).await;
    wait_for("ten messages to be announced", async || {
        let faults = bank.smtp_faults_now().await;
        ensure!(faults[0]["times"] == 0, "{faults}");
        Ok(())
    })
    .await;
    frozen.freeze();
    another_takes_over(&bank, &offer, &event, &mut frozen).await;
}
