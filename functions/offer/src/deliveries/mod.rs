//! Deliveries, one for each notification, with its state: those of an offer, and those to a customer.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | which deliveries are listed | this file |
//! | the JSON | [`view`] |

mod view;

use std::collections::HashMap;
use std::sync::Arc;

use api::{Paging, Problem};
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use domain::notification::DeliveryState;
use domain::{CustomerId, Faults};
use store::Deliveries;
use store::deliveries::DeliverySelection;
use store::history::CustomerHistory;

use view::{DeliveriesView, DeliveryView, OfferDeliveryView};

use crate::app::App;
use crate::offers;

/// `GET /offers/{id}/deliveries?customer=…|state=…`.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Response, Problem> {
    let offer = offers::find(&app, &id).await?.id;
    let mut faults = Faults::default();
    let customer = parse(&mut faults, &query, "customer", str::parse::<CustomerId>);
    let state = parse(&mut faults, &query, "state", str::parse::<DeliveryState>);
    let paging = Paging::parse(&query, &["customer", "state"], |cursor| {
        Deliveries::check_cursor(cursor, offer, customer.as_ref())
    });
    let paging = match paging {
        Ok(paging) if faults.is_empty() => paging,
        paging => return Err(all(paging.err(), faults).into()),
    };
    let selection = DeliverySelection { customer, state };
    let page = app.deliveries.list(offer, &selection, paging.limit, paging.cursor).await?;
    Ok(Json(DeliveriesView {
        deliveries: page.items.into_iter().map(DeliveryView::from).collect(),
        cursor: page.next.map(|next| next.encode()),
    })
    .into_response())
}

/// `GET /customers/{id}/deliveries`: of all offers, the newest first. A customer who was deleted, or never existed, is no
/// error: their deliveries are kept, or there are none.
pub(crate) async fn list_of_customer(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Response, Problem> {
    // A malformed id is the id of no customer.
    let Ok(customer) = id.parse::<CustomerId>() else {
        return Err(Problem::not_found("customer"));
    };
    let paging = Paging::parse(&query, &[], CustomerHistory::check_cursor)?;
    let history = CustomerHistory { sources: &app.sources, offers: &app.offers, deliveries: &app.deliveries };
    let page = history.list(&customer, paging.limit, paging.cursor).await?;
    Ok(Json(DeliveriesView {
        deliveries: page.items.into_iter().map(OfferDeliveryView::from).collect(),
        cursor: page.next.map(|next| next.encode()),
    })
    .into_response())
}

fn all(first: Option<Faults>, second: Faults) -> Faults {
    let mut all = Faults::default();
    for fault in first.into_iter().chain([second]).flat_map(Faults::into_vec) {
        all.add(fault.field, fault.detail);
    }
    all
}

fn parse<T, E: ToString>(
    faults: &mut Faults,
    query: &HashMap<String, String>,
    name: &str,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Option<T> {
    match parse(query.get(name)?) {
        Ok(parsed) => Some(parsed),
        Err(error) => {
            faults.add(name, error.to_string());
            None
        }
    }
}
