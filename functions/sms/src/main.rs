//! Reads the settings, builds the clients once, and runs the function.

use delivery::{RateLimited, SmsComposer, SnsOptions, SnsTransport, Worker, lambda};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use runtime::{Aws, Deadline, settings, telemetry};
use serde_json::Value;
use sms::App;

#[tokio::main]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let aws = Aws::from_env().await;
    let app = &app(&aws)?;
    lambda_runtime::run(service_fn(async move |event: LambdaEvent<Value>| {
        // Boxed: the nested type of the future exceeds the compiler's limit.
        Box::pin(sms::handle(app, event.payload, Deadline::of(&event.context))).await
    }))
    .await
}

fn app(aws: &Aws) -> Result<App<SnsTransport>, Error> {
    let options = SnsOptions {
        sender_id: settings::optional("SMS_SENDER_ID")?,
        message_type: settings::required("SMS_TYPE")?,
        check_opt_outs: settings::required("CHECK_SMS_OPT_OUTS")?,
    };
    let transport = SnsTransport::new(aws, options);
    let composer = SmsComposer {
        brand_name: settings::required("BRAND_NAME")?,
        opt_out: settings::required("SMS_OPT_OUT_TEXT")?,
        segments: settings::required("SMS_SEGMENTS")?,
    };
    let first = RateLimited { transport, rate: settings::required("SMS_RATE_PER_SECOND")? };
    let deliverer = lambda::deliverer(aws, composer, first, None)?;
    Ok(App {
        worker: Worker { deliverer, queue: aws.queue("SMS_QUEUE_URL")? },
        is_sending_enabled: settings::required("SENDING_ENABLED")?,
    })
}
