//! Builds the function `feedback` from its settings and runs it.

use std::sync::{Arc, OnceLock};

use feedback::{App, MAIL_LIMIT, ObjectSource, RingSource, StoredMail};
use futures::FutureExt;
use jiff::Timestamp;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use runtime::settings::SettingError;
use runtime::{Aws, Keys, settings, telemetry};
use serde_json::Value;
use store::suppressions::BounceRule;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let aws = settings::started(Aws::from_env().await)?;
    let app = &App {
        sources: aws.sources().clone(),
        suppressions: aws.table()?,
        deliveries: aws.table()?,
        rule: settings::started(rule())?,
        hash_keys: aws.hash_keys()?,
        ring: ring(&aws)?,
        objects: objects(&aws),
        bus: aws.event_bus()?,
        queue: aws.queue("FEEDBACK_QUEUE_URL")?,
    };
    lambda_runtime::run(service_fn(async move |event: LambdaEvent<Value>| app.handle(event.payload).await)).await
}

fn rule() -> Result<BounceRule, SettingError> {
    BounceRule::new(settings::parameter("BounceThreshold")?, settings::parameter("BounceDays")?)
        .map_err(|error| SettingError::parameter("BounceThreshold or BounceDays", format!("is invalid: {error}")))
}

fn ring(aws: &Aws) -> Result<RingSource, Error> {
    let keys = Arc::new(Keys::new(aws.clone(), settings::required("UNSUBSCRIBE_KEYS_SECRET_ARN")?));
    Ok(Box::new(move |age| {
        let keys = keys.clone();
        async move { keys.ring(age).await }.boxed()
    }))
}

fn objects(aws: &Aws) -> ObjectSource {
    // A local stack has one host for all buckets.
    let is_local = aws.config().endpoint_url().is_some();
    let config = aws_sdk_s3::config::Builder::from(aws.config()).force_path_style(is_local).build();
    // Made for the first object: most invocations have none.
    let client = Arc::new(OnceLock::new());
    Box::new(move |bucket, key| {
        let client = client.get_or_init(|| aws_sdk_s3::Client::from_conf(config.clone())).clone();
        async move {
            let get = client.get_object().bucket(bucket).key(key);
            let object =
                get.send().await.map_err(|error| aws_sdk_s3::error::DisplayErrorContext(&error).to_string())?;
            let stored = object.last_modified.and_then(|at| Timestamp::from_second(at.secs()).ok());
            let mut body = object.body;
            let mut mail = Vec::new();
            while mail.len() < MAIL_LIMIT {
                match body.try_next().await.map_err(|error| error.to_string())? {
                    Some(bytes) => mail.extend_from_slice(&bytes),
                    None => break,
                }
            }
            mail.truncate(MAIL_LIMIT);
            Ok(StoredMail { mail, stored })
        }
        .boxed()
    })
}
