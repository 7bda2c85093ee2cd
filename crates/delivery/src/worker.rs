//! What a channel's function does with the messages of its queue.

use std::time::Instant;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use domain::clock::now;
use domain::queue::{Batch, ChannelMessage};
use runtime::metrics::{self, Unit};
use runtime::queue::QueueError;
use runtime::{Deadline, Queue, records, telemetry};
use store::StoreError;
use tracing::Span;

use crate::compose::Compose;
use crate::pipeline::{Deferral, Delivered, Deliverer};
use crate::transport::Transport;

/// Delivers the batches of a queue.
#[derive(Debug)]
pub struct Worker<C, T> {
    /// Delivers one.
    pub deliverer: Deliverer<C, T>,
    /// The queue that they come from, and go back to when they are put off.
    pub queue: Queue,
}

/// Why a batch must come again by the queue's own means.
#[derive(Debug, thiserror::Error)]
enum BatchError {
    #[error("the message is no batch: {0}")]
    Message(#[from] serde_json::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the batch could not be put off: {0}")]
    Queue(#[from] QueueError),
}

impl<C, T> Worker<C, T>
where
    C: Compose,
    T: Transport<Message = C::Message>,
{
    /// Delivers each batch of an event, and answers which must come again.
    pub async fn deliver_all(&self, event: SqsEvent, deadline: Deadline) -> SqsBatchResponse {
        records::handle_each(event, async |body| {
            let ChannelMessage::BatchV1(batch) = serde_json::from_str(body)?;
            self.deliver(batch, deadline).await
        })
        .await
    }

    /// Delivers a batch. What is left of it is put off: sent anew, to come when it makes sense, so that the old message may
    /// go. The queue's own retries, and its dead-letter queue, are for crashes and for messages that can never succeed.
    async fn deliver(&self, batch: Batch, deadline: Deadline) -> Result<(), BatchError> {
        let Batch { push, slice, batch: number, channel, origin, .. } = batch;
        telemetry::record_push(push, origin.as_ref());
        Span::current().record("channel", channel.as_str());
        // When it could be sent at the earliest.
        let begins = origin
            .map(|origin| batch.offer.valid_from.map_or(origin.requested_at, |from| from.max(origin.requested_at)));
        let began = Instant::now();
        let delivered = self.deliverer.deliver(&batch, deadline.at()).await?;
        let duration_ms = telemetry::millis_since(began);
        match delivered {
            // Somebody else has told of it.
            Delivered::AlreadyReported => {
                tracing::info!(slice, batch = number, duration_ms, "batch was delivered before");
            }
            Delivered::Completed(counts) => {
                tracing::info!(
                    slice,
                    batch = number,
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
                metrics::emit(
                    &[("channel", channel.as_str())],
                    &[
                        ("Sent", Unit::Count, counts.sent),
                        ("Failed", Unit::Count, counts.failed),
                        ("Suppressed", Unit::Count, counts.suppressed),
                        ("OptedOut", Unit::Count, counts.opted_out),
                        ("Expired", Unit::Count, counts.expired),
                        ("Cancelled", Unit::Count, counts.cancelled),
                        ("AlreadyServed", Unit::Count, counts.already_served),
                    ],
                );
                if let Some(begins) = begins.filter(|_| counts.sent > 0) {
                    let age = u64::try_from(now().duration_since(begins).as_secs()).unwrap_or_default();
                    metrics::emit(&[("channel", channel.as_str())], &[("Age", Unit::Seconds, age)]);
                }
            }
            Delivered::Deferred(deferral) => {
                let Deferral { again, delay, reason } = *deferral;
                let (left, attempt, why) = (again.customers.len(), again.attempt, reason.as_str());
                self.queue.send_delayed(&ChannelMessage::BatchV1(again), delay).await?;
                let delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
                tracing::info!(slice, batch = number, duration_ms, attempt, left, why, delay_ms, "batch put off");
                metrics::emit(
                    &[("channel", channel.as_str()), ("why", why)],
                    &[("PutOff", Unit::Count, 1), ("Delay", Unit::Seconds, delay.as_secs())],
                );
            }
        }
        Ok(())
    }
}
