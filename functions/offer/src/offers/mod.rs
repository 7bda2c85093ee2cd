//! Creates, reads and lists offers.

mod create;
mod view;

use std::collections::HashMap;
use std::sync::Arc;

use api::{Paging, Problem};
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use domain::OfferId;
use domain::offer::Offer;
use store::Offers;

pub(crate) use create::create;
use view::{OfferView, OffersView};

use crate::app::App;

/// `GET /offers/{id}`.
pub(crate) async fn read(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Response, Problem> {
    let offer = find(&app, &id).await?;
    Ok(Json(OfferView::from(&offer)).into_response())
}

/// `GET /offers`.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Response, Problem> {
    let paging = Paging::parse(&query, &[], Offers::check_cursor)?;
    let page = app.offers.list(paging.limit, paging.cursor).await?;
    Ok(Json(OffersView {
        offers: page.items.iter().map(OfferView::from).collect(),
        cursor: page.next.map(|next| next.encode()),
    })
    .into_response())
}

/// The offer with the id in the path.
pub(crate) async fn find(app: &App, id: &str) -> Result<Offer, Problem> {
    // A malformed id is the id of no offer.
    let Ok(id) = id.parse::<OfferId>() else {
        return Err(Problem::not_found("offer"));
    };
    app.offers.get(id).await?.ok_or_else(|| Problem::not_found("offer"))
}
