//! Delivers text messages: batches from its queue, or one message for whoever invokes it directly.

mod direct;

use aws_lambda_events::sqs::SqsEvent;
use delivery::transport::aws_error::RESPONSE_TIMEOUT;
use delivery::{Deliverer, RateLimited, SmsComposer, SnsOptions, SnsTransport, Worker};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use runtime::{Aws, Deadline, settings, telemetry};
use serde_json::Value;

/// What every invocation may use.
struct Function {
    worker: Worker<SmsComposer, SnsTransport>,
    /// While false the queue is not read at all, and direct invocations are refused.
    is_sending_enabled: bool,
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let aws = Aws::from_env().await;
    let options = SnsOptions {
        sender_id: settings::optional("SMS_SENDER_ID")?,
        message_type: settings::required("SMS_TYPE")?,
        check_opt_outs: settings::required("CHECK_SMS_OPT_OUTS")?,
    };
    let transport = SnsTransport::new(aws_sdk_sns::Client::new(&aws.one_attempt(RESPONSE_TIMEOUT)), options);
    let deliverer = Deliverer {
        customers: aws.table()?,
        suppressions: aws.table()?,
        deliveries: aws.table()?,
        pushes: aws.table()?,
        limits: aws.table()?,
        composer: SmsComposer {
            brand_name: settings::required("BRAND_NAME")?,
            opt_out: settings::required("SMS_OPT_OUT_TEXT")?,
            segments: settings::required("SMS_SEGMENTS")?,
        },
        first: RateLimited { transport, rate: settings::required("SMS_RATE_PER_SECOND")? },
        fallback: None,
    };
    let queue = aws.queue("SMS_QUEUE_URL")?;
    let is_sending_enabled = settings::required("SENDING_ENABLED")?;
    let function = &Function { worker: Worker { deliverer, queue }, is_sending_enabled };
    lambda_runtime::run(service_fn(async move |event: LambdaEvent<Value>| {
        // Boxed: all its layers in one type are more than the compiler looks through.
        Box::pin(handle(function, event.payload, Deadline::of(&event.context))).await
    }))
    .await
}

async fn handle(function: &Function, payload: Value, deadline: Deadline) -> Result<Value, Error> {
    if payload.get("Records").is_some() {
        let event: SqsEvent = serde_json::from_value(payload)?;
        return Ok(serde_json::to_value(function.worker.deliver_all(event, deadline).await)?);
    }
    Ok(direct::send(function, payload, deadline).await?)
}
