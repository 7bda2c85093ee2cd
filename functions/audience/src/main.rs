//! Walks slices of the customer table, keeps the eligible and hands batches of notifications to the channels.

mod scan;

use std::collections::BTreeMap;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use domain::Channel;
use domain::queue::AudienceMessage;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use runtime::{Aws, Deadline, records, telemetry};
use scan::SliceScanner;

#[tokio::main]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let aws = Aws::from_env().await;
    let scanner = SliceScanner {
        customers: aws.table()?,
        pushes: aws.table()?,
        slices: aws.queue("AUDIENCE_QUEUE_URL")?,
        channels: BTreeMap::from([
            (Channel::Email, aws.queue("EMAIL_QUEUE_URL")?),
            (Channel::Sms, aws.queue("SMS_QUEUE_URL")?),
        ]),
    };
    let scanner = &scanner;
    lambda_runtime::run(service_fn(async move |event: LambdaEvent<SqsEvent>| {
        Ok::<_, Error>(handle(scanner, event.payload, Deadline::of(&event.context)).await)
    }))
    .await
}

async fn handle(scanner: &SliceScanner, event: SqsEvent, deadline: Deadline) -> SqsBatchResponse {
    records::handle_each(event, async |body| {
        let AudienceMessage::SliceV1(slice) = serde_json::from_str(body)?;
        scanner.scan_slice(&slice, deadline).await
    })
    .await
}
