//! The bank's customers.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use uuid::Uuid;

use super::Bank;

/// The first digits of every customer's mobile number.
pub const MOBILE_PREFIX: &str = "+8613";

impl Bank {
    /// The id of one of its customers.
    pub fn id(&self, who: &str) -> String {
        format!("{}-{who}", self.name)
    }

    /// The e-mail address of one of its customers.
    pub fn address(&self, who: &str) -> String {
        format!("{who}@{}", self.domain())
    }

    /// The domain of all its customers' addresses. Test messages may go to `bank.example`.
    pub fn domain(&self) -> String {
        format!("{}.bank.example", self.name)
    }

    /// The mobile number of one of its customers, which no other customer has: of China, which has the most.
    pub fn mobile(&self, who: &str) -> String {
        let number = Uuid::new_v5(&Uuid::NAMESPACE_OID, self.id(who).as_bytes()).as_u128() % 1_000_000_000;
        format!("{MOBILE_PREFIX}{number:09}")
    }

    /// A customer who wants e-mail, with the fields of `change` in place of the usual ones.
    pub fn customer(&self, who: &str, change: &Value) -> Value {
        let mut customer = json!({
            "id": self.id(who), "name": who, "email": self.address(who), "channels": ["email"],
            "attributes": {"bank": self.name},
        });
        for (field, value) in change.as_object().expect("a change is an object") {
            match (field.as_str(), value) {
                ("attributes", Value::Object(attributes)) => {
                    for (name, value) in attributes {
                        customer["attributes"][name] = value.clone();
                    }
                }
                _ => customer[field] = value.clone(),
            }
        }
        customer
    }

    /// Puts customers, all of whom must be stored.
    pub async fn put_customers(&self, customers: &[Value]) {
        for chunk in customers.chunks(100) {
            let response = self.call("POST", "/customers", &chunk.into()).await;
            assert_eq!(response.status, 200, "{}", response.text);
            let results = response.json();
            let results = results["results"].as_array().expect("results");
            assert!(results.iter().all(|result| result["status"] == "stored"), "{}", response.text);
        }
    }

    /// Puts `count` customers who want e-mail, named `c0`, `c1`, ….
    pub async fn put_many(&self, count: usize) {
        let customers: Vec<_> = (0..count).map(|i| self.customer(&format!("c{i}"), &json!({}))).collect();
        self.put_customers(&customers).await;
    }

    /// Deletes its customers, so that later pushes need not scan them. For banks with many customers, at the end of
    /// their test.
    pub async fn close(&self) {
        self.tables().delete_customers(&format!("{}-", self.name)).await;
    }
}

/// One message for each of these customers.
pub fn counts(who: &[&str]) -> BTreeMap<String, usize> {
    who.iter().map(|who| ((*who).to_owned(), 1)).collect()
}

/// One message for each customer of [`Bank::put_many`].
pub fn each_once(count: usize) -> BTreeMap<String, usize> {
    (0..count).map(|i| (format!("c{i}"), 1)).collect()
}
