//! Paths and their handlers.

use std::sync::Arc;

use api::traced;
use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::get;

use crate::app::App;
use crate::unsubscribe;

/// The router of the unsubscribe pages.
pub fn router(app: App) -> Router {
    Router::new()
        .route("/unsubscribe/{token}", get(unsubscribe::show).post(unsubscribe::change))
        .fallback(unsubscribe::no_such_page)
        .method_not_allowed_fallback(unsubscribe::no_such_page)
        .route_layer(from_fn_with_state(app.sources.clone(), traced))
        .with_state(Arc::new(app))
}
