//! What a customer decides herself, from a link in her mail: no account, no login. The link's signature is the proof.
//!
//! This function is open to everybody. It can read and write the Suppressions table and nothing else: neither her address
//! nor her name can be had through it.

mod links;
mod page;
mod unsubscribe;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn;
use axum::routing::get;
use runtime::{Aws, Keys, settings, telemetry};
use store::Suppressions;

use crate::page::Pages;

/// What every handler may use.
struct App {
    suppressions: Suppressions,
    keys: Keys,
    pages: Pages,
}

#[tokio::main]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::init();
    let aws = Aws::from_env().await;
    let app = App {
        suppressions: aws.table()?,
        keys: Keys::new(aws.clone(), settings::required("UNSUBSCRIBE_KEYS_SECRET_ARN")?),
        pages: Pages::new(settings::required("BRAND_NAME")?),
    };
    lambda_http::run(router(app)).await
}

fn router(app: App) -> Router {
    Router::new()
        .route("/unsubscribe/{token}", get(unsubscribe::show).post(unsubscribe::change))
        .fallback(unsubscribe::no_such_page)
        .method_not_allowed_fallback(unsubscribe::no_such_page)
        .route_layer(from_fn(api::traced))
        .with_state(Arc::new(app))
}
