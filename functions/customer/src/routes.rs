//! Paths and their handlers.

use std::sync::Arc;

use api::problem::no_such_route;
use api::traced;
use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};

use crate::app::App;
use crate::{customers, suppressions};

/// The router of the whole API.
pub fn router(app: App) -> Router {
    Router::new()
        .route("/customers", post(customers::put_many))
        .route("/customers/{id}", get(customers::read).put(customers::put).delete(customers::delete))
        .route("/suppressions/lift", post(suppressions::lift_many))
        .route("/suppressions/{channel}/{address}", get(suppressions::read).delete(suppressions::lift))
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_route)
        .route_layer(from_fn_with_state(app.sources.clone(), traced))
        .with_state(Arc::new(app))
}
