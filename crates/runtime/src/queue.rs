//! Queueing messages, in batches and with retries.

use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::DisplayErrorContext;
use aws_sdk_sqs::types::{QueueAttributeName, SendMessageBatchRequestEntry};
use futures::{StreamExt, TryStreamExt, stream};
use serde::Serialize;

/// Maximum number of messages in one `SendMessageBatch` (SQS API reference).
const BATCH_LIMIT: usize = 10;
/// Maximum size of one `SendMessageBatch` in bytes (1 MiB, SQS quotas), less a margin for what surrounds the bodies.
const BATCH_BYTES: usize = (1 << 20) - (16 << 10);
/// Concurrent calls.
const CONCURRENCY: usize = 8;
/// Attempts to send the entries that SQS rejects.
const ATTEMPTS: u32 = 4;

/// A queue to send messages to.
#[derive(Debug, Clone)]
pub struct Queue {
    client: Client,
    url: String,
}

/// Why not every message is known to be queued. Some may be. Handling a message twice is harmless, so resending all of
/// them is safe.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    #[error("a message cannot be written as JSON: {0}")]
    Unwritable(#[from] serde_json::Error),
    /// The call failed, after the client's own retries.
    #[error("the queue is unavailable: {0}")]
    Unavailable(String),
    /// SQS accepted the call but rejected some entries.
    #[error("{left} messages were rejected: {reason}")]
    Rejected {
        left: usize,
        /// SQS's error message for the first of them.
        reason: String,
    },
}

impl Queue {
    /// The queue at `url`.
    pub fn new(client: Client, url: impl Into<String>) -> Self {
        Self { client, url: url.into() }
    }

    /// Queues every message, in as few calls as possible, several of them concurrently.
    ///
    /// # Errors
    /// If not every message is known to be queued.
    pub async fn send_all<T: Serialize>(&self, messages: impl IntoIterator<Item = T>) -> Result<(), QueueError> {
        let mut batches = Vec::new();
        let mut entries = Vec::with_capacity(BATCH_LIMIT);
        let mut bytes = 0;
        for message in messages {
            let body = serde_json::to_string(&message)?;
            if entries.len() == BATCH_LIMIT || bytes + body.len() > BATCH_BYTES {
                batches.push(std::mem::take(&mut entries));
                bytes = 0;
            }
            bytes += body.len();
            let entry = SendMessageBatchRequestEntry::builder()
                .id(entries.len().to_string())
                .message_body(body)
                .build()
                .expect("id and body are set");
            entries.push(entry);
        }
        if !entries.is_empty() {
            batches.push(entries);
        }
        stream::iter(batches)
            .map(|entries| self.send_batch(entries))
            .buffer_unordered(CONCURRENCY)
            .try_collect::<()>()
            .await
    }

    /// Queues a message that can be received once `delay` has passed: rounded up to whole seconds, at most 900.
    ///
    /// # Errors
    /// If the message is not known to be queued.
    pub async fn send_delayed<T: Serialize>(&self, message: &T, delay: Duration) -> Result<(), QueueError> {
        let seconds = delay.as_secs_f64().ceil().min(900.0);
        #[expect(clippy::cast_possible_truncation, reason = "it is at most 900")]
        let seconds = seconds as i32;
        self.client
            .send_message()
            .queue_url(&self.url)
            .message_body(serde_json::to_string(message)?)
            .delay_seconds(seconds)
            .send()
            .await
            .map(|_| ())
            .map_err(|error| QueueError::Unavailable(DisplayErrorContext(&error).to_string()))
    }

    /// How many messages the queue holds, waiting, delayed and in flight, by SQS's own estimate.
    pub async fn depth(&self) -> Result<u64, QueueError> {
        let names = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
            QueueAttributeName::ApproximateNumberOfMessagesDelayed,
        ];
        let response = self
            .client
            .get_queue_attributes()
            .queue_url(&self.url)
            .set_attribute_names(Some(names.to_vec()))
            .send()
            .await
            .map_err(|error| QueueError::Unavailable(DisplayErrorContext(&error).to_string()))?;
        let attributes = response.attributes.unwrap_or_default();
        Ok(names.iter().filter_map(|name| attributes.get(name)?.parse::<u64>().ok()).sum())
    }

    async fn send_batch(&self, mut entries: Vec<SendMessageBatchRequestEntry>) -> Result<(), QueueError> {
        let mut reason = String::new();
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                tokio::time::sleep(Duration::from_millis(50 << attempt)).await;
            }
            let response = self
                .client
                .send_message_batch()
                .queue_url(&self.url)
                .set_entries(Some(entries.clone()))
                .send()
                .await
                .map_err(|error| QueueError::Unavailable(DisplayErrorContext(&error).to_string()))?;
            let Some(first) = response.failed.first() else {
                return Ok(());
            };
            reason = format!("{} {}", first.code, first.message.as_deref().unwrap_or_default());
            entries.retain(|entry| response.failed.iter().any(|failed| failed.id == entry.id));
        }
        Err(QueueError::Rejected { left: entries.len(), reason })
    }
}
