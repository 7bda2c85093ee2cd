//! Suppressed addresses: read a suppression, lift it, or lift many.

use std::sync::Arc;
use std::time::Duration;

use api::{Body, Caller, PathVariables, Problem};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use domain::fields::Fields;
use domain::{AddressHash, Channel, EmailAddress, Faults, Mobile};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use store::suppressions::{BulkReason, Reason, Selection};
use store::{Cursor, InvalidCursor, Suppressions};

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
    let (channel, address, hash) = parse(&path)?;
    let suppression = app.suppressions.for_address(&hash).await?.ok_or_else(|| Problem::not_found("suppression"))?;
    Ok(Json(SuppressionView { channel, address, reason: suppression.reason, since: suppression.since }).into_response())
}

/// `DELETE /suppressions/{channel}/{address}`: the address may receive messages again, and customers who unsubscribed
/// there are subscribed again. Idempotent: lifting a suppression that does not exist succeeds.
pub(crate) async fn lift(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    path: PathVariables,
) -> Result<Response, Problem> {
    let (channel, _, hash) = parse(&path)?;
    let was_suppressed = app.suppressions.lift(&hash, &caller).await?;
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
        let time = |string: &str| {
            string.parse::<Timestamp>().map_err(|_| "must be a time with its offset, as in 2026-06-01T12:00:00Z")
        };
        let since = fields.parsed("since", time);
        let until = fields.parsed("until", time);
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
    let began = app.sources.now();
    let mut lifted = 0;
    loop {
        let page = app.suppressions.lift_page(&selection, after, dry_run, &caller).await?;
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

/// The channel and the address in the path.
fn parse(path: &PathVariables) -> Result<(Channel, String, AddressHash), Faults> {
    let variable = |name| path.get(name).unwrap_or_default();
    let (channel, address) = (variable("channel"), variable("address"));
    let channel: Channel = channel.parse().map_err(|error| Faults::one("channel", format!("{error}")))?;
    let checked = match channel {
        Channel::Email => address.parse::<EmailAddress>().map(|_| ()).map_err(|error| error.to_string()),
        Channel::Sms => address.parse::<Mobile>().map(|_| ()).map_err(|error| error.to_string()),
    };
    checked.map_err(|error| Faults::one("address", error))?;
    let hash = AddressHash::of(channel, &address);
    Ok((channel, address, hash))
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
}
