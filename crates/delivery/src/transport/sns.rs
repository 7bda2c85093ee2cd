//! Amazon SNS: text messages to phone numbers, one attempt for each.

use std::time::Duration;

use aws_sdk_sns::Client;
use aws_sdk_sns::operation::check_if_phone_number_is_opted_out::CheckIfPhoneNumberIsOptedOutError;
use aws_sdk_sns::operation::publish::PublishError;
use aws_sdk_sns::types::MessageAttributeValue;
use domain::{Sources, TransportId};
use jiff::Timestamp;
use runtime::Aws;

use crate::compose::sms::TextMessage;
use crate::transport::aws_error::{self, RESPONSE_TIMEOUT, RefusalScope};
use crate::transport::{Accepted, SendError, Transport};

/// Sends text messages through SNS.
#[derive(Debug)]
pub struct SnsTransport {
    client: Client,
    sources: Sources,
    options: SnsOptions,
}

/// How the account sends.
#[derive(Debug, Clone, Default)]
pub struct SnsOptions {
    /// The sender's name, for countries that allow one.
    pub sender_id: Option<String>,
    /// `Promotional` or `Transactional`.
    pub message_type: String,
    /// Whether to ask SNS first if the number has opted out. Without that, SNS accepts the message and drops it
    /// silently.
    pub check_opt_outs: bool,
}

impl SnsTransport {
    /// The longest attempt: asking whether the number has opted out, and publishing.
    const MAX_DURATION: Duration = RESPONSE_TIMEOUT.saturating_mul(2);

    /// The client makes one attempt for each call, because a retry inside it would hide a second copy.
    pub fn new(aws: &Aws, options: SnsOptions) -> Self {
        Self { client: Client::new(&aws.one_attempt(RESPONSE_TIMEOUT)), sources: aws.sources().clone(), options }
    }

    async fn check_opt_out(&self, number: &str) -> Result<(), SendError> {
        let checked = self.client.check_if_phone_number_is_opted_out().phone_number(number).send().await;
        match checked {
            Ok(response) if response.is_opted_out => {
                Err(SendError::OptedOut("the number opted out of the account's text messages".to_owned()))
            }
            Ok(_) => Ok(()),
            // Nothing has been handed over, whatever the outcome of the check.
            Err(error) => Err(match aws_error::classify_sdk_error(&error, classify_opt_out_check) {
                SendError::Unanswered(text) => SendError::Unreachable(text),
                other => other,
            }),
        }
    }
}

impl Transport for SnsTransport {
    type Message = TextMessage;

    fn id(&self) -> TransportId {
        TransportId::Sns
    }

    fn max_duration(&self) -> Duration {
        Self::MAX_DURATION
    }

    async fn send(&self, message: &TextMessage, until: Timestamp) -> Result<Accepted, SendError> {
        if self.options.check_opt_outs {
            self.check_opt_out(&message.to).await?;
        }
        let attribute = |value: &str| {
            let attribute = MessageAttributeValue::builder().data_type("String").string_value(value);
            attribute.build().expect("the type is set")
        };
        let call = self
            .client
            .publish()
            .phone_number(&message.to)
            .message(&message.text)
            .message_attributes("AWS.SNS.SMS.SMSType", attribute(&self.options.message_type));
        let call = match &self.options.sender_id {
            Some(sender) => call.message_attributes("AWS.SNS.SMS.SenderID", attribute(sender)),
            None => call,
        };
        if self.sources.now() >= until {
            return Err(SendError::TooLate);
        }
        match call.send().await {
            Ok(response) => Ok(Accepted { message_id: response.message_id.unwrap_or_default() }),
            Err(error) => Err(aws_error::classify_sdk_error(&error, |error: &PublishError, text| match error {
                PublishError::InvalidParameterException(_)
                | PublishError::InvalidParameterValueException(_)
                | PublishError::ValidationException(_) => classify_parameter(text),
                _ => aws_error::classify_throttling(error, text),
            })),
        }
    }
}

fn classify_opt_out_check(error: &CheckIfPhoneNumberIsOptedOutError, text: &str) -> RefusalScope {
    match error {
        CheckIfPhoneNumberIsOptedOutError::InvalidParameterException(_) => classify_parameter(text),
        _ => aws_error::classify_throttling(error, text),
    }
}

/// SNS names the invalid parameter (SNS API reference, `Publish`). Number and text concern this customer alone; sender
/// id and message type are ours, and no text can be sent until they are fixed.
fn classify_parameter(text: &str) -> RefusalScope {
    let text = text.to_ascii_lowercase();
    if text.contains("phonenumber") || text.contains("phone number") || text.contains("message too long") {
        RefusalScope::ThisMessage
    } else {
        RefusalScope::AllMessages
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::aws_error::tests::{CannedResponse, aws_at, closed_port, respond_once};
    use crate::transport::{Refusal, RefusalKind};

    fn sns_at(url: &str, check_opt_outs: bool) -> SnsTransport {
        let sender_id = Some("ABank".to_owned());
        SnsTransport::new(&aws_at(url), SnsOptions { sender_id, message_type: "Promotional".into(), check_opt_outs })
    }

    fn message() -> TextMessage {
        TextMessage { to: "+351912345678".into(), text: "Hello".into() }
    }

    async fn publish(response: Option<CannedResponse<'_>>) -> (Result<Accepted, SendError>, String) {
        respond_once(response, async |url| sns_at(&url, false).send(&message(), Timestamp::MAX).await).await
    }

    fn error<'a>(status: u16, code: &str, text: &str, body: &'a mut String) -> Option<CannedResponse<'a>> {
        *body = format!(
            "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{text}</Message></Error></ErrorResponse>"
        );
        Some(CannedResponse { status, kind: "", body })
    }

    #[tokio::test]
    async fn text_is_published_with_sender_and_type() {
        let body = "<PublishResponse><PublishResult><MessageId>m-1</MessageId></PublishResult></PublishResponse>";
        let (sent, request) = publish(Some(CannedResponse { status: 200, kind: "", body })).await;
        assert_eq!(sent.unwrap().message_id, "m-1");
        for part in ["Action=Publish", "PhoneNumber=%2B351912345678", "Message=Hello", "ABank", "Promotional"] {
            assert!(request.contains(part), "{part} in {request}");
        }
    }

    #[tokio::test]
    async fn errors_are_classified_by_what_they_mean_for_the_customer() {
        let mut body = String::new();
        let refused = error(
            400,
            "InvalidParameter",
            "Invalid parameter: PhoneNumber Reason: +351912345678 is not valid to publish to",
            &mut body,
        );
        let (sent, _) = publish(refused).await;
        let Err(SendError::Refused(Refusal { kind: RefusalKind::Recipient, text })) = sent else { panic!("{sent:?}") };
        assert!(text.contains("(number)") && !text.contains("351912345678"), "{text}");

        let (sent, _) = publish(error(400, "Throttling", "Rate exceeded", &mut body)).await;
        assert!(matches!(sent, Err(SendError::Refused(Refusal { kind: RefusalKind::Temporary, .. }))), "{sent:?}");
        for (status, code, text) in [
            (400, "InvalidParameter", "Invalid parameter: SMSType"),
            (403, "AuthorizationError", "no identity-based policy allows the sns:Publish action"),
            (500, "InternalError", "internal"),
            (503, "ServiceUnavailable", "later"),
        ] {
            let (sent, _) = publish(error(status, code, text, &mut body)).await;
            assert!(matches!(sent, Err(SendError::Unreachable(_))), "{code}: {sent:?}");
        }
    }

    #[tokio::test]
    async fn no_connection_is_unreachable_and_no_response_is_unanswered() {
        let (lost, _) = publish(None).await;
        assert!(matches!(lost, Err(SendError::Unanswered(_))), "{lost:?}");
        let refused = sns_at(&closed_port().await, false).send(&message(), Timestamp::MAX).await;
        assert!(matches!(refused, Err(SendError::Unreachable(_))), "{refused:?}");
    }

    #[tokio::test]
    async fn nothing_is_published_to_a_number_that_opted_out() {
        let body = "<CheckIfPhoneNumberIsOptedOutResponse><CheckIfPhoneNumberIsOptedOutResult><isOptedOut>true</isOptedOut>\
                    </CheckIfPhoneNumberIsOptedOutResult></CheckIfPhoneNumberIsOptedOutResponse>";
        let send = async |url: String| sns_at(&url, true).send(&message(), Timestamp::MAX).await;
        let (sent, request) = respond_once(Some(CannedResponse { status: 200, kind: "", body }), send).await;
        assert!(matches!(sent, Err(SendError::OptedOut(_))), "{sent:?}");
        assert!(request.contains("CheckIfPhoneNumberIsOptedOut"), "{request}");
        // Without a response to the check, nothing is known and nothing was handed over.
        let (unknown, _) = respond_once(None, send).await;
        assert!(matches!(unknown, Err(SendError::Unreachable(_))), "{unknown:?}");
    }
}
