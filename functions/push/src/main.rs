//! Cuts requested pushes into slices, and publishes what became of them.
//!
//! Called by the stream of the Offers table, which is the outbox; by the stream of the Pushes table, which tells of what is
//! to be published; and by a schedule each minute, which starts the pushes whose time has come and sweeps up what was left
//! unfinished or untold.

mod event;
mod publish;
mod start;
mod sweep;

use std::collections::BTreeMap;

use aws_lambda_events::streams::{DynamoDbBatchItemFailure, DynamoDbEventResponse};
use domain::Channel;
use event::{Event, PushRecord};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use publish::Publisher;
use runtime::{Aws, Deadline, settings, telemetry};
use serde_json::Value;
use start::PushStarter;
use sweep::Sweeper;
use tokio::sync::Mutex;
use tracing::Instrument;

#[tokio::main]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let aws = Aws::from_env().await;
    let starter = PushStarter {
        offers: aws.table()?,
        pushes: aws.table()?,
        customers: aws.table()?,
        audience: aws.queue("AUDIENCE_QUEUE_URL")?,
    };
    let channels =
        BTreeMap::from([(Channel::Email, aws.queue("EMAIL_QUEUE_URL")?), (Channel::Sms, aws.queue("SMS_QUEUE_URL")?)]);
    let publisher = Publisher {
        offers: starter.offers.clone(),
        pushes: starter.pushes.clone(),
        bus: aws_sdk_eventbridge::Client::new(aws.config()),
        bus_name: settings::required("EVENT_BUS")?,
    };
    let sweeper = &Sweeper { starter: &starter, channels: &channels, publisher: &publisher, left_at: Mutex::default() };
    lambda_runtime::run(service_fn(async move |event: LambdaEvent<Value>| {
        handle(sweeper, event.payload, Deadline::of(&event.context)).await
    }))
    .await
}

async fn handle(sweeper: &Sweeper<'_>, payload: Value, deadline: Deadline) -> Result<Value, Error> {
    Ok(match Event::parse(payload)? {
        Event::Stream(records) => serde_json::to_value(start_requested(sweeper.starter, records).await)?,
        Event::Changed(pushes) => {
            // What is not told now, the sweep tells within minutes: the stream need not come again for it.
            sweeper.publisher.publish_each(pushes).await;
            serde_json::to_value(DynamoDbEventResponse::default())?
        }
        Event::Schedule => serde_json::to_value(sweeper.all(deadline).await?)?,
        Event::Sweep(offer) => serde_json::to_value(sweeper.offer(offer).await?)?,
    })
}

/// Cuts in the order of the stream. Stops at the first failure: Lambda goes on from there.
async fn start_requested(starter: &PushStarter, records: Vec<PushRecord>) -> DynamoDbEventResponse {
    let mut response = DynamoDbEventResponse::default();
    for record in records {
        let work = telemetry::work_span();
        if let Err(error) = starter.start_push(record.push).instrument(work.clone()).await {
            let _of_it = work.entered();
            telemetry::record_push(record.push, None);
            tracing::error!(error = %error, "a push was not cut and is retried");
            let mut failure = DynamoDbBatchItemFailure::default();
            failure.item_identifier = Some(record.sequence_number);
            response.batch_item_failures.push(failure);
            break;
        }
    }
    response
}
