//! Amazon SNS: text messages straight to phone numbers, one attempt for each.

use aws_sdk_sns::Client;
use aws_sdk_sns::operation::check_if_phone_number_is_opted_out::CheckIfPhoneNumberIsOptedOutError;
use aws_sdk_sns::operation::publish::PublishError;
use aws_sdk_sns::types::MessageAttributeValue;
use domain::TransportId;
use domain::clock::now;
use jiff::Timestamp;

use crate::compose::sms::TextMessage;
use crate::transport::aws_error::{self, Refusal};
use crate::transport::{Accepted, SendError, Transport};

/// Carries text messages through SNS.
#[derive(Debug)]
pub struct SnsTransport {
    client: Client,
    options: SnsOptions,
}

/// What the account sends with.
#[derive(Debug, Clone, Default)]
pub struct SnsOptions {
    /// Who it is from, where the country allows a name.
    pub sender_id: Option<String>,
    /// `Promotional` or `Transactional`.
    pub message_type: String,
    /// Whether SNS is asked first if the number has opted out: it takes such a message, bears it, and says nothing.
    pub check_opt_outs: bool,
}

impl SnsTransport {
    /// With a client that makes one attempt for each call, and waits [`super::aws_error::RESPONSE_TIMEOUT`] for it.
    pub fn new(client: Client, options: SnsOptions) -> Self {
        Self { client, options }
    }

    async fn check(&self, number: &str) -> Result<(), SendError> {
        let asked = self.client.check_if_phone_number_is_opted_out().phone_number(number).send().await;
        match asked {
            Ok(answer) if answer.is_opted_out => {
                Err(SendError::OptedOut("the number opted out of the account's text messages".to_owned()))
            }
            Ok(_) => Ok(()),
            // Nothing was handed over, whatever became of the question.
            Err(error) => Err(match aws_error::classify_sdk_error(&error, classify_opt_out_check) {
                SendError::Unanswered(said) => SendError::Unreachable(said),
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

    async fn send(&self, message: &TextMessage, until: Timestamp) -> Result<Accepted, SendError> {
        if self.options.check_opt_outs {
            self.check(&message.to).await?;
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
        if now() >= until {
            return Err(SendError::TooLate);
        }
        match call.send().await {
            Ok(answer) => Ok(Accepted { message_id: answer.message_id.unwrap_or_default() }),
            Err(error) => Err(aws_error::classify_sdk_error(&error, |error: &PublishError, said| match error {
                PublishError::InvalidParameterException(_)
                | PublishError::InvalidParameterValueException(_)
                | PublishError::ValidationException(_) => classify_parameter(said),
                _ => aws_error::classify_throttling(error, said),
            })),
        }
    }
}

fn classify_opt_out_check(error: &CheckIfPhoneNumberIsOptedOutError, said: &str) -> Refusal {
    match error {
        CheckIfPhoneNumberIsOptedOutError::InvalidParameterException(_) => classify_parameter(said),
        _ => aws_error::classify_throttling(error, said),
    }
}

/// SNS names the parameter that it does not like (SNS API reference, `Publish`). The number and the text are this
/// customer's; the sender id or the type are ours, and nobody's texts go out until they are right.
fn classify_parameter(said: &str) -> Refusal {
    let said = said.to_ascii_lowercase();
    if said.contains("phonenumber") || said.contains("phone number") || said.contains("message too long") {
        Refusal::Message
    } else {
        Refusal::Everything
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::aws_error::tests::{CannedResponse, ask, closed_port, config};

    fn sns_at(url: &str, check_opt_outs: bool) -> SnsTransport {
        let client = Client::from_conf(aws_sdk_sns::config::Builder::from(&config(url)).build());
        let sender_id = Some("ABank".to_owned());
        SnsTransport::new(client, SnsOptions { sender_id, message_type: "Promotional".into(), check_opt_outs })
    }

    fn message() -> TextMessage {
        TextMessage { to: "+351912345678".into(), text: "Hello".into() }
    }

    async fn publish(answer: Option<CannedResponse<'_>>) -> (Result<Accepted, SendError>, String) {
        ask(answer, async |url| sns_at(&url, false).send(&message(), Timestamp::MAX).await).await
    }

    fn error<'a>(status: u16, code: &str, words: &str, body: &'a mut String) -> Option<CannedResponse<'a>> {
        *body = format!(
            "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{words}</Message></Error></ErrorResponse>"
        );
        Some(CannedResponse { status, kind: "", body })
    }

    #[tokio::test]
    async fn a_text_goes_with_sender_and_type() {
        let body = "<PublishResponse><PublishResult><MessageId>m-1</MessageId></PublishResult></PublishResponse>";
        let (sent, request) = publish(Some(CannedResponse { status: 200, kind: "", body })).await;
        assert_eq!(sent.unwrap().message_id, "m-1");
        for part in ["Action=Publish", "PhoneNumber=%2B351912345678", "Message=Hello", "ABank", "Promotional"] {
            assert!(request.contains(part), "{part} in {request}");
        }
    }

    #[tokio::test]
    async fn answers_are_sorted_by_what_they_mean_for_the_customer() {
        let mut body = String::new();
        let refused = error(
            400,
            "InvalidParameter",
            "Invalid parameter: PhoneNumber Reason: +351912345678 is not valid to publish to",
            &mut body,
        );
        let (sorted, _) = publish(refused).await;
        let Err(SendError::Rejected(said)) = sorted else { panic!("{sorted:?}") };
        assert!(said.contains("(number)") && !said.contains("351912345678"), "{said}");

        let (sorted, _) = publish(error(400, "Throttling", "Rate exceeded", &mut body)).await;
        assert!(matches!(sorted, Err(SendError::Throttled(_))), "{sorted:?}");
        for (status, code, words) in [
            (400, "InvalidParameter", "Invalid parameter: SMSType"),
            (403, "AuthorizationError", "no identity-based policy allows the sns:Publish action"),
            (500, "InternalError", "internal"),
            (503, "ServiceUnavailable", "later"),
        ] {
            let (sorted, _) = publish(error(status, code, words, &mut body)).await;
            assert!(matches!(sorted, Err(SendError::Unreachable(_))), "{code}: {sorted:?}");
        }
    }

    #[tokio::test]
    async fn no_connection_is_an_outage_and_a_lost_answer_is_not() {
        let (lost, _) = publish(None).await;
        assert!(matches!(lost, Err(SendError::Unanswered(_))), "{lost:?}");
        let nobody = sns_at(&closed_port().await, false).send(&message(), Timestamp::MAX).await;
        assert!(matches!(nobody, Err(SendError::Unreachable(_))), "{nobody:?}");
    }

    #[tokio::test]
    async fn a_number_that_opted_out_is_told_and_nothing_is_published() {
        let body = "<CheckIfPhoneNumberIsOptedOutResponse><CheckIfPhoneNumberIsOptedOutResult><isOptedOut>true</isOptedOut>\
                    </CheckIfPhoneNumberIsOptedOutResult></CheckIfPhoneNumberIsOptedOutResponse>";
        let send = async |url: String| sns_at(&url, true).send(&message(), Timestamp::MAX).await;
        let (sent, request) = ask(Some(CannedResponse { status: 200, kind: "", body }), send).await;
        assert!(matches!(sent, Err(SendError::OptedOut(_))), "{sent:?}");
        assert!(request.contains("CheckIfPhoneNumberIsOptedOut"), "{request}");
        // Without an answer nothing is known, and nothing was handed over.
        let (unknown, _) = ask(None, send).await;
        assert!(matches!(unknown, Err(SendError::Unreachable(_))), "{unknown:?}");
    }
}
