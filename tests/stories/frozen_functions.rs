//! A function that is frozen or killed at a chosen moment, and another that takes over.
#![cfg(target_os = "linux")]

use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use end_to_end::aws_proxy::{AwsCall, AwsProxy, ProxyAction};
use end_to_end::function::Function;
use end_to_end::{Bank, each_once, email_batch, records_acceptance, sqs_event, wait_for, wait_long_for};
use serde_json::{Value, json};
use tokio::sync::{Notify, Semaphore};

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
async fn function_frozen_while_claiming_sends_nothing_after_its_leases_expire() {
    let bank = Bank::open();
    let (offer, event) = batch(&bank).await;
    // The store has recorded its claims, and it is frozen before it receives the store's response.
    let (claimed, release) = (Arc::new(Notify::new()), Arc::new(Semaphore::new(0)));
    let decide = {
        let (claimed, release) = (claimed.clone(), release.clone());
        let deliveries = bank.stack.tables["deliveries"].clone();
        move |call: &AwsCall<'_>| {
            if (call.operation, call.table) != ("UpdateItem", &*deliveries) {
                return ProxyAction::Pass;
            }
            claimed.notify_one();
            ProxyAction::HoldResponse(release.clone())
        }
    };
    let store = AwsProxy::start(&bank.stack.endpoint_url, decide).await;
    let mut frozen = Function::start(&bank, "email", &[("AWS_ENDPOINT_URL_DYNAMODB", &store.url)]).await;
    frozen.begin(event.clone(), MAY_TAKE).await;
    claimed.notified().await;
    wait_for("a claim to be stored", async || {
        ensure!(!bank.deliveries(&offer, "state=claimed").await.is_empty());
        Ok(())
    })
    .await;
    frozen.freeze();
    release.close();
    another_takes_over(&bank, &offer, &event, &mut frozen).await;
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

#[tokio::test]
async fn function_killed_before_recording_duplicates_only_messages_in_flight() {
    let bank = Bank::open();
    let (offer, event) = batch(&bank).await;
    // It receives the server's replies and is killed before it can record them.
    let deliveries = bank.stack.tables["deliveries"].clone();
    let decide = move |call: &AwsCall<'_>| {
        if records_acceptance(call, &deliveries) { ProxyAction::Throttle } else { ProxyAction::Pass }
    };
    let store = AwsProxy::start(&bank.stack.endpoint_url, decide).await;
    let killed = Function::start(&bank, "email", &[("AWS_ENDPOINT_URL_DYNAMODB", &store.url)]).await;
    killed.begin(event.clone(), MAY_TAKE).await;
    wait_for("all messages in flight to arrive", async || {
        let sent = bank.mail_count().await.len();
        ensure!(sent == 10, "{sent}");
        Ok(())
    })
    .await;
    drop(killed);
    assert_eq!(bank.deliveries(&offer, "state=sent").await.len(), 0, "it recorded nothing");

    assert_eq!(bank.invoke("email", &event).await.unwrap(), json!({"batchItemFailures": []}), "the rest is deferred");
    wait_long_for("all customers to be served", MAY_TAKE * 2, async || {
        let served = bank.deliveries(&offer, "state=sent").await.len();
        ensure!(served == 20, "{served} served");
        Ok(())
    })
    .await;
    let count = bank.mail_count().await;
    assert_eq!(count.len(), 20, "no customer is left out");
    assert_eq!(count.values().sum::<usize>(), 30, "the ten in flight arrived twice, the others once");
    assert!(count.values().all(|copies| *copies <= 2), "{count:?}");
}
