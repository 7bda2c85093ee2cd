//! `SendingEnabled=false` holds all messages and loses none. A group of its own: it stops sending for the whole stack.

use anyhow::ensure;
use aws_sdk_cloudformation::Client;
use aws_sdk_cloudformation::types::{Capability, Parameter, StackStatus};
use end_to_end::{Bank, each_once, wait_for};
use serde_json::json;

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
