//! Reads the settings, builds the clients once, and runs the function.

use delivery::compose::sms::sms_composer;
use delivery::{RateLimited, SnsOptions, SnsTransport, Worker, lambda};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use runtime::{Aws, Invocation, settings, telemetry};
use serde_json::Value;
use sms::App;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let aws = settings::started(Aws::from_env().await)?;
    let app = &settings::started(app(&aws))?;
    lambda_runtime::run(service_fn(async move |event: LambdaEvent<Value>| {
        // Boxed: the nested type of the future exceeds the compiler's limit.
        Box::pin(sms::handle(app, event.payload, Invocation::of(&event.context))).await
    }))
    .await
}

fn app(aws: &Aws) -> Result<App<SnsTransport>, Error> {
    let options = SnsOptions {
        sender_id: settings::optional_parameter("SmsSenderId")?,
        message_type: settings::parameter("SmsType")?,
        check_opt_outs: settings::parameter("CheckSmsOptOuts")?,
    };
    let transport = SnsTransport::new(aws, options);
    let composer = sms_composer()?;
    let first = RateLimited { transport, rate: settings::parameter("SmsRatePerSecond")? };
    let deliverer = lambda::deliverer(aws, composer, first, None)?;
    Ok(App {
        worker: Worker { deliverer, queue: aws.queue("SMS_QUEUE_URL")? },
        is_sending_enabled: settings::parameter("SendingEnabled")?,
        // By default no number.
        test_recipients: settings::optional_parameter("AllowedTestRecipients")?.unwrap_or_default(),
    })
}
