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

use crate::event::FeedbackEvent;

/// What every invocation may use.
struct App {
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
    let app = &App { suppressions: aws.table()?, deliveries: aws.table()? };
    lambda_runtime::run(service_fn(async move |event: LambdaEvent<Value>| handle(app, event.payload).await)).await
}

/// From its queue, one event as EventBridge brings it, or what SNS logged.
async fn handle(app: &App, payload: Value) -> Result<Value, Error> {
    if payload.get("awslogs").is_some() {
        // It borrows its fields' names, which a `Value` does not lend.
        let logs: LogsEvent = serde_json::from_str(&payload.to_string())?;
        return Ok(json!({"suppressed": handle_sms_log(app, logs).await?}));
    }
    if payload.get("Records").is_none() {
        let acted_on = handle_event(app, payload).await?;
        return Ok(json!({"actedOn": acted_on}));
    }
    let event: SqsEvent = serde_json::from_value(payload)?;
    let response =
        records::handle_each(event, async |body| handle_event(app, serde_json::from_str(body)?).await.map(|_| ()))
            .await;
    Ok(serde_json::to_value(response)?)
}

/// Acts on an event; doing so again changes nothing. Answers whether it was of a kind to act on.
async fn handle_event(app: &App, event: Value) -> Result<bool, FeedbackError> {
    let Some(FeedbackEvent { feedback, addresses, delivery }) = event::parse(event)? else {
        return Ok(false);
    };
    let reason = match feedback.kind {
        FeedbackKind::Bounced => Some(Reason::Bounced),
        FeedbackKind::Complained => Some(Reason::Complained),
        FeedbackKind::Delayed | FeedbackKind::Rejected => None,
    };
    if let Some(reason) = reason {
        for address in &addresses {
            app.suppressions.suppress(address, reason, feedback.at, "ses").await?;
        }
    }
    let is_recorded = match &delivery {
        Some(id) => app.deliveries.add_feedback(id, &feedback).await?,
        None => false,
    };
    tracing::info!(
        offer.id = delivery.as_ref().map(|id| id.offer.to_string()),
        customer.id = delivery.as_ref().map(|id| id.customer.as_str()),
        kind = feedback.kind.as_str(),
        detail = feedback.detail,
        suppressed = reason.map(Reason::as_str),
        is_recorded,
        "the provider reported what became of an e-mail"
    );
    Ok(true)
}

/// Suppresses the numbers that SNS will not reach any more; doing so again changes nothing. Answers how many there were.
async fn handle_sms_log(app: &App, logs: LogsEvent) -> Result<usize, StoreError> {
    let reported = logs.aws_logs.data.log_events.iter().filter_map(|entry| match sms_log::parse(&entry.message) {
        Ok(reported) => reported,
        Err(error) => {
            tracing::error!(error = %error, "a line of SNS's log cannot be read");
            None
        }
    });
    let mut suppressed = 0;
    for (number, reason, at) in reported {
        app.suppressions.suppress(&number, reason, at, "sns").await?;
        suppressed += 1;
    }
    tracing::info!(suppressed, "SNS reported what became of text messages");
    Ok(suppressed)
}
