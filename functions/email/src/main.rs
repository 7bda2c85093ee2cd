//! Delivers e-mail: batches from its queue, or one e-mail for whoever invokes it directly.

mod direct;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use delivery::email::Letterhead;
use delivery::{DeliverError, Delivered, Deliverer, EmailComposer, SmtpTransport};
use domain::queue::{Batch, ChannelMessage};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use runtime::{Aws, Deadline, settings, telemetry};
use serde_json::Value;
use store::{Customers, Deliveries, Pushes};

type Email = Deliverer<EmailComposer, SmtpTransport>;

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
    let smtp_url = aws.secret(&settings::required::<String>("SMTP_URL_SECRET_ARN")?).await?;
    let email = Email {
        customers: Customers::new(aws.dynamodb(), settings::required::<String>("CUSTOMERS_TABLE")?),
        deliveries: Deliveries::new(aws.dynamodb(), settings::required::<String>("DELIVERIES_TABLE")?),
        pushes: Pushes::new(aws.dynamodb(), settings::required::<String>("PUSHES_TABLE")?),
        composer: EmailComposer::new(&from, &reply_to, letterhead)?,
        transport: SmtpTransport::new(&smtp_url)?,
    };
    let email = &email;
    lambda_runtime::run(service_fn(async move |event: LambdaEvent<Value>| {
        handle(email, event.payload, Deadline::of(&event.context)).await
    }))
    .await
}

async fn handle(email: &Email, payload: Value, deadline: Deadline) -> Result<Value, Error> {
    if payload.get("Records").is_some() {
        let event: SqsEvent = serde_json::from_value(payload)?;
        return Ok(serde_json::to_value(deliver_all(email, event, deadline).await)?);
    }
    Ok(direct::send(email, payload).await?)
}

/// Each message is parsed, delivered and reported on its own: a bad one never fails its neighbours.
async fn deliver_all(email: &Email, event: SqsEvent, deadline: Deadline) -> SqsBatchResponse {
    let mut response = SqsBatchResponse::default();
    for record in event.records {
        let message_id = record.message_id.unwrap_or_default();
        if let Err(error) = deliver(email, record.body.as_deref().unwrap_or_default(), deadline).await {
            tracing::error!(sqs.message_id = message_id, error = %error, "a batch was not delivered whole and is retried");
            response.add_failure(message_id);
        }
    }
    response
}

/// Why a batch must come again.
#[derive(Debug, thiserror::Error)]
enum BatchError {
    #[error("the message is no batch: {0}")]
    Message(#[from] serde_json::Error),
    #[error(transparent)]
    Deliver(#[from] DeliverError),
    #[error("{left} of its notifications are not final")]
    Partly { left: usize },
}

async fn deliver(email: &Email, body: &str, deadline: Deadline) -> Result<(), BatchError> {
    let ChannelMessage::BatchV1(batch) = serde_json::from_str(body)?;
    let Batch { push, slice, batch: number, .. } = batch;
    match email.deliver(&batch, deadline.at()).await? {
        Delivered::Whole(counts) => {
            tracing::info!(
                offer.id = %push.offer, push.number = push.number, slice, batch = number,
                sent = counts.sent, failed = counts.failed, opted_out = counts.opted_out, expired = counts.expired,
                already_served = counts.already_served, "batch delivered"
            );
            Ok(())
        }
        Delivered::Partly { left } => Err(BatchError::Partly { left }),
    }
}
