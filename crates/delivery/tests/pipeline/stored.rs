//! What is stored, as tests read it.

use domain::{AddressHash, Channel, TransportId};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use store::suppressions::Report;
use testing::clock::START;

use crate::bank::Bank;

impl Bank {
    /// The customer's delivery, or null.
    pub(crate) fn delivery(&self, customer: &str) -> Value {
        let sk = format!("{customer}#email");
        self.dynamo.items("Deliveries").into_iter().find(|item| item["sk"] == sk).unwrap_or_default()
    }

    /// Sets one attribute of the customer's delivery.
    pub(crate) fn set_delivery(&self, customer: &str, attribute: &str, value: impl Into<Value>) {
        let item = self.delivery(customer);
        self.dynamo.set("Deliveries", json!({"pk": item["pk"], "sk": item["sk"]}), attribute, value);
    }

    /// The deliveries in a state, or with another outcome.
    pub(crate) fn deliveries_in(&self, state: &str) -> usize {
        self.dynamo.items("Deliveries").iter().filter(|item| item["state"] == state).count()
    }

    /// The rate limit and the circuit breaker of a transport, or null.
    pub(crate) fn limits_of(&self, transport: TransportId) -> Value {
        self.dynamo.item("Pacing", json!({"pk": transport.as_str()})).unwrap_or_default()
    }

    pub(crate) fn slice(&self, push: u32) -> Value {
        self.dynamo.item("Pushes", json!({"pk": self.push_id(push).to_string(), "sk": "slice#0000"})).unwrap()
    }

    pub(crate) fn state_of_push(&self, push: u32) -> Value {
        let item = self.dynamo.item("Pushes", json!({"pk": self.push_id(push).to_string(), "sk": "push"}));
        item.unwrap()["state"].clone()
    }

    /// How many writes to the circuit breakers there were that open or close one.
    pub(crate) fn breaker_writes(&self) -> usize {
        self.updates("Pacing", "blockedUntil =") + self.updates("Pacing", "REMOVE blockedUntil")
    }

    /// How many updates of a table there were with this text in their expression.
    pub(crate) fn updates(&self, table: &str, text: &str) -> usize {
        let requests = self.dynamo.requests("UpdateItem", table);
        requests.iter().filter(|request| request["UpdateExpression"].as_str().unwrap().contains(text)).count()
    }
}

/// Checks these attributes of an item; null is one that it does not have.
#[track_caller]
pub(crate) fn assert_has(item: &Value, expected: &Value) {
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(item[name], *value, "{name} of {item}");
    }
}

/// So long after the test began.
pub(crate) fn after(seconds: f64) -> Timestamp {
    START + SignedDuration::try_from_secs_f64(seconds).unwrap()
}

/// A time as the tables have it.
pub(crate) fn millis(at: Timestamp) -> Value {
    json!(at.as_millisecond())
}

/// The hash of the address that customers have in these tests.
pub(crate) fn hash_of(customer: &str) -> AddressHash {
    hash_of_address(&format!("{customer}@example.com"))
}

pub(crate) fn hash_of_address(address: &str) -> AddressHash {
    testing::address_hash(Channel::Email, address)
}

/// A report about an address, of a notification that is not known.
pub(crate) fn report(address: &AddressHash, at: Timestamp) -> Report<'_> {
    Report { address, at, by: "ses", notified: None }
}
