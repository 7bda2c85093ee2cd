//! The operations, run by an in-memory database.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use dynoxide::actions::describe_table::DescribeTableRequest;
use dynoxide::actions::get_records::GetRecordsRequest;
use dynoxide::errors::DynoxideError;
use dynoxide::{Database, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::plain::to_item;
use crate::template;

/// The HTTP status and the body of a response.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub body: Value,
}

impl Reply {
    pub fn ok(body: Value) -> Self {
        Self { status: 200, body }
    }

    /// An error of DynamoDB, by its name.
    pub fn error(status: u16, kind: &str, message: &str) -> Self {
        let kind = format!("com.amazonaws.dynamodb.v20120810#{kind}");
        Self { status, body: json!({"__type": kind, "message": message}) }
    }
}

macro_rules! operations {
    ($($name:literal => $method:ident,)*) => {
        const OPERATIONS: &[&str] = &[$($name),*];

        fn run(database: &Database, operation: &str, request: Value) -> Result<Value> {
            match operation {
                $($name => write(&database.$method(read(operation, request)?)?),)*
                _ => unreachable!("`operation` found it"),
            }
        }
    };
}

operations! {
    "BatchExecuteStatement" => batch_execute_statement,
    "BatchGetItem" => batch_get_item,
    "BatchWriteItem" => batch_write_item,
    "DeleteItem" => delete_item,
    "DescribeTable" => describe_table,
    "GetItem" => get_item,
    "PutItem" => put_item,
    "Query" => query,
    "Scan" => scan,
    "TransactWriteItems" => transact_write_items,
    "UpdateItem" => update_item,
}

/// The operation with this name.
///
/// # Panics
/// If there is none.
pub(super) fn operation(name: &str) -> &'static str {
    OPERATIONS.iter().find(|operation| **operation == name).unwrap_or_else(|| panic!("{name} is not supported here"))
}

/// The tables of `template.yaml` in an in-memory database, with their streams if [`Engine::with_streams`] made it.
pub struct Engine {
    database: Database,
    streams: BTreeMap<&'static str, Mutex<String>>,
}

impl Engine {
    /// All tables, which are empty, without streams.
    ///
    /// # Panics
    /// If `template.yaml` has a table that no DynamoDB would create.
    pub fn without_streams() -> Self {
        Self::with(template::Table::create_request)
    }

    /// All tables, which are empty. Those that have a stream in the template have one.
    ///
    /// # Panics
    /// As [`Engine::without_streams`].
    pub fn with_streams() -> Self {
        let mut engine = Self::with(template::Table::create_request_with_stream);
        let streams = template::tables().iter().filter(|table| table.has_stream());
        engine.streams = streams
            .map(|table| (table.name.as_str(), Mutex::new(first_iterator(&engine.database, &table.name))))
            .collect();
        engine
    }

    fn with(request: impl Fn(&template::Table) -> Value) -> Self {
        let database = Database::memory().expect("an in-memory database opens");
        for table in template::tables() {
            let request = serde_json::from_value(request(table));
            let request = request.unwrap_or_else(|error| panic!("template.yaml, {}: {error}", table.name));
            database.create_table(request).unwrap_or_else(|error| panic!("template.yaml, {}: {error}", table.name));
        }
        Self { database, streams: BTreeMap::new() }
    }

    /// Runs an operation. Its effect is there when this returns.
    pub fn execute(&self, operation: &str, request: Value) -> Reply {
        execute(&self.database, operation, request)
    }

    /// Puts an item, in plain JSON.
    ///
    /// # Panics
    /// If the table refuses it.
    pub fn put(&self, table: &str, item: &Value) {
        let reply = self.execute("PutItem", json!({"TableName": table, "Item": to_item(item)}));
        assert_eq!(reply.status, 200, "{table}: {}", reply.body);
    }

    /// The records of a table's stream that this has not returned yet, in order, as Lambda passes them to functions.
    /// Empty if the table has no stream.
    ///
    /// # Panics
    /// If the database cannot read its own stream.
    pub fn take_records(&self, table: &str) -> Vec<Value> {
        let Some(iterator) = self.streams.get(table) else { return Vec::new() };
        let mut iterator = iterator.lock().unwrap_or_else(PoisonError::into_inner);
        let request = GetRecordsRequest { shard_iterator: iterator.clone(), limit: None };
        let read = self.database.get_records(request).expect("the iterator is valid");
        if let Some(next) = read.next_shard_iterator {
            *iterator = next;
        }
        read.records.iter().map(|record| serde_json::to_value(record).expect("a record is written as JSON")).collect()
    }
}

fn first_iterator(database: &Database, table: &str) -> String {
    let describe: DescribeTableRequest = serde_json::from_value(json!({"TableName": table})).expect("it is one");
    let described = json!(database.describe_table(describe).expect("the table was created"));
    let stream = described["Table"]["LatestStreamArn"].clone();
    let describe = serde_json::from_value(json!({"StreamArn": stream})).expect("it is one");
    let described = json!(database.describe_stream(describe).expect("the stream was created"));
    let shard = described["StreamDescription"]["Shards"][0]["ShardId"].clone();
    let request = json!({"StreamArn": stream, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"});
    let request = serde_json::from_value(request).expect("it is one");
    let iterator = json!(database.get_shard_iterator(request).expect("the shard was created"));
    iterator["ShardIterator"].as_str().expect("an iterator is text").to_owned()
}

/// Runs an operation. Its effect is there when this returns.
fn execute(database: &Database, operation: &str, request: Value) -> Reply {
    match run(database, operation, request) {
        Ok(body) => Reply::ok(body),
        Err(error) => {
            let body = serde_json::from_str(&error.to_json()).expect("an error is written as JSON");
            Reply { status: error.status_code(), body }
        }
    }
}

/// Reads a request. The SDK writes well-formed ones, so what cannot be read is an invalid value, such as an empty set.
fn read<T: DeserializeOwned>(operation: &str, request: Value) -> Result<T> {
    serde_json::from_value(request).map_err(|error| DynoxideError::ValidationException(format!("{operation}: {error}")))
}

fn write(response: &impl Serialize) -> Result<Value> {
    Ok(serde_json::to_value(response).expect("a response is written as JSON"))
}
