//! The HTTP API of offers: preview, create, read and list them; push them again, cancel pushes, tell how far they are.

mod deliveries;
mod offers;
mod preview;
mod pushes;

use std::collections::BTreeSet;
use std::sync::Arc;

use api::problem::no_such_route;
use api::traced;
use axum::Router;
use axum::middleware::from_fn;
use axum::routing::{get, post};
use delivery::SmsComposer;
use delivery::compose::letterhead::Letterhead;
use domain::transport::OptionalTransport;
use domain::{Text, TransportId};
use preview::{Previewer, Tester};
use runtime::{Aws, Queue, settings, telemetry};
use serde_json::json;
use store::{Deliveries, Offers, Pushes, TransportLimits};

/// What every handler may use.
struct App {
    offers: Offers,
    pushes: Pushes,
    deliveries: Deliveries,
    limits: TransportLimits,
    /// By the queues that they serve.
    dead_letters: [(&'static str, Queue); 3],
    /// What carries notifications, as deployed.
    transports: BTreeSet<TransportId>,
    default_subject: Text,
    preview: Previewer,
}

#[tokio::main]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::init();
    let aws = Aws::from_env().await;
    let OptionalTransport(fallback) = settings::required("FALLBACK_EMAIL_TRANSPORT")?;
    let transports = [settings::required("EMAIL_TRANSPORT")?].into_iter().chain(fallback).chain([TransportId::Sns]);
    let app = App {
        offers: aws.table()?,
        pushes: aws.table()?,
        deliveries: aws.table()?,
        limits: aws.table()?,
        dead_letters: [
            ("audience", aws.queue("AUDIENCE_DEAD_LETTERS_URL")?),
            ("email", aws.queue("EMAIL_DEAD_LETTERS_URL")?),
            ("sms", aws.queue("SMS_DEAD_LETTERS_URL")?),
        ],
        transports: transports.collect(),
        default_subject: Text::parse(&settings::required::<String>("DEFAULT_SUBJECT")?)?,
        preview: Previewer {
            customers: aws.table()?,
            letterhead: Letterhead {
                brand_name: settings::required("BRAND_NAME")?,
                postal_address: settings::required("POSTAL_ADDRESS")?,
            },
            sms: SmsComposer {
                brand_name: settings::required("BRAND_NAME")?,
                opt_out: settings::required("SMS_OPT_OUT_TEXT")?,
                segments: settings::required("SMS_SEGMENTS")?,
            },
            tester: Tester {
                lambda: aws_sdk_lambda::Client::new(&aws.one_attempt(preview::TEST_TIME)),
                email_function: settings::required("EMAIL_FUNCTION")?,
                sms_function: settings::required("SMS_FUNCTION")?,
                from: settings::required("FROM_ADDRESS")?,
                reply_to: settings::required("REPLY_TO_ADDRESS")?,
            },
        },
    };
    lambda_http::run(router(app)).await
}

fn router(app: App) -> Router {
    Router::new()
        .route("/offer/create", post(offers::create))
        .route("/offers", post(offers::create).get(offers::list))
        .route("/offers/preview", post(preview::preview))
        .route("/offers/{id}", get(offers::read))
        .route("/offers/{id}/deliveries", get(deliveries::list))
        .route("/offers/{id}/pushes", post(pushes::push_again))
        .route("/offers/{id}/pushes/{number}", get(pushes::read))
        .route("/offers/{id}/pushes/{number}/cancel", post(pushes::cancel))
        .route("/pushes", get(pushes::list))
        .route("/health", get(async || axum::Json(json!({"status": "ok"}))))
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_route)
        .route_layer(from_fn(traced))
        .with_state(Arc::new(app))
}
