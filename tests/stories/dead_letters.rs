//! Messages that can never succeed, and how an operator handles dead letters. One test at a time: they share the
//! queues.

use anyhow::ensure;
use end_to_end::{Bank, each_once, email_batch, wait_for};
use serde_json::json;
use tokio::sync::Mutex;

static QUEUES: Mutex<()> = Mutex::const_new(());

#[tokio::test]
async fn poison_message_is_dead_lettered_and_does_not_block_others() {
    let _guard = QUEUES.lock().await;
    let bank = Bank::open();
    bank.put_many(100).await;
    let dead = "emailDeadLetters";
    // A message is retried after the visibility timeout: 15 minutes in production, one second here.
    bank.queues().set_visibility_timeout(1).await;
    for body in ["not json", r#"{"type": "batch.v9"}"#] {
        bank.queues().send("email", body).await;
    }
    let offer = bank.post_offer(&json!({"code": "POISON", "description": "Hello"})).await;
    let push = bank.wait_until_completed(&offer).await;
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
    bank.wait_until_completed(&offer).await;
    let customers: Vec<_> = (0..10).map(|i| bank.id(&format!("c{i}"))).collect();
    let batch = email_batch(&offer, 0, &customers);
    bank.tables().await_batch(&offer, 0, 10).await;
    let poison = bank.queues().send("emailDeadLetters", "not json").await;
    let good = bank.queues().send("emailDeadLetters", &batch).await;

    // Locally found through stack.json, on AWS by the name of the CloudFormation stack.
    let name = bank.stack.functions["email"].strip_suffix("-email").unwrap();
    for place in [&[][..], &["--on-aws", name]] {
        let listed = bank.xtask(&[&["redrive"], place].concat());
        assert!(listed.contains(&poison) && listed.contains("not json") && listed.contains(&good), "{listed}");
        assert!(listed.contains("LETTER #1"), "what the batch is about: {listed}");
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
