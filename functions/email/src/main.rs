//! Reads the settings, builds the clients once, and runs the function.

use std::sync::Arc;

use delivery::compose::email::{Links, RingSource};
use delivery::compose::letterhead::Letterhead;
use delivery::{EmailComposer, EmailTransport, RateLimited, Transport, Worker, lambda};
use email::App;
use futures::FutureExt;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use runtime::keys::RING_AGE;
use runtime::{Aws, Deadline, Keys, settings, telemetry};
use serde_json::Value;

#[tokio::main]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let aws = Aws::from_env().await;
    let app = &app(&aws)?;
    lambda_runtime::run(service_fn(async move |event: LambdaEvent<Value>| {
        // Boxed: the nested type of the future exceeds the compiler's limit.
        Box::pin(email::handle(app, event.payload, Deadline::of(&event.context))).await
    }))
    .await
}

fn app(aws: &Aws) -> Result<App<EmailTransport>, Error> {
    let composer = composer(aws)?;
    let first = EmailTransport::primary(aws, "EMAIL_TRANSPORT", composer.sender_domain())?;
    let fallback = EmailTransport::fallback(aws, "FALLBACK_EMAIL_TRANSPORT", first.id(), composer.sender_domain())?;
    let fallback = match fallback {
        Some(transport) => Some(RateLimited { transport, rate: settings::required("FALLBACK_EMAIL_RATE_PER_SECOND")? }),
        None => None,
    };
    let first = RateLimited { transport: first, rate: settings::required("EMAIL_RATE_PER_SECOND")? };
    let deliverer = lambda::deliverer(aws, composer, first, fallback)?;
    Ok(App {
        worker: Worker { deliverer, queue: aws.queue("EMAIL_QUEUE_URL")? },
        is_sending_enabled: settings::required("SENDING_ENABLED")?,
    })
}

fn composer(aws: &Aws) -> Result<EmailComposer, Error> {
    let from: String = settings::required("FROM_ADDRESS")?;
    let reply_to: String = settings::required("REPLY_TO_ADDRESS")?;
    let letterhead = Letterhead {
        brand_name: settings::required("BRAND_NAME")?,
        postal_address: settings::required("POSTAL_ADDRESS")?,
    };
    let keys = Arc::new(Keys::new(aws.clone(), settings::required("UNSUBSCRIBE_KEYS_SECRET_ARN")?));
    let ring: RingSource = Box::new(move || {
        let keys = keys.clone();
        async move { keys.ring(RING_AGE).await }.boxed()
    });
    // In the default URL, `{api}` stands for the API's id, which only the deployed stack knows.
    let public_url =
        settings::required::<String>("PUBLIC_URL")?.replace("{api}", &settings::required::<String>("API_ID")?);
    let composer = EmailComposer::new(&from, &reply_to, letterhead, Links::new(&public_url, ring))?;
    Ok(composer.with_return_path(settings::optional("RETURN_PATH")?))
}
