//! Builds the function `feedback` from its settings and runs it.

use feedback::App;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use runtime::{Aws, telemetry};
use serde_json::Value;

#[tokio::main]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let aws = Aws::from_env().await;
    let app = &App { sources: aws.sources().clone(), suppressions: aws.table()?, deliveries: aws.table()? };
    lambda_runtime::run(service_fn(async move |event: LambdaEvent<Value>| app.handle(event.payload).await)).await
}
