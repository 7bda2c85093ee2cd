//! The function `feedback`: acts on what a provider reports after it has accepted a message. Addresses that bounce
//! permanently, recipients who complain and numbers that opt out are suppressed. Reports about e-mail are recorded on
//! the delivery as well; SNS does not report which delivery a text message belongs to.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | which events of SES count, and as what | `event` |
//! | which lines of SNS's log suppress a number | `sms_log` |
//! | what an error may say of a payload that cannot be parsed | `payload` |

mod event;
mod payload;
mod sms_log;

use aws_lambda_events::cloudwatch_logs::LogsEvent;
use aws_lambda_events::sqs::SqsEvent;
use domain::Sources;
use lambda_runtime::Error;
use runtime::records;
use serde_json::{Value, json};
use store::deliveries::{FeedbackKind, FeedbackResult};
use store::suppressions::Reason;
use store::{Deliveries, StoreError, Suppressions};

use crate::event::FeedbackEvent;
use crate::payload::{InvalidPayload, parse_value};

/// The function, built once and used by every invocation.
pub struct App {
    /// The clock and the random numbers.
    pub sources: Sources,
    pub suppressions: Suppressions,
    pub deliveries: Deliveries,
}

/// Why an event must be delivered again.
#[derive(Debug, thiserror::Error)]
enum FeedbackError {
    #[error("the event is not one of SES: {0}")]
    Event(#[from] InvalidPayload),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl App {
    /// Handles an invocation: events of SES from their queue, a single one as EventBridge sends it, or lines of SNS's
    /// log.
    ///
    /// # Errors
    /// If the payload is unknown or cannot be acted on. Messages of a queue that fail are named in the response.
    pub async fn handle(&self, payload: Value) -> Result<Value, Error> {
        // Boxed: inside a caller's own futures, these exceed the compiler's depth limit for layouts.
        Box::pin(self.dispatch(payload)).await
    }

    async fn dispatch(&self, payload: Value) -> Result<Value, Error> {
        if payload.get("awslogs").is_some() {
            let logs: LogsEvent = parse_value(&payload)?;
            return Ok(json!({"suppressed": self.handle_sms_log(logs).await?}));
        }
        if payload.get("Records").is_none() {
            let acted_on = self.handle_event(&payload).await?;
            return Ok(json!({"actedOn": acted_on}));
        }
        let event: SqsEvent = parse_value(&payload)?;
        let response = records::handle_each(event, async |body| {
            let event: Value = serde_json::from_str(body).map_err(InvalidPayload::from)?;
            self.handle_event(&event).await.map(|_| ())
        })
        .await;
        Ok(serde_json::to_value(response)?)
    }

    /// Acts on an event of SES; repeating it changes nothing. Returns whether the event is of a kind to act on.
    async fn handle_event(&self, event: &Value) -> Result<bool, FeedbackError> {
        let Some(FeedbackEvent { feedback, addresses, delivery }) = event::parse(event, self.sources.now())? else {
            return Ok(false);
        };
        let reason = match feedback.kind {
            FeedbackKind::Bounced => Some(Reason::Bounced),
            FeedbackKind::Complained => Some(Reason::Complained),
            FeedbackKind::Delayed | FeedbackKind::Rejected => None,
        };
        if let Some(reason) = reason {
            for address in &addresses {
                self.suppressions.suppress(address, reason, feedback.at, "ses").await?;
            }
        }
        let recorded = match &delivery {
            Some(id) => self.deliveries.add_feedback(id, &feedback).await?,
            None => FeedbackResult::NoDelivery,
        };
        tracing::info!(
            offer.id = delivery.as_ref().map(|id| id.offer.to_string()),
            customer.id = delivery.as_ref().map(|id| id.customer.as_str()),
            kind = feedback.kind.as_str(),
            detail = feedback.detail,
            suppressed = reason.map(Reason::as_str),
            recorded = ?recorded,
            "feedback about an e-mail handled"
        );
        Ok(true)
    }

    /// Suppresses the numbers that SNS cannot reach any more; repeating it changes nothing. Returns how many.
    async fn handle_sms_log(&self, logs: LogsEvent) -> Result<usize, StoreError> {
        let reported = logs.aws_logs.data.log_events.iter().filter_map(|entry| {
            match sms_log::parse(&entry.message, self.sources.now()) {
                Ok(reported) => reported,
                Err(error) => {
                    tracing::error!(error = %error, "line of SNS's log cannot be parsed; it is skipped");
                    None
                }
            }
        });
        let mut suppressed = 0;
        for (number, reason, at) in reported {
            self.suppressions.suppress(&number, reason, at, "sns").await?;
            suppressed += 1;
        }
        tracing::info!(suppressed, "SNS's log of text messages handled");
        Ok(suppressed)
    }
}
