//! Put, read and delete customers.

use std::collections::HashSet;
use std::sync::Arc;

use api::{Body, ListBody, Problem};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use domain::channel::Channels;
use domain::faults::FAULTS_LIMIT;
use domain::{Customer, CustomerId, Fault, Faults};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::app::App;

/// Maximum number of customers in one `POST /customers`.
const MAX_CUSTOMERS: usize = 100;
/// How many faults the response to `POST /customers` names in all, but at least [`MIN_FAULTS`] of each customer, so that it
/// stays within what a function can return.
const MAX_FAULTS: usize = 2_000;
/// How many faults of each customer it names at least.
const MIN_FAULTS: usize = 20;

/// A customer as callers read them.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CustomerView<'a> {
    id: &'a CustomerId,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mobile: Option<&'a str>,
    channels: &'a Channels,
    #[serde(skip_serializing_if = "Option::is_none")]
    locale: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time_zone: Option<&'a str>,
    attributes: &'a Map<String, Value>,
}

impl<'a> From<&'a Customer> for CustomerView<'a> {
    fn from(customer: &'a Customer) -> Self {
        Self {
            id: &customer.id,
            name: &customer.name,
            email: customer.email.as_ref().map(domain::EmailAddress::as_str),
            mobile: customer.mobile.as_ref().map(domain::Mobile::as_str),
            channels: &customer.channels,
            locale: customer.locale.as_deref(),
            time_zone: customer.time_zone.as_deref(),
            attributes: &customer.attributes,
        }
    }
}

/// The result for one customer of many.
#[derive(Serialize)]
struct ResultView {
    /// The id as the caller sent it; `null` if it is not a string.
    id: Value,
    #[serde(flatten)]
    result: PutResult,
}

#[derive(Serialize)]
#[serde(tag = "status", rename_all = "camelCase")]
enum PutResult {
    /// The customer is stored.
    Stored,
    /// The customer is invalid and not stored.
    Invalid { errors: Vec<Fault> },
    /// The store was throttling: the caller sends this customer again.
    Unavailable,
}

#[derive(Serialize)]
struct ResultsView {
    results: Vec<ResultView>,
}

/// `PUT /customers/{id}`.
pub(crate) async fn put(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Body(body): Body,
) -> Result<Response, Problem> {
    let customer = Customer::parse(&id, body)?;
    let is_new = app.customers.put(&customer).await?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(CustomerView::from(&customer))).into_response())
}

/// `POST /customers`: each customer is accepted or rejected independently of the others.
pub(crate) async fn put_many(
    State(app): State<Arc<App>>,
    ListBody { value, mut faults }: ListBody,
) -> Result<Response, Problem> {
    let Value::Array(bodies) = value else {
        return Err(Faults::one("body", "must be a list of customers, each with an `id`").into());
    };
    if !(1..=MAX_CUSTOMERS).contains(&bodies.len()) {
        return Err(
            Faults::one("body", format!("must have 1 to {MAX_CUSTOMERS} customers, not {}", bodies.len())).into()
        );
    }
    let named = (MAX_FAULTS / bodies.len()).clamp(MIN_FAULTS, FAULTS_LIMIT);
    let mut seen = HashSet::new();
    let parsed: Vec<(Value, Result<Customer, Faults>)> = bodies
        .into_iter()
        .enumerate()
        .map(|(i, body)| {
            let id = body.get("id").filter(|id| id.is_string()).cloned().unwrap_or(Value::Null);
            let json = faults.remove(&i).map_or(Ok(()), Err);
            let customer = json.and_then(|()| Customer::parse_with_id(body)).and_then(|customer| {
                if seen.insert(customer.id.clone()) {
                    Ok(customer)
                } else {
                    Err(Faults::one("id", "is in this list more than once; only its first valid entry is used"))
                }
            });
            (id, customer)
        })
        .collect();
    let valid: Vec<Customer> = parsed.iter().filter_map(|(_, customer)| customer.as_ref().ok().cloned()).collect();
    let unstored: HashSet<CustomerId> = app.customers.put_many(&valid).await?.into_iter().collect();
    let results = parsed
        .into_iter()
        .map(|(id, customer)| ResultView {
            id,
            result: match customer {
                Ok(customer) if unstored.contains(&customer.id) => PutResult::Unavailable,
                Ok(_) => PutResult::Stored,
                Err(faults) => PutResult::Invalid { errors: faults.into_vec_of(named) },
            },
        })
        .collect();
    Ok(Json(ResultsView { results }).into_response())
}

/// `GET /customers/{id}`.
pub(crate) async fn read(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Response, Problem> {
    // A malformed id is the id of no customer.
    let Ok(id) = id.parse::<CustomerId>() else {
        return Err(Problem::not_found("customer"));
    };
    let customer = app.customers.get(&id).await?.ok_or_else(|| Problem::not_found("customer"))?;
    Ok(Json(CustomerView::from(&customer)).into_response())
}

/// `DELETE /customers/{id}`. Idempotent: deleting a customer who does not exist succeeds.
pub(crate) async fn delete(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Response, Problem> {
    let Ok(id) = id.parse::<CustomerId>() else {
        return Err(Problem::not_found("customer"));
    };
    app.customers.delete(&id).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
