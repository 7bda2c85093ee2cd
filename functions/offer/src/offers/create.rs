//! Creates an offer, once for each `Idempotency-Key` of a caller.

use std::collections::HashMap;
use std::sync::Arc;

use api::{Body, Caller, Problem, Trace};
use axum::Json;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, Uri, header::LOCATION};
use axum::response::{IntoResponse, Response};
use data_encoding::HEXLOWER;
use domain::offer::{Offer, Posted};
use domain::{Faults, OfferId};
use runtime::metrics::{self, Unit};
use serde_json::Value;
use sha2::{Digest, Sha256};
use store::offers::{CreateResult, Idempotency};

use super::view::CreatedView;
use crate::app::App;
use crate::preview::findings::Finding;
use crate::preview::warnings;

const IDEMPOTENCY_KEY: &str = "idempotency-key";
const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// Maximum length of an `Idempotency-Key`, in characters.
const MAX_KEY_LENGTH: usize = 255;

/// `POST /offer/create`, `POST /offers`.
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    Trace(trace): Trace,
    uri: Uri,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, Problem> {
    let is_strict = is_strict(&query)?;
    let created = |offer: &Offer, warnings: &[Finding]| {
        // Relative to the request, so that it is correct for every stage, domain and base path.
        let base = if uri.path().ends_with("/create") { ".." } else { "." };
        let location = [(LOCATION, format!("{base}/offers/{}", offer.id))];
        (StatusCode::CREATED, location, Json(CreatedView { offer: offer.into(), warnings })).into_response()
    };

    let idempotency = idempotency(&caller, &headers, &body)?;
    // Before validating the body: an offer that was valid at the first request may have expired since.
    let mut previous = None;
    if let Some(idempotency) = &idempotency {
        previous = app.offers.find_replay(idempotency).await?;
    }
    let previous = match previous {
        Some(previous) => previous,
        None => {
            let posted = Posted {
                id: OfferId::generate(&app.sources),
                at: app.sources.now(),
                by: &caller.0,
                policy: &app.policy,
            };
            let offer = Offer::parse(body, &posted)?;
            let create = app.offers.create(&offer, idempotency.as_ref(), trace);
            let (created_as, warnings) = if is_strict {
                let warnings = warnings::strict(&app, &offer).await;
                if !warnings.is_empty() {
                    return Err(refused(&warnings));
                }
                (create.await?, warnings)
            } else {
                // Storing the offer does not wait for them.
                let (created_as, warnings) = tokio::join!(create, warnings::of(&app, &offer));
                (created_as?, warnings)
            };
            match created_as {
                CreateResult::Stored => {
                    tracing::info!(
                        offer.id = %offer.id,
                        offer.code = offer.code,
                        by = offer.created_by,
                        warnings = warnings.len(),
                        "offer stored"
                    );
                    metrics::emit(&[], &[("Offers", Unit::Count, 1)]);
                    return Ok(created(&offer, &warnings));
                }
                previous => previous,
            }
        }
    };
    let offer = replayed(previous)?;
    let warnings = warnings::of(&app, &offer).await;
    Ok(([(IDEMPOTENT_REPLAYED, "true")], created(&offer, &warnings)).into_response())
}

/// The offer that was stored with the same key.
fn replayed(previous: CreateResult) -> Result<Offer, Problem> {
    match previous {
        CreateResult::Replayed(offer) => Ok(*offer),
        CreateResult::KeyReused => Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "This Idempotency-Key was used with a different body. Use a new key for a new offer.",
        )),
        CreateResult::Contended | CreateResult::Stored => Err(Problem::busy(
            "A request with the same Idempotency-Key is in progress. Try again in a moment to get its offer.",
        )),
    }
}

/// Whether an offer with warnings is refused: `strict=true` in the query.
fn is_strict(query: &HashMap<String, String>) -> Result<bool, Faults> {
    match query.get("strict").map(String::as_str) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(Faults::one("strict", "must be true or false")),
    }
}

/// `422`: the caller wants no offer with warnings.
fn refused(warnings: &[Finding]) -> Problem {
    let details: Vec<_> = warnings.iter().map(Finding::detail).collect();
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        format!("The offer was not stored, because of strict=true: {}", details.join(" ")),
    )
}

fn idempotency(caller: &Caller, headers: &HeaderMap, body: &Value) -> Result<Option<Idempotency>, Faults> {
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
    // Serialised again, so that neither white space nor the order of fields matters.
    let fingerprint = HEXLOWER.encode(&Sha256::digest(body.to_string()));
    Ok(Some(Idempotency { owner: caller.without_session().to_owned(), key: key.to_owned(), fingerprint }))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const ROLE: &str = "arn:aws:sts::111122223333:assumed-role/offers";

    fn caller(session: &str) -> Caller {
        Caller(format!("{ROLE}/{session}"))
    }

    fn headers(key: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(HeaderName::from_static(IDEMPOTENCY_KEY), HeaderValue::from_static(key))])
    }

    #[test]
    fn fingerprint_ignores_white_space_and_field_order() {
        let fingerprint = |body: &str| {
            let body = serde_json::from_str(body).unwrap();
            idempotency(&caller("i-1"), &headers("key-1"), &body)
                .ok()
                .flatten()
                .map(|idempotency| idempotency.fingerprint)
        };
        let posted = fingerprint(r#"{"code": "A", "description": "B"}"#);
        assert!(posted.is_some());
        assert_eq!(posted, fingerprint(r#"{"description":"B","code":"A"}"#));
        assert_ne!(posted, fingerprint(r#"{"code": "A", "description": "C"}"#));
    }

    #[test]
    fn idempotency_key_is_optional_and_must_be_printable_ascii() {
        assert!(
            idempotency(&caller("i-1"), &HeaderMap::new(), &Value::Null).is_ok_and(|idempotency| idempotency.is_none())
        );
        for invalid in ["", "with space"] {
            let faults =
                idempotency(&caller("i-1"), &headers(invalid), &Value::Null).map(|_| ()).unwrap_err().into_vec();
            assert_eq!(faults[0].field, "Idempotency-Key", "{invalid}");
        }
    }

    #[test]
    fn key_belongs_to_the_role_of_the_caller_whatever_its_session() {
        for session in ["i-1", "i-2"] {
            let idempotency = idempotency(&caller(session), &headers("key-1"), &Value::Null);
            assert_eq!(idempotency.ok().flatten().unwrap().owner, ROLE);
        }
    }
}
