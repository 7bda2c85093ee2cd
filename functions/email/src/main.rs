//! Delivers e-mail: batches from its queue, or one e-mail for whoever invokes it directly.

mod carrier;
mod direct;

use std::sync::Arc;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use delivery::email::{Letterhead, Links, RingSource};
use delivery::{Delivered, Deliverer, EmailComposer, Paced, PutOff};
use domain::queue::{Batch, ChannelMessage};
use futures::FutureExt;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use runtime::keys::RING_AGE;
use runtime::queue::QueueError;
use runtime::{Aws, Deadline, Keys, Queue, records, settings, telemetry};
use serde_json::Value;
use store::{Customers, Deliveries, Pacing, Pushes, StoreError, Suppressions};

use crate::carrier::{Carrier, Kind};

type Email = Deliverer<EmailComposer, Carrier>;

/// What every invocation may use.
struct Function {
    email: Email,
    /// The queue that batches come from.
    queue: Queue,
    /// While false the queue is not read at all, and direct invocations are refused.
    is_sending_enabled: bool,
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let aws = Aws::from_env().await;
    let letterhead = Letterhead {
        brand_name: settings::required("BRAND_NAME")?,
        postal_address: settings::required("POSTAL_ADDRESS")?,
    };
    let from: String = settings::required("FROM_ADDRESS")?;
    let reply_to: String = settings::required("REPLY_TO_ADDRESS")?;
    let first: Kind = settings::required("EMAIL_TRANSPORT")?;
    let fallback: Kind = settings::required("FALLBACK_EMAIL_TRANSPORT")?;
    let keys = Arc::new(Keys::new(aws.clone(), settings::required("UNSUBSCRIBE_KEYS_SECRET_ARN")?));
    let ring: RingSource = Box::new(move || {
        let keys = keys.clone();
        async move { keys.ring(RING_AGE).await }.boxed()
    });
    // Where only the template knows the API's id.
    let public_url =
        settings::required::<String>("PUBLIC_URL")?.replace("{api}", &settings::required::<String>("API_ID")?);
    let email = Email {
        customers: Customers::new(aws.dynamodb(), settings::required::<String>("CUSTOMERS_TABLE")?),
        suppressions: Suppressions::new(aws.dynamodb(), settings::required::<String>("SUPPRESSIONS_TABLE")?),
        deliveries: Deliveries::new(aws.dynamodb(), settings::required::<String>("DELIVERIES_TABLE")?),
        pushes: Pushes::new(aws.dynamodb(), settings::required::<String>("PUSHES_TABLE")?),
        pacing: Pacing::new(aws.dynamodb(), settings::required::<String>("PACING_TABLE")?),
        composer: EmailComposer::new(&from, &reply_to, letterhead, Links::new(&public_url, ring))?,
        first: Paced {
            transport: Carrier::new(first, &aws)?.ok_or("EMAIL_TRANSPORT must name one")?,
            rate: settings::required("EMAIL_RATE_PER_SECOND")?,
        },
        fallback: match Carrier::new(fallback, &aws)?.filter(|_| fallback != first) {
            Some(transport) => Some(Paced { transport, rate: settings::required("FALLBACK_EMAIL_RATE_PER_SECOND")? }),
            None => None,
        },
    };
    let queue = Queue::new(aws.sqs(), settings::required::<String>("EMAIL_QUEUE_URL")?);
    let is_sending_enabled = settings::required("SENDING_ENABLED")?;
    let function = &Function { email, queue, is_sending_enabled };
    lambda_runtime::run(service_fn(async move |event: LambdaEvent<Value>| {
        // Boxed: all its layers in one type are more than the compiler looks through.
        Box::pin(handle(function, event.payload, Deadline::of(&event.context))).await
    }))
    .await
}

async fn handle(function: &Function, payload: Value, deadline: Deadline) -> Result<Value, Error> {
    if payload.get("Records").is_some() {
        let event: SqsEvent = serde_json::from_value(payload)?;
        return Ok(serde_json::to_value(deliver_all(function, event, deadline).await)?);
    }
    Ok(direct::send(function, payload, deadline).await?)
}

async fn deliver_all(function: &Function, event: SqsEvent, deadline: Deadline) -> SqsBatchResponse {
    records::each(event, async |body| {
        let ChannelMessage::BatchV1(batch) = serde_json::from_str(body)?;
        deliver(function, batch, deadline).await
    })
    .await
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

/// Delivers a batch. What is left of it is put off: sent anew, to come when it makes sense, so that the old message may
/// go. The queue's own retries, and its dead-letter queue, are for crashes and for messages that can never succeed.
async fn deliver(function: &Function, batch: Batch, deadline: Deadline) -> Result<(), BatchError> {
    let Batch { push, slice, batch: number, .. } = batch;
    match function.email.deliver(&batch, deadline.at()).await? {
        Delivered::Whole(counts) => tracing::info!(
            offer.id = %push.offer, push.number = push.number, slice, batch = number,
            sent = counts.sent, failed = counts.failed, suppressed = counts.suppressed, opted_out = counts.opted_out,
            expired = counts.expired, cancelled = counts.cancelled, already_served = counts.already_served,
            "batch delivered"
        ),
        Delivered::PutOff(put_off) => {
            let PutOff { again, delay, why } = *put_off;
            let (left, attempt) = (again.customers.len(), again.attempt);
            function.queue.send_later(&ChannelMessage::BatchV1(again), delay).await?;
            tracing::info!(
                offer.id = %push.offer, push.number = push.number, slice, batch = number, attempt, left, why = ?why,
                delay_ms = delay.as_millis(), "batch put off"
            );
        }
    }
    Ok(())
}
