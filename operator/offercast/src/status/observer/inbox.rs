//! E-mails and text messages in the inbox.

use anyhow::{Context, Error, Result, anyhow};
use client::{Stack, cause_of};

use crate::status::view::{Email, Inbox, TextMessage};

/// E-mails shown, and text messages shown.
const MAX_MESSAGES: usize = 6;

/// The e-mails and text messages of a local stack.
pub(super) async fn observe(http: &reqwest::Client, stack: &Stack) -> Result<Inbox> {
    let url = format!("{}api/messages?limit={MAX_MESSAGES}", stack.inbox_url);
    let response = http.get(url).send().await.map_err(|error| no_response(stack, &error))?.error_for_status()?;
    let emails = total(&response);
    let newest_emails: Vec<Email> = response.json().await?;
    let response = http.get(format!("{}api/texts?limit={MAX_MESSAGES}", stack.inbox_url)).send().await?;
    let response = response.error_for_status().context("cannot read the text messages")?;
    let texts = total(&response);
    let some_texts: Vec<TextMessage> = response.json().await.context("cannot read the text messages")?;
    Ok(Inbox {
        url: stack.inbox_url.clone(),
        emails: emails.context("the inbox's response has no x-total-count")?,
        newest_emails,
        texts: texts.context("the inbox's response has no x-total-count")?,
        some_texts,
    })
}

/// Without the URL and the layers of a client that the error goes through.
fn no_response(stack: &Stack, error: &reqwest::Error) -> Error {
    anyhow!("{} does not respond: {}", stack.inbox_url, cause_of(error))
}

/// How many messages there are in all.
fn total(response: &reqwest::Response) -> Option<u64> {
    response.headers().get("x-total-count")?.to_str().ok()?.parse().ok()
}
