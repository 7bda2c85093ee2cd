//! A store that throttles: sending is slower and stays correct.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::ensure;
use end_to_end::aws_proxy::{AwsCall, AwsProxy, ProxyAction};
use end_to_end::{Bank, each_once, id_of, wait_long_for};
use serde_json::json;

#[tokio::test]
async fn throttled_writes_delay_but_lose_nothing() {
    const CUSTOMERS: usize = 100;
    let bank = Bank::open();
    bank.put_many(CUSTOMERS).await;
    let (writes, throttled) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let counter = throttled.clone();
    // Ten in a row: more than the clients' own retries can hide. After so many, the store recovers: waits that have grown
    // show nothing more.
    let decide = move |call: &AwsCall<'_>| {
        let is_write = matches!(call.operation, "PutItem" | "UpdateItem" | "BatchExecuteStatement");
        if !is_write
            || counter.load(Ordering::Relaxed) >= 2 * CUSTOMERS
            || writes.fetch_add(1, Ordering::Relaxed) % 20 >= 10
        {
            return ProxyAction::Pass;
        }
        counter.fetch_add(1, Ordering::Relaxed);
        ProxyAction::Throttle
    };
    let store = AwsProxy::start(&bank.stack.endpoint_url, decide).await;
    let dead = bank.queues().dead_letters().await;
    for function in ["push", "audience", "email"] {
        bank.aws().set_environment(function, "AWS_ENDPOINT_URL_DYNAMODB", Some(&store.url)).await;
    }
    let offer = bank.post_offer(&json!({"code": "BUSY", "description": "Hello"})).await;
    let push = wait_long_for("the push to complete", Duration::from_secs(600), async || {
        // As the schedule does each minute. The sweep may be throttled as well.
        let sweep = bank.invoke("push", &json!({"sweep": id_of(&offer)})).await;
        let push = bank.push(&offer).await;
        ensure!(push["state"] == "completed", "{push}; {sweep:?}");
        Ok(push)
    })
    .await;
    for function in ["push", "audience", "email"] {
        bank.aws().set_environment(function, "AWS_ENDPOINT_URL_DYNAMODB", None).await;
    }

    let throttled = throttled.load(Ordering::Relaxed);
    // Claims and outcomes share calls.
    assert!(throttled > CUSTOMERS / 2, "{throttled} calls were throttled");
    assert_eq!((&push["sent"], &push["failed"]), (&json!(CUSTOMERS), &json!(0)), "{push}");
    assert_eq!(bank.mail_count().await, each_once(CUSTOMERS));
    assert_eq!(bank.deliveries(&offer, "state=sent&limit=100").await.len(), CUSTOMERS);
    assert_eq!(bank.queues().dead_letters().await, dead, "no message is dead-lettered");
    println!("{throttled} writes were throttled");
}
