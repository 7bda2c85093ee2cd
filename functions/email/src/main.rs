//! Delivers e-mail: batches from its queue, or one e-mail for whoever invokes it directly.

mod carrier;
mod direct;

use std::sync::Arc;

use aws_lambda_events::sqs::SqsEvent;
use delivery::compose::email::{Links, RingSource};
use delivery::compose::letterhead::Letterhead;
use delivery::{Deliverer, EmailComposer, RateLimited, Worker};
use futures::FutureExt;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use runtime::keys::RING_AGE;
use runtime::{Aws, Deadline, Keys, settings, telemetry};
use serde_json::Value;

use crate::carrier::{Carrier, Kind};

/// What every invocation may use.
struct Function {
    worker: Worker<EmailComposer, Carrier>,
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
    let deliverer = Deliverer {
        customers: aws.table()?,
        suppressions: aws.table()?,
        deliveries: aws.table()?,
        pushes: aws.table()?,
        limits: aws.table()?,
        composer: EmailComposer::new(&from, &reply_to, letterhead, Links::new(&public_url, ring))?,
        first: RateLimited {
            transport: Carrier::new(first, &aws)?.ok_or("EMAIL_TRANSPORT must name one")?,
            rate: settings::required("EMAIL_RATE_PER_SECOND")?,
        },
        fallback: match Carrier::new(fallback, &aws)?.filter(|_| fallback != first) {
            Some(transport) => {
                Some(RateLimited { transport, rate: settings::required("FALLBACK_EMAIL_RATE_PER_SECOND")? })
            }
            None => None,
        },
    };
    let queue = aws.queue("EMAIL_QUEUE_URL")?;
    let is_sending_enabled = settings::required("SENDING_ENABLED")?;
    let function = &Function { worker: Worker { deliverer, queue }, is_sending_enabled };
    lambda_runtime::run(service_fn(async move |event: LambdaEvent<Value>| {
        // Boxed: all its layers in one type are more than the compiler looks through.
        Box::pin(handle(function, event.payload, Deadline::of(&event.context))).await
    }))
    .await
}

async fn handle(function: &Function, payload: Value, deadline: Deadline) -> Result<Value, Error> {
    if payload.get("Records").is_some() {
        let event: SqsEvent = serde_json::from_value(payload)?;
        return Ok(serde_json::to_value(function.worker.deliver_all(event, deadline).await)?);
    }
    Ok(direct::send(function, payload, deadline).await?)
}
