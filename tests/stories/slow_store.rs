//! A store that throttles or is slow: sending is slower and stays correct. The story of a cancelled push
//! is here too, since it needs the same proxy in front of the store, and the lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::ensure;
use end_to_end::aws_proxy::{AwsCall, AwsProxy, ProxyAction};
use end_to_end::{Bank, commits_page, each_once, id_of, wait_for, wait_long_for};
use serde_json::json;
use tokio::sync::Mutex;

/// One test at a time: they change the store that functions use.
static STORE: Mutex<()> = Mutex::const_new(());

#[tokio::test]
async fn cancelled_push_drains_even_if_no_page_was_committed() {
    const CUSTOMERS: usize = 60;
    let _guard = STORE.lock().await;
    let bank = Bank::open();
    // Messages of other stories may still be there.
    let on_its_way = async || {
        let queued = bank.queues().depths().await;
        queued["audience"] + queued["email"]
    };
    let before = on_its_way().await;
    bank.put_many(CUSTOMERS).await;
    // The audience function queues batches and then cannot commit the page.
    let (pushes, is_stuck) = (bank.stack.tables["pushes"].clone(), Arc::new(AtomicBool::new(true)));
    let stuck = is_stuck.clone();
    let decide = move |call: &AwsCall<'_>| {
        if commits_page(call, &pushes) && stuck.load(Ordering::Relaxed) {
            ProxyAction::Throttle
        } else {
            ProxyAction::Pass
        }
    };
    let store = AwsProxy::start(&bank.stack.endpoint_url, decide).await;
    bank.aws().set_environment("audience", "AWS_ENDPOINT_URL_DYNAMODB", Some(&store.url)).await;
    let offer = bank.post_offer(&json!({"code": "STUCK", "description": "Hello"})).await;
    wait_for("the first customers to be served", async || {
        let served = bank.mail_count().await.len();
        ensure!(served > 0, "{served}");
        Ok(())
    })
    .await;
    assert_eq!(bank.push(&offer).await["eligible"], 0, "not counted yet");
    let response = bank.call("POST", &format!("/offers/{}/pushes/1/cancel", id_of(&offer)), &json!({})).await;
    assert_eq!(response.status, 202, "{}", response.text);
    is_stuck.store(false, Ordering::Relaxed);

    let push = wait_for("all queued batches to be counted", async || {
        let (push, recorded) = (bank.push(&offer).await, bank.deliveries(&offer, "limit=100").await.len());
        ensure!(push["pending"] == 0 && push["eligible"] == recorded && recorded > 0, "{push}, {recorded} recorded");
        Ok(push)
    })
    .await;
    wait_for("the queues to be drained", async || {
        let queued = on_its_way().await;
        ensure!(queued <= before, "{queued}, {before} before");
        Ok(())
    })
    .await;
    bank.aws().set_environment("audience", "AWS_ENDPOINT_URL_DYNAMODB", None).await;
    for state in ["sent", "cancelled"] {
        assert_eq!(push[state], bank.deliveries(&offer, &format!("state={state}&limit=100")).await.len(), "{push}");
    }
    assert!(bank.mail_count().await.values().all(|copies| *copies == 1));
}

#[tokio::test]
async fn throttled_writes_delay_but_lose_nothing() {
    const CUSTOMERS: usize = 300;
    let _guard = STORE.lock().await;
    let bank = Bank::open();
    bank.put_many(CUSTOMERS).await;
    let (writes, throttled) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let counter = throttled.clone();
    // Ten in a row: more than the clients' own retries can hide.
    let decide = move |call: &AwsCall<'_>| {
        if !matches!(call.operation, "PutItem" | "UpdateItem") || writes.fetch_add(1, Ordering::Relaxed) % 20 >= 10 {
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
    assert!(throttled > CUSTOMERS, "{throttled} calls were throttled");
    assert_eq!((&push["sent"], &push["failed"]), (&json!(CUSTOMERS), &json!(0)), "{push}");
    assert_eq!(bank.mail_count().await, each_once(CUSTOMERS));
    assert_eq!(bank.deliveries(&offer, "state=sent&limit=100").await.len(), CUSTOMERS);
    assert_eq!(bank.queues().dead_letters().await, dead, "no message is dead-lettered");
    println!("{throttled} writes were throttled");
}

#[tokio::test]
async fn slow_store_wastes_no_reserved_sends() {
    const CUSTOMERS: usize = 60;
    /// Longer than a reserved send may be delayed.
    const EACH_CALL: Duration = Duration::from_millis(400);
    let _guard = STORE.lock().await;
    let bank = Bank::open();
    bank.put_many(CUSTOMERS).await;
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = calls.clone();
    let slow = move |_: &AwsCall<'_>| {
        counter.fetch_add(1, Ordering::Relaxed);
        ProxyAction::Delay(EACH_CALL)
    };
    let store = AwsProxy::start(&bank.stack.endpoint_url, slow).await;
    bank.aws().set_environment("email", "AWS_ENDPOINT_URL_DYNAMODB", Some(&store.url)).await;
    let offer = bank.post_offer(&json!({"code": "SLOW", "description": "Hello"})).await;
    let push = bank.wait_until_completed(&offer).await;
    bank.aws().set_environment("email", "AWS_ENDPOINT_URL_DYNAMODB", None).await;
    assert_eq!((&push["sent"], &push["failed"]), (&json!(CUSTOMERS), &json!(0)), "{push}");
    assert_eq!(bank.mail_count().await, each_once(CUSTOMERS));
    let calls = calls.load(Ordering::Relaxed);
    assert!(calls > 2 * CUSTOMERS, "{calls} calls were slow: each claim and each outcome is one");
}
