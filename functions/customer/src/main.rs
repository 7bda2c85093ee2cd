//! Reads the settings, builds the clients, and serves the API.

use customer::{App, router};
use runtime::{Aws, settings, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::init();
    let aws = settings::started(Aws::from_env().await)?;
    let app = App {
        sources: aws.sources().clone(),
        customers: aws.table()?,
        suppressions: aws.table()?,
        hash_keys: aws.hash_keys()?,
    };
    api::serve(router(app)).await
}
