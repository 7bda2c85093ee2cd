//! Walks slices of the customer table, keeps the eligible and hands batches of notifications to the channels.

mod walk;

use std::collections::BTreeMap;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use domain::Channel;
use domain::queue::AudienceMessage;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use runtime::{Aws, Deadline, records, telemetry};
use walk::Walker;

#[tokio::main]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let aws = Aws::from_env().await;
    let walker = Walker {
        customers: aws.table()?,
        pushes: aws.table()?,
        slices: aws.queue("AUDIENCE_QUEUE_URL")?,
        channels: BTreeMap::from([
            (Channel::Email, aws.queue("EMAIL_QUEUE_URL")?),
            (Channel::Sms, aws.queue("SMS_QUEUE_URL")?),
        ]),
    };
    let walker = &walker;
    lambda_runtime::run(service_fn(async move |event: LambdaEvent<SqsEvent>| {
        Ok::<_, Error>(handle(walker, event.payload, Deadline::of(&event.context)).await)
    }))
    .await
}

async fn handle(walker: &Walker, event: SqsEvent, deadline: Deadline) -> SqsBatchResponse {
    records::handle_each(event, async |body| {
        let AudienceMessage::SliceV1(slice) = serde_json::from_str(body)?;
        walker.walk(&slice, deadline).await
    })
    .await
}
