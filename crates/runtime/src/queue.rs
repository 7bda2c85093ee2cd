//! Putting messages into a queue, all of them.

use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::DisplayErrorContext;
use aws_sdk_sqs::types::{QueueAttributeName, SendMessageBatchRequestEntry};
use futures::{StreamExt, TryStreamExt, stream};
use serde::Serialize;

/// Most messages of one `SendMessageBatch` (SQS API reference).
const BATCH_LIMIT: usize = 10;
/// Most bytes of one `SendMessageBatch` (1 MiB, SQS quotas), less some room for what surrounds the bodies.
const BATCH_BYTES: usize = (1 << 20) - (16 << 10);
/// Calls at a time.
const CONCURRENCY: usize = 8;
/// Rounds in which entries that SQS did not take are sent again.
const ROUNDS: u32 = 4;

/// A queue to put messages into.
#[derive(Debug, Clone)]
pub struct Queue {
    client: Client,
    url: String,
}

/// Why not every message was queued. Some may have been: sending all of them again must be harmless, and is.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// A message could not be written as JSON.
    #[error("a message cannot be written as JSON: {0}")]
    Unwritable(#[from] serde_json::Error),
    /// The call failed, after the client's own retries.
    #[error("the queue is out of reach: {0}")]
    Unavailable(String),
    /// SQS took the call but not all entries.
    #[error("{left} messages were not taken: {reason}")]
    Refused {
        /// How many.
        left: usize,
        /// SQS's words on the first of them.
        reason: String,
    },
}

impl Queue {
    /// The queue at `url`.
    pub fn new(client: Client, url: impl Into<String>) -> Self {
        Self { client, url: url.into() }
    }

    /// Queues every message, in as few calls as may be, several at a time.
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

    /// Queues a message that nobody sees before `delay` has passed, in whole seconds, 900 at most.
    ///
    /// # Errors
    /// If it is not known to be queued.
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

    /// How many messages the queue holds: waiting, delayed and in flight. SQS's own estimate.
    ///
    /// # Errors
    /// If the queue is out of reach.
    pub async fn depth(&self) -> Result<u64, QueueError> {
        let names = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
            QueueAttributeName::ApproximateNumberOfMessagesDelayed,
        ];
        let answer = self
            .client
            .get_queue_attributes()
            .queue_url(&self.url)
            .set_attribute_names(Some(names.to_vec()))
            .send()
            .await
            .map_err(|error| QueueError::Unavailable(DisplayErrorContext(&error).to_string()))?;
        let attributes = answer.attributes.unwrap_or_default();
        Ok(names.iter().filter_map(|name| attributes.get(name)?.parse::<u64>().ok()).sum())
    }

    async fn send_batch(&self, mut entries: Vec<SendMessageBatchRequestEntry>) -> Result<(), QueueError> {
        let mut reason = String::new();
        for round in 0..ROUNDS {
            if round > 0 {
                tokio::time::sleep(Duration::from_millis(50 << round)).await;
            }
            let answer = self
                .client
                .send_message_batch()
                .queue_url(&self.url)
                .set_entries(Some(entries.clone()))
                .send()
                .await
                .map_err(|error| QueueError::Unavailable(DisplayErrorContext(&error).to_string()))?;
            let Some(first) = answer.failed.first() else {
                return Ok(());
            };
            reason = format!("{} {}", first.code, first.message.as_deref().unwrap_or_default());
            entries.retain(|entry| answer.failed.iter().any(|failed| failed.id == entry.id));
        }
        Err(QueueError::Refused { left: entries.len(), reason })
    }
}
