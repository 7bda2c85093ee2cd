//! `SendingEnabled=false` holds everything, and loses nothing when it is lifted. Alone: it holds everybody's.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;

use anyhow::ensure;
use end_to_end::{Bank, wait_for};
use serde_json::json;

/// Deploys the same template with another value of the parameter.
async fn deploy(bank: &Bank, sending_enabled: &str) {
    let stack = bank.stack.functions["email"].strip_suffix("-email").unwrap();
    let call = async |parameters: &[(&str, &str)]| {
        let common = [("Version", "2010-05-15"), ("StackName", stack)];
        bank.query("cloudformation", &[parameters, &common].concat()).await
    };
    let described = call(&[("Action", "DescribeStacks")]).await;
    let names: Vec<_> = described
        .split("<ParameterKey>")
        .skip(1)
        .map(|rest| rest.split('<').next().unwrap().to_owned())
        .filter(|name| name != "SendingEnabled")
        .collect();
    let mut parameters = vec![
        ("Action".to_owned(), "UpdateStack".to_owned()),
        ("UsePreviousTemplate".to_owned(), "true".to_owned()),
        ("Capabilities.member.1".to_owned(), "CAPABILITY_IAM".to_owned()),
        ("Capabilities.member.2".to_owned(), "CAPABILITY_AUTO_EXPAND".to_owned()),
        ("Parameters.member.1.ParameterKey".to_owned(), "SendingEnabled".to_owned()),
        ("Parameters.member.1.ParameterValue".to_owned(), sending_enabled.to_owned()),
    ];
    for (i, name) in names.iter().enumerate() {
        parameters.push((format!("Parameters.member.{}.ParameterKey", i + 2), name.clone()));
        parameters.push((format!("Parameters.member.{}.UsePreviousValue", i + 2), "true".to_owned()));
    }
    let parameters: Vec<_> = parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    call(&parameters).await;
    wait_for("the stack to be updated", async || {
        let described = call(&[("Action", "DescribeStacks")]).await;
        ensure!(described.contains("UPDATE_COMPLETE<"), "{described}");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn what_is_held_is_sent_when_sending_is_enabled_again() {
    let bank = Bank::open();
    bank.put_many(60).await;
    deploy(&bank, "false").await;
    let offer = bank.post_offer(&json!({"code": "HELD", "description": "Hello"})).await;
    // Everything but sending goes on: the batches stand in their queue.
    let push = bank.reached(&offer, "eligible", 60).await;
    assert_eq!((&push["pending"], &push["state"]), (&json!(60), &json!("running")));
    wait_for("the batches to be queued", async || {
        ensure!(bank.queued().await["email"] >= 8);
        Ok(())
    })
    .await;
    let direct = json!({"recipient": bank.address("c0"), "emailFromAddress": "a@bank.example",
        "emailReplyToAddress": "a@bank.example", "subject": "S", "content": "C"});
    let refused = bank.invoke("email", &direct).await.unwrap_err().to_string();
    assert!(refused.contains("sending is disabled"), "{refused}");
    assert!(bank.mail().await.is_empty());

    deploy(&bank, "true").await;
    let push = bank.completed(&offer).await;
    assert_eq!(push["sent"], 60);
    let expected: BTreeMap<_, _> = (0..60).map(|i| (format!("c{i}"), 1)).collect();
    assert_eq!(bank.mail_count().await, expected);
}
