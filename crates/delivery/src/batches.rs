//! What a channel's function does with the messages of its queue.

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use domain::offer::now;
use domain::queue::{Batch, ChannelMessage};
use runtime::metrics::{self, Unit};
use runtime::queue::QueueError;
use runtime::{Deadline, Queue, records};
use store::StoreError;

use crate::deliver::{Delivered, Deliverer, PutOff};
use crate::transport::{Compose, Transport};

/// Delivers the batches of a queue.
#[derive(Debug)]
pub struct Batches<C, T> {
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

impl<C, T> Batches<C, T>
where
    C: Compose,
    T: Transport<Message = C::Message>,
{
    /// Delivers each batch of an event, and answers which must come again.
    pub async fn deliver_all(&self, event: SqsEvent, deadline: Deadline) -> SqsBatchResponse {
        records::each(event, async |body| {
            let ChannelMessage::BatchV1(batch) = serde_json::from_str(body)?;
            self.deliver(batch, deadline).await
        })
        .await
    }

    /// Delivers a batch. What is left of it is put off: sent anew, to come when it makes sense, so that the old message may
    /// go. The queue's own retries, and its dead-letter queue, are for crashes and for messages that can never succeed.
    async fn deliver(&self, batch: Batch, deadline: Deadline) -> Result<(), BatchError> {
        let Batch { push, slice, batch: number, channel, .. } = batch;
        match self.deliverer.deliver(&batch, deadline.at()).await? {
            Delivered::Whole(counts) => {
                tracing::info!(
                    offer.id = %push.offer, push.number = push.number, %channel, slice, batch = number,
                    sent = counts.sent, failed = counts.failed, suppressed = counts.suppressed,
                    opted_out = counts.opted_out, expired = counts.expired, cancelled = counts.cancelled,
                    already_served = counts.already_served, "batch delivered"
                );
                let posted = batch.offer.created_at;
                let begins = batch.offer.valid_from.map_or(posted, |from| from.max(posted));
                let age = u64::try_from(now().duration_since(begins).as_secs()).unwrap_or_default();
                metrics::emit(
                    &[("channel", channel.as_str())],
                    &[
                        ("Sent", Unit::Count, counts.sent),
                        ("Failed", Unit::Count, counts.failed),
                        ("Suppressed", Unit::Count, counts.suppressed),
                        ("OptedOut", Unit::Count, counts.opted_out),
                        ("Expired", Unit::Count, counts.expired),
                        ("Cancelled", Unit::Count, counts.cancelled),
                        ("Age", Unit::Seconds, age),
                    ],
                );
            }
            Delivered::PutOff(put_off) => {
                let PutOff { again, delay, why } = *put_off;
                let (left, attempt) = (again.customers.len(), again.attempt);
                self.queue.send_later(&ChannelMessage::BatchV1(again), delay).await?;
                tracing::info!(
                    offer.id = %push.offer, push.number = push.number, %channel, slice, batch = number, attempt, left,
                    why = ?why, delay_ms = delay.as_millis(), "batch put off"
                );
                metrics::emit(
                    &[("channel", channel.as_str()), ("why", why.as_str())],
                    &[("PutOff", Unit::Count, 1), ("Delay", Unit::Seconds, delay.as_secs())],
                );
            }
        }
        Ok(())
    }
}
