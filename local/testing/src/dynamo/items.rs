//! Items, read and written by a test: synchronously, past the client, its faults and its count of calls.

use std::borrow::Borrow;

use serde_json::{Value, json};

use super::Dynamo;
use super::plain::{from_item, to_attribute, to_item};
use crate::template;

/// Items and keys are plain JSON: `json!({"pk": "c-1", "attempts": 1})`. Sets are written with
/// [`number_set`](crate::number_set) and [`string_set`](crate::string_set), and read as sorted arrays.
impl Dynamo {
    /// The item with this key.
    pub fn item(&self, table: &str, key: impl Borrow<Value>) -> Option<Value> {
        let response = self.run("GetItem", table, json!({"Key": to_item(key.borrow())}));
        response.get("Item").map(from_item)
    }

    /// All items of a table, in the order of their keys.
    pub fn items(&self, table: &str) -> Vec<Value> {
        let mut items = Vec::new();
        let mut start = None;
        loop {
            let request = start.map_or_else(|| json!({}), |start: Value| json!({"ExclusiveStartKey": start}));
            let response = self.run("Scan", table, request);
            items.extend(response["Items"].as_array().into_iter().flatten().map(from_item));
            start = response.get("LastEvaluatedKey").cloned();
            if start.is_none() {
                break;
            }
        }
        let key = &template::table(table).key;
        items.sort_by_cached_key(|item| key.iter().map(|name| item[name].to_string()).collect::<Vec<_>>());
        items
    }

    /// Stores an item, replacing the one with the same key.
    pub fn put(&self, table: &str, item: impl Borrow<Value>) {
        self.run("PutItem", table, json!({"Item": to_item(item.borrow())}));
    }

    /// Deletes the item with this key, if there is one.
    pub fn delete(&self, table: &str, key: impl Borrow<Value>) {
        self.run("DeleteItem", table, json!({"Key": to_item(key.borrow())}));
    }

    /// Sets one attribute of an item.
    ///
    /// # Panics
    /// If there is no such item.
    pub fn set(&self, table: &str, key: impl Borrow<Value>, attribute: &str, value: impl Into<Value>) {
        let value = to_attribute(&value.into());
        self.change(table, key.borrow(), "SET #attribute = :value", attribute, Some(json!({":value": value})));
    }

    /// Removes one attribute of an item.
    ///
    /// # Panics
    /// If there is no such item.
    pub fn remove(&self, table: &str, key: impl Borrow<Value>, attribute: &str) {
        self.change(table, key.borrow(), "REMOVE #attribute", attribute, None);
    }

    fn change(&self, table: &str, key: &Value, expression: &str, attribute: &str, values: Option<Value>) {
        let mut request = json!({
            "Key": to_item(key),
            "UpdateExpression": expression,
            // Without an item, an update would store one.
            "ConditionExpression": "attribute_exists(#pk)",
            "ExpressionAttributeNames": {"#attribute": attribute, "#pk": template::table(table).key[0]},
        });
        if let Some(values) = values {
            request["ExpressionAttributeValues"] = values;
        }
        self.run("UpdateItem", table, request);
    }

    /// Runs an operation that must succeed.
    fn run(&self, operation: &str, table: &str, mut request: Value) -> Value {
        request["TableName"] = json!(template::table(table).name);
        let reply = self.inner.engine.execute(operation, request);
        assert!(reply.status == 200, "{operation} on {table}: {}", reply.body);
        reply.body
    }
}
