//! Reads the settings, builds the clients once, and runs the function.

use std::sync::Arc;

use delivery::compose::letterhead::letterhead;
use delivery::compose::links::{Links, PublicUrl, RingSource};
use delivery::{EmailComposer, EmailTransport, Mailbox, RateLimited, Transport, Worker, lambda};
use domain::AllowedSenders;
use email::App;
use futures::FutureExt;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use runtime::keys::RING_AGE;
use runtime::settings::SettingError;
use runtime::{Aws, Invocation, Keys, settings, telemetry};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let aws = settings::started(Aws::from_env().await)?;
    let app = &settings::started(app(&aws).await)?;
    lambda_runtime::run(service_fn(async move |event: LambdaEvent<Value>| {
        // Boxed: the nested type of the future exceeds the compiler's limit.
        Box::pin(email::handle(app, event.payload, Invocation::of(&event.context))).await
    }))
    .await
}

async fn app(aws: &Aws) -> Result<App<EmailTransport>, Error> {
    let composer = composer(aws)?;
    let first = EmailTransport::primary(aws, "EmailTransport", composer.sender_domain())?;
    let fallback = EmailTransport::fallback(aws, "FallbackEmailTransport", first.id(), composer.sender_domain())?;
    for transport in std::iter::once(&first).chain(&fallback) {
        transport.check().await?;
    }
    let fallback = match fallback {
        Some(transport) => Some(RateLimited { transport, rate: settings::parameter("FallbackEmailRatePerSecond")? }),
        None => None,
    };
    let first = RateLimited { transport: first, rate: settings::parameter("EmailRatePerSecond")? };
    let deliverer = lambda::deliverer(aws, composer, first, fallback)?;
    Ok(App {
        worker: Worker { deliverer, queue: aws.queue("EMAIL_QUEUE_URL")? },
        is_sending_enabled: settings::parameter("SendingEnabled")?,
        test_recipients: lambda::allowed_test_recipients()?,
    })
}

fn composer(aws: &Aws) -> Result<EmailComposer, SettingError> {
    let keys = Arc::new(Keys::new(aws.clone(), settings::required("UNSUBSCRIBE_KEYS_SECRET_ARN")?));
    let ring: RingSource = Box::new(move || {
        let keys = keys.clone();
        async move { keys.ring(RING_AGE).await }.boxed()
    });
    let links = Links::new(public_url()?, ring);
    let from: Mailbox = settings::parameter("FromAddress")?;
    let from_address = from.email_address().clone();
    let mut composer = EmailComposer::new(from, settings::parameter("ReplyToAddress")?, letterhead()?, links);
    if let Some(senders) = settings::optional_parameter::<AllowedSenders>("AllowedSenders")? {
        // The role allows these senders only, so nothing else could be sent.
        senders.check(&from_address).map_err(|error| SettingError::parameter("FromAddress", error))?;
        composer = composer.with_senders(senders);
    }
    Ok(composer
        .with_default_language(settings::default_language()?)
        .with_stack(settings::required("STACK_NAME")?)
        .with_return_path(settings::optional_parameter("ReturnPath")?))
}

/// In the parameter, `{api}` stands for the API's id, which only the deployed stack knows.
fn public_url() -> Result<PublicUrl, SettingError> {
    let url: String = settings::parameter("PublicUrl")?;
    let api: String = settings::required("API_ID")?;
    url.replace("{api}", &api).parse().map_err(|error| SettingError::parameter("PublicUrl", error))
}
