//! What came of messages that a provider had accepted: addresses that bounced for good, whose readers complained, and
//! numbers that opted out, are written to no more. Of e-mail the deliveries say so; of text messages SNS does not tell whose
//! they were.

mod event;
mod sms_log;

use aws_lambda_events::cloudwatch_logs::LogsEvent;
use aws_lambda_events::sqs::SqsEvent;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use runtime::{Aws, records, telemetry};
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
    let function = &Function { suppressions: aws.table()?, deliveries: aws.table()? };
    lambda_runtime::run(service_fn(async move |event: LambdaEvent<Value>| handle(function, event.payload).await)).await
}

/// From its queue, one event as EventBridge brings it, or what SNS logged.
async fn handle(function: &Function, payload: Value) -> Result<Value, Error> {
    if payload.get("awslogs").is_some() {
        // It borrows its fields' names, which a `Value` does not lend.
        let logs: LogsEvent = serde_json::from_str(&payload.to_string())?;
        return Ok(json!({"suppressed": take_log(function, logs).await?}));
    }
    if payload.get("Records").is_none() {
        let acted_on = take(function, payload).await?;
        return Ok(json!({"actedOn": acted_on}));
    }
    let event: SqsEvent = serde_json::from_value(payload)?;
    let response =
        records::handle_each(event, async |body| take(function, serde_json::from_str(body)?).await.map(|_| ())).await;
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
            function.suppressions.suppress(address, reason, feedback.at, "ses").await?;
        }
    }
    let is_noted = match &delivery {
        Some(id) => function.deliveries.add_feedback(id, &feedback).await?,
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

/// Suppresses the numbers that SNS will not reach any more; doing so again changes nothing. Answers how many there were.
async fn take_log(function: &Function, logs: LogsEvent) -> Result<usize, StoreError> {
    let told = logs.aws_logs.data.log_events.iter().filter_map(|entry| match sms_log::read(&entry.message) {
        Ok(told) => told,
        Err(error) => {
            tracing::error!(error = %error, "a line of SNS's log cannot be read");
            None
        }
    });
    let mut suppressed = 0;
    for (number, reason, at) in told {
        function.suppressions.suppress(&number, reason, at, "sns").await?;
        suppressed += 1;
    }
    tracing::info!(suppressed, "SNS told what became of text messages");
    Ok(suppressed)
}
