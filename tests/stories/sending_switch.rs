//! `SendingEnabled=false` holds all messages and loses none. A group of its own: it stops sending for the whole stack.
//! Duplicated and reordered messages are tested here too, because a test can only reorder messages that are held.

use std::time::Duration;

use anyhow::ensure;
use aws_sdk_cloudformation::Client;
use aws_sdk_cloudformation::types::{Capability, Parameter, StackStatus};
use end_to_end::{Bank, each_once, wait_for};
use serde_json::json;
use tokio::sync::Mutex;

/// One test at a time: each switches sending off and on.
static SENDING: Mutex<()> = Mutex::const_new(());

/// Deploys the same template with another value of the parameter.
async fn deploy(bank: &Bank, sending_enabled: &str) {
    const PARAMETER: &str = "SendingEnabled";
    let stack = bank.stack.functions["email"].strip_suffix("-email").unwrap();
    let cloudformation = Client::new(&bank.stack.sdk_config());
    let described = async || {
        let response = cloudformation.describe_stacks().stack_name(stack).send().await.unwrap();
        response.stacks.unwrap_or_default().remove(0)
    };
    let mut parameters: Vec<_> = described()
        .await
        .parameters()
        .iter()
        .filter_map(Parameter::parameter_key)
        .filter(|name| *name != PARAMETER)
        .map(|name| Parameter::builder().parameter_key(name).use_previous_value(true).build())
        .collect();
    parameters.push(Parameter::builder().parameter_key(PARAMETER).parameter_value(sending_enabled).build());
    cloudformation
        .update_stack()
        .stack_name(stack)
        // Where the deployment uploaded it, since it is too long to be part of the call.
        .template_url(format!("{}/offercast-packages/template.yaml", bank.stack.endpoint_url))
        .set_parameters(Some(parameters))
        .capabilities(Capability::CapabilityIam)
        .capabilities(Capability::CapabilityAutoExpand)
        .send()
        .await
        .unwrap();
    wait_for("the stack to be updated", async || {
        let status = described().await.stack_status.unwrap();
        ensure!(status == StackStatus::UpdateComplete, "{status}");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn messages_held_while_sending_is_disabled_are_sent_afterwards() {
    let _guard = SENDING.lock().await;
    let bank = Bank::open();
    bank.put_many(60).await;
    deploy(&bank, "false").await;
    let offer = bank.post_offer(&json!({"code": "HELD", "description": "Hello"})).await;
    // Everything but sending continues: the batches wait in their queue.
    let push = bank.wait_until_count(&offer, "eligible", 60).await;
    assert_eq!((&push["pending"], &push["state"]), (&json!(60), &json!("running")));
    wait_for("the batches to be queued", async || {
        ensure!(bank.queues().depths().await["email"] >= 8);
        Ok(())
    })
    .await;
    let direct = json!({"recipient": bank.address("c0"), "emailFromAddress": "a@bank.example",
        "emailReplyToAddress": "a@bank.example", "subject": "S", "content": "C"});
    let refused = bank.invoke("email", &direct).await.unwrap_err().to_string();
    assert!(refused.contains("sending is disabled"), "{refused}");
    assert!(bank.mail().await.is_empty());

    deploy(&bank, "true").await;
    let push = bank.wait_until_completed(&offer).await;
    assert_eq!(push["sent"], 60);
    assert_eq!(bank.mail_count().await, each_once(60));
}

#[tokio::test]
async fn duplicated_and_reordered_messages_are_sent_once() {
    const CUSTOMERS: usize = 400;
    let _guard = SENDING.lock().await;
    let bank = Bank::open();
    // Deploying ends functions, and the messages they hold are redelivered after this time.
    bank.queues().set_visibility_timeout(60).await;
    bank.put_many(CUSTOMERS).await;
    deploy(&bank, "false").await;
    let offer = bank.post_offer(&json!({"code": "SHUFFLED", "description": "Hello"})).await;
    bank.wait_until_count(&offer, "eligible", CUSTOMERS as u64).await;

    // Takes every message out of the queue and puts each back twice, in reverse order.
    let (sqs, queue) = (bank.queues().sqs(), bank.queues().url("email"));
    let mut messages = Vec::new();
    let take_all = async {
        let mut seen = 0;
        while seen < CUSTOMERS {
            let received =
                sqs.receive_message().queue_url(queue).max_number_of_messages(10).wait_time_seconds(1).send();
            for message in received.await.unwrap().messages.unwrap_or_default() {
                let body = message.body.unwrap();
                let batch: serde_json::Value = serde_json::from_str(&body).unwrap();
                if batch["push"]["offer"] == offer["id"] {
                    seen += batch["customers"].as_array().unwrap().len();
                }
                messages.push(body);
                let taken = message.receipt_handle.unwrap();
                sqs.delete_message().queue_url(queue).receipt_handle(taken).send().await.unwrap();
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(120), take_all).await.expect("the queue holds a batch for each customer");
    for body in messages.iter().rev().chain(messages.iter().rev()) {
        sqs.send_message().queue_url(queue).message_body(body).send().await.unwrap();
    }

    deploy(&bank, "true").await;
    let push = bank.wait_until_completed(&offer).await;
    assert_eq!((&push["sent"], &push["eligible"]), (&json!(CUSTOMERS), &json!(CUSTOMERS)), "{push}");
    wait_for("the second copies to be handled", async || {
        let queued = bank.queues().depths().await["email"];
        ensure!(queued == 0, "{queued} queued");
        Ok(())
    })
    .await;
    bank.queues().reset_visibility_timeout().await;
    assert_eq!(bank.mail_count().await, each_once(CUSTOMERS));
    bank.close().await;
}
