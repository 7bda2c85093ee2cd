//! Batches that are processed in part, as DynamoDB does when it is busy.

use serde_json::{Value, json};

use super::engine::Reply;

/// Runs a batch without the last `count` keys or items of a table, and returns those as unprocessed.
///
/// # Panics
/// If the operation is no batch.
pub fn run_in_part(
    operation: &str,
    table: &str,
    mut request: Value,
    count: usize,
    execute: impl FnOnce(Value) -> Reply,
) -> Reply {
    if operation == "BatchExecuteStatement" {
        return execute_in_part(table, request, count, execute);
    }
    let (path, unprocessed) = match operation {
        "BatchGetItem" => (format!("/{table}/Keys"), "UnprocessedKeys"),
        "BatchWriteItem" => (format!("/{table}"), "UnprocessedItems"),
        _ => panic!("{operation} leaves nothing unprocessed: only batches do"),
    };
    let items = |batch: &mut Value| {
        let items = batch.pointer_mut(&path).and_then(Value::as_array_mut);
        std::mem::take(items.expect("a batch lists its keys or items"))
    };
    let batch = &mut request["RequestItems"];
    let mut left = json!({table: batch[table]});
    let mut processed = items(batch);
    *left.pointer_mut(&path).expect("it is a copy of the batch") =
        Value::Array(processed.split_off(processed.len().saturating_sub(count)));
    if processed.is_empty() {
        batch.as_object_mut().expect("a batch names its tables").remove(table);
    } else {
        *batch.pointer_mut(&path).expect("the items were there") = Value::Array(processed);
    }
    let mut reply = if batch.as_object().is_some_and(serde_json::Map::is_empty) {
        Reply::ok(json!({"Responses": {}}))
    } else {
        execute(request)
    };
    if reply.status == 200 {
        reply.body[unprocessed] = left;
    }
    reply
}

/// Statements report for themselves that they were throttled.
fn execute_in_part(table: &str, mut request: Value, count: usize, execute: impl FnOnce(Value) -> Reply) -> Reply {
    let statements = request["Statements"].as_array_mut().expect("a batch lists its statements");
    let left = statements.split_off(statements.len().saturating_sub(count)).len();
    let mut reply = if statements.is_empty() { Reply::ok(json!({"Responses": []})) } else { execute(request) };
    if let Some(responses) = reply.body["Responses"].as_array_mut() {
        let error = json!({"Code": "ThrottlingError", "Message": "injected"});
        responses.extend((0..left).map(|_| json!({"TableName": table, "Error": error})));
    }
    reply
}
