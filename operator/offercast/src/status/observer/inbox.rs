//! E-mails and text messages in the inbox.

use anyhow::{Context, Result};
use client::Stack;

use crate::status::view::{Email, Inbox, TextMessage};

/// E-mails shown, and text messages shown.
const MAX_MESSAGES: usize = 6;

/// The e-mails and text messages of a local stack.
pub(super) async fn observe(http: &reqwest::Client, stack: &Stack) -> Result<Inbox> {
    let url = format!("{}api/messages?limit={MAX_MESSAGES}", stack.inbox_url);
    let response = http.get(url).send().await?.error_for_status()?;
    let emails = response.headers().get("x-total-count").and_then(|count| count.to_str().ok()?.parse().ok());
    let newest_emails: Vec<Email> = response.json().await?;
    let texts = http.get(format!("{}api/texts", stack.inbox_url)).send().await?.error_for_status()?;
    let texts: Vec<TextMessage> = texts.json().await.context("cannot read the text messages")?;
    Ok(Inbox {
        url: stack.inbox_url.clone(),
        emails: emails.context("the inbox's response has no x-total-count")?,
        newest_emails,
        texts: texts.len() as u64,
        some_texts: texts.into_iter().take(MAX_MESSAGES).collect(),
    })
}
