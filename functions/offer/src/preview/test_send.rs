//! Test messages, sent by invoking the functions `email` and `sms` directly.

use std::collections::HashSet;
use std::str::FromStr;
use std::time::Duration;

use aws_sdk_lambda::Client;
use aws_sdk_lambda::config::http::HttpResponse;
use aws_sdk_lambda::error::{DisplayErrorContext, SdkError};
use aws_sdk_lambda::primitives::Blob;
use delivery::compose::sms::SmsText;
use domain::fields::Fields;
use domain::{Channel, EmailAddress, Faults, Mobile};
use serde_json::{Value, json};

use super::sample::{Message, PLACEHOLDER_LINK, Sample};
use super::view::{TestResult, TestView};

/// Timeout of the invocation that sends a test message.
pub const TEST_TIMEOUT: Duration = Duration::from_secs(8);
/// Maximum number of test recipients in a preview.
const MAX_TEST_RECIPIENTS: usize = 10;

/// Sends test messages, by invoking the functions of the channels.
pub struct TestSender {
    /// Must make one attempt for each call, so that no test message is sent twice, and time out after [`TEST_TIMEOUT`].
    pub lambda: Client,
    pub email_function: String,
    pub sms_function: String,
    pub from: String,
    pub reply_to: String,
}

/// The recipient of a test message.
pub(super) enum TestRecipient {
    Email(EmailAddress),
    Sms(Mobile),
}

impl FromStr for TestRecipient {
    type Err = String;

    fn from_str(string: &str) -> Result<Self, String> {
        if string.starts_with('+') {
            string.parse().map(Self::Sms).map_err(|error: domain::mobile::InvalidMobile| error.to_string())
        } else {
            string
                .parse()
                .map(Self::Email)
                .map_err(|error: domain::email_address::InvalidEmailAddress| error.to_string())
        }
    }
}

impl TestRecipient {
    pub(super) fn channel(&self) -> Channel {
        match self {
            Self::Email(_) => Channel::Email,
            Self::Sms(_) => Channel::Sms,
        }
    }

    /// The same for every way to write one address. (Providers that distinguish case in the name are rare, and a test
    /// message to one of the two forms is enough.)
    fn mailbox(&self) -> String {
        self.as_str().to_lowercase()
    }

    fn as_str(&self) -> &str {
        match self {
            Self::Email(address) => address.as_str(),
            Self::Sms(mobile) => mobile.as_str(),
        }
    }
}

pub(super) fn test_recipients(value: Option<Value>) -> Result<Vec<TestRecipient>, Faults> {
    let mut fields = Fields::of(json!({"testRecipients": value}))?;
    let recipients = fields.list("testRecipients", str::parse::<TestRecipient>).unwrap_or_default();
    if recipients.len() > MAX_TEST_RECIPIENTS {
        fields.fault(
            "testRecipients",
            format!("must have at most {MAX_TEST_RECIPIENTS} recipients, not {}", recipients.len()),
        );
    }
    for index in repeated(&recipients) {
        fields.fault(&format!("testRecipients[{index}]"), "is in this list more than once");
    }
    fields.finish(&["testRecipients"])?;
    Ok(recipients)
}

/// The places of recipients that are in the list before.
fn repeated(recipients: &[TestRecipient]) -> Vec<usize> {
    let mut seen = HashSet::new();
    (0..recipients.len()).filter(|index| !seen.insert(recipients[*index].mailbox())).collect()
}

impl TestSender {
    /// Sends the sample's message to a test recipient.
    pub(super) async fn send(&self, recipient: &TestRecipient, sample: Option<&Sample>) -> TestView {
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

    #[test]
    fn test_recipient_is_an_email_address_or_a_mobile_number() {
        assert_eq!(
            test_recipients(Some(json!(["a@b.example", "+351912345678"]))).map(|recipients| recipients.len()).ok(),
            Some(2)
        );
        assert!(test_recipients(None).is_ok_and(|recipients| recipients.is_empty()));
        for (invalid, field) in [
            (json!("a@b.example"), "testRecipients"),
            (json!(["a@b.example", "no-address"]), "testRecipients[1]"),
            (json!((0..11).map(|i| format!("a{i}@b.example")).collect::<Vec<_>>()), "testRecipients"),
        ] {
            assert_eq!(faulty(&invalid), [field]);
        }
    }

    fn faulty(recipients: &Value) -> Vec<String> {
        let faults = test_recipients(Some(recipients.clone())).map(|_| ()).unwrap_err().into_vec();
        faults.into_iter().map(|fault| fault.field).collect()
    }

    #[test]
    fn test_recipient_that_is_repeated_is_refused_by_its_place() {
        for (recipients, fields) in [
            (json!(["a@b.example", "a@b.example"]), vec!["testRecipients[1]"]),
            (json!(["Asha@B.example", "c@b.example", "asha@b.EXAMPLE"]), vec!["testRecipients[2]"]),
            (json!(["+351912345678", "a@b.example", "+351912345678"]), vec!["testRecipients[2]"]),
            (json!(["a@b.example", "A@b.example", "a@B.example"]), vec!["testRecipients[1]", "testRecipients[2]"]),
        ] {
            assert_eq!(faulty(&recipients), fields, "{recipients}");
        }
        let different = json!(["a@b.example", "a+1@b.example", "a@c.example", "+351912345678", "+351912345679"]);
        assert_eq!(test_recipients(Some(different)).unwrap_or_default().len(), 5);
    }
}
