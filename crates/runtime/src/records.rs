//! The records of an SQS event, each handled separately: one that fails does not fail the others.

use std::any::Any;
use std::fmt::Display;
use std::panic::AssertUnwindSafe;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use futures::FutureExt;
use tracing::Instrument;

use crate::in_flight::InFlight;
use crate::{Queue, telemetry};

/// Handles the records of `queue` one after the other. The response names those that failed, for SQS to redeliver. An error
/// or a panic is logged here, once. Meanwhile the messages are kept hidden, a little at a time: see [`crate::in_flight`].
pub async fn handle_each<E: Display>(
    event: SqsEvent,
    queue: &Queue,
    handle: impl AsyncFnMut(&str) -> Result<(), E>,
) -> SqsBatchResponse {
    let messages = InFlight::of(&event, queue);
    // Hidden first: an invocation that is killed before that delays its messages for longest.
    let failed = tokio::select! {
        biased;
        never = messages.keep_hidden() => match never {},
        failed = handle_all(event, handle) => failed,
    };
    let (ids, receipts): (Vec<_>, Vec<_>) = failed.into_iter().unzip();
    messages.retry_later(&receipts.into_iter().flatten().collect::<Vec<_>>()).await;
    let mut response = SqsBatchResponse::default();
    ids.into_iter().for_each(|id| response.add_failure(id));
    response
}

/// Returns the ids and the receipts of the messages that failed.
async fn handle_all<E: Display>(
    event: SqsEvent,
    mut handle: impl AsyncFnMut(&str) -> Result<(), E>,
) -> Vec<(String, Option<String>)> {
    let mut failed = Vec::new();
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
        failed.push((message_id, record.receipt_handle));
    }
    failed
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
    use std::time::Duration;

    use aws_lambda_events::sqs::SqsMessage;
    use testing::{Hidden, Sqs};
    use tokio::time::sleep;

    use super::*;

    /// Messages with these bodies, and as their receipts.
    fn event(bodies: &[&str]) -> SqsEvent {
        let mut event = SqsEvent::default();
        for body in bodies {
            let mut message = SqsMessage::default();
            message.message_id = Some(format!("{body}-{}", event.records.len()));
            message.receipt_handle = Some((*body).to_owned());
            message.body = Some((*body).to_owned());
            event.records.push(message);
        }
        event
    }

    fn queue(sqs: &Sqs) -> Queue {
        Queue::new(sqs.client(), "https://sqs.invalid/queue")
    }

    #[tokio::test(start_paused = true)]
    async fn messages_are_hidden_again_and_again_while_they_are_handled() {
        let sqs = Sqs::new();
        let handle = async |_: &str| {
            sleep(Duration::from_secs(12)).await;
            Ok::<_, &str>(())
        };
        handle_each(event(&["one", "two"]), &queue(&sqs), handle).await;
        sleep(Duration::from_secs(60)).await;
        let hidden = |at, receipt: &str| Hidden { at, receipt: receipt.to_owned(), seconds: 30 };
        let expected: Vec<_> = [0, 10, 20].into_iter().flat_map(|at| [hidden(at, "one"), hidden(at, "two")]).collect();
        assert_eq!(sqs.hidden(), expected);
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_fails_is_tried_again_later() {
        let sqs = Sqs::new();
        let handle = async |body: &str| {
            sleep(Duration::from_secs(1)).await;
            if body == "bad" { Err("it is bad") } else { Ok(()) }
        };
        handle_each(event(&["bad", "good"]), &queue(&sqs), handle).await;
        let last = sqs.hidden().pop().unwrap();
        assert_eq!(last, Hidden { at: 2, receipt: "bad".to_owned(), seconds: 600 });
    }

    #[tokio::test]
    async fn only_records_that_fail_or_panic_are_redelivered() {
        let mut handled = 0;
        let sqs = Sqs::new();
        let response = handle_each(event(&["good", "bad", "mad", "good"]), &queue(&sqs), async |body| match body {
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
