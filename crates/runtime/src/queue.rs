//! Queueing messages, in batches and with retries, and hiding those that were received.

use std::iter::Peekable;
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::DisplayErrorContext;
use aws_sdk_sqs::types::{
    BatchResultErrorEntry, ChangeMessageVisibilityBatchRequestEntry, QueueAttributeName, SendMessageBatchRequestEntry,
};
use domain::queue::MAX_DELAY;
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

/// A queue.
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

    /// Queues every message, each with the delay after which it can be received (see [`Queue::send_delayed`]), in as few calls
    /// as possible, several of them concurrently. Messages are taken as calls are made, so only those of the present calls are
    /// in memory.
    ///
    /// # Errors
    /// If not every message is known to be queued.
    pub async fn send_all<T: Serialize>(
        &self,
        messages: impl IntoIterator<Item = (T, Duration)>,
    ) -> Result<(), QueueError> {
        let encode = |(message, delay): (T, Duration)| {
            Ok::<_, serde_json::Error>(Encoded { body: serde_json::to_string(&message)?, delay: delay_seconds(delay) })
        };
        let mut encoded = messages.into_iter().map(encode).peekable();
        let calls = std::iter::from_fn(move || next_call(&mut encoded));
        stream::iter(calls)
            .map(async |messages| self.send_batch(entries(messages?)).await)
            .buffer_unordered(CONCURRENCY)
            .try_collect::<()>()
            .await
    }

    /// Queues a message that can be received once `delay` has passed: rounded up to whole seconds, at most 900.
    ///
    /// # Errors
    /// If the message is not known to be queued.
    pub async fn send_delayed<T: Serialize>(&self, message: &T, delay: Duration) -> Result<(), QueueError> {
        self.client
            .send_message()
            .queue_url(&self.url)
            .message_body(serde_json::to_string(message)?)
            .delay_seconds(delay_seconds(delay))
            .send()
            .await
            .map(|_| ())
            .map_err(|error| QueueError::Unavailable(DisplayErrorContext(&error).to_string()))
    }

    /// Hides received messages from other receivers for this long from now on, in whole seconds. Up to ten.
    ///
    /// # Errors
    /// If any of them is not known to be hidden, because it is in flight no more or another receiver has it.
    pub async fn hide(&self, receipts: &[String], time: Duration) -> Result<(), QueueError> {
        if receipts.is_empty() {
            return Ok(());
        }
        let seconds = i32::try_from(time.as_secs()).unwrap_or(i32::MAX);
        let entry = |(number, receipt): (usize, &String)| {
            ChangeMessageVisibilityBatchRequestEntry::builder()
                .id(number.to_string())
                .receipt_handle(receipt)
                .visibility_timeout(seconds)
                .build()
                .expect("id and receipt are set")
        };
        let response = self
            .client
            .change_message_visibility_batch()
            .queue_url(&self.url)
            .set_entries(Some(receipts.iter().enumerate().map(entry).collect()))
            .send()
            .await
            .map_err(|error| QueueError::Unavailable(DisplayErrorContext(&error).to_string()))?;
        match response.failed.first() {
            Some(first) => Err(QueueError::Rejected { left: response.failed.len(), reason: reason_of(first) }),
            None => Ok(()),
        }
    }

    /// How long the queue hides a message that was received, unless something else is said of that message.
    ///
    /// # Errors
    /// If the call failed.
    pub async fn visibility_timeout(&self) -> Result<Duration, QueueError> {
        let [seconds] = self.attributes([QueueAttributeName::VisibilityTimeout]).await?;
        Ok(Duration::from_secs(seconds))
    }

    /// How many messages the queue holds, waiting, delayed and in flight, by SQS's own estimate.
    pub async fn depth(&self) -> Result<u64, QueueError> {
        let counts = self.attributes([
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
            QueueAttributeName::ApproximateNumberOfMessagesDelayed,
        ]);
        Ok(counts.await?.iter().sum())
    }

    /// The values of these attributes; 0 of one that is missing.
    async fn attributes<const N: usize>(&self, names: [QueueAttributeName; N]) -> Result<[u64; N], QueueError> {
        let response = self
            .client
            .get_queue_attributes()
            .queue_url(&self.url)
            .set_attribute_names(Some(names.to_vec()))
            .send()
            .await
            .map_err(|error| QueueError::Unavailable(DisplayErrorContext(&error).to_string()))?;
        let attributes = response.attributes.unwrap_or_default();
        Ok(names.map(|name| attributes.get(&name).and_then(|value| value.parse().ok()).unwrap_or_default()))
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
            reason = reason_of(first);
            entries.retain(|entry| response.failed.iter().any(|failed| failed.id == entry.id));
        }
        Err(QueueError::Rejected { left: entries.len(), reason })
    }
}

/// A message as it is queued.
#[derive(Debug, PartialEq)]
struct Encoded {
    body: String,
    /// In seconds.
    delay: i32,
}

fn delay_seconds(delay: Duration) -> i32 {
    let seconds = delay.min(MAX_DELAY).as_secs_f64().ceil();
    #[expect(clippy::cast_possible_truncation, reason = "it is at most 900")]
    let seconds = seconds as i32;
    seconds
}

/// Why SQS rejected an entry.
fn reason_of(entry: &BatchResultErrorEntry) -> String {
    format!("{} {}", entry.code, entry.message.as_deref().unwrap_or_default())
}

/// The messages of the next call: as many as it may have, or the first that cannot be written; `None` if there are none
/// left.
fn next_call<E>(messages: &mut Peekable<impl Iterator<Item = Result<Encoded, E>>>) -> Option<Result<Vec<Encoded>, E>> {
    let mut call = Vec::with_capacity(BATCH_LIMIT);
    let mut bytes = 0;
    while call.len() < BATCH_LIMIT {
        let fits = |message: &Result<Encoded, E>| {
            call.is_empty() || message.as_ref().map_or(true, |message| bytes + message.body.len() <= BATCH_BYTES)
        };
        match messages.next_if(fits) {
            Some(Ok(message)) => {
                bytes += message.body.len();
                call.push(message);
            }
            Some(Err(error)) => return Some(Err(error)),
            None => break,
        }
    }
    (!call.is_empty()).then_some(Ok(call))
}

fn entries(messages: Vec<Encoded>) -> Vec<SendMessageBatchRequestEntry> {
    let entry = |(number, message): (usize, Encoded)| {
        SendMessageBatchRequestEntry::builder()
            .id(number.to_string())
            .message_body(message.body)
            .delay_seconds(message.delay)
            .build()
            .expect("id and body are set")
    };
    messages.into_iter().enumerate().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(body: String) -> Encoded {
        Encoded { body, delay: 0 }
    }

    /// The sizes of the bodies of each call.
    fn calls(sizes: &[usize]) -> Vec<Vec<usize>> {
        let mut messages = sizes.iter().map(|size| Ok::<_, ()>(encoded("x".repeat(*size)))).peekable();
        let calls = std::iter::from_fn(|| next_call(&mut messages));
        calls.map(|call| call.unwrap().iter().map(|message| message.body.len()).collect()).collect()
    }

    #[test]
    fn call_has_as_many_messages_as_sqs_takes() {
        assert!(calls(&[]).is_empty());
        assert_eq!(calls(&[1; 21]), [vec![1; 10], vec![1; 10], vec![1]]);
        let half = BATCH_BYTES / 2;
        assert_eq!(calls(&[half, half, 1]), [vec![half, half], vec![1]]);
        assert_eq!(calls(&[1, BATCH_BYTES, 1]), [vec![1], vec![BATCH_BYTES], vec![1]]);
    }

    /// A push may have 10,000 slices.
    #[test]
    fn messages_are_made_when_they_are_sent() {
        let mut made = 0;
        let mut messages = std::iter::repeat_with(|| {
            made += 1;
            if made < 12 { Ok(encoded("x".to_owned())) } else { Err(made) }
        });
        let mut messages = messages.by_ref().peekable();
        assert_eq!(next_call(&mut messages).unwrap().unwrap().len(), 10);
        assert_eq!(next_call(&mut messages), Some(Err(12)));
        drop(messages);
        assert_eq!(made, 12);
    }
}
