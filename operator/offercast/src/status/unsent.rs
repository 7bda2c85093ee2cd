//! Why notifications of an offer were not sent: of the first deliveries in each such state.

use std::collections::HashMap;

use anyhow::Result;
use client::Api;
use serde::Serialize;
use serde_json::Value;

use crate::offers::accepted;

/// The states of notifications that were not sent for a reason of their own.
const STATES: [&str; 3] = ["failed", "suppressed", "optedOut"];
/// Deliveries that are read of each state: one page.
const READ: usize = 100;
/// Deliveries that are shown.
const SHOWN: usize = 20;

/// Reasons, the most frequent first, and some of the deliveries.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Unsent {
    reasons: Vec<Reason>,
    /// Whether there are more deliveries than were counted.
    more: bool,
    /// As the API has them. They name customers by the bank's own id, and no address.
    deliveries: Vec<Value>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Reason {
    state: String,
    reason: String,
    count: usize,
}

/// Reads why notifications of an offer were not sent.
pub(super) async fn read(api: &Api, offer: &str) -> Result<Unsent> {
    let mut unsent = Unsent::default();
    for state in STATES {
        let path = format!("/offers/{offer}/deliveries?state={state}&limit={READ}");
        let mut page = accepted(api, "GET", &path, b"").await?;
        unsent.more |= !page["cursor"].is_null();
        if let Value::Array(deliveries) = page["deliveries"].take() {
            unsent.deliveries.extend(deliveries);
        }
    }
    unsent.reasons = reasons(&unsent.deliveries);
    unsent.deliveries.truncate(SHOWN);
    Ok(unsent)
}

fn reasons(deliveries: &[Value]) -> Vec<Reason> {
    let mut counts: HashMap<(&str, &str), usize> = HashMap::new();
    for delivery in deliveries {
        let field = |name: &str| delivery[name].as_str().unwrap_or_default();
        *counts.entry((field("state"), field("reason"))).or_default() += 1;
    }
    let reason = |((state, reason), count): ((&str, &str), usize)| Reason {
        state: state.to_owned(),
        reason: if reason.is_empty() { "no reason is recorded" } else { reason }.to_owned(),
        count,
    };
    let mut reasons: Vec<_> = counts.into_iter().map(reason).collect();
    reasons.sort_by(|one, other| (other.count, &one.reason).cmp(&(one.count, &other.reason)));
    reasons
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_most_frequent_reason_comes_first() {
        let delivery = |state: &str, reason: &str| json!({"customer": "c", "state": state, "reason": reason});
        let deliveries = [
            delivery("failed", "no such mailbox"),
            delivery("failed", "the customer has no card_name"),
            delivery("failed", "the customer has no card_name"),
            json!({"customer": "c", "state": "suppressed"}),
        ];
        let seen: Vec<_> = reasons(&deliveries).into_iter().map(|found| (found.count, found.reason)).collect();
        let expected = [(2, "the customer has no card_name"), (1, "no reason is recorded"), (1, "no such mailbox")];
        assert_eq!(seen, expected.map(|(count, reason)| (count, reason.to_owned())));
    }
}
