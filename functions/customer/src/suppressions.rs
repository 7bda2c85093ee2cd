//! Suppressed addresses: read a suppression, lift it, or lift many.

use std::sync::Arc;
use std::time::Duration;

use api::{Body, Caller, PathVariables, Problem};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use domain::fields::Fields;
use domain::time::parse_time;
use domain::{AddressHash, Channel, CustomerHash, EmailAddress, Faults, HashKey, Mobile};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use store::suppressions::{BulkReason, Reason, Selection};
use store::{Cursor, InvalidCursor, StoreError, Suppressions};

use crate::app::App;

/// How long a call lifts suppressions before it returns a cursor. One more page follows; the function has 15 seconds.
const LIFT_TIME: Duration = Duration::from_secs(6);
/// The fields of a request to lift many.
const LIFT_FIELDS: [&str; 6] = ["reason", "channel", "since", "until", "dryRun", "cursor"];

/// The suppression of an address, with its gravest reason.
#[derive(Serialize)]
struct SuppressionView {
    channel: Channel,
    address: String,
    reason: Reason,
    since: Timestamp,
}

/// `GET /suppressions/{channel}/{address}`.
pub(crate) async fn read(State(app): State<Arc<App>>, path: PathVariables) -> Result<Response, Problem> {
    let asked = Asked::of(&path)?;
    let Person { address: hash, holders } = person(&app, &asked, &app.hash_keys.get().await?).await?;
    let Asked { channel, address, .. } = asked;
    let suppression = app.suppressions.for_address(&hash, &holders).await?;
    let suppression = suppression.ok_or_else(|| Problem::not_found("suppression"))?;
    Ok(Json(SuppressionView { channel, address, reason: suppression.reason, since: suppression.since }).into_response())
}

/// `DELETE /suppressions/{channel}/{address}`: the address may receive messages again, and customers who unsubscribed
/// there, or have the address now, are subscribed again. Idempotent: lifting a suppression that does not exist succeeds.
pub(crate) async fn lift(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    path: PathVariables,
) -> Result<Response, Problem> {
    let asked = Asked::of(&path)?;
    let hash_key = app.hash_keys.get().await?;
    let Person { address: hash, holders } = person(&app, &asked, &hash_key).await?;
    let channel = asked.channel;
    let was_suppressed = app.suppressions.lift(&hash, &holders, &hash_key, &caller).await?;
    tracing::info!(%channel, address.hash = %hash, was_suppressed, by = caller, "suppression lifted");
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// The result of lifting many suppressions.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LiftedView {
    /// How many this call lifted or, in a dry run, found.
    lifted: u64,
    dry_run: bool,
    /// With which to call again, because there is more to look at.
    cursor: Option<String>,
}

/// A request to lift many suppressions.
#[derive(Debug, PartialEq, Eq)]
struct LiftRequest {
    selection: Selection,
    dry_run: bool,
    after: Option<Cursor>,
}

impl LiftRequest {
    fn parse(body: Value) -> Result<Self, Faults> {
        let mut fields = Fields::of(body)?;
        let reason = fields.required("reason", |f| f.parsed("reason", parse_reason));
        let channel = fields.parsed("channel", str::parse::<Channel>);
        let since = fields.parsed("since", parse_time);
        let until = fields.parsed("until", parse_time);
        if let (Some(since), Some(until)) = (since, until)
            && since >= until
        {
            fields.fault("until", "must be later than since");
        }
        let dry_run = match fields.take("dryRun") {
            None => false,
            Some(Value::Bool(dry_run)) => dry_run,
            Some(other) => {
                fields.fault("dryRun", format!("must be a boolean, not {}", domain::fields::kind(&other)));
                false
            }
        };
        let after = fields.parsed("cursor", |string| {
            let cursor: Cursor = string.parse()?;
            Suppressions::check_cursor(&cursor)?;
            Ok::<_, InvalidCursor>(cursor)
        });
        fields.finish(&LIFT_FIELDS)?;
        let reason = reason.ok_or_else(|| Faults::one("reason", "is required"))?;
        Ok(Self { selection: Selection { reason, channel, since, until }, dry_run, after })
    }
}

fn parse_reason(string: &str) -> Result<BulkReason, String> {
    if string == Reason::OptedOut.as_str() {
        return Err("must not be optedOut: a customer's own decision is lifted one by one, with DELETE".to_owned());
    }
    string.parse().map_err(|error: domain::wire::UnknownName| error.to_string())
}

/// `POST /suppressions/lift`: lifts all suppressions of addresses with a reason, of a channel or of a period, as after a
/// provider's fault. Reads the whole table, page by page: what does not fit into the call's time is left to a call with
/// the cursor. Repeating a call lifts what came since.
pub(crate) async fn lift_many(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    Body(body): Body,
) -> Result<Response, Problem> {
    let LiftRequest { selection, dry_run, mut after } = LiftRequest::parse(body)?;
    let hash_key = app.hash_keys.get().await?;
    let began = app.sources.now();
    let mut lifted = 0;
    loop {
        let page = app.suppressions.lift_page(&selection, after, dry_run, &hash_key, &caller).await?;
        lifted += page.lifted;
        after = page.next;
        if after.is_none() || app.sources.age_of(began) >= LIFT_TIME {
            break;
        }
    }
    tracing::info!(
        reason = selection.reason.as_str(),
        channel = selection.channel.map(Channel::as_str),
        since = selection.since.map(tracing::field::display),
        until = selection.until.map(tracing::field::display),
        dry_run,
        lifted,
        by = caller,
        "suppressions lifted in bulk"
    );
    Ok(Json(LiftedView { lifted, dry_run, cursor: after.map(|cursor| cursor.encode()) }).into_response())
}

/// An address, and the customers who have it now.
struct Person {
    address: AddressHash,
    holders: Vec<CustomerHash>,
}

async fn person(
    app: &App,
    Asked { channel, address: written, normal }: &Asked,
    hash_key: &HashKey,
) -> Result<Person, StoreError> {
    let holders = app.customers.holders(*channel, &[normal, written], hash_key).await?;
    Ok(Person { address: hash_key.address(*channel, normal), holders })
}

/// What a path asks for.
struct Asked {
    channel: Channel,
    /// The address as the caller wrote it.
    address: String,
    /// The same in the form that is hashed.
    normal: String,
}

impl Asked {
    fn of(path: &PathVariables) -> Result<Self, Faults> {
        let variable = |name| path.get(name).unwrap_or_default();
        let address = variable("address");
        let (channel, normal) = parse(&variable("channel"), &address)?;
        Ok(Self { channel, address, normal })
    }
}

/// A channel, and an address on it in the form that is hashed. One that only an earlier release took as a customer's may
/// be suppressed as well.
fn parse(channel: &str, address: &str) -> Result<(Channel, String), Faults> {
    let channel: Channel = channel.parse().map_err(|error| Faults::one("channel", format!("{error}")))?;
    let normal = match channel {
        Channel::Email => EmailAddress::parse_or_stored(address)
            .map(|address| address.as_str().to_owned())
            .map_err(|error| error.to_string()),
        Channel::Sms => Mobile::stored(address.to_owned())
            .map(|mobile| mobile.as_str().to_owned())
            .map_err(|error| error.to_string()),
    };
    Ok((channel, normal.map_err(|error| Faults::one("address", error))?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_selection_is_read() {
        let request = LiftRequest::parse(json!({
            "reason": "bounced", "channel": "email", "since": "2026-06-01T10:00:00Z", "until": "2026-06-01T14:00:00+02:00",
            "dryRun": true,
        }));
        let time = |time: &str| Some(time.parse().unwrap());
        let selection = Selection {
            reason: BulkReason::Bounced,
            channel: Some(Channel::Email),
            since: time("2026-06-01T10:00:00Z"),
            until: time("2026-06-01T12:00:00Z"),
        };
        assert_eq!(request, Ok(LiftRequest { selection, dry_run: true, after: None }));
        let selection = Selection { reason: BulkReason::Complained, channel: None, since: None, until: None };
        let request = LiftRequest::parse(json!({"reason": "complained", "since": null, "dryRun": null}));
        assert_eq!(request, Ok(LiftRequest { selection, dry_run: false, after: None }));
    }

    #[test]
    fn a_bad_request_names_every_fault() {
        let faults = |body| LiftRequest::parse(body).unwrap_err().into_vec();
        let fields = |body| faults(body).into_iter().map(|fault| fault.field).collect::<Vec<_>>();
        assert_eq!(
            fields(json!({"reason": 1, "channel": "fax", "since": "yesterday", "until": "2026-06-01", "dryRun": "yes",
                          "cursor": "x", "all": true})),
            ["reason", "channel", "since", "until", "dryRun", "cursor", "all"]
        );
        assert_eq!(fields(json!({})), ["reason"]);
        assert_eq!(fields(json!([])), ["body"]);
        let period = json!({"reason": "bounced", "since": "2026-06-01T12:00:00Z", "until": "2026-06-01T12:00:00Z"});
        assert_eq!(fields(period), ["until"]);
    }

    #[test]
    fn an_opt_out_is_not_lifted_in_bulk() {
        let faults = LiftRequest::parse(json!({"reason": "optedOut"})).unwrap_err().to_string();
        assert!(faults.contains("lifted one by one"), "{faults}");
    }

    #[test]
    fn an_address_has_one_hash_however_it_is_written() {
        let hash = |channel: &str, address: &str| {
            let (channel, normal) = parse(channel, address).unwrap();
            testing::address_hash(channel, &normal)
        };
        assert_eq!(hash("email", "Info@Firma.VERMÖGENSBERATUNG"), hash("email", "info@firma.xn--vermgensberatung-pwb"));
        for earlier in ["email@123.123.123.123", "x@Dom_ain.com"] {
            assert_eq!(hash("email", earlier), testing::address_hash(Channel::Email, earlier));
        }
        assert_eq!(hash("sms", "+351211234567"), testing::address_hash(Channel::Sms, "+351211234567"));
        for (channel, address, field) in
            [("email", "nobody", "address"), ("sms", "912345678", "address"), ("fax", "", "channel")]
        {
            assert_eq!(parse(channel, address).unwrap_err().into_vec()[0].field, field);
        }
    }

    #[test]
    fn times_are_those_of_rfc_3339() {
        for time in ["2026-06-01", "2026-06-01T10:00:00Z[Europe/Lisbon]", "2026-06-01 10:00:00Z", "2026-06-01T10:00Z"] {
            let request = LiftRequest::parse(json!({"reason": "bounced", "since": time, "until": time}));
            let fields: Vec<_> = request.unwrap_err().into_vec().into_iter().map(|fault| fault.field).collect();
            assert_eq!(fields, ["since", "until"], "{time}");
        }
    }
}
