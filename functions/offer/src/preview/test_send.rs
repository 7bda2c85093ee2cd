//! Test messages, sent by invoking the functions `email` and `sms` directly.

use std::collections::BTreeMap;
use std::time::Duration;

use api::Problem;
use aws_sdk_lambda::Client;
use aws_sdk_lambda::config::http::HttpResponse;
use aws_sdk_lambda::error::{DisplayErrorContext, SdkError};
use aws_sdk_lambda::primitives::Blob;
use delivery::compose::sms::SmsText;
use domain::hash::unkeyed_address;
use domain::{AllowedRecipients, Channel, Customer, Faults, Offer};
use futures::future::join_all;
use jiff::SignedDuration;
use serde_json::{Value, json};
use store::offers::{TestMessages, TestRecord, TestReservation};
use tokio::time::timeout;

use super::example_customer::example_customer;
use super::sample::{Message, PLACEHOLDER_LINK, Sample};
use super::test_request::{TestRecipient, TestRequest};
use super::view::{TestResult, TestView};
use crate::app::App;

/// Timeout of the invocation that sends a test message.
pub const TEST_TIMEOUT: Duration = Duration::from_secs(8);
/// Timeout of counting and recording test messages before they are sent.
pub(super) const RESERVE_TIMEOUT: Duration = Duration::from_secs(2);
/// Timeout of recording what became of the test messages. They are on record already.
pub(super) const RECORD_TIMEOUT: Duration = Duration::from_secs(1);

/// Sends test messages, by invoking the functions of the channels.
pub struct TestSender {
    /// Must make one attempt for each call, so that no test message is sent twice, and time out after [`TEST_TIMEOUT`].
    pub lambda: Client,
    /// Each function by its alias for tests.
    pub email_function: String,
    pub sms_function: String,
    pub from: String,
    pub reply_to: String,
    /// Which recipients test messages may go to. The functions check it as well.
    pub allowed: AllowedRecipients,
    /// How many test messages a day (UTC) allows, of all callers.
    pub per_day: u32,
}

/// The test messages of one preview.
pub(super) struct Tests {
    recipients: Vec<TestRecipient>,
    /// Whose message they get.
    customer: Customer,
}

impl Tests {
    /// Reads whose message the test messages of a preview are. `None` if there are none.
    ///
    /// # Errors
    /// If there is no such customer, or the store is unavailable.
    pub(super) async fn read(
        app: &App,
        TestRequest { recipients, customer }: TestRequest,
        offer: &Offer,
    ) -> Result<Option<Self>, Problem> {
        if recipients.is_empty() {
            return Ok(None);
        }
        let customer = match customer {
            Some(id) => app.customers.get(&id).await?.ok_or_else(no_such_customer)?,
            None => example_customer(offer, &app.sample_composer.default_language),
        };
        Ok(Some(Self { recipients, customer }))
    }

    /// Counts and records them, immediately before they are sent. Takes no longer than [`RESERVE_TIMEOUT`].
    ///
    /// # Errors
    /// If the day's number is used up, or the store is unavailable or slow. None may be sent then.
    pub(super) async fn reserve(&self, app: &App, offer: &Offer) -> Result<TestRecord, Problem> {
        let hash =
            |recipient: &TestRecipient| (recipient.channel(), unkeyed_address(recipient.channel(), recipient.as_str()));
        let messages = TestMessages {
            sent_at: app.sources.now(),
            by: offer.created_by.clone(),
            code: offer.code.clone(),
            recipients: self.recipients.iter().map(hash).collect(),
        };
        let per_day = app.test_sender.per_day;
        // If it takes too long, they may be counted all the same.
        let reserved = timeout(RESERVE_TIMEOUT, app.offers.reserve_tests(&messages, per_day)).await;
        match reserved.map_err(|_elapsed| too_slow())?? {
            TestReservation::Reserved(record) => Ok(record),
            TestReservation::Exhausted { until } => Err(used_up(per_day, until.duration_since(messages.sent_at))),
        }
    }

    /// Sends each of them once, and records the messages' ids. Takes no longer than [`TEST_TIMEOUT`] and `RECORD_TIMEOUT`.
    pub(super) async fn send(&self, app: &App, offer: &Offer, record: &TestRecord) -> Vec<TestView> {
        let compose = |channel: &Channel| (*channel, app.sample_composer.compose(*channel, offer, &self.customer));
        let samples: BTreeMap<_, _> = offer.channels.iter().map(compose).collect();
        let sample = |recipient: &TestRecipient| samples.get(&recipient.channel());
        let sent = self.recipients.iter().map(|recipient| app.test_sender.send(recipient, sample(recipient)));
        let views = join_all(sent).await;
        let ids: Vec<_> = views.iter().map(TestView::message_id).collect();
        let recorded = timeout(RECORD_TIMEOUT, app.offers.record_test_results(record, &ids)).await;
        let error = match recorded {
            Ok(Ok(())) => return views,
            Ok(Err(error)) => error.to_string(),
            Err(elapsed) => elapsed.to_string(),
        };
        tracing::warn!(error, "ids of test messages not recorded; that the messages were sent is on record");
        views
    }
}

fn no_such_customer() -> Faults {
    Faults::one("testCustomer", "must be the id of a customer; leave it out to test with an invented one")
}

fn too_slow() -> Problem {
    tracing::error!("test messages not recorded in time; returning an error to the caller");
    Problem::unavailable("The store is too slow to record the test messages. None was sent; please try again.")
}

fn used_up(per_day: u32, wait: SignedDuration) -> Problem {
    let detail = format!(
        "These test messages would be more than the {per_day} that the parameter TestMessagesPerDay of the stack allows on \
         one day (UTC), of all callers together. None was sent. Try again tomorrow, with fewer recipients, or without any."
    );
    // A whole second more, so that a caller who waits exactly so long is not early.
    Problem::too_many_requests(detail, u32::try_from(wait.as_secs() + 1).unwrap_or(u32::MAX))
}

impl TestSender {
    /// Sends the sample's message to a test recipient.
    async fn send(&self, recipient: &TestRecipient, sample: Option<&Sample>) -> TestView {
        let language = sample.map(|sample| &sample.language);
        let result = match sample.map(|sample| &sample.message) {
            None => Err("the offer is not sent on this channel".to_owned()),
            Some(Err(error)) => Err(format!("the message cannot be composed: {error}")),
            Some(Ok(Message::Email { subject, text, html })) => {
                let payload = json!({
                    "recipient": recipient.as_str(), "emailFromAddress": self.from, "emailReplyToAddress": self.reply_to,
                    "subject": subject, "content": text, "html": html,
                    "language": language, "unsubscribeUrl": PLACEHOLDER_LINK,
                });
                self.invoke(&self.email_function, payload).await
            }
            Some(Ok(Message::Sms(SmsText { text, .. }))) => {
                self.invoke(&self.sms_function, json!({"recipient": recipient.as_str(), "content": text})).await
            }
        };
        TestView {
            recipient: recipient.as_str().to_owned(),
            channel: recipient.channel(),
            result: match result {
                Ok(message_id) => TestResult::Sent { message_id },
                Err(error) => TestResult::NotSent { error },
            },
        }
    }

    async fn invoke(&self, function: &str, payload: Value) -> Result<Value, String> {
        let call = self.lambda.invoke().function_name(function).payload(Blob::new(payload.to_string()));
        let response = call.send().await.map_err(|error| {
            let reason = failed_call(&error);
            tracing::warn!(
                function,
                error = %DisplayErrorContext(&error),
                reason,
                "call of a function for a test message failed; returning the reason to the caller"
            );
            reason
        })?;
        let payload = response.payload.map(Blob::into_inner).unwrap_or_default();
        let mut payload: Value = serde_json::from_slice(&payload).unwrap_or_default();
        if response.function_error.is_some() {
            return Err(payload["errorMessage"].as_str().unwrap_or("the function failed; see its log").to_owned());
        }
        Ok(payload["messageId"].take())
    }
}

/// What a failed call means for the test message. The message may still arrive unless it is certain that the function
/// was not invoked.
fn failed_call<E>(error: &SdkError<E, HttpResponse>) -> String {
    let was_not_invoked = match error {
        SdkError::ConstructionFailure(_) => true,
        SdkError::ServiceError(rejection) => rejection.raw().status().is_client_error(),
        _ => false,
    };
    if was_not_invoked {
        "the function could not be invoked; see the log".to_owned()
    } else if matches!(error, SdkError::TimeoutError(_)) {
        format!("no response within {} seconds; the message may still arrive", TEST_TIMEOUT.as_secs())
    } else {
        "the call of the function failed; the message may still arrive; see the log".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_lambda::primitives::SdkBody;

    use super::*;

    #[test]
    fn message_may_still_arrive_unless_the_function_was_not_invoked() {
        let response = |status: u16| HttpResponse::new(status.try_into().unwrap(), SdkBody::empty());
        let refused = |status| SdkError::service_error("refused", response(status));
        for (error, may_arrive) in [
            (SdkError::construction_failure("no region"), false),
            (refused(429), false),
            (refused(500), true),
            (SdkError::timeout_error("8 seconds"), true),
            (SdkError::response_error("not JSON", response(200)), true),
        ] {
            assert_eq!(failed_call(&error).contains("may still arrive"), may_arrive, "{error:?}");
        }
    }
}
