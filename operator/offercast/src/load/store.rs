//! Calls of the API that store customers.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use client::{Api, Response};
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::Value;

use super::customers::Loaded;
use super::rejected::Rejection;
use crate::output;

/// Maximum customers per call (docs/openapi.yaml).
pub(super) const CUSTOMERS_PER_CALL: usize = 100;
/// Maximum size of a call's body, in octets: the API takes 256 KiB (docs/openapi.yaml), and commas come on top.
pub(super) const BYTES_PER_CALL: usize = 200_000;
/// Calls in flight.
pub(super) const CONCURRENCY: usize = 4;
/// How often a call is made, at most, while the API is throttling or does not respond.
const ATTEMPTS: u32 = 8;
/// The wait after the first attempt. It doubles with each.
const FIRST_WAIT: Duration = Duration::from_millis(200);

/// What became of the rows of a call.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) stored: usize,
    pub(super) rejections: Vec<Rejection>,
}

/// Stores customers; without an API, none. Those that were not stored because the API was throttling are sent again.
///
/// # Errors
/// If the API refuses the call, or still does not respond after several attempts.
pub(super) async fn store(api: Option<&Api>, mut customers: Vec<Loaded>) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let Some(api) = api else {
        outcome.stored = customers.len();
        return Ok(outcome);
    };
    let mut attempt = 1;
    loop {
        let bodies: Vec<_> = customers.iter().map(|customer| &customer.json).collect();
        let response = api.call("POST", "/customers", &[], &serde_json::to_vec(&bodies)?).await;
        let trouble = match response {
            Ok(response) if response.status == 200 => {
                let count = customers.len();
                customers = sort(customers, &response, &mut outcome)?;
                if customers.is_empty() {
                    return Ok(outcome);
                }
                if customers.len() < count {
                    attempt = 1;
                }
                "the store is throttling".to_owned()
            }
            Ok(response) if response.status == 429 || response.status >= 500 => response.problem(),
            Ok(response) => bail!("the API refused the customers: {}", response.problem()),
            Err(error) => format!("{error:#}"),
        };
        ensure!(attempt < ATTEMPTS, "the API stored nothing in the last {ATTEMPTS} attempts: {trouble}");
        tokio::time::sleep(FIRST_WAIT * 2_u32.pow(attempt - 1)).await;
        attempt += 1;
    }
}

/// Counts what was stored, and returns what is to be sent again.
fn sort(customers: Vec<Loaded>, response: &Response, outcome: &mut Outcome) -> Result<Vec<Loaded>> {
    let response = response.json();
    let results = response["results"].as_array().map_or(&[][..], Vec::as_slice);
    ensure!(results.len() == customers.len(), "the API responded with {} results", results.len());
    let mut left = Vec::new();
    for (customer, result) in customers.into_iter().zip(results) {
        match result["status"].as_str() {
            Some("stored") => outcome.stored += 1,
            Some("unavailable") => left.push(customer),
            _ => outcome.rejections.push(Rejection { row: customer.row, faults: faults(result) }),
        }
    }
    Ok(left)
}

fn faults(result: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let errors = result["errors"].as_array().map_or(&[][..], Vec::as_slice);
    errors.iter().map(|error| (text(&error["field"]), text(&error["detail"]))).collect()
}

/// Stores customers that are all valid.
///
/// # Errors
/// If one of them was not stored.
pub async fn store_all(api: &Api, customers: &[Value]) -> Result<()> {
    let mut step = output::step(&format!("Storing {}", output::count(customers.len(), "customer")));
    let calls = customers.chunks(CUSTOMERS_PER_CALL).map(|chunk| {
        let chunk = chunk.iter().map(|json| Loaded { json: json.clone(), ..Loaded::default() }).collect();
        store(Some(api), chunk)
    });
    let mut calls = stream::iter(calls).buffer_unordered(CONCURRENCY);
    let mut stored = 0;
    while let Some(outcome) = calls.try_next().await? {
        let refused = outcome.rejections.first().and_then(|rejection| rejection.faults.first());
        if let Some((field, detail)) = refused {
            bail!("the API refused a customer: {field} {detail}");
        }
        stored += outcome.stored;
        step.update(&format!("{} of {}", output::grouped(stored), output::grouped(customers.len())));
    }
    ensure!(stored == customers.len(), "of {} customers, {stored} were stored", customers.len());
    step.done(&format!("{} stored", output::count(stored, "customer")));
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use csv::StringRecord;
    use serde_json::json;

    use super::super::file::Row;
    use super::*;

    #[test]
    fn each_result_belongs_to_the_row_at_its_place() {
        let loaded = |line| Loaded { row: Row { line, cells: StringRecord::new() }, ..Loaded::default() };
        let text = json!({"results": [
            {"id": "a", "status": "stored"},
            {"id": "b", "status": "invalid", "errors": [{"field": "mobile", "detail": "is not a number"}]},
            {"id": "c", "status": "unavailable"},
        ]});
        let response = Response { status: 200, headers: BTreeMap::new(), text: text.to_string() };
        let mut outcome = Outcome::default();
        let left = sort(vec![loaded(2), loaded(3), loaded(4)], &response, &mut outcome).unwrap();
        assert_eq!(left.iter().map(|customer| customer.row.line).collect::<Vec<_>>(), [4]);
        assert_eq!(outcome.stored, 1);
        let faults = vec![("mobile".to_owned(), "is not a number".to_owned())];
        assert_eq!(outcome.rejections, [Rejection { row: Row { line: 3, cells: StringRecord::new() }, faults }]);
        assert!(sort(vec![loaded(2)], &response, &mut outcome).is_err());
    }
}
