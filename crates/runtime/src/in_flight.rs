//! Messages in flight: hidden from other receivers for only as long as their invocation shows that it lives.
//!
//! Lambda wants a queue to hide messages for longer than the function's time-out (Lambda Developer Guide, "Using Lambda with
//! Amazon SQS"): for minutes. If an invocation is killed or frozen, its messages would be delayed for that long.

use std::time::Duration;

use aws_lambda_events::sqs::SqsEvent;
use tokio::time::sleep;

use crate::Queue;
use crate::queue::QueueError;

/// How long messages stay hidden after their invocation last showed that it lives.
pub const HIDDEN_FOR: Duration = Duration::from_secs(30);
/// How often an invocation shows that. One call may fail, with all its retries.
const RENEW_EVERY: Duration = Duration::from_secs(10);

/// The messages of an event.
#[derive(Debug)]
pub(crate) struct InFlight<'a> {
    queue: &'a Queue,
    receipts: Vec<String>,
}

impl<'a> InFlight<'a> {
    pub(crate) fn of(event: &SqsEvent, queue: &'a Queue) -> Self {
        Self { queue, receipts: event.records.iter().filter_map(|record| record.receipt_handle.clone()).collect() }
    }

    /// Keeps all messages hidden, until it is dropped.
    pub(crate) async fn keep_hidden(&self) -> std::convert::Infallible {
        loop {
            self.hide(&self.receipts, HIDDEN_FOR).await;
            sleep(RENEW_EVERY).await;
        }
    }

    /// Hides those of these messages that failed for as long as the queue hides messages: another attempt soon would probably
    /// fail as well, and after five of them (`maxReceiveCount` of the template) a message is a dead letter.
    pub(crate) async fn retry_later(&self, failed: &[String]) {
        if failed.is_empty() {
            return;
        }
        match self.queue.visibility_timeout().await {
            Ok(time) => self.hide(failed, time).await,
            Err(error) => not_hidden(&error),
        }
    }

    async fn hide(&self, receipts: &[String], time: Duration) {
        if let Err(error) = self.queue.hide(receipts, time).await {
            not_hidden(&error);
        }
    }
}

/// The messages are received again earlier or later than they should, which sends nothing twice. A receive too early counts
/// towards `maxReceiveCount`.
fn not_hidden(error: &QueueError) {
    tracing::warn!(error = %error, "messages not hidden; SQS may deliver them again too early or too late");
}
