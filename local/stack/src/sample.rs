//! The first e-mail after `up`: three sample customers, a sample offer, and the e-mail that arrives.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use client::{Api, Stack};
use serde_json::{Value, json};

use crate::progress;

/// Timeout of the sample push.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Prevents a second `up` from sending the sample again.
const IDEMPOTENCY_KEY: &str = "offercast-sample-offer";

/// The recipient of the e-mail that is shown.
const ADDRESS: &str = "asha@example.com";

const OFFER: &str = r#"{"code":"CASHBK","description":"Get 5% cashback on 5000 spent"}"#;

/// Stores the sample customers, posts the sample offer, and prints an e-mail that arrived.
pub(crate) async fn show(stack: &Stack, has_inbox: bool) -> Result<()> {
    let api = Api::new(stack);
    let step = progress::step("Adding three sample customers and posting the sample offer");
    let customers = customers();
    let response = api.call("POST", "/customers", &[], customers.to_string().as_bytes()).await?;
    if response.status != 200 {
        bail!("the API refused the sample customers ({}): {}", response.status, response.text);
    }
    let response = api.call("POST", "/offers", &[("idempotency-key", IDEMPOTENCY_KEY)], OFFER.as_bytes()).await?;
    if response.status != 201 {
        bail!("the API refused the sample offer ({}): {}", response.status, response.text);
    }
    let offer = response.json();
    let id = offer["id"].as_str().context("the created offer has no id")?;
    let sent = wait_for_completion(&api, id).await?;
    if response.headers.contains_key("idempotent-replayed") {
        step.done("already present");
    } else {
        step.done(&format!("offer {id} sent {sent} messages"));
    }
    if !has_inbox {
        return Ok(());
    }
    let mails: Vec<Value> = reqwest::get(format!("{}api/messages", stack.inbox_url)).await?.json().await?;
    // The inbox may have been emptied since the first `up`.
    if let Some(mail) = mails.iter().find(|mail| mail["to"] == ADDRESS && mail["subject"] == offer["subject"]) {
        let field = |name: &str| mail[name].as_str().unwrap_or_default();
        println!();
        for (label, name) in [("From", "from"), ("To", "to"), ("Subject", "subject")] {
            println!("  │ {label:8} {}", field(name));
        }
        println!("  │");
        for line in field("text").lines() {
            println!("  │ {line}");
        }
    }
    Ok(())
}

/// Waits until the push is completed and returns the number of notifications sent.
async fn wait_for_completion(api: &Api, offer: &str) -> Result<u64> {
    let began = Instant::now();
    loop {
        let push = api.call("GET", &format!("/offers/{offer}/pushes/1"), &[], b"").await?.json();
        if push["state"] == "completed" {
            return Ok(push["sent"].as_u64().unwrap_or_default());
        }
        if began.elapsed() > TIMEOUT {
            bail!("the sample push did not complete within a minute; see target/stack/aws.log. Last state: {push}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn customers() -> Value {
    json!([
        {"id": "sample-1", "name": "Asha Rao", "email": ADDRESS, "channels": ["email"],
         "locale": "en-IN", "timeZone": "Asia/Kolkata", "attributes": {"tier": "gold", "monthly_spend": 7200}},
        {"id": "sample-2", "name": "Inês Marques", "email": "ines@example.com", "mobile": "+351912345678",
         "channels": ["email", "sms"], "locale": "pt-PT", "timeZone": "Europe/Lisbon",
         "attributes": {"tier": "platinum", "monthly_spend": 5400.5}},
        {"id": "sample-3", "name": "Tom Baker", "email": "tom@example.com", "channels": [],
         "attributes": {"tier": "basic", "monthly_spend": 300}}
    ])
}
