//! Pushing again, cancelling, and duplicate deliveries of records and messages.

use anyhow::ensure;
use end_to_end::{Bank, counts, each_once, email_batch, id_of, push_stream_event, sqs_event, wait_for};
use futures::future::join_all;
use serde_json::{Value, json};

async fn push_again(bank: &Bank, offer: &Value, options: Value) -> Value {
    let response = bank.call("POST", &format!("/offers/{}/pushes", id_of(offer)), &options).await;
    assert_eq!(response.status, 202, "{}", response.text);
    let push = response.json();
    assert!(response.headers["location"].ends_with(&format!("/pushes/{}", push["number"])));
    push
}

#[tokio::test]
async fn repeated_push_serves_exactly_the_unserved() {
    let bank = Bank::open();
    bank.put_many(40).await;
    // Ten with another tier. Five more are added after the first push.
    let lacking = |i: usize| bank.customer(&format!("late{i}"), &json!({"attributes": {"tier": "gold"}}));
    bank.put_customers(&(0..10).map(lacking).collect::<Vec<_>>()).await;
    let offer = json!({"code": "AGAIN", "description": "Hello", "eligibility": "!has(customer.tier) || customer.tier == 'gold'"});
    let offer = bank.post_offer(&offer).await;
    let first = bank.wait_until_completed(&offer).await;
    assert_eq!(first["sent"], 50);

    let new: Vec<_> = (0..5).map(|i| bank.customer(&format!("new{i}"), &json!({}))).collect();
    bank.put_customers(&new).await;
    push_again(&bank, &offer, json!({})).await;
    let second = bank.wait_until_push_completed(&offer, 2).await;
    assert_eq!((&second["sent"], &second["alreadyServed"], &second["eligible"]), (&json!(5), &json!(50), &json!(55)));
    let count = bank.mail_count().await;
    assert_eq!((count.len(), count.values().all(|copies| *copies == 1)), (55, true), "{count:?}");
}

#[tokio::test]
async fn lost_deliveries_refuse_a_push_unless_repeats_are_accepted() {
    let bank = Bank::open();
    bank.put_many(5).await;
    let offer = bank.post_offer(&json!({"code": "LOST", "description": "Hello"})).await;
    bank.wait_until_completed(&offer).await;
    bank.tables().delete_deliveries(&offer).await;
    let refused = bank.call("POST", &format!("/offers/{}/pushes", id_of(&offer)), &json!({})).await;
    let detail = refused.json()["detail"].as_str().unwrap().to_owned();
    assert_eq!(refused.status, 409, "{detail}");
    assert!(
        detail.starts_with("5 notifications") && detail.contains("only 0") && detail.contains("acceptRepeats"),
        "{detail}"
    );
    assert_eq!(bank.mail_count().await, each_once(5));

    push_again(&bank, &offer, json!({"acceptRepeats": true})).await;
    assert_eq!(bank.wait_until_push_completed(&offer, 2).await["sent"], 5);
    // That they were lost is known now.
    push_again(&bank, &offer, json!({})).await;
    assert_eq!(bank.wait_until_push_completed(&offer, 3).await["alreadyServed"], 5);
}

#[tokio::test]
async fn customer_failed_for_a_missing_attribute_is_served_once_it_is_set() {
    let bank = Bank::open();
    bank.put_customers(&[
        bank.customer("asha", &json!({})),
        bank.customer("tom", &json!({"attributes": {"tier": "gold"}})),
    ])
    .await;
    let offer = bank.post_offer(&json!({"code": "LACK", "description": "For {{ customer.tier }}"})).await;
    assert_eq!(bank.wait_until_completed(&offer).await["failed"], 1);
    bank.put_customers(&[bank.customer("asha", &json!({"attributes": {"tier": "silver"}}))]).await;
    push_again(&bank, &offer, json!({})).await;
    let push = bank.wait_until_push_completed(&offer, 2).await;
    assert_eq!((&push["sent"], &push["alreadyServed"], &push["failed"]), (&json!(1), &json!(1), &json!(0)));
    assert_eq!(bank.mail_count().await, counts(&["asha", "tom"]));
}

#[tokio::test]
async fn only_one_push_of_an_offer_is_open() {
    let bank = Bank::open();
    bank.put_many(3).await;
    let soon = bank.in_seconds(3_600);
    let offer = bank.post_offer(&json!({"code": "ONE", "description": "Hello", "validFrom": soon})).await;
    let path = format!("/offers/{}/pushes", id_of(&offer));
    assert_eq!(bank.call("POST", &path, &json!({})).await.status, 409, "the first push is still scheduled");
    let bad = bank.call("POST", &path, &json!({"retryRejected": "yes", "acceptRepeats": 1, "colour": 1})).await;
    assert_eq!((bad.status, bad.json()["errors"].as_array().unwrap().len()), (400, 3), "{}", bad.text);

    // Cancelled. Then ten callers push again at the same time, and one of them succeeds.
    let cancelled = bank.call("POST", &format!("{path}/1/cancel"), &Value::Null).await;
    assert_eq!((cancelled.status, &cancelled.json()["state"]), (202, &json!("cancelled")), "{}", cancelled.text);
    let responses = join_all((0..10).map(|_| bank.call_with("POST", &path, &[], b""))).await;
    let mut statuses: Vec<_> = responses.iter().map(|response| response.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [202, 409, 409, 409, 409, 409, 409, 409, 409, 409]);
    let gone = bank.call("POST", &format!("{path}/9/cancel"), &Value::Null).await;
    assert_eq!(gone.status, 404);
}

#[tokio::test]
async fn cancelled_push_sends_only_what_was_claimed() {
    let bank = Bank::open();
    bank.put_many(1_500).await;
    let offer = bank.post_offer(&json!({"code": "STOP", "description": "Hello"})).await;
    bank.wait_until_count(&offer, "sent", 100).await;
    let cancelled = bank.call("POST", &format!("/offers/{}/pushes/1/cancel", id_of(&offer)), &Value::Null).await;
    assert_eq!(cancelled.status, 202, "{}", cancelled.text);
    // Queued batches find the push cancelled and report that.
    let push = end_to_end::wait_for("the queued batches to be cancelled", async || {
        let push = bank.push(&offer).await;
        anyhow::ensure!(push["pending"] == 0 && push["state"] == "cancelled", "{push}");
        anyhow::ensure!(bank.deliveries(&offer, "state=claimed").await.is_empty());
        Ok(push)
    })
    .await;
    let sent = usize::try_from(push["sent"].as_u64().unwrap()).unwrap();
    assert!((100..1_500).contains(&sent), "{push}");
    assert_eq!(bank.mail().await.len(), sent, "the count matches the mail");
    assert_eq!(bank.deliveries(&offer, "state=cancelled&limit=100").await.len(), push["cancelled"]);

    // Pushed again, the rest are served, and no customer twice.
    push_again(&bank, &offer, json!({})).await;
    let again = bank.wait_until_push_completed(&offer, 2).await;
    assert_eq!(again["alreadyServed"], sent);
    assert_eq!(again["sent"], 1_500 - sent);
    let count = bank.mail_count().await;
    assert_eq!((count.len(), count.values().all(|copies| *copies == 1)), (1_500, true));
    bank.close().await;
}

#[tokio::test]
async fn duplicate_records_slices_and_batches_are_sent_once() {
    let bank = Bank::open();
    bank.put_many(200).await;
    let offer = bank.post_offer(&json!({"code": "TWICE", "description": "Hello"})).await;
    wait_for("the push to start", async || {
        let push = bank.push(&offer).await;
        ensure!(push["startedAt"].is_string(), "{push}");
        Ok(())
    })
    .await;
    // The stream record again, and the slices and batches, while the first ones are in progress.
    let record = push_stream_event(&offer);
    let batches: Vec<String> = (0..4_usize)
        .map(|i| {
            let customers: Vec<_> = (i * 50..(i + 1) * 50).map(|c| bank.id(&format!("c{c}"))).collect();
            email_batch(&offer, i, &customers)
        })
        .collect();
    let events: Vec<_> = batches.iter().map(|batch| sqs_event(std::slice::from_ref(batch))).collect();
    let again = events.iter().chain(&events).map(|event| bank.invoke("email", event));
    let (started, delivered) =
        tokio::join!(join_all([bank.invoke("push", &record), bank.invoke("push", &record)]), join_all(again));
    assert!(started.into_iter().chain(delivered).all(|response| response.unwrap()["batchItemFailures"] == json!([])));

    let push = bank.wait_until_completed(&offer).await;
    assert_eq!((&push["sent"], &push["eligible"]), (&json!(200), &json!(200)), "{push}");
    assert_eq!(bank.mail_count().await, each_once(200));
}
