//! Test messages, sent through the channels' own functions.

use std::str::FromStr;
use std::time::Duration;

use aws_sdk_lambda::Client;
use aws_sdk_lambda::error::DisplayErrorContext;
use aws_sdk_lambda::primitives::Blob;
use domain::fields::Fields;
use domain::{Channel, EmailAddress, Faults, Mobile};
use serde_json::{Value, json};

use super::sample::{Message, PLACEHOLDER_LINK, Sample};
use super::view::{TestResult, TestView};

/// How long the response to a test message is waited for.
pub const TEST_TIMEOUT: Duration = Duration::from_secs(8);
/// Most test recipients.
const MAX_TEST_RECIPIENTS: usize = 10;

/// Sends test messages, through the channels' own functions.
pub struct TestSender {
    /// Makes one attempt for each call, and waits [`TEST_TIMEOUT`] for its response.
    pub lambda: Client,
    pub email_function: String,
    pub sms_function: String,
    pub from: String,
    pub reply_to: String,
}

/// Whom a test message goes to.
pub(super) enum TestRecipient {
    Email(EmailAddress),
    Sms(Mobile),
}

impl FromStr for TestRecipient {
    type Err = String;

    fn from_str(string: &str) -> Result<Self, String> {
        if string.starts_with('+') {
            string.parse().map(Self::Sms).map_err(|error: domain::address::InvalidMobile| error.to_string())
        } else {
            string.parse().map(Self::Email).map_err(|error: domain::address::InvalidEmailAddress| error.to_string())
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
        fields.fault("testRecipients", format!("must name at most {MAX_TEST_RECIPIENTS}, not {}", recipients.len()));
    }
    fields.finish(&["testRecipients"])?;
    Ok(recipients)
}

impl TestSender {
    /// Sends a test message, as the sample says it.
    pub(super) async fn send(&self, recipient: &TestRecipient, sample: Option<&Sample>) -> TestView {
        let result = match sample.map(|sample| &sample.message) {
            None => Err("the offer does not go out on this channel".to_owned()),
            Some(Err(error)) => Err(format!("there is no message to send: {error}")),
            Some(Ok(Message::Email { content, description })) => {
                let payload = json!({
                    "recipient": recipient.as_str(), "emailFromAddress": self.from, "emailReplyToAddress": self.reply_to,
                    "subject": content.subject, "content": description, "unsubscribeUrl": PLACEHOLDER_LINK,
                });
                self.invoke(&self.email_function, payload).await
            }
            Some(Ok(Message::Sms { text })) => {
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
            tracing::warn!(function, error = %DisplayErrorContext(&error), "a test message got no response");
            format!("no response within {} seconds; it may arrive all the same", TEST_TIMEOUT.as_secs())
        })?;
        let payload = response.payload.map(Blob::into_inner).unwrap_or_default();
        let mut payload: Value = serde_json::from_slice(&payload).unwrap_or_default();
        if response.function_error.is_some() {
            return Err(payload["errorMessage"].as_str().unwrap_or("the function failed; see its log").to_owned());
        }
        Ok(payload["messageId"].take())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_recipient_is_an_address_or_a_number() {
        assert_eq!(
            test_recipients(Some(json!(["a@b.example", "+351912345678"]))).map(|found| found.len()).ok(),
            Some(2)
        );
        assert!(test_recipients(None).is_ok_and(|found| found.is_empty()));
        for (bad, field) in [
            (json!("a@b.example"), "testRecipients"),
            (json!(["a@b.example", "nobody"]), "testRecipients[1]"),
            (json!(vec!["a@b.example"; 11]), "testRecipients"),
        ] {
            let faults = test_recipients(Some(bad)).map(|_| ()).unwrap_err().into_vec();
            assert_eq!(faults.iter().map(|fault| fault.field.as_str()).collect::<Vec<_>>(), [field]);
        }
    }
}
