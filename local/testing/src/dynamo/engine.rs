//! The operations, run by an in-memory database.

use dynoxide::errors::DynoxideError;
use dynoxide::{Database, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// The HTTP status and the body of a response.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Value,
}

impl Reply {
    pub(super) fn ok(body: Value) -> Self {
        Self { status: 200, body }
    }

    pub(super) fn error(status: u16, kind: &str, message: &str) -> Self {
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

/// Runs an operation. Its effect is there when this returns.
pub(super) fn execute(database: &Database, operation: &str, request: Value) -> Reply {
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
