//! Mail servers that misbehave. One test at a time: they share the mail server.

use std::time::{Duration, Instant};

use anyhow::ensure;
use end_to_end::{Bank, each_once, id_of, wait_for};
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard};

/// One test at a time has the mail server.
static SERVER: Mutex<()> = Mutex::const_new(());

async fn bank() -> (MutexGuard<'static, ()>, Bank) {
    let guard = SERVER.lock().await;
    let bank = Bank::open();
    bank.smtp_faults(json!([])).await;
    bank.smtp_password(None).await;
    bank.set_smtp_url(&bank.stack.smtp_url).await;
    (guard, bank)
}

#[tokio::test]
async fn smtp_outage_is_waited_out_without_duplicates() {
    let (_guard, bank) = bank().await;
    bank.put_many(400).await;
    let dead = bank.queues().dead_letters().await;
    // The server takes its time, so that a fast machine does not send everything before the outage.
    let slow = json!({"at": "message", "do": {"wait": 500}});
    bank.smtp_faults(json!([slow])).await;
    let offer = bank.post_offer(&json!({"code": "OUTAGE", "description": "Hello"})).await;
    wait_for("the first messages", async || {
        let sent = bank.mail().await.len();
        ensure!(sent >= 50, "{sent}");
        Ok(())
    })
    .await;

    bank.smtp_faults(json!([{"at": "connection", "do": "close"}, slow])).await;
    let sent = bank.mail().await.len();
    assert!(sent < 400, "the outage happens during the push");
    wait_for("the push to show what it waits for", async || {
        let push = bank.push(&offer).await;
        ensure!(push["waitingFor"] == "provider", "{push}");
        Ok(())
    })
    .await;
    // The functions that were sending notice. Then the circuit breaker lets only probes connect, a second after the first
    // failure and twice as long after each. Only time can be waited for.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let before = bank.smtp_connections().await;
    let began = Instant::now();
    tokio::time::sleep(Duration::from_secs(15)).await;
    let (probes, seconds) = (bank.smtp_connections().await - before, began.elapsed().as_secs());
    assert!(probes <= seconds, "{probes} connections in {seconds} s, after {before}");
    bank.smtp_faults(json!([])).await;

    let push = bank.wait_until_completed(&offer).await;
    assert_eq!((&push["sent"], &push["failed"]), (&json!(400), &json!(0)), "{push}");
    assert_eq!(bank.mail_count().await, each_once(400));
    assert_eq!(bank.queues().dead_letters().await, dead);
    println!("{probes} connections in {seconds} s that the server was down, after {before}");
    bank.close().await;
}

#[tokio::test]
async fn permanent_rejection_fails_only_that_recipient() {
    let (_guard, bank) = bank().await;
    bank.put_many(30).await;
    let refused = ["c3", "c4", "c17"];
    let refusals: Vec<Value> = refused
        .iter()
        .map(|who| json!({"at": "rcpt", "to": bank.address(who), "do": {"reply": format!("550 5.1.1 <{}> unknown", bank.address(who))}}))
        .collect();
    bank.smtp_faults(refusals.into()).await;
    let offer = bank.post_offer(&json!({"code": "REFUSED", "description": "Hello"})).await;
    let push = bank.wait_until_completed(&offer).await;
    assert_eq!((&push["sent"], &push["failed"]), (&json!(27), &json!(3)), "{push}");
    let failed = bank.deliveries(&offer, "state=failed").await;
    assert_eq!(failed.len(), 3);
    for delivery in failed {
        let reason = delivery["reason"].as_str().unwrap();
        assert!(reason.contains("5.1.1") && reason.contains("unknown"), "{reason}");
        assert!(!reason.contains('@'), "no address in a record: {reason}");
        assert_eq!(delivery["attempts"], 1, "never retried");
    }
    let mut expected = each_once(30);
    expected.retain(|who, _| !refused.contains(&who.as_str()));
    assert_eq!(bank.mail_count().await, expected);
}

#[tokio::test]
async fn unknown_address_is_suppressed_and_not_tried_for_the_next_offer() {
    let (_guard, bank) = bank().await;
    bank.put_many(3).await;
    let fault = json!({"at": "rcpt", "to": bank.address("c1"), "do": {"reply": "550 5.1.1 no such user"}});
    bank.smtp_faults(json!([fault])).await;
    let first = bank.post_offer(&json!({"code": "UNKNOWN", "description": "Hello"})).await;
    assert_eq!(bank.wait_until_completed(&first).await["failed"], 1);
    let failed = bank.deliveries(&first, "state=failed").await;
    assert_eq!((&failed[0]["reasonCode"], failed.len()), (&json!("addressUnknown"), 1));
    let suppression = bank.call("GET", &format!("/suppressions/email/{}", bank.address("c1")), &json!(null)).await;
    assert_eq!(suppression.json()["reason"], "bounced", "{}", suppression.text);
    let second = bank.post_offer(&json!({"code": "UNKNOWN2", "description": "Hello"})).await;
    assert_eq!(bank.wait_until_completed(&second).await["suppressed"], 1);
    bank.smtp_faults(json!([])).await;
}

/// The same code means a closed mailbox elsewhere. It is the provider that blocks us, if it refuses all recipients.
#[tokio::test]
async fn provider_that_refuses_every_recipient_fails_none() {
    let (_guard, bank) = bank().await;
    bank.put_many(60).await;
    let refuse = json!({"at": "rcpt", "to": bank.domain(), "do": {"reply": "554 5.7.1 Client host rejected"}});
    bank.smtp_faults(json!([refuse])).await;
    let offer = bank.post_offer(&json!({"code": "BLOCKED", "description": "Hello"})).await;
    wait_for("the push to be held", async || {
        let push = bank.push_number(&offer, 1).await;
        let error = push["lastError"].as_str().unwrap_or_default();
        ensure!(push["waitingFor"] == "provider" && error.contains("5.7.1"), "{push}");
        assert_eq!(push["failed"], 0, "{push}");
        Ok(())
    })
    .await;
    bank.smtp_faults(json!([])).await;
    let push = bank.wait_until_completed(&offer).await;
    assert_eq!((&push["sent"], &push["failed"]), (&json!(60), &json!(0)), "{push}");
}

#[tokio::test]
async fn rejected_customer_is_retried_at_a_new_address_or_on_request() {
    let (_guard, bank) = bank().await;
    bank.put_many(20).await;
    let refusals: Vec<Value> = (0..10)
        .map(|i| json!({"at": "rcpt", "to": bank.address(&format!("c{i}")), "do": {"reply": "550 5.2.1 disabled"}}))
        .collect();
    bank.smtp_faults(refusals.into()).await;
    let offer = bank.post_offer(&json!({"code": "ADDRESS", "description": "Hello"})).await;
    assert_eq!(bank.wait_until_completed(&offer).await["failed"], 10);
    let push_again = async |options: Value| {
        let response = bank.call("POST", &format!("/offers/{}/pushes", id_of(&offer)), &options).await;
        assert_eq!(response.status, 202, "{}", response.text);
        let number = u32::try_from(response.json()["number"].as_u64().unwrap()).unwrap();
        bank.wait_until_push_completed(&offer, number).await
    };

    // One customer has a new address. The server would accept the others now, but no retry was requested for them.
    bank.smtp_faults(json!([])).await;
    bank.put_customers(&[bank.customer("c0", &json!({"email": bank.address("c0-new")}))]).await;
    let second = push_again(json!({})).await;
    assert_eq!((&second["sent"], &second["failed"], &second["alreadyServed"]), (&json!(1), &json!(9), &json!(10)));
    let refused = json!([{"outcome": "failed", "reasonCode": "recipientRefused",
                          "reason": "the provider refuses the recipient", "count": 9}]);
    assert_eq!(second["reasons"], refused);
    let third = push_again(json!({"retryRejected": true})).await;
    assert_eq!((&third["sent"], &third["failed"], &third["alreadyServed"]), (&json!(9), &json!(0), &json!(11)));

    let mut expected = each_once(20);
    expected.remove("c0");
    expected.insert("c0-new".to_owned(), 1);
    assert_eq!(bank.mail_count().await, expected);
}

#[tokio::test]
async fn closed_connections_are_replaced() {
    let (_guard, bank) = bank().await;
    bank.put_many(60).await;
    // Connections that are idle, before the message, and during it, before it is accepted.
    bank.smtp_faults(json!([
        {"at": "connection", "do": "close", "every": 40, "times": 3},
        {"at": "data", "do": "close", "every": 9, "times": 3},
        {"at": "message", "to": bank.address("c7"), "do": "close", "times": 1},
        {"at": "message", "to": bank.address("c8"), "do": "close", "times": 1},
    ]))
    .await;
    let offer = bank.post_offer(&json!({"code": "CLOSED", "description": "Hello"})).await;
    let push = bank.wait_until_completed(&offer).await;
    assert_eq!((&push["sent"], &push["failed"]), (&json!(60), &json!(0)), "{push}");
    assert_eq!(bank.mail_count().await, each_once(60));
}

#[tokio::test]
async fn lost_reply_costs_at_most_one_extra_copy() {
    let (_guard, bank) = bank().await;
    bank.put_many(40).await;
    // The first reply for each of five customers. A second lost reply would make the delivery final.
    let lost: Vec<_> = (0..5)
        .map(|i| json!({"at": "message", "to": bank.address(&format!("c{i}")), "do": "keepAndClose", "times": 1}))
        .collect();
    bank.smtp_faults(json!(lost)).await;
    let offer = bank.post_offer(&json!({"code": "LOST", "description": "Hello"})).await;
    let push = bank.wait_until_completed(&offer).await;
    assert_eq!((&push["sent"], &push["failed"]), (&json!(40), &json!(0)), "{push}");
    let count = bank.mail_count().await;
    assert_eq!(count.len(), 40, "no customer is left out");
    assert!(count.values().all(|copies| *copies <= 2), "{count:?}");
    assert_eq!(count.values().sum::<usize>(), 45, "one extra copy for each lost reply");
    // Both copies have the same Message-ID.
    let mail = bank.mail().await;
    let twice = mail.iter().find(|mail| count[mail.to.split('@').next().unwrap()] == 2).unwrap();
    let ids: Vec<_> = mail.iter().filter(|mail| mail.to == twice.to).map(|mail| mail.header("Message-ID")).collect();
    assert_eq!(ids[0], ids[1]);
}

#[tokio::test]
async fn unanswering_server_opens_the_breaker() {
    const CUSTOMERS: usize = 200;
    let (_guard, bank) = bank().await;
    bank.put_many(CUSTOMERS).await;
    bank.smtp_faults(json!([{"at": "message", "do": "keepAndClose"}])).await;
    let offer = bank.post_offer(&json!({"code": "SILENT", "description": "Hello"})).await;
    let push = wait_for("the push to show what it waits for", async || {
        let push = bank.push(&offer).await;
        anyhow::ensure!(push["waitingFor"] == "provider", "{push}");
        Ok(push)
    })
    .await;
    assert!(push["lastError"].as_str().unwrap().starts_with("smtp: message"), "{push}");
    bank.smtp_faults(json!([])).await;
    let push = bank.wait_until_completed(&offer).await;
    // Only messages sent as probes are handed over twice, and then fail.
    assert!(push["failed"].as_u64().unwrap() <= 5, "{push}");
    let count = bank.mail_count().await;
    assert_eq!(count.len(), CUSTOMERS, "no customer is left out");
    assert!(count.values().all(|copies| *copies <= 2), "{count:?}");
}

#[tokio::test]
async fn wrong_smtp_password_marks_no_delivery_as_failed_and_new_one_is_picked_up() {
    let (_guard, bank) = bank().await;
    bank.put_many(20).await;
    let server = bank.stack.smtp_url.strip_prefix("smtp://").unwrap();
    bank.set_smtp_url(&format!("smtp://bank:wrong@{server}")).await;
    bank.smtp_password(Some("right")).await;
    let offer = bank.post_offer(&json!({"code": "AUTH", "description": "Hello"})).await;
    let push = wait_for("the server to refuse the password", async || {
        let push = bank.push(&offer).await;
        anyhow::ensure!(push["lastError"].as_str().is_some_and(|error| error.contains("535")), "{push}");
        Ok(push)
    })
    .await;
    assert_eq!((&push["waitingFor"], &push["failed"]), (&json!("provider"), &json!(0)), "{push}");

    bank.set_smtp_url(&format!("smtp://bank:right@{server}")).await;
    let push = bank.wait_until_completed(&offer).await;
    bank.smtp_password(None).await;
    bank.set_smtp_url(&bank.stack.smtp_url).await;
    // Restarts the functions: running ones would use the password with a server that requires none.
    bank.aws().set_environment("email", "RENEWED", Some(&bank.name)).await;
    assert_eq!((&push["sent"], &push["failed"], &push["waitingFor"]), (&json!(20), &json!(0), &Value::Null), "{push}");
    assert_eq!(bank.mail_count().await, each_once(20));
}
