//! The deliveries of an offer: one for each notification, with its state.

use std::collections::HashMap;
use std::sync::Arc;

use api::{Paging, Problem};
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use domain::notification::{DeliveryState, ReasonCode};
use domain::{Channel, CustomerId, Faults};
use jiff::Timestamp;
use serde::Serialize;
use store::deliveries::{Delivery, Feedback};
use store::{Deliveries, Page};

use crate::app::App;
use crate::offers;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DeliveryView {
    customer: CustomerId,
    channel: Channel,
    state: &'static str,
    push: u32,
    attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason_code: Option<ReasonCode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_message_id: Option<String>,
    updated_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    feedback: Option<FeedbackView>,
}

/// What the provider reported after it had accepted the message.
#[derive(Serialize)]
struct FeedbackView {
    kind: &'static str,
    detail: String,
    at: Timestamp,
}

impl From<Delivery> for DeliveryView {
    fn from(delivery: Delivery) -> Self {
        Self {
            customer: delivery.customer,
            channel: delivery.channel,
            state: delivery.state.as_str(),
            push: delivery.push,
            attempts: delivery.attempts,
            reason_code: delivery.code,
            reason: delivery.reason,
            provider_message_id: delivery.provider_message_id,
            updated_at: delivery.updated_at,
            feedback: delivery.feedback.map(|Feedback { kind, detail, at }| FeedbackView {
                kind: kind.as_str(),
                detail,
                at,
            }),
        }
    }
}

#[derive(Serialize)]
struct DeliveriesView {
    deliveries: Vec<DeliveryView>,
    cursor: Option<String>,
}

/// `GET /offers/{id}/deliveries?customer=…|state=…`.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Response, Problem> {
    let offer = offers::find(&app, &id).await?.id;
    let paging = Paging::parse(&query, &["customer", "state"], |cursor| Deliveries::check_cursor(cursor, offer))?;
    let mut faults = Faults::default();
    let customer = parse(&mut faults, &query, "customer", str::parse::<CustomerId>);
    let state = parse(&mut faults, &query, "state", str::parse::<DeliveryState>);
    if !faults.is_empty() {
        return Err(faults.into());
    }
    let page = match customer {
        Some(customer) => {
            let mut items = app.deliveries.of_customer(offer, &customer).await?;
            items.retain(|delivery| state.is_none_or(|state| delivery.state == state));
            Page { items, next: None }
        }
        None => app.deliveries.list(offer, state, paging.limit, paging.cursor).await?,
    };
    Ok(Json(DeliveriesView {
        deliveries: page.items.into_iter().map(DeliveryView::from).collect(),
        cursor: page.next.map(|next| next.encode()),
    })
    .into_response())
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
