//! What a channel's function does with the messages of its queue.

use std::time::Duration;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use domain::Channel;
use domain::push::OutcomeCounts;
use domain::queue::{Batch, ChannelMessage};
use runtime::metrics::{self, Unit};
use runtime::queue::QueueError;
use runtime::{Deadline, Queue, records, telemetry};
use tracing::Span;

use crate::compose::Compose;
use crate::pipeline::{DeferReason, Deferral, DeliverError, Delivered, Deliverer};
use crate::transport::Transport;

/// Delivers the batches of a queue.
#[derive(Debug)]
pub struct Worker<C, T> {
    pub deliverer: Deliverer<C, T>,
    /// The queue that batches come from, and that deferred batches go back to.
    pub queue: Queue,
}

/// Why SQS must redeliver a batch.
#[derive(Debug, thiserror::Error)]
enum BatchError {
    #[error("the message is not a batch: {0}")]
    Message(#[from] serde_json::Error),
    #[error(transparent)]
    Deliver(#[from] DeliverError),
    #[error("the batch could not be deferred: {0}")]
    Queue(#[from] QueueError),
}

/// What the log lines and metrics of one batch have in common.
struct BatchLog {
    slice: u32,
    number: u32,
    channel: Channel,
}

impl<C, T> Worker<C, T>
where
    C: Compose,
    T: Transport<Message = C::Message>,
{
    /// Delivers each batch of an event, and returns those that SQS must redeliver.
    pub async fn deliver_all(&self, event: SqsEvent, deadline: Deadline) -> SqsBatchResponse {
        records::handle_each(event, &self.queue, async |body| {
            let ChannelMessage::Batch(batch) = serde_json::from_str(body)?;
            self.deliver(&batch, deadline).await
        })
        .await
    }

    /// Delivers a batch. If some of it is unfinished, that part is queued again with a delay of its own, so that the
    /// old message can be deleted. Redelivery by SQS, and its dead-letter queue, are for crashes and for messages that
    /// can never succeed.
    async fn deliver(&self, batch: &Batch, deadline: Deadline) -> Result<(), BatchError> {
        telemetry::record_push(batch.push, None);
        Span::current().record("channel", batch.channel.as_str());
        let log = BatchLog::of(batch);
        let sources = &self.deliverer.sources;
        let began = sources.now();
        let delivered = self.deliverer.deliver(batch, deadline.at()).await?;
        let duration_ms = sources.millis_since(began);
        match delivered {
            Delivered::NothingToReport => {
                tracing::info!(
                    slice = log.slice,
                    batch = log.number,
                    duration_ms,
                    "batch not counted: its push is completed, it was counted before, its scan was restarted, or its page was \
                     never committed"
                );
            }
            Delivered::Completed(counts) => log.completed(&counts, duration_ms),
            Delivered::Deferred(deferral) => {
                let Deferral { again, delay, reason } = *deferral;
                let (left, attempt) = (again.customers().len(), again.deferrals);
                self.queue.send_delayed(&ChannelMessage::Batch(again), delay).await?;
                log.deferred(left, attempt, delay, reason, duration_ms);
            }
        }
        Ok(())
    }
}

impl BatchLog {
    fn of(batch: &Batch) -> Self {
        Self { slice: batch.slice, number: batch.number, channel: batch.channel }
    }

    fn completed(&self, counts: &OutcomeCounts, duration_ms: u64) {
        tracing::info!(
            slice = self.slice,
            batch = self.number,
            duration_ms,
            sent = counts.sent,
            failed = counts.failed,
            suppressed = counts.suppressed,
            optedOut = counts.opted_out,
            expired = counts.expired,
            cancelled = counts.cancelled,
            alreadyServed = counts.already_served,
            "batch delivered"
        );
        let named = counts.named().map(|(name, count)| (metric_name(name), count));
        let metrics: Vec<_> = named.iter().map(|(name, count)| (name.as_str(), Unit::Count, *count)).collect();
        metrics::emit(&[("channel", self.channel.as_str())], &metrics);
    }

    fn deferred(&self, left: usize, attempt: u32, delay: Duration, reason: DeferReason, duration_ms: u64) {
        let delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        tracing::info!(
            slice = self.slice,
            batch = self.number,
            duration_ms,
            attempt,
            left,
            why = reason.as_str(),
            delay_ms,
            "batch deferred; the rest of it is queued again"
        );
        metrics::emit(
            &[("channel", self.channel.as_str()), ("why", reason.as_str())],
            &[("PutOff", Unit::Count, 1), ("Delay", Unit::Seconds, delay.as_secs())],
        );
    }
}

/// The metric of a counter: `alreadyServed` is emitted as `AlreadyServed`.
fn metric_name(counter: &str) -> String {
    let (first, rest) = counter.split_at(1);
    first.to_ascii_uppercase() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The dashboard and the documentation have these names.
    #[test]
    fn metrics_are_named_after_counters() {
        let names = OutcomeCounts::default().named().map(|(name, _)| metric_name(name));
        assert_eq!(names, ["Sent", "Failed", "Suppressed", "OptedOut", "Expired", "Cancelled", "AlreadyServed"]);
    }
}
