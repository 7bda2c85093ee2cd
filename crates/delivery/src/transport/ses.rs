//! Amazon SES (API v2): one attempt for each message, which is sent as raw MIME.

use std::time::Duration;

use aws_sdk_sesv2::Client;
use aws_sdk_sesv2::operation::send_email::SendEmailError;
use aws_sdk_sesv2::primitives::Blob;
use aws_sdk_sesv2::types::{EmailContent, MessageTag, RawMessage};
use domain::{Sources, TransportId};
use jiff::Timestamp;
use runtime::Aws;

use crate::compose::mime::Email;
use crate::transport::aws_error::{self, RESPONSE_TIMEOUT, RefusalScope};
use crate::transport::{Accepted, SendError, Transport};

/// Sends e-mail through SES.
#[derive(Debug)]
pub struct SesTransport {
    client: Client,
    sources: Sources,
    configuration_set: Option<String>,
}

impl SesTransport {
    /// The longest attempt.
    const MAX_DURATION: Duration = RESPONSE_TIMEOUT;

    /// The configuration set says where events go. The client makes one attempt for each call, because a retry inside
    /// it would hide a second copy.
    pub fn new(aws: &Aws, configuration_set: Option<String>) -> Self {
        let client = Client::new(&aws.one_attempt(RESPONSE_TIMEOUT));
        Self { client, sources: aws.sources().clone(), configuration_set }
    }
}

impl Transport for SesTransport {
    type Message = Email;

    fn id(&self) -> TransportId {
        TransportId::Ses
    }

    fn max_duration(&self) -> Duration {
        Self::MAX_DURATION
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
        if self.sources.now() >= until {
            return Err(SendError::TooLate);
        }
        match call.send().await {
            Ok(response) => Ok(Accepted { message_id: response.message_id.unwrap_or_default() }),
            Err(error) => Err(aws_error::classify_sdk_error(&error, classify_ses)),
        }
    }
}

/// Parts of error texts that blame the sender, not the recipient.
const SENDER_ERRORS: [&str; 5] = ["not verified", "suspended", "paused", "disabled", "configuration set"];

/// What an error of SES refuses (SES API v2 reference, `SendEmail`; developer guide, "Errors related to the sending
/// quotas for your account").
fn classify_ses(error: &SendEmailError, text: &str) -> RefusalScope {
    let text = text.to_ascii_lowercase();
    match error {
        // An address or a message that SES never accepts. The same errors mean an unverified identity, or an account
        // that may not send: that is no fault of the recipient, and all mail waits until an operator has fixed it.
        SendEmailError::MessageRejected(_) | SendEmailError::BadRequestException(_) => {
            let is_sender_error = SENDER_ERRORS.iter().any(|part| text.contains(part));
            if is_sender_error { RefusalScope::AllMessages } else { RefusalScope::ThisMessage }
        }
        // Too many per second: the next attempt may succeed. Too many per day: none will.
        _ if text.contains("daily") => RefusalScope::AllMessages,
        SendEmailError::TooManyRequestsException(_) => RefusalScope::ForNow,
        // Account suspended or paused, domain or configuration set missing, access denied, an outage of SES; or
        // throttling under another name.
        _ => aws_error::classify_throttling(error, &text),
    }
}

#[cfg(test)]
mod tests {
    use lettre::Message;

    use super::*;
    use crate::transport::aws_error::tests::{CannedResponse, aws_at, closed_port, respond_once};
    use crate::transport::{Refusal, RefusalKind};

    fn email() -> Email {
        let message = Message::builder()
            .from("offers@bank.example".parse().unwrap())
            .to("asha@example.com".parse().unwrap())
            .subject("Hello")
            .body("Hello".to_owned())
            .unwrap();
        Email { message, return_path: None, tags: vec![("offer", "o-1".to_owned()), ("customer", "c-1".to_owned())] }
    }

    fn ses_at(url: &str) -> SesTransport {
        SesTransport::new(&aws_at(url), Some("offercast".to_owned()))
    }

    async fn send(response: Option<CannedResponse<'_>>) -> (Result<Accepted, SendError>, String) {
        respond_once(response, async |url| ses_at(&url).send(&email(), Timestamp::MAX).await).await
    }

    async fn refused(status: u16, kind: &str, message: &str) -> SendError {
        let body = serde_json::json!({"message": message}).to_string();
        send(Some(CannedResponse { status, kind, body: &body })).await.0.unwrap_err()
    }

    #[tokio::test]
    async fn message_is_sent_unchanged_with_tags_and_configuration_set() {
        let (sent, request) =
            send(Some(CannedResponse { status: 200, kind: "", body: r#"{"MessageId": "ses-1"}"# })).await;
        assert_eq!(sent.unwrap().message_id, "ses-1");
        let (_, body) = request.split_once("\r\n\r\n").unwrap();
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        let raw = data_encoding::BASE64.decode(body["Content"]["Raw"]["Data"].as_str().unwrap().as_bytes()).unwrap();
        let raw = String::from_utf8(raw).unwrap();
        assert!(raw.contains("To: asha@example.com\r\n") && raw.ends_with("\r\n\r\nHello"), "{raw}");
        assert_eq!(body["ConfigurationSetName"], "offercast");
        let tags = serde_json::json!([{"Name": "offer", "Value": "o-1"}, {"Name": "customer", "Value": "c-1"}]);
        assert_eq!(body["EmailTags"], tags);
    }

    #[tokio::test]
    async fn nothing_is_sent_after_the_lease() {
        let ses = ses_at("http://127.0.0.1:9");
        assert_eq!(ses.send(&email(), Timestamp::MIN).await, Err(SendError::TooLate));
    }

    #[tokio::test]
    async fn rejection_concerns_one_recipient_and_unverified_identity_concerns_all() {
        assert!(matches!(
            refused(400, "MessageRejected", "Invalid content").await,
            SendError::Refused(Refusal { kind: RefusalKind::Recipient, .. })
        ));
        let unverified = "Email address is not verified. The following identities failed: offers@bank.example";
        let SendError::Unreachable(text) = refused(400, "MessageRejected", unverified).await else {
            panic!("not the recipient's fault")
        };
        assert_eq!(text, "MessageRejected: Email address is not verified. The following identities failed: (address)");
        let bad = refused(400, "BadRequestException", "Missing final '@domain'").await;
        assert!(matches!(bad, SendError::Refused(Refusal { kind: RefusalKind::Recipient, .. })), "{bad:?}");
    }

    #[tokio::test]
    async fn rate_per_second_throttles_and_daily_quota_stops_everything() {
        let second = refused(429, "TooManyRequestsException", "Maximum sending rate exceeded.").await;
        assert!(matches!(second, SendError::Refused(Refusal { kind: RefusalKind::Temporary, .. })), "{second:?}");
        let day = refused(429, "TooManyRequestsException", "Daily message quota exceeded.").await;
        assert!(matches!(day, SendError::Unreachable(_)), "{day:?}");
    }

    #[tokio::test]
    async fn account_error_or_outage_rejects_no_recipient() {
        for (status, kind) in [
            (400, "AccountSuspendedException"),
            (400, "SendingPausedException"),
            (400, "LimitExceededException"),
            (404, "NotFoundException"),
            (400, "MailFromDomainNotVerifiedException"),
            (403, "AccessDeniedException"),
            (503, "ServiceUnavailable"),
        ] {
            let error = refused(status, kind, "words").await;
            assert!(matches!(&error, SendError::Unreachable(text) if text.contains(kind)), "{error:?}");
        }
    }

    #[tokio::test]
    async fn no_connection_is_unreachable_and_no_response_is_unanswered() {
        let (lost, _) = send(None).await;
        assert!(matches!(lost, Err(SendError::Unanswered(_))), "{lost:?}");
        let refused = ses_at(&closed_port().await).send(&email(), Timestamp::MAX).await;
        assert!(matches!(refused, Err(SendError::Unreachable(_))), "{refused:?}");
    }
}
