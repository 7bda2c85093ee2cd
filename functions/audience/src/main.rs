//! Walks slices of the customer table, keeps the eligible and hands batches of notifications to the channels.

mod walk;

use std::collections::BTreeMap;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use domain::Channel;
use domain::queue::AudienceMessage;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use runtime::{Aws, Deadline, Queue, records, settings, telemetry};
use store::{Customers, Pushes};
use walk::Walker;

#[tokio::main]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let aws = Aws::from_env().await;
    let queue = |url: String| Queue::new(aws.sqs(), url);
    let walker = Walker {
        customers: Customers::new(aws.dynamodb(), settings::required::<String>("CUSTOMERS_TABLE")?),
        pushes: Pushes::new(aws.dynamodb(), settings::required::<String>("PUSHES_TABLE")?),
        slices: queue(settings::required("AUDIENCE_QUEUE_URL")?),
        channels: BTreeMap::from([
            (Channel::Email, queue(settings::required("EMAIL_QUEUE_URL")?)),
            (Channel::Sms, queue(settings::required("SMS_QUEUE_URL")?)),
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
