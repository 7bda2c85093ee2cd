//! Calls of the API about offers, and their results for people.

use std::fs;
use std::io;

use anyhow::{Context, Result, bail};
use client::{Api, Deployment, Response};
use domain::OfferId;
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use runtime::sources::system;
use serde::Deserialize;
use serde_json::Value;

use crate::output::{self, tool};

/// Makes any call, and prints its response. `true` if it was accepted.
///
/// # Errors
/// If there is no response.
pub async fn call(api: &Api, method: &str, path: &str, body: Option<&str>) -> Result<bool> {
    let method = method.to_uppercase();
    if !["GET", "POST", "PUT", "DELETE"].contains(&method.as_str()) {
        bail!("{method} is not a method of the API; expected GET, POST, PUT or DELETE, as in: call GET /offers");
    }
    let response = api.call(&method, path, &[], &read_body(body)?).await?;
    eprintln!("{}", response.status);
    print(&response)?;
    if response.status == 403 && response.text.contains("Missing Authentication Token") {
        output::note(&format!("The API has no {method} {path}; docs/openapi.yaml has its calls"));
    }
    Ok(response.status < 400)
}

fn read_body(body: Option<&str>) -> Result<Vec<u8>> {
    match body.map(|body| (body, body.strip_prefix('@'))) {
        Some((_, Some(file))) => fs::read(file).with_context(|| format!("cannot read {file}")),
        Some((body, None)) => Ok(body.as_bytes().to_vec()),
        None => Ok(Vec::new()),
    }
}

pub(crate) fn print(response: &Response) -> Result<()> {
    match response.json() {
        Value::Null => output::line(&response.text),
        json => output::line(&format!("{json:#}")),
    }
}

/// The body of a response that was accepted.
pub(crate) async fn accepted(api: &Api, method: &str, path: &str, body: &[u8]) -> Result<Value> {
    let response = api.call(method, path, &[], body).await?;
    if response.status >= 400 {
        bail!("{}", response.problem());
    }
    Ok(response.json())
}

/// How many of the newest offers are looked at for one with a code.
const NEWEST: usize = 100;

/// The id of an offer that is named by its id, or by its code if it is one of the newest offers. `stack` is the argument that names the
/// stack, for commands that are proposed.
///
/// # Errors
/// If none has the code, or several have it, or the API does not respond.
pub async fn id_of(api: &Api, offer: &str, stack: &str) -> Result<OfferId> {
    if let Ok(id) = offer.parse() {
        return Ok(id);
    }
    let mut offers = Pages::new(api, "offers", "/offers".to_owned());
    let mut newest = Vec::new();
    while newest.len() < NEWEST
        && let Some(listed) = offers.next().await?
    {
        newest.push(serde_json::from_value(listed).context("the API listed what is no offer")?);
    }
    with_code(offer, &newest, stack)
}

/// What is asked of an offer in a list.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    id: OfferId,
    code: String,
    created_at: Timestamp,
}

fn with_code(code: &str, newest: &[Listed], stack: &str) -> Result<OfferId> {
    let found: Vec<_> = newest.iter().filter(|offer| offer.code == code).collect();
    match found.as_slice() {
        [] => bail!(
            "None of the {NEWEST} newest offers has the code or id {code}. {} call GET '/offers?limit={NEWEST}'{stack} lists them",
            tool()
        ),
        [offer] => Ok(offer.id),
        several => {
            let named = several.iter().map(|offer| format!("{}, posted {:.0}", offer.id, offer.created_at));
            let named = named.collect::<Vec<_>>().join("; ");
            bail!("{} offers have the code {code}. Name one by its id: {named}", several.len())
        }
    }
}

/// Pushes an offer again.
///
/// # Errors
/// If it cannot be pushed, or the API does not respond.
pub async fn push(api: &Api, offer: OfferId) -> Result<()> {
    let push = accepted(api, "POST", &format!("/offers/{offer}/pushes"), b"").await?;
    output::line(&format!("push {} of {offer} is requested", push["number"]))
}

/// Cancels a push.
///
/// # Errors
/// If it cannot be cancelled, or the API does not respond.
pub async fn cancel(api: &Api, offer: OfferId, number: u32) -> Result<()> {
    accepted(api, "POST", &format!("/offers/{offer}/pushes/{number}/cancel"), b"").await?;
    output::line(&format!("push {number} of {offer} is cancelled; no send starts more than five seconds from now"))
}

/// The codes of offers, as the store has them.
pub(crate) struct Offers(store::Offers);

impl Offers {
    pub(crate) fn of(deployment: &Deployment) -> Self {
        let table = deployment.tables.get("offers").cloned().unwrap_or_default();
        Self(store::Offers::new(aws_sdk_dynamodb::Client::new(&deployment.sdk), table, system()))
    }

    /// The offer's code; its id, if it cannot be read.
    pub(crate) async fn code(&self, id: OfferId) -> String {
        self.0.get(id).await.ok().flatten().map_or_else(|| id.to_string(), |offer| offer.code)
    }
}

/// How many entries a page of a list has.
const PAGE: usize = 100;

/// The columns of deliveries as CSV: fields of the API.
const DELIVERY_COLUMNS: [&str; 9] =
    ["customer", "channel", "state", "reasonCode", "reason", "attempts", "providerMessageId", "push", "updatedAt"];

/// Prints the deliveries of an offer, one a line: as JSON, or as CSV.
///
/// # Errors
/// If there is no such offer, or the API does not respond.
pub async fn deliveries(api: &Api, offer: OfferId, state: Option<&str>, as_csv: bool) -> Result<()> {
    let filter = state.map(|state| format!("?state={}", encoded(state))).unwrap_or_default();
    let mut deliveries = Pages::new(api, "deliveries", format!("/offers/{offer}/deliveries{filter}"));
    let mut csv = csv::Writer::from_writer(io::stdout());
    if as_csv {
        csv.write_record(DELIVERY_COLUMNS).map_err(io::Error::from)?;
    }
    while let Some(delivery) = deliveries.next().await? {
        if as_csv {
            csv.write_record(DELIVERY_COLUMNS.map(|column| cell(&delivery[column]))).map_err(io::Error::from)?;
        } else {
            output::line(&delivery.to_string())?;
        }
    }
    csv.flush()?;
    Ok(())
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Percent-encoded, for a path or a query.
pub(crate) fn encoded(text: &str) -> PercentEncode<'_> {
    /// All but the unreserved characters (RFC 3986, 2.3).
    const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    utf8_percent_encode(text, RESERVED)
}

/// The entries of a list, page by page.
pub(crate) struct Pages<'a> {
    api: &'a Api,
    /// The field of a page that has its entries.
    name: &'static str,
    path: String,
    /// `None`: there is no other page.
    cursor: Option<String>,
    page: std::vec::IntoIter<Value>,
}

impl<'a> Pages<'a> {
    pub(crate) fn new(api: &'a Api, name: &'static str, path: String) -> Self {
        Self { api, name, path, cursor: Some(String::new()), page: Vec::new().into_iter() }
    }

    pub(crate) async fn next(&mut self) -> Result<Option<Value>> {
        loop {
            if let Some(entry) = self.page.next() {
                return Ok(Some(entry));
            }
            let Some(cursor) = self.cursor.take() else { return Ok(None) };
            let joint = if self.path.contains('?') { '&' } else { '?' };
            let mut path = format!("{}{joint}limit={PAGE}", self.path);
            if !cursor.is_empty() {
                path += &format!("&cursor={}", encoded(&cursor));
            }
            let mut page = accepted(self.api, "GET", &path, b"").await?;
            self.cursor = page["cursor"].as_str().map(str::to_owned);
            let Value::Array(entries) = page[self.name].take() else {
                bail!("the API responded without {}", self.name)
            };
            self.page = entries.into_iter();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_names_the_only_offer_that_has_it() {
        let listed = |id: &str, code: &str| Listed {
            id: id.parse().unwrap(),
            code: code.to_owned(),
            created_at: Timestamp::UNIX_EPOCH,
        };
        let [first, second, third] = [1, 2, 3].map(|number| format!("01980000-0000-7000-8000-00000000000{number}"));
        let newest = [listed(&first, "SPRING"), listed(&second, "AUTUMN"), listed(&third, "SPRING")];
        assert_eq!(with_code("AUTUMN", &newest, "").unwrap().to_string(), second);
        let several = with_code("SPRING", &newest, "").unwrap_err().to_string();
        assert!(several.starts_with("2 offers have the code SPRING") && several.contains(&third), "{several}");
        assert!(several.contains("posted 1970-01-01T00:00:00Z"), "{several}");
        let none = with_code("WINTER", &newest, " --stack bank").unwrap_err().to_string();
        assert!(none.contains("limit=100' --stack bank"), "{none}");
    }
}
