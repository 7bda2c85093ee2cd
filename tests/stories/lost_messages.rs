//! Queues that lose messages, or hold messages that can never succeed. One test at a time: they share the queues.

use anyhow::ensure;
use end_to_end::{Bank, each_once, email_batch, wait_for};
use serde_json::{Value, json};
use tokio::sync::Mutex;

static QUEUES: Mutex<()> = Mutex::const_new(());

/// Sweeps until the push is completed.
async fn swept(bank: &Bank, offer: &Value) -> Value {
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
    bank.reached(&offer, "sent", 50).await;
    bank.queues().purge("email").await;
    assert!(bank.mail().await.len() < 600, "the purge happens during the push");

    let push = swept(&bank, &offer).await;
    assert_eq!((&push["sent"], &push["eligible"], &push["failed"]), (&json!(600), &json!(600), &json!(0)), "{push}");
    assert_eq!(bank.mail_count().await, each_once(600));
    bank.close().await;
}

#[tokio::test]
async fn lost_slices_are_scanned_by_the_sweep() {
    let _guard = QUEUES.lock().await;
    let bank = Bank::open();
    bank.put_many(100).await;
    let offer = bank.post_offer(&json!({"code": "SLICES", "description": "Hello"})).await;
    wait_for("the push to be started", async || {
        let push = bank.push(&offer).await;
        ensure!(push["slices"] != 0);
        Ok(())
    })
    .await;
    bank.queues().purge("audience").await;
    let push = swept(&bank, &offer).await;
    assert_eq!((&push["sent"], &push["slicesDone"]), (&json!(100), &push["slices"]), "{push}");
    assert_eq!(bank.mail_count().await, each_once(100));
}

#[tokio::test]
async fn push_missed_by_the_stream_is_started_by_the_sweep() {
    let _guard = QUEUES.lock().await;
    let bank = Bank::open();
    bank.put_many(10).await;
    // An offer of five minutes ago, written as the offer function writes it. The stream delivers it immediately …
    let offer = bank.post_offer(&json!({"code": "UNPUBLISHED", "description": "Hello", "eligibility": "false"})).await;
    let brought = bank.completed(&offer).await;
    bank.tables().backdate_push_request(&offer, 5).await;
    // … so the test deletes what the push function stored.
    bank.tables().forget_push(&offer).await;

    // The stack's own sweep may come first.
    let minute = json!({"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}});
    bank.invoke("push", &minute).await.unwrap();
    let push = bank.completed(&offer).await;
    assert_ne!(push["startedAt"], brought["startedAt"], "it was started again");
    assert_eq!((&push["slicesDone"], &push["slices"]), (&brought["slices"], &brought["slices"]));
}

#[tokio::test]
async fn push_without_its_last_step_is_completed_by_the_sweep() {
    let _guard = QUEUES.lock().await;
    let bank = Bank::open();
    bank.put_many(10).await;
    let offer = bank.post_offer(&json!({"code": "NEARLY", "description": "Hello"})).await;
    bank.completed(&offer).await;
    // As if the function died after it marked its last slice as done and before it completed the push.
    bank.tables().reopen_push(&offer).await;
    assert_eq!(bank.push(&offer).await["state"], "running");
    let push = swept(&bank, &offer).await;
    assert_eq!((&push["sent"], &push["slicesDone"]), (&json!(10), &push["slices"]), "{push}");
}

#[tokio::test]
async fn poison_message_is_dead_lettered_and_does_not_block_others() {
    let _guard = QUEUES.lock().await;
    let bank = Bank::open();
    bank.put_many(100).await;
    let dead = "emailDeadLetters";
    // Retries come after the visibility timeout: six minutes in production, one second here.
    bank.queues().set_visibility_timeout(1).await;
    for body in ["not json", r#"{"type": "batch.v9"}"#] {
        bank.queues().send("email", body).await;
    }
    let offer = bank.post_offer(&json!({"code": "POISON", "description": "Hello"})).await;
    let push = bank.completed(&offer).await;
    assert_eq!(push["sent"], 100);
    let letters = wait_for("the bad messages to reach the dead-letter queue", async || {
        let receive = bank.queues().sqs().receive_message().queue_url(bank.queues().url(dead));
        let received = receive.max_number_of_messages(10).visibility_timeout(0).send().await?;
        let bodies: Vec<_> =
            received.messages().iter().filter_map(|message| message.body().map(str::to_owned)).collect();
        ensure!(bodies.len() >= 2, "{bodies:?}");
        Ok(bodies)
    })
    .await;
    bank.queues().reset_visibility_timeout().await;
    assert!(letters.contains(&"not json".to_owned()));
    assert_eq!(bank.mail_count().await, each_once(100));
    bank.queues().purge(dead).await;
}

#[tokio::test]
async fn dead_letters_can_be_listed_dropped_and_redriven() {
    let _guard = QUEUES.lock().await;
    let bank = Bank::open();
    bank.put_many(10).await;
    // Dead letters: a valid batch, and a message that can never succeed.
    let offer = bank.post_offer(&json!({"code": "LETTER", "description": "Hello", "eligibility": "false"})).await;
    bank.completed(&offer).await;
    let customers: Vec<_> = (0..10).map(|i| bank.id(&format!("c{i}"))).collect();
    let batch = email_batch(&offer, 9_999, 0, &customers);
    let poison = bank.queues().send("emailDeadLetters", "not json").await;
    let good = bank.queues().send("emailDeadLetters", &batch).await;

    // Locally found through stack.json, on AWS by the name of the CloudFormation stack.
    let name = bank.stack.functions["email"].strip_suffix("-email").unwrap();
    for place in [&[][..], &["--on-aws", name]] {
        let listed = bank.xtask(&[&["redrive"], place].concat());
        assert!(listed.contains(&poison) && listed.contains("not json") && listed.contains(&good), "{listed}");
    }
    bank.xtask(&["redrive", "email", "--drop", &poison, "--on-aws", name]);
    let listed = bank.xtask(&["redrive"]);
    assert!(!listed.contains(&poison) && listed.contains(&good), "{listed}");
    let sent = bank.xtask(&["redrive", "email", "--on-aws", name]);
    assert!(sent.contains("sent to email again: 1"), "{sent}");
    wait_for("the valid batch to be delivered", async || {
        let count = bank.mail_count().await;
        ensure!(count == each_once(10), "{count:?}");
        Ok(())
    })
    .await;
    assert!(bank.xtask(&["redrive"]).contains("There are no dead letters."));
}
