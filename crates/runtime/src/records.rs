//! The records of an SQS event, each handled separately: one that fails does not fail the others.

use std::any::Any;
use std::fmt::Display;
use std::panic::AssertUnwindSafe;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use futures::FutureExt;
use tracing::Instrument;

use crate::telemetry;

/// Handles the records one after the other. The response names those that failed, for SQS to redeliver. An error or a
/// panic is logged here, once.
pub async fn handle_each<E: Display>(
    event: SqsEvent,
    mut handle: impl AsyncFnMut(&str) -> Result<(), E>,
) -> SqsBatchResponse {
    let mut response = SqsBatchResponse::default();
    for record in event.records {
        let message_id = record.message_id.unwrap_or_default();
        let body = record.body.unwrap_or_default();
        let span = telemetry::work_span();
        // Unwind-safe: the state of a record is created here and dropped here.
        let failure = match AssertUnwindSafe(handle(&body)).catch_unwind().instrument(span.clone()).await {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => error.to_string(),
            Err(panic) => format!("panicked: {}", panic_message(panic.as_ref())),
        };
        let _in_span = span.entered();
        tracing::error!(
            sqs.message_id = message_id,
            error = failure,
            "message failed; SQS redelivers it, or moves it to the dead-letter queue after the last receive"
        );
        response.add_failure(message_id);
    }
    response
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use aws_lambda_events::sqs::SqsMessage;

    use super::*;

    #[tokio::test]
    async fn only_records_that_fail_or_panic_are_redelivered() {
        let mut event = SqsEvent::default();
        for body in ["good", "bad", "mad", "good"] {
            let mut message = SqsMessage::default();
            message.message_id = Some(format!("{body}-{}", event.records.len()));
            message.body = Some(body.to_owned());
            event.records.push(message);
        }
        let mut handled = 0;
        let response = handle_each(event, async |body| match body {
            "bad" => Err("it is bad"),
            "mad" => panic!("it is mad"),
            _ => {
                handled += 1;
                Ok(())
            }
        })
        .await;
        let failed: Vec<_> =
            response.batch_item_failures.iter().map(|failure| failure.item_identifier.as_str()).collect();
        assert_eq!((handled, failed), (2, vec!["bad-1", "mad-2"]));
    }
}
