mod faults;
mod operations;

use std::time::Duration;

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_dynamodb::{Client, error::SdkError};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::*;

fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

fn number(value: i64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

fn numbers(values: &[i64]) -> AttributeValue {
    AttributeValue::Ns(values.iter().map(ToString::to_string).collect())
}

/// An update that adds one to `n` of the item `t` in the table Pacing.
fn add_one(client: &Client) -> UpdateItemFluentBuilder {
    let update = client.update_item().table_name("Pacing").key("pk", text("t")).update_expression("ADD n :one");
    update.expression_attribute_values(":one", number(1))
}

fn stored(dynamo: &Dynamo) -> Option<Value> {
    dynamo.item("Pacing", json!({"pk": "t"}))
}
