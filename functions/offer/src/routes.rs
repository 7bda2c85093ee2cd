//! Paths and their handlers.

use std::sync::Arc;

use api::problem::no_such_route;
use api::traced;
use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};

use crate::app::App;
use crate::{deliveries, offers, preview, pushes};

/// The router of the whole API.
pub fn router(app: App) -> Router {
    Router::new()
        .route("/offer/create", post(offers::create))
        .route("/offers", post(offers::create).get(offers::list))
        .route("/offers/preview", post(preview::preview))
        .route("/offers/{id}", get(offers::read))
        .route("/offers/{id}/deliveries", get(deliveries::list))
        .route("/offers/{id}/pushes", post(pushes::push_again))
        .route("/offers/{id}/pushes/{number}", get(pushes::read))
        .route("/offers/{id}/pushes/{number}/cancel", post(pushes::cancel))
        .route("/customers/{id}/deliveries", get(deliveries::list_of_customer))
        .route("/pushes", get(pushes::list))
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_route)
        .route_layer(from_fn_with_state(app.sources.clone(), traced))
        .with_state(Arc::new(app))
}
