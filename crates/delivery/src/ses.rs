//! Amazon SES, version 2 of its API: one attempt for each message, which goes as it is.

use std::time::Duration;

use aws_sdk_sesv2::Client;
use aws_sdk_sesv2::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_sesv2::operation::send_email::SendEmailError;
use aws_sdk_sesv2::primitives::Blob;
use aws_sdk_sesv2::types::{EmailContent, MessageTag, RawMessage};
use domain::offer::now;
use jiff::Timestamp;

use crate::email::Email;
use crate::transport::{Accepted, SendError, Transport, words};

/// For the answer. It takes 60 ms as a rule; one that is not waited for costs a second copy.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Carries e-mail through SES.
#[derive(Debug)]
pub struct SesTransport {
    client: Client,
    configuration_set: Option<String>,
}

impl SesTransport {
    /// With a client that makes one attempt for each call, and waits [`ANSWER_TIMEOUT`] for it; events go where the
    /// configuration set says.
    pub fn new(client: Client, configuration_set: Option<String>) -> Self {
        Self { client, configuration_set }
    }
}

impl Transport for SesTransport {
    type Message = Email;

    fn name(&self) -> &'static str {
        "ses"
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
            Err(error) => Err(sorted(&error)),
        }
    }
}

/// What SES's answer means for the customer (SES API v2 reference, `SendEmail`; developer guide, "Errors related to the
/// sending quotas for your account").
fn sorted(error: &SdkError<SendEmailError>) -> SendError {
    let said = match error {
        SdkError::ServiceError(service) => {
            let service = service.err();
            match service.code().zip(service.message()) {
                Some((code, message)) => words(&format!("{code}: {message}")),
                None => words(&service.to_string()),
            }
        }
        _ => words(&DisplayErrorContext(error).to_string()),
    };
    match error {
        SdkError::ServiceError(service) => match service.err() {
            // An address or a text that SES never takes. Of an identity that is not verified it says the same, and that is
            // nobody's fault but ours: all mail waits until it is.
            SendEmailError::MessageRejected(_) | SendEmailError::BadRequestException(_) => {
                if said.contains("not verified") { SendError::Unreachable(said) } else { SendError::Rejected(said) }
            }
            // Too many a second: the next try may do. Too many a day: nobody's will.
            SendEmailError::TooManyRequestsException(_) if !said.to_ascii_lowercase().contains("daily") => {
                SendError::Throttled(said)
            }
            // The day's quota, an account that is suspended or paused, a domain or configuration set that is not there, a
            // call that our role may not make, SES's own trouble.
            _ => SendError::Unreachable(said),
        },
        // No credentials, no connection: nothing was handed over.
        SdkError::ConstructionFailure(_) => SendError::Unreachable(said),
        SdkError::DispatchFailure(failure) if failure.is_user() || failure.is_timeout() || is_no_connection(error) => {
            SendError::Unreachable(said)
        }
        // The request may have arrived.
        _ => SendError::Unanswered(said),
    }
}

/// Whether there was no connection, so that nothing can have gone over it.
fn is_no_connection(error: &SdkError<SendEmailError>) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<hyper_util::client::legacy::Error>() {
            return error.is_connect();
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use aws_sdk_sesv2::operation::send_email::SendEmailOutput;
    use aws_sdk_sesv2::types::error as ses;
    use aws_smithy_mocks::{RuleMode, mock, mock_client};
    use lettre::Message;

    use super::*;

    fn email() -> Email {
        let message = Message::builder()
            .from("offers@bank.example".parse().unwrap())
            .to("asha@example.com".parse().unwrap())
            .subject("Hello")
            .body("Hello".to_owned())
            .unwrap();
        Email { message, tags: vec![("offer", "o-1".to_owned()), ("customer", "c-1".to_owned())] }
    }

    async fn answered(error: impl Fn() -> SendEmailError + Send + Sync + 'static) -> SendError {
        let rule = mock!(Client::send_email).then_error(error);
        let client = mock_client!(aws_sdk_sesv2, RuleMode::Sequential, [&rule]);
        SesTransport::new(client, None).send(&email(), Timestamp::MAX).await.unwrap_err()
    }

    #[tokio::test]
    async fn the_message_goes_as_it_is_with_its_tags_and_its_configuration_set() {
        let email = email();
        let raw = email.message.formatted();
        let rule = mock!(Client::send_email)
            .match_requests(move |call| {
                let sent = call.content().and_then(EmailContent::raw).map(|raw| raw.data().as_ref());
                let tags: Vec<_> = call.email_tags().iter().map(|tag| (tag.name(), tag.value())).collect();
                sent == Some(&raw)
                    && tags == [("offer", "o-1"), ("customer", "c-1")]
                    && call.configuration_set_name() == Some("offercast")
            })
            .then_output(|| SendEmailOutput::builder().message_id("ses-1").build());
        let client = mock_client!(aws_sdk_sesv2, RuleMode::Sequential, [&rule]);
        let ses = SesTransport::new(client, Some("offercast".to_owned()));
        assert_eq!(ses.send(&email, Timestamp::MAX).await.unwrap().message_id, "ses-1");
        assert_eq!(ses.send(&email, Timestamp::MIN).await, Err(SendError::TooLate), "not after the lease");
    }

    #[tokio::test]
    async fn a_refused_message_is_the_customers_and_an_identity_that_is_not_verified_is_ours() {
        let rejected = |words: &'static str| {
            move || SendEmailError::MessageRejected(ses::MessageRejected::builder().message(words).build())
        };
        assert!(matches!(answered(rejected("Invalid content")).await, SendError::Rejected(_)));
        let unverified = "Email address is not verified. The following identities failed: offers@bank.example";
        let SendError::Unreachable(said) = answered(rejected(unverified)).await else { panic!("it is ours") };
        assert!(!said.contains('@'), "no address is told: {said}");
        let bad = || SendEmailError::BadRequestException(ses::BadRequestException::builder().message("Bad").build());
        assert!(matches!(answered(bad).await, SendError::Rejected(_)));
    }

    #[tokio::test]
    async fn too_many_a_second_waits_a_moment_and_too_many_a_day_waits_for_all() {
        let many = |words: &'static str| {
            move || {
                let error = ses::TooManyRequestsException::builder().message(words).build();
                SendEmailError::TooManyRequestsException(error)
            }
        };
        assert!(matches!(answered(many("Maximum sending rate exceeded.")).await, SendError::Throttled(_)));
        assert!(matches!(answered(many("Daily message quota exceeded.")).await, SendError::Unreachable(_)));
    }

    #[tokio::test]
    async fn trouble_with_the_account_is_no_customers_fault() {
        let errors: [fn() -> SendEmailError; 6] = [
            || SendEmailError::AccountSuspendedException(ses::AccountSuspendedException::builder().build()),
            || SendEmailError::SendingPausedException(ses::SendingPausedException::builder().build()),
            || SendEmailError::LimitExceededException(ses::LimitExceededException::builder().build()),
            || SendEmailError::NotFoundException(ses::NotFoundException::builder().build()),
            || {
                let error = ses::MailFromDomainNotVerifiedException::builder().build();
                SendEmailError::MailFromDomainNotVerifiedException(error)
            },
            || SendEmailError::unhandled("InternalFailure"),
        ];
        for error in errors {
            let sorted = answered(error).await;
            assert!(matches!(sorted, SendError::Unreachable(_)), "{sorted:?}");
        }
    }

    #[tokio::test]
    async fn no_connection_is_an_outage_and_a_lost_answer_is_not() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = format!("http://{}", listener.local_addr().unwrap());
        let client = |at: &str| {
            let config = aws_sdk_sesv2::Config::builder()
                .behavior_version_latest()
                .endpoint_url(at)
                .region(aws_sdk_sesv2::config::Region::new("eu-west-1"))
                .credentials_provider(aws_sdk_sesv2::config::Credentials::new("a", "b", None, None, "test"))
                .retry_config(aws_sdk_sesv2::config::retry::RetryConfig::disabled())
                .http_client(aws_smithy_http_client::Builder::new().build_http())
                .build();
            SesTransport::new(Client::from_conf(config), None)
        };
        let ses = client(&at);
        let email = email();
        // Takes the request, and closes without an answer.
        let closing = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut bytes = [0; 1 << 14];
            tokio::io::AsyncReadExt::read(&mut stream, &mut bytes).await.unwrap();
        });
        let lost = ses.send(&email, Timestamp::MAX).await.unwrap_err();
        closing.await.unwrap();
        assert!(matches!(lost, SendError::Unanswered(_)), "{lost:?}");
        let refused = client(&at).send(&email, Timestamp::MAX).await.unwrap_err();
        assert!(matches!(refused, SendError::Unreachable(_)), "{refused:?}");
    }
}
