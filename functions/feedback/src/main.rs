//! What came of e-mail that SES had accepted: addresses that bounced for good, or whose readers complained, are written to
//! no more, and the deliveries say so.

mod event;

use aws_lambda_events::sqs::SqsEvent;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use runtime::{Aws, records, settings, telemetry};
use serde_json::{Value, json};
use store::deliveries::FeedbackKind;
use store::suppressions::Reason;
use store::{Deliveries, StoreError, Suppressions};

use crate::event::Told;

/// What every invocation may use.
struct Function {
    suppressions: Suppressions,
    deliveries: Deliveries,
}

/// Why an event must come again.
#[derive(Debug, thiserror::Error)]
enum FeedbackError {
    #[error("the event is none of SES's: {0}")]
    Event(#[from] serde_json::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let aws = Aws::from_env().await;
    let function = &Function {
        suppressions: Suppressions::new(aws.dynamodb(), settings::required::<String>("SUPPRESSIONS_TABLE")?),
        deliveries: Deliveries::new(aws.dynamodb(), settings::required::<String>("DELIVERIES_TABLE")?),
    };
    lambda_runtime::run(service_fn(async move |event: LambdaEvent<Value>| handle(function, event.payload).await)).await
}

/// From its queue, or one event as EventBridge brings it.
async fn handle(function: &Function, payload: Value) -> Result<Value, Error> {
    if payload.get("Records").is_none() {
        let acted_on = take(function, payload).await?;
        return Ok(json!({"actedOn": acted_on}));
    }
    let event: SqsEvent = serde_json::from_value(payload)?;
    let response =
        records::each(event, async |body| take(function, serde_json::from_str(body)?).await.map(|_| ())).await;
    Ok(serde_json::to_value(response)?)
}

/// Acts on an event; doing so again changes nothing. Answers whether it was of a kind to act on.
async fn take(function: &Function, event: Value) -> Result<bool, FeedbackError> {
    let Some(Told { feedback, addresses, delivery }) = event::read(event)? else {
        return Ok(false);
    };
    let reason = match feedback.kind {
        FeedbackKind::Bounced => Some(Reason::Bounced),
        FeedbackKind::Complained => Some(Reason::Complained),
        FeedbackKind::Delayed | FeedbackKind::Rejected => None,
    };
    if let Some(reason) = reason {
        for address in &addresses {
            function.suppressions.suppress(address, reason, feedback.at).await?;
        }
    }
    let is_noted = match &delivery {
        Some(id) => function.deliveries.note(id, &feedback).await?,
        None => false,
    };
    tracing::info!(
        offer.id = delivery.as_ref().map(|id| id.offer.to_string()),
        customer.id = delivery.as_ref().map(|id| id.customer.as_str()),
        kind = feedback.kind.as_str(),
        detail = feedback.detail,
        suppressed = reason.map(Reason::as_str),
        is_noted,
        "the provider told what became of an e-mail"
    );
    Ok(true)
}
