//! Reads the settings, builds the clients, and serves the API.

use preferences::{App, Pages, router};
use runtime::settings::SettingError;
use runtime::{Aws, Keys, settings, telemetry};

fn pages() -> Result<Pages, SettingError> {
    Ok(Pages::new(settings::brand_name()?, settings::default_language()?))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::init();
    let aws = settings::started(Aws::from_env().await)?;
    let app = App {
        sources: aws.sources().clone(),
        suppressions: aws.table()?,
        keys: Keys::new(aws.clone(), settings::required("UNSUBSCRIBE_KEYS_SECRET_ARN")?),
        hash_keys: aws.hash_keys()?,
        pages: settings::started(pages())?,
    };
    api::serve(router(app)).await
}
