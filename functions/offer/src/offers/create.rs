//! Create an offer, once for each `Idempotency-Key`.

use std::sync::Arc;

use api::{Body, Caller, Problem, Trace};
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode, Uri, header::LOCATION};
use axum::response::{IntoResponse, Response};
use data_encoding::HEXLOWER;
use domain::Faults;
use domain::offer::{Offer, Posted};
use runtime::metrics::{self, Unit};
use serde_json::Value;
use sha2::{Digest, Sha256};
use store::offers::{CreateResult, Idempotency};

use super::view::OfferView;
use crate::app::App;

const IDEMPOTENCY_KEY: &str = "idempotency-key";
const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// Longest `Idempotency-Key`, in characters.
const MAX_KEY_LENGTH: usize = 255;

/// `POST /offer/create`, `POST /offers`.
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    Trace(trace): Trace,
    uri: Uri,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, Problem> {
    let created = |offer: &Offer| {
        // Relative to the request, so that it is right behind every stage, domain and base path.
        let base = if uri.path().ends_with("/create") { ".." } else { "." };
        let location = [(LOCATION, format!("{base}/offers/{}", offer.id))];
        (StatusCode::CREATED, location, Json(OfferView::from(offer))).into_response()
    };
    let replayed = |offer: &Offer| ([(IDEMPOTENT_REPLAYED, "true")], created(offer)).into_response();

    let idempotency = idempotency(&headers, &body)?;
    // Before looking at the body: what was right then may be past its validity now.
    if let Some(idempotency) = &idempotency
        && let Some(previous) = app.offers.find_replay(idempotency).await?
    {
        return replay_response(&previous, replayed);
    }
    let offer =
        Offer::parse(body, &Posted { at: domain::clock::now(), by: &caller, default_subject: &app.default_subject })?;
    match app.offers.create(&offer, idempotency.as_ref(), trace).await? {
        CreateResult::Stored => {
            tracing::info!(offer.id = %offer.id, offer.code = offer.code, by = offer.created_by, "offer stored");
            metrics::emit(&[], &[("Offers", Unit::Count, 1)]);
            Ok(created(&offer))
        }
        previous => replay_response(&previous, replayed),
    }
}

fn replay_response(previous: &CreateResult, replayed: impl Fn(&Offer) -> Response) -> Result<Response, Problem> {
    match previous {
        CreateResult::Replayed(offer) => Ok(replayed(offer)),
        CreateResult::KeyReused => Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "This Idempotency-Key was used with another body. Use a new key for a new offer.",
        )),
        CreateResult::Contended | CreateResult::Stored => Err(Problem::busy(
            "A request with the same Idempotency-Key is under way. Try again in a moment to get its offer.",
        )),
    }
}

fn idempotency(headers: &HeaderMap, body: &Value) -> Result<Option<Idempotency>, Faults> {
    let Some(key) = headers.get(IDEMPOTENCY_KEY) else {
        return Ok(None);
    };
    let key = key
        .to_str()
        .ok()
        .filter(|key| (1..=MAX_KEY_LENGTH).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic()))
        .ok_or_else(|| {
            Faults::one(
                "Idempotency-Key",
                format!("must be 1 to {MAX_KEY_LENGTH} printable ASCII characters without spaces"),
            )
        })?;
    // Written anew, the body does not depend on white space or on the order of fields.
    let fingerprint = HEXLOWER.encode(&Sha256::digest(body.to_string()));
    Ok(Some(Idempotency { key: key.to_owned(), fingerprint }))
}
