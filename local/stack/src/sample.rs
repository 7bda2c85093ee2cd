//! The first e-mail after `up`: sample customers, a sample offer with all that an offer can have, and the e-mail that
//! arrives.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use client::{Api, Stack};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use offercast::output;
use serde_json::{Value, json};

/// Timeout of the sample push.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The recipient of the e-mail that is shown.
const ADDRESS: &str = "asha@example.com";

/// All but how long it is valid.
const OFFER: &str = include_str!("sample-offer.json");

/// Stores the sample customers, posts the sample offer, and prints an e-mail that arrived.
pub(crate) async fn show(stack: &Stack, has_inbox: bool) -> Result<()> {
    let api = Api::new(stack);
    let step = output::step("Adding sample customers and posting the sample offer");
    let customers = customers();
    let response = api.call("POST", "/customers", &[], customers.to_string().as_bytes()).await?;
    if response.status != 200 {
        bail!("the API refused the sample customers ({}): {}", response.status, response.text);
    }
    let valid_until = valid_until(Timestamp::now());
    let mut offer: Value = serde_json::from_str(OFFER).context("the sample offer is not JSON")?;
    offer["validUntil"] = json!(valid_until);
    // Prevents a second `up` from sending the sample again.
    let key = format!("offercast-sample-{valid_until}").replace(':', "-");
    let response = api.call("POST", "/offers", &[("idempotency-key", &key)], offer.to_string().as_bytes()).await?;
    if response.status != 201 {
        bail!("the API refused the sample offer ({}): {}", response.status, response.text);
    }
    let offer = response.json();
    let id = offer["id"].as_str().context("the created offer has no id")?;
    let sent = match wait_for_completion(&api, id).await? {
        Ok(sent) => sent,
        Err(push) => {
            step.done("not completed yet");
            output::warning(&waits(&push));
            return Ok(());
        }
    };
    if response.headers.contains_key("idempotent-replayed") {
        step.done("already present");
        return Ok(());
    }
    step.done(&format!("offer {id} sent {sent} messages"));
    if !has_inbox {
        return Ok(());
    }
    let mails: Vec<Value> = reqwest::get(format!("{}api/messages", stack.inbox_url)).await?.json().await?;
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

/// Waits until the push is completed and returns the number of notifications sent; or the push, if it takes long or waits for the
/// provider.
async fn wait_for_completion(api: &Api, offer: &str) -> Result<Result<u64, Value>> {
    let began = Instant::now();
    loop {
        let response = api.call("GET", &format!("/offers/{offer}/pushes/1"), &[], b"").await?;
        if response.status >= 400 {
            bail!("the API does not show the sample push: {}", response.problem());
        }
        let push = response.json();
        if push["state"] == "completed" {
            return Ok(Ok(push["sent"].as_u64().unwrap_or_default()));
        }
        if push["waitingFor"] == "provider" || began.elapsed() > TIMEOUT {
            return Ok(Err(push));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Why a push is not completed, for people.
fn waits(push: &Value) -> String {
    let count = |name: &str| push[name].as_u64().unwrap_or_default();
    let error = push["lastError"].as_str().map(|error| format!(" ({error})")).unwrap_or_default();
    let why = match push["waitingFor"].as_str() {
        Some("provider") => format!("the mail server cannot be reached{error}"),
        Some(other) => format!("the push waits for {other}{error}"),
        None => "it takes long; target/stack/aws.log may say why".to_owned(),
    };
    format!(
        "{} of {} messages are sent so far: {why}. Nothing is lost: they are sent when it works again",
        count("sent"),
        count("eligible")
    )
}

/// The evening of the last day of next month: the same day from Dublin to Delhi.
fn valid_until(now: Timestamp) -> Timestamp {
    let today = TimeZone::UTC.to_datetime(now).date();
    let last_day = today.first_of_month().saturating_add(2.months()).saturating_sub(1.day());
    let evening = last_day.at(18, 0, 0, 0);
    TimeZone::UTC.to_timestamp(evening).unwrap_or(now)
}

fn customers() -> Value {
    json!([
        {"id": "sample-1", "name": "Asha Rao", "email": ADDRESS, "channels": ["email"],
         "locale": "en-IN", "timeZone": "Asia/Kolkata", "attributes": {"tier": "gold", "monthly_spend": 7200, "cashback_limit": 150}},
        {"id": "sample-2", "name": "Inês Marques", "email": "ines@example.com", "mobile": "+351912345678",
         "channels": ["email", "sms"], "locale": "pt-PT", "timeZone": "Europe/Lisbon",
         "attributes": {"tier": "platinum", "monthly_spend": 5400.5, "cashback_limit": 200}},
        {"id": "sample-3", "name": "Tom Baker", "email": "tom@example.com", "channels": [],
         "attributes": {"tier": "basic", "monthly_spend": 300}},
        {"id": "sample-4", "name": "Mei Müller", "email": "mei@example.com", "channels": ["email"],
         "locale": "de-AT", "timeZone": "Europe/Vienna", "attributes": {"tier": "gold", "monthly_spend": 6100}},
        {"id": "sample-5", "name": "ليلى حداد", "email": "layla@example.com", "channels": ["email"],
         "locale": "ar-EG", "timeZone": "Africa/Cairo", "attributes": {"tier": "gold", "monthly_spend": 8300}}
    ])
}
