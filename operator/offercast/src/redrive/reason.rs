//! What a dead letter is about, and why it became one.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use aws_sdk_sqs::types::{Message, MessageSystemAttributeName};
use client::{Deployment, logged};
use domain::PushId;
use serde_json::Value;

use crate::logs::Line;

/// How far before the oldest dead letter the logs are read, for its attempts.
const ATTEMPTS_TOOK: Duration = Duration::from_secs(2 * 3_600);
/// How far the logs are read at most: more takes long.
const LOGS_READ: Duration = Duration::from_secs(2 * 86_400);

/// The push that a message is about, as far as its body says so.
pub(super) fn push_of(body: &str) -> Option<PushId> {
    let body: Value = serde_json::from_str(body).ok()?;
    let (offer, number) = (body["push"]["offer"].as_str()?, body["push"]["number"].as_u64()?);
    Some(PushId { offer: offer.parse().ok()?, number: u32::try_from(number).ok()? })
}

/// When a message was sent first: a dead-letter queue keeps that time.
pub(super) fn sent_at(message: &Message) -> Option<SystemTime> {
    let attributes = message.attributes()?;
    let millis = attributes.get(&MessageSystemAttributeName::SentTimestamp)?.parse().ok()?;
    Some(UNIX_EPOCH + Duration::from_millis(millis))
}

/// The last logged error of each message by its id, of the function that failed to handle them. Empty if the logs say nothing.
pub(super) async fn reasons(
    deployment: &Deployment,
    function: &str,
    messages: &[Message],
) -> Result<HashMap<String, String>> {
    let (Some(name), Some(oldest)) = (deployment.functions.get(function), messages.iter().filter_map(sent_at).min())
    else {
        return Ok(HashMap::new());
    };
    let now = SystemTime::now();
    let since = oldest.checked_sub(ATTEMPTS_TOOK).unwrap_or(UNIX_EPOCH).max(now - LOGS_READ);
    let logs = aws_sdk_cloudwatchlogs::Client::new(&deployment.sdk);
    let mut reasons = HashMap::new();
    for event in logged(&logs, name, since).await? {
        for line in event.message().unwrap_or_default().lines().filter_map(Line::parse) {
            if let Some((id, error)) = line.field("sqs.message_id").zip(line.field("error")) {
                reasons.insert(id.to_owned(), error.to_owned());
            }
        }
    }
    Ok(reasons)
}
