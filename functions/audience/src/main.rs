//! Builds the function `audience` from its settings and runs it.

use std::collections::BTreeMap;

use audience::{App, SliceScanner};
use aws_lambda_events::sqs::SqsEvent;
use domain::Channel;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use runtime::{Aws, Deadline, settings, telemetry};
use store::{PushedOffers, Pushes};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let aws = settings::started(Aws::from_env().await)?;
    let pushes: Pushes = aws.table()?;
    let app = &App::new(SliceScanner {
        sources: aws.sources().clone(),
        customers: aws.table()?,
        pushed_offers: PushedOffers::new(aws.table()?, pushes.clone(), aws.sources().clone()),
        pushes,
        slice_queue: aws.queue("AUDIENCE_QUEUE_URL")?,
        channel_queues: BTreeMap::from([
            (Channel::Email, aws.queue("EMAIL_QUEUE_URL")?),
            (Channel::Sms, aws.queue("SMS_QUEUE_URL")?),
        ]),
    });
    lambda_runtime::run(service_fn(async move |event: LambdaEvent<SqsEvent>| {
        Ok::<_, Error>(app.handle(event.payload, Deadline::of(&event.context)).await)
    }))
    .await
}
