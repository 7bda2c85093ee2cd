//! A store that is too busy: slower, and not wrong. Alone: every function uses that store.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::ensure;
use end_to_end::aws_proxy::{Asked, AwsProxy, Verdict};
use end_to_end::{Bank, each_once, id_of, wait_long_for};
use serde_json::json;

const CUSTOMERS: usize = 300;

#[tokio::test]
async fn throttled_writes_make_it_slower_and_not_wrong() {
    let bank = Bank::open();
    bank.put_many(CUSTOMERS).await;
    let (writes, throttled) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let counter = throttled.clone();
    // Runs of them: more than the clients' own attempts can hide.
    let judge = move |asked: &Asked<'_>| {
        if !matches!(asked.operation, "PutItem" | "UpdateItem") || writes.fetch_add(1, Ordering::Relaxed) % 20 >= 10 {
            return Verdict::Pass;
        }
        counter.fetch_add(1, Ordering::Relaxed);
        Verdict::Throttle
    };
    let store = AwsProxy::start(&bank.stack.endpoint_url, judge).await;
    let dead = bank.dead_letters().await;
    for function in ["push", "audience", "email"] {
        bank.set_environment(function, "AWS_ENDPOINT_URL_DYNAMODB", Some(&store.url)).await;
    }
    let offer = bank.post_offer(&json!({"code": "BUSY", "description": "Hello"})).await;
    let push = wait_long_for("the push to complete", Duration::from_secs(600), async || {
        // As each minute does; it may be refused as well.
        let swept = bank.invoke("push", &json!({"sweep": id_of(&offer)})).await;
        let push = bank.push(&offer).await;
        ensure!(push["state"] == "completed", "{push}; {swept:?}");
        Ok(push)
    })
    .await;
    for function in ["push", "audience", "email"] {
        bank.set_environment(function, "AWS_ENDPOINT_URL_DYNAMODB", None).await;
    }

    let throttled = throttled.load(Ordering::Relaxed);
    assert!(throttled > CUSTOMERS, "{throttled} calls were throttled");
    assert_eq!((&push["sent"], &push["failed"]), (&json!(CUSTOMERS), &json!(0)), "{push}");
    assert_eq!(bank.mail_count().await, each_once(CUSTOMERS));
    assert_eq!(bank.deliveries(&offer, "state=sent&limit=100").await.len(), CUSTOMERS);
    assert_eq!(bank.dead_letters().await, dead, "no message is to blame");
    println!("{throttled} writes were throttled");
}
