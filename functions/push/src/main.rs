//! Builds the function `push` from its settings and runs it.

use std::collections::BTreeMap;

use domain::Channel;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use push::{App, Publisher, PushStarter};
use runtime::{Aws, Deadline, settings, telemetry};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let aws = settings::started(Aws::from_env().await)?;
    let starter = PushStarter {
        sources: aws.sources().clone(),
        offers: aws.table()?,
        pushes: aws.table()?,
        customers: aws.table()?,
        audience_queue: aws.queue("AUDIENCE_QUEUE_URL")?,
    };
    let publisher = Publisher { offers: starter.offers.clone(), pushes: starter.pushes.clone(), bus: aws.event_bus()? };
    let channels =
        BTreeMap::from([(Channel::Email, aws.queue("EMAIL_QUEUE_URL")?), (Channel::Sms, aws.queue("SMS_QUEUE_URL")?)]);
    let app = &App::new(starter, publisher, channels);
    lambda_runtime::run(service_fn(async move |event: LambdaEvent<Value>| {
        app.handle(event.payload, Deadline::of(&event.context)).await
    }))
    .await
}
