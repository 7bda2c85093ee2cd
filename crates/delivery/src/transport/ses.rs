//! Amazon SES, version 2 of its API: one attempt for each message, which goes as it is.

use aws_sdk_sesv2::Client;
use aws_sdk_sesv2::operation::send_email::SendEmailError;
use aws_sdk_sesv2::primitives::Blob;
use aws_sdk_sesv2::types::{EmailContent, MessageTag, RawMessage};
use domain::TransportId;
use domain::clock::now;
use jiff::Timestamp;

use crate::compose::mime::Email;
use crate::transport::aws_error::{self, Refusal};
use crate::transport::{Accepted, SendError, Transport};

/// Carries e-mail through SES.
#[derive(Debug)]
pub struct SesTransport {
    client: Client,
    configuration_set: Option<String>,
}

impl SesTransport {
    /// With a client that makes one attempt for each call, and waits [`super::aws_error::RESPONSE_TIMEOUT`] for it; events go where the
    /// configuration set says.
    pub fn new(client: Client, configuration_set: Option<String>) -> Self {
        Self { client, configuration_set }
    }
}

impl Transport for SesTransport {
    type Message = Email;

    fn id(&self) -> TransportId {
        TransportId::Ses
    }

    async fn send(&self, email: &Email, until: Timestamp) -> Result<Accepted, SendError> {
        let raw = RawMessage::builder().data(Blob::new(email.message.formatted())).build().expect("the data is set");
        let tag = |(name, value): &(&str, String)| {
            MessageTag::builder().name(*name).value(value).build().expect("name and value are set")
        };
        let call = self
            .client
            .send_email()
            .content(EmailContent::builder().raw(raw).build())
            .set_configuration_set_name(self.configuration_set.clone())
            .set_email_tags(Some(email.tags.iter().map(tag).collect()));
        if now() >= until {
            return Err(SendError::TooLate);
        }
        match call.send().await {
            Ok(answer) => Ok(Accepted { message_id: answer.message_id.unwrap_or_default() }),
            Err(error) => Err(aws_error::classify_sdk_error(&error, classify_ses)),
        }
    }
}

/// Words of a refusal that mean the sender, not the recipient.
const OURS: [&str; 5] = ["not verified", "suspended", "paused", "disabled", "configuration set"];

/// What SES refuses (SES API v2 reference, `SendEmail`; developer guide, "Errors related to the sending quotas for your
/// account").
fn classify_ses(error: &SendEmailError, said: &str) -> Refusal {
    let said = said.to_ascii_lowercase();
    match error {
        // An address or a text that SES never takes. Of an identity that is not verified, and of an account that may not
        // send, it says the same, and that is nobody's fault but ours: all mail waits until it is put right.
        SendEmailError::MessageRejected(_) | SendEmailError::BadRequestException(_) => {
            let is_ours = OURS.iter().any(|words| said.contains(words));
            if is_ours { Refusal::Everything } else { Refusal::Message }
        }
        // Too many a second: the next try may do. Too many a day: nobody's will.
        _ if said.contains("daily") => Refusal::Everything,
        SendEmailError::TooManyRequestsException(_) => Refusal::Rate,
        // An account that is suspended or paused, a domain or configuration set that is not there, a call that our role may
        // not make, SES's own trouble; or throttling under another name.
        _ => aws_error::classify_throttling(error, &said),
    }
}

#[cfg(test)]
mod tests {
    use lettre::Message;

    use super::*;
    use crate::transport::aws_error::tests::{CannedResponse, ask, closed_port, config};

    fn email() -> Email {
        let message = Message::builder()
            .from("offers@bank.example".parse().unwrap())
            .to("asha@example.com".parse().unwrap())
            .subject("Hello")
            .body("Hello".to_owned())
            .unwrap();
        Email { message, tags: vec![("offer", "o-1".to_owned()), ("customer", "c-1".to_owned())] }
    }

    fn ses_at(url: &str) -> SesTransport {
        let client = Client::from_conf(aws_sdk_sesv2::config::Builder::from(&config(url)).build());
        SesTransport::new(client, Some("offercast".to_owned()))
    }

    async fn send(answer: Option<CannedResponse<'_>>) -> (Result<Accepted, SendError>, String) {
        ask(answer, async |url| ses_at(&url).send(&email(), Timestamp::MAX).await).await
    }

    async fn refused(status: u16, kind: &str, message: &str) -> SendError {
        let body = serde_json::json!({"message": message}).to_string();
        send(Some(CannedResponse { status, kind, body: &body })).await.0.unwrap_err()
    }

    #[tokio::test]
    async fn the_message_goes_as_it_is_with_its_tags_and_its_configuration_set() {
        let (sent, asked) =
            send(Some(CannedResponse { status: 200, kind: "", body: r#"{"MessageId": "ses-1"}"# })).await;
        assert_eq!(sent.unwrap().message_id, "ses-1");
        let (_, body) = asked.split_once("\r\n\r\n").unwrap();
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        let raw = data_encoding::BASE64.decode(body["Content"]["Raw"]["Data"].as_str().unwrap().as_bytes()).unwrap();
        let raw = String::from_utf8(raw).unwrap();
        assert!(raw.contains("To: asha@example.com\r\n") && raw.ends_with("\r\n\r\nHello"), "{raw}");
        assert_eq!(body["ConfigurationSetName"], "offercast");
        let tags = serde_json::json!([{"Name": "offer", "Value": "o-1"}, {"Name": "customer", "Value": "c-1"}]);
        assert_eq!(body["EmailTags"], tags);
    }

    #[tokio::test]
    async fn nothing_goes_after_the_lease() {
        let nobody = ses_at("http://127.0.0.1:9");
        assert_eq!(nobody.send(&email(), Timestamp::MIN).await, Err(SendError::TooLate));
    }

    #[tokio::test]
    async fn a_refused_message_is_the_customers_and_an_identity_that_is_not_verified_is_ours() {
        assert!(matches!(refused(400, "MessageRejected", "Invalid content").await, SendError::Rejected(_)));
        let unverified = "Email address is not verified. The following identities failed: offers@bank.example";
        let SendError::Unreachable(said) = refused(400, "MessageRejected", unverified).await else {
            panic!("it is ours")
        };
        assert_eq!(said, "MessageRejected: Email address is not verified. The following identities failed: (address)");
        let bad = refused(400, "BadRequestException", "Missing final '@domain'").await;
        assert!(matches!(bad, SendError::Rejected(_)), "{bad:?}");
    }

    #[tokio::test]
    async fn too_many_a_second_waits_a_moment_and_too_many_a_day_waits_for_all() {
        let second = refused(429, "TooManyRequestsException", "Maximum sending rate exceeded.").await;
        assert!(matches!(second, SendError::Throttled(_)), "{second:?}");
        let day = refused(429, "TooManyRequestsException", "Daily message quota exceeded.").await;
        assert!(matches!(day, SendError::Unreachable(_)), "{day:?}");
    }

    #[tokio::test]
    async fn trouble_with_the_account_or_with_ses_is_no_customers_fault() {
        for (status, kind) in [
            (400, "AccountSuspendedException"),
            (400, "SendingPausedException"),
            (400, "LimitExceededException"),
            (404, "NotFoundException"),
            (400, "MailFromDomainNotVerifiedException"),
            (403, "AccessDeniedException"),
            (503, "ServiceUnavailable"),
        ] {
            let sorted = refused(status, kind, "words").await;
            assert!(matches!(&sorted, SendError::Unreachable(said) if said.contains(kind)), "{sorted:?}");
        }
    }

    #[tokio::test]
    async fn no_connection_is_an_outage_and_a_lost_answer_is_not() {
        let (lost, _) = send(None).await;
        assert!(matches!(lost, Err(SendError::Unanswered(_))), "{lost:?}");
        let nobody = ses_at(&closed_port().await).send(&email(), Timestamp::MAX).await;
        assert!(matches!(nobody, Err(SendError::Unreachable(_))), "{nobody:?}");
    }
}
