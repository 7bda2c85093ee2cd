//! Reads the settings, builds the clients, and serves the API.

use aws_sdk_lambda::Client;
use delivery::Mailbox;
use delivery::compose::letterhead::letterhead;
use delivery::compose::sms::sms_composer;
use delivery::lambda::allowed_test_recipients;
use domain::offer::{Policy, SUBJECT_LIMIT};
use domain::transport::OptionalTransport;
use domain::{Text, TransportId};
use offer::{App, Diagnosis, SampleComposer, TEST_TIMEOUT, TestSender, router};
use runtime::settings::SettingError;
use runtime::{Aws, settings, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::init();
    let aws = settings::started(Aws::from_env().await)?;
    let app = settings::started(app(&aws))?;
    api::serve(router(app)).await
}

fn app(aws: &Aws) -> Result<App, SettingError> {
    let OptionalTransport(fallback) = settings::parameter("FallbackEmailTransport")?;
    let transports = [settings::parameter("EmailTransport")?].into_iter().chain(fallback).chain([TransportId::Sns]);
    Ok(App {
        sources: aws.sources().clone(),
        offers: aws.table()?,
        pushes: aws.table()?,
        deliveries: aws.table()?,
        customers: aws.table()?,
        diagnosis: Diagnosis {
            limits: aws.table()?,
            sources: aws.sources().clone(),
            transports: transports.collect(),
            dead_letters: [
                ("audience", aws.queue("AUDIENCE_DEAD_LETTERS_URL")?),
                ("email", aws.queue("EMAIL_DEAD_LETTERS_URL")?),
                ("sms", aws.queue("SMS_DEAD_LETTERS_URL")?),
            ],
        },
        sample_composer: SampleComposer {
            letterhead: letterhead()?,
            sms: sms_composer()?,
            default_language: settings::default_language()?,
        },
        test_sender: TestSender {
            lambda: Client::new(&aws.one_attempt(TEST_TIMEOUT)),
            email_function: settings::required("EMAIL_FUNCTION")?,
            sms_function: settings::required("SMS_FUNCTION")?,
            from: mailbox("FromAddress")?,
            reply_to: mailbox("ReplyToAddress")?,
            allowed: allowed_test_recipients()?,
            per_day: settings::parameter("TestMessagesPerDay")?,
        },
        policy: Policy {
            default_subject: default_subject()?,
            default_language: settings::default_language()?,
            link_domains: settings::optional_parameter("LinkDomains")?.unwrap_or_default(),
        },
    })
}

/// As it was written: the function `email` reads it itself.
fn mailbox(parameter: &str) -> Result<String, SettingError> {
    let _: Mailbox = settings::parameter(parameter)?;
    settings::parameter(parameter)
}

fn default_subject() -> Result<Text, SettingError> {
    let subject = settings::line("DefaultSubject", SUBJECT_LIMIT)?;
    Text::parse(&subject).map_err(|error| SettingError::parameter("DefaultSubject", error))
}
