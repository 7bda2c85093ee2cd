//! Amazon SES (API v2): one attempt for each message, which is sent as raw MIME.

use std::time::Duration;

use aws_sdk_sesv2::Client;
use aws_sdk_sesv2::primitives::Blob;
use aws_sdk_sesv2::types::{EmailContent, MessageTag, RawMessage};
use domain::{Sources, TransportId};
use jiff::Timestamp;
use runtime::Aws;

use crate::compose::mime::Email;
use crate::transport::aws_error::Meaning::{self, Unreachable};
use crate::transport::aws_error::{self, RESPONSE_TIMEOUT, Row};
use crate::transport::{Accepted, RefusalKind, SendError, Suspect, Transport};

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
        let raw = RawMessage::builder().data(Blob::new(email.bytes())).build().expect("the data is set");
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
            Err(error) => Err(aws_error::classify_sdk_error(&error, ERRORS)),
        }
    }
}

/// The errors for which SES has one code, whatever is wrong.
const REFUSALS: &[&str] = &["MessageRejected", "BadRequestException"];

/// What errors of SES mean, before [`aws_error::COMMON`].
///
/// The rows of the account and the sender come first: some of their texts name addresses as well.
const ERRORS: &[Row] = &[
    Row::new(REFUSALS, "not verified", Unreachable, "Developer guide, \"Amazon SES email sending errors\""),
    Row::new(
        REFUSALS,
        "paused",
        Unreachable,
        "Developer guide, \"Amazon SES email sending errors\": account is paused",
    ),
    Row::new(REFUSALS, "suspended", Unreachable, "API v2 reference, SendEmail: AccountSuspendedException"),
    Row::new(
        REFUSALS,
        "disabled",
        Unreachable,
        "API v1 reference, SendEmail: AccountSendingPaused: sending is disabled",
    ),
    Row::new(REFUSALS, "configuration set", Unreachable, "API v1 reference, SendEmail: ConfigurationSetDoesNotExist"),
    Row::new(
        &[
            "AccountSuspendedException",
            "SendingPausedException",
            "LimitExceededException",
            "NotFoundException",
            "MailFromDomainNotVerifiedException",
        ],
        "",
        Unreachable,
        "API v2 reference, SendEmail, errors",
    ),
    // Too many per second is for now, under one of the common codes. Too many per day: none will succeed for hours.
    Row::new(&[], "daily", Unreachable, "Developer guide, \"Errors related to the sending quotas for your account\""),
    // The letterhead is checked when a function starts, so the address that SES cannot parse is the customer's.
    Row::new(
        REFUSALS,
        "missing final",
        RECIPIENT,
        "\"Missing final '@domain'\": github.com/anymail/django-anymail/discussions/283",
    ),
    Row::new(REFUSALS, "missing domain", RECIPIENT, "\"Missing domain\": github.com/brave/accounts/issues/35"),
    Row::new(REFUSALS, "illegal address", RECIPIENT, "\"Illegal address\": github.com/medplum/medplum/pull/5320"),
    Row::new(
        REFUSALS,
        "local address contains",
        RECIPIENT,
        "\"Local address contains control or whitespace\": github.com/openstax/accounts/pull/252",
    ),
    Row::new(
        REFUSALS,
        "domain contains",
        RECIPIENT,
        "\"Domain contains control or whitespace\": github.com/monde-sistemas/delphi-aws-ses/issues/22",
    ),
    Row::new(
        REFUSALS,
        "address blacklisted",
        RECIPIENT,
        "\"Address blacklisted\": github.com/emencia/emencia-django-newsletter/issues/61",
    ),
    // SES has parsed the message, and refuses what is in it: other messages may be accepted.
    Row::new(
        &["MessageRejected"],
        "",
        Meaning::Refused(RefusalKind::Ambiguous(Suspect::Content)),
        "API v2 reference, SendEmail: the message contains invalid content",
    ),
    // It is about any part of the request, so our address and settings as well as the recipient's address.
    Row::new(
        &["BadRequestException"],
        "",
        Meaning::Refused(RefusalKind::Ambiguous(Suspect::Sender)),
        "API v2 reference, SendEmail: the input is invalid",
    ),
];

const RECIPIENT: Meaning = Meaning::Refused(RefusalKind::Recipient);

#[cfg(test)]
mod tests {
    use lettre::Message;

    use super::*;
    use crate::transport::aws_error::tests::{CannedResponse, aws_at, closed_port, respond_once};
    use crate::transport::redact::redact;

    fn email() -> Email {
        let message = Message::builder()
            .from("offers@bank.example".parse().unwrap())
            .to("asha@example.com".parse().unwrap())
            .subject("Hello")
            .body("Hello".to_owned())
            .unwrap();
        let mut email = Email::new(&message).unwrap();
        email.tags = vec![("offer", "o-1".to_owned()), ("customer", "c-1".to_owned())];
        email
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
    async fn identity_in_a_refusal_is_redacted() {
        let unverified = "Email address is not verified. The following identities failed: offers@bank.example";
        let SendError::Unreachable(text) = refused(400, "MessageRejected", unverified).await else {
            panic!("not the recipient's fault")
        };
        assert_eq!(text, "MessageRejected: Email address is not verified. The following identities failed: (address)");
    }

    #[tokio::test]
    async fn errors_mean_what_their_tables_say() {
        let recipient = |text: &str| SendError::refused(RefusalKind::Recipient, text);
        let temporary = |text: &str| SendError::refused(RefusalKind::Temporary, text);
        let message = |text: &str| SendError::refused(RefusalKind::Message, text);
        let content = |text: &str| SendError::refused(RefusalKind::Ambiguous(Suspect::Content), text);
        let sender = |text: &str| SendError::refused(RefusalKind::Ambiguous(Suspect::Sender), text);
        let unreachable = |text: &str| SendError::Unreachable(text.to_owned());
        let unanswered = |text: &str| SendError::Unanswered(text.to_owned());
        type Meant<'a> = &'a dyn Fn(&str) -> SendError;
        let cases: [(u16, &str, &str, Meant<'_>); 36] = [
            (400, "BadRequestException", "Missing final '@domain'", &recipient),
            (400, "BadRequestException", "Missing domain", &recipient),
            (400, "BadRequestException", "Local address contains control or whitespace", &recipient),
            (400, "BadRequestException", "Domain contains control or whitespace", &recipient),
            (400, "MessageRejected", "Address blacklisted.", &recipient),
            (400, "MessageRejected", "Illegal address", &recipient),
            (400, "MessageRejected", "Invalid content", &content),
            (400, "MessageRejected", "Email address is not verified.", &unreachable),
            (400, "MessageRejected", "Sending paused for this account.", &unreachable),
            (400, "BadRequestException", "Email sending is disabled", &unreachable),
            (400, "BadRequestException", "Configuration set <x> does not exist.", &unreachable),
            (400, "BadRequestException", "something new", &sender),
            (400, "ValidationException", "something new", &sender),
            (422, "Odd", "something new", &sender),
            (400, "AccountSuspendedException", "words", &unreachable),
            (400, "SendingPausedException", "words", &unreachable),
            (400, "LimitExceededException", "words", &unreachable),
            (404, "NotFoundException", "words", &unreachable),
            (400, "MailFromDomainNotVerifiedException", "words", &unreachable),
            (401, "NotAuthorized", "words", &unreachable),
            (403, "AccessDeniedException", "words", &unreachable),
            (400, "ExpiredTokenException", "words", &unreachable),
            (400, "UnrecognizedClientException", "words", &unreachable),
            (429, "TooManyRequestsException", "Maximum sending rate exceeded.", &temporary),
            (429, "TooManyRequestsException", "Daily message quota exceeded.", &unreachable),
            (400, "ThrottlingException", "Rate exceeded", &temporary),
            (429, "Odd", "words", &temporary),
            (408, "RequestTimeoutException", "words", &temporary),
            (413, "RequestEntityTooLargeException", "words", &message),
            (503, "ServiceUnavailable", "words", &unreachable),
            (503, "ThrottlingException", "words", &temporary),
            (500, "InternalFailure", "words", &unanswered),
            (502, "Odd", "words", &unanswered),
            (504, "Odd", "words", &unanswered),
            // Whatever the code says.
            (500, "MessageRejected", "Address blacklisted.", &unanswered),
            (504, "ThrottlingException", "words", &unanswered),
        ];
        for (status, kind, text, meant) in cases {
            let stored = redact(&format!("{kind}: {text}"));
            assert_eq!(refused(status, kind, text).await, meant(&stored), "{status}");
        }
        assert!(ERRORS.iter().chain(aws_error::COMMON).all(|row| !row.source.is_empty()));
    }

    #[tokio::test]
    async fn page_of_a_proxy_counts_by_its_status() {
        let page = |status| async move {
            send(Some(CannedResponse { status, kind: "", body: "<html>Bad gateway</html>" })).await.0.unwrap_err()
        };
        assert_eq!(page(502).await, SendError::Unanswered("HTTP status 502".into()));
        assert_eq!(page(503).await, SendError::Unreachable("HTTP status 503".into()));
        assert_eq!(page(403).await, SendError::Unreachable("HTTP status 403".into()));
    }

    #[tokio::test]
    async fn no_connection_is_unreachable_and_no_response_is_unanswered() {
        let (lost, _) = send(None).await;
        assert!(matches!(lost, Err(SendError::Unanswered(_))), "{lost:?}");
        let refused = ses_at(&closed_port().await).send(&email(), Timestamp::MAX).await;
        assert!(matches!(refused, Err(SendError::Unreachable(_))), "{refused:?}");
    }
}
