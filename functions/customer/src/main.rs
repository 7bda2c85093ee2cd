//! The HTTP API of customers: put, read and delete them, one or many; and of the addresses that must not be written to.

mod customers;
mod suppressions;

use std::sync::Arc;

use api::problem::no_such_route;
use api::traced;
use axum::Router;
use axum::middleware::from_fn;
use axum::routing::{get, post};
use runtime::{Aws, telemetry};
use store::{Customers, Suppressions};

/// What every handler may use.
struct App {
    customers: Customers,
    suppressions: Suppressions,
}

#[tokio::main]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::init();
    let aws = Aws::from_env().await;
    let app = App { customers: aws.table()?, suppressions: aws.table()? };
    lambda_http::run(router(app)).await
}

fn router(app: App) -> Router {
    Router::new()
        .route("/customers", post(customers::put_many))
        .route("/customers/{id}", get(customers::read).put(customers::put).delete(customers::delete))
        .route("/suppressions/{channel}/{address}", get(suppressions::read).delete(suppressions::lift))
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_route)
        .route_layer(from_fn(traced))
        .with_state(Arc::new(app))
}
