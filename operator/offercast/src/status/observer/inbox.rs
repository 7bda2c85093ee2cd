//! E-mails in the inbox, and text messages that the emulator recorded.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use client::Stack;
use serde::Deserialize;

use super::emulator::peek;
use crate::status::view::{Email, Inbox, TextMessage};

/// E-mails shown, and text messages shown.
const MAX_MESSAGES: usize = 6;

/// The e-mails and text messages of a local stack.
pub(super) async fn observe(http: &reqwest::Client, stack: &Stack) -> Result<Inbox> {
    let url = format!("{}api/messages?limit={MAX_MESSAGES}", stack.inbox_url);
    let response = http.get(url).send().await?.error_for_status()?;
    let emails = response.headers().get("x-total-count").and_then(|count| count.to_str().ok()?.parse().ok());
    let newest_emails: Vec<Email> = response.json().await?;
    let sent = peek(http, stack, "sns/sms-messages", &[("region", &stack.region)]).await?;
    let sent: SentTexts = serde_json::from_value(sent).context("cannot read the text messages")?;
    let texts: Vec<_> = sent.sms_messages.into_values().flatten().collect();
    Ok(Inbox {
        url: stack.inbox_url.clone(),
        emails: emails.context("the inbox's response has no x-total-count")?,
        newest_emails,
        texts: texts.len() as u64,
        some_texts: texts
            .into_iter()
            .take(MAX_MESSAGES)
            .map(|text| TextMessage { to: text.phone_number, text: text.message })
            .collect(),
    })
}

#[derive(Deserialize)]
struct SentTexts {
    sms_messages: BTreeMap<String, Vec<SentText>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SentText {
    phone_number: String,
    message: String,
}
