//! Builds the function `audience` from its settings and runs it.

use std::collections::BTreeMap;

use audience::{App, ChannelQueue, SliceScanner};
use aws_lambda_events::sqs::SqsEvent;
use domain::Channel;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use runtime::settings::SettingError;
use runtime::{Aws, Deadline, settings, telemetry};
use store::{PushedOffers, Pushes};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let aws = settings::started(Aws::from_env().await)?;
    let app = &settings::started(app(&aws))?;
    lambda_runtime::run(service_fn(async move |event: LambdaEvent<SqsEvent>| {
        Ok::<_, Error>(app.handle(event.payload, Deadline::of(&event.context)).await)
    }))
    .await
}

fn app(aws: &Aws) -> Result<App, SettingError> {
    let pushes: Pushes = aws.table()?;
    let channel = |queue, rate| Ok(ChannelQueue { queue: aws.queue(queue)?, per_second: settings::parameter(rate)? });
    Ok(App::new(SliceScanner {
        sources: aws.sources().clone(),
        customers: aws.table()?,
        pushed_offers: PushedOffers::new(aws.table()?, pushes.clone(), aws.sources().clone()),
        pushes,
        slice_queue: aws.queue("AUDIENCE_QUEUE_URL")?,
        channels: BTreeMap::from([
            (Channel::Email, channel("EMAIL_QUEUE_URL", "EmailRatePerSecond")?),
            (Channel::Sms, channel("SMS_QUEUE_URL", "SmsRatePerSecond")?),
        ]),
    }))
}
