//! Suppressed addresses: read a suppression, or lift it.

use std::sync::Arc;

use api::{Caller, Problem};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use domain::{AddressHash, Channel, EmailAddress, Faults, Mobile};
use jiff::Timestamp;
use serde::Serialize;
use store::suppressions::Reason;

use crate::app::App;

/// The suppression of an address, with its gravest reason.
#[derive(Serialize)]
struct SuppressionView {
    channel: Channel,
    address: String,
    reason: Reason,
    since: Timestamp,
}

/// `GET /suppressions/{channel}/{address}`.
pub(crate) async fn read(
    State(app): State<Arc<App>>,
    Path((channel, address)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let (channel, hash) = parse(&channel, &address)?;
    let suppression = app.suppressions.for_address(&hash).await?.ok_or_else(|| Problem::not_found("suppression"))?;
    Ok(Json(SuppressionView { channel, address, reason: suppression.reason, since: suppression.since }).into_response())
}

/// `DELETE /suppressions/{channel}/{address}`: the address may receive messages again, and customers who unsubscribed
/// there are subscribed again. Idempotent: lifting a suppression that does not exist succeeds.
pub(crate) async fn lift(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    Path((channel, address)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let (channel, hash) = parse(&channel, &address)?;
    let was_suppressed = app.suppressions.lift(&hash, &caller).await?;
    tracing::info!(%channel, address.hash = %hash, was_suppressed, by = caller, "suppression lifted");
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn parse(channel: &str, address: &str) -> Result<(Channel, AddressHash), Faults> {
    let channel: Channel = channel.parse().map_err(|error| Faults::one("channel", format!("{error}")))?;
    let checked = match channel {
        Channel::Email => address.parse::<EmailAddress>().map(|_| ()).map_err(|error| error.to_string()),
        Channel::Sms => address.parse::<Mobile>().map(|_| ()).map_err(|error| error.to_string()),
    };
    checked.map_err(|error| Faults::one("address", error))?;
    Ok((channel, AddressHash::of(channel, address)))
}
