//! What the tables say.

use std::collections::{BTreeMap, BTreeSet};

use domain::notification::ReasonCode;
use domain::push::ReasonCounts;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::facts::{Notification, Push, Record};
use super::reading::{self, millis, plain_item};
use crate::aws::dynamo::Dynamo;

/// The counters of a slice that are outcomes (`OutcomeCounts::named`).
const OUTCOMES: [&str; 7] = ["sent", "failed", "suppressed", "optedOut", "expired", "cancelled", "alreadyServed"];

/// All items of a table, as plain JSON.
///
/// # Panics
/// If the table cannot be read.
pub fn scan(dynamo: &Dynamo, table: &str) -> Vec<Value> {
    let mut items = Vec::new();
    let mut after = Value::Null;
    loop {
        let mut request = json!({"TableName": table, "ConsistentRead": true});
        if !after.is_null() {
            request["ExclusiveStartKey"] = after;
        }
        let reply = dynamo.execute("Scan", request);
        assert_eq!(reply.status, 200, "the table {table} can be read: {}", reply.body);
        items.extend(reply.body["Items"].as_array().into_iter().flatten().map(plain_item));
        after = reply.body["LastEvaluatedKey"].clone();
        if after.is_null() {
            return items;
        }
    }
}

/// An offer as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredOffer {
    pub id: String,
    pub code: String,
    pub created_at: Option<Timestamp>,
    pub valid_until: Option<Timestamp>,
    pub rule: Option<String>,
    pub channels: BTreeSet<domain::Channel>,
    /// All of it, with its texts.
    pub item: Value,
}

/// The offers, and the pushes that were requested.
pub fn offers(dynamo: &Dynamo) -> (Vec<StoredOffer>, BTreeSet<(String, u32)>) {
    let (mut offers, mut requests) = (Vec::new(), BTreeSet::new());
    for item in scan(dynamo, "Offers") {
        let (Some(id), Some(sk)) = (item["pk"].as_str(), item["sk"].as_str()) else { continue };
        if sk == "offer" {
            let channels = item["channels"].as_array().into_iter().flatten();
            offers.push(StoredOffer {
                id: id.to_owned(),
                code: item["code"].as_str().unwrap_or_default().to_owned(),
                created_at: millis(&item["createdAt"]),
                valid_until: millis(&item["validUntil"]),
                rule: item["eligibility"].as_str().map(str::to_owned),
                channels: channels.filter_map(|name| name.as_str()?.parse().ok()).collect(),
                item: item.clone(),
            });
        } else if let Some(number) = sk.strip_prefix("push#").and_then(|number| number.parse().ok()) {
            requests.insert((id.to_owned(), number));
        }
    }
    (offers, requests)
}

/// The pushes, with the sums over their slices.
pub fn pushes(dynamo: &Dynamo) -> Vec<Push> {
    let mut pushes: BTreeMap<(String, u32), Push> = BTreeMap::new();
    let (own, slices): (Vec<_>, Vec<_>) =
        scan(dynamo, "Pushes").into_iter().partition(|item| item["sk"].as_str() == Some("push"));
    for item in own {
        let Some((offer, number)) = item["pk"].as_str().and_then(reading::push) else { continue };
        let state = item["state"].as_str().unwrap_or_default().to_owned();
        let ended_at = millis(&item["completedAt"]);
        let push = Push {
            offer: offer.clone(),
            number,
            requested_at: millis(&item["requestedAt"]).unwrap_or_default(),
            cancelled_at: ended_at.filter(|_| state == "cancelled"),
            ended_at,
            state,
            eligible: 0,
            outcomes: BTreeMap::new(),
            reasons: BTreeMap::new(),
            outstanding: 0,
            is_unpublished: !item["unpublished"].is_null(),
        };
        pushes.insert((offer, number), push);
    }
    for item in slices {
        let push = item["pk"].as_str().and_then(reading::push).and_then(|push| pushes.get_mut(&push));
        if let Some(push) = push {
            add_slice(push, &item);
        }
    }
    pushes.into_values().collect()
}

fn add_slice(push: &mut Push, slice: &Value) {
    let open = slice["batchesOpen"].as_array().map_or(&[][..], Vec::as_slice);
    push.eligible += slice["notifications"].as_u64().unwrap_or_default();
    push.outstanding += open.len();
    // What a deferred batch has reported so far is in an attribute of its own.
    let partials = slice["partials"].as_array().into_iter().flatten().filter(|batch| open.contains(batch));
    let partials: Vec<_> = partials.map(|batch| &slice[format!("partial#{batch}")]).collect();
    let add = |counts: &mut BTreeMap<String, u64>, key: &str, name: &str| {
        let count: u64 = partials.iter().copied().chain([slice]).filter_map(|counts| counts[name].as_u64()).sum();
        if count > 0 {
            *counts.entry(key.to_owned()).or_default() += count;
        }
    };
    OUTCOMES.into_iter().for_each(|name| add(&mut push.outcomes, name, name));
    for (code, name) in ReasonCode::ALL.into_iter().zip(ReasonCounts::names()) {
        add(&mut push.reasons, code.as_str(), name);
    }
}

/// The records of deliveries.
pub fn records(dynamo: &Dynamo) -> BTreeMap<Notification, Record> {
    let record = |item: &Value| {
        let text = |name: &str| item[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let notification = reading::notification(item["pk"].as_str()?, item["sk"].as_str()?)?;
        let record = Record {
            state: text("state")?,
            push: u32::try_from(item["push"].as_u64()?).ok()?,
            code: text("code"),
            reason: text("reason"),
            updated_at: millis(&item["updatedAt"])?,
        };
        Some((notification, record))
    };
    scan(dynamo, "Deliveries").iter().filter_map(record).collect()
}

/// Whether every push that was requested has ended, with all its batches reported, and every event is published.
///
/// A cancelled push whose batches are lost stays as it is, and so do events that were given up: `is_quiet` says whether no
/// message is left in a queue, and `gave_up` whether there may be such events.
pub fn is_finished(dynamo: &Dynamo, published: &BTreeSet<String>, is_quiet: bool, gave_up: bool) -> bool {
    // Most of the time this is all that has to be read.
    let open = dynamo.execute("Scan", json!({"TableName": "Pushes", "IndexName": "openPushes", "Select": "COUNT"}));
    if open.body["Count"] != 0 {
        return false;
    }
    let pushes = pushes(dynamo);
    let is_drained = |push: &Push| push.outstanding == 0 || (is_quiet && push.state == "cancelled");
    let is_done = |push: &Push| push.has_ended() && !push.is_unpublished && is_drained(push);
    if !pushes.iter().all(is_done) {
        return false;
    }
    let (_, requests) = offers(dynamo);
    let exists =
        |(offer, number): &(String, u32)| pushes.iter().any(|push| push.offer == *offer && push.number == *number);
    if !requests.iter().all(exists) {
        return false;
    }
    let suppressions = scan(dynamo, "Suppressions");
    let mut events = suppressions.iter().filter_map(|item| item["pk"].as_str()?.strip_prefix("event#"));
    gave_up || events.all(|id| published.contains(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_push_has_the_sums_over_its_slices_and_their_deferred_batches() {
        let mut push = super::super::samples::facts().pushes.remove(0);
        (push.eligible, push.outcomes) = (0, BTreeMap::new());
        let slice = json!({
            "notifications": 10, "sent": 3, "failed": 1, "batchesOpen": [7, 9], "partials": [7, 8],
            "partial#7": {"sent": 2, "refused": 1}, "partial#8": {"sent": 5},
        });
        add_slice(&mut push, &slice);
        add_slice(&mut push, &json!({"notifications": 1, "sent": 1}));
        assert_eq!((push.eligible, push.total(), push.outstanding), (11, 7, 2));
        assert_eq!((push.count("sent"), push.count("failed")), (6, 1));
    }
}
