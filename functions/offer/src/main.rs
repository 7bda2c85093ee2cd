//! Reads the settings, builds the clients, and serves the API.

use aws_sdk_lambda::Client;
use delivery::SmsComposer;
use delivery::compose::letterhead::Letterhead;
use domain::transport::OptionalTransport;
use domain::{Text, TransportId};
use offer::{App, Diagnosis, SampleComposer, TEST_TIMEOUT, TestSender, router};
use runtime::{Aws, settings, telemetry};

#[tokio::main]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::init();
    let aws = Aws::from_env().await;
    let OptionalTransport(fallback) = settings::required("FALLBACK_EMAIL_TRANSPORT")?;
    let transports = [settings::required("EMAIL_TRANSPORT")?].into_iter().chain(fallback).chain([TransportId::Sns]);
    let app = App {
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
            letterhead: Letterhead {
                brand_name: settings::required("BRAND_NAME")?,
                postal_address: settings::required("POSTAL_ADDRESS")?,
            },
            sms: SmsComposer {
                brand_name: settings::required("BRAND_NAME")?,
                opt_out: settings::required("SMS_OPT_OUT_TEXT")?,
                segments: settings::required("SMS_SEGMENTS")?,
            },
        },
        test_sender: TestSender {
            lambda: Client::new(&aws.one_attempt(TEST_TIMEOUT)),
            email_function: settings::required("EMAIL_FUNCTION")?,
            sms_function: settings::required("SMS_FUNCTION")?,
            from: settings::required("FROM_ADDRESS")?,
            reply_to: settings::required("REPLY_TO_ADDRESS")?,
        },
        default_subject: Text::parse(&settings::required::<String>("DEFAULT_SUBJECT")?)?,
    };
    lambda_http::run(router(app)).await
}
