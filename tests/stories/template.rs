//! Policy as code: what `template.yaml` must say, where no local stack would show a mistake. It needs no stack.
//!
//! # Layout
//! | to change what must hold for | open |
//! |---|---|
//! | parameters, and which values of them are refused | `template/parameters.rs` |
//! | `docs/configuration.md`, which is written from them | `template/guide.rs` |
//! | the links of all documents | `template/documents.rs` |
//! | event sources, queues, the event archive | `template/messages.rs` |
//! | roles and their statements | `template/permissions.rs` |
//! | encryption, and the KMS key | `template/encryption.rs` |
//! | the API: routes without credentials, the access log, the web ACL | `template/public_routes.rs` |
//! | what is kept when a stack is deleted or rolled back | `template/kept.rs` |
//! | the limits of AWS | `template/limits.rs` |
//! | SES, and the VPC of `email` | `template/sending.rs` |
//! | what is downloaded: actions, packages | `template/supply_chain.rs` |
//! | alarms, dashboard, logs, metrics, traces | `template/monitoring.rs` |
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "template/documents.rs"]
mod documents;
#[path = "template/encryption.rs"]
mod encryption;
#[path = "template/guide.rs"]
mod guide;
#[path = "template/kept.rs"]
mod kept;
#[path = "template/limits.rs"]
mod limits;
#[path = "template/messages.rs"]
mod messages;
#[path = "template/monitoring.rs"]
mod monitoring;
#[path = "template/parameters.rs"]
mod parameters;
#[path = "template/permissions.rs"]
mod permissions;
#[path = "template/public_routes.rs"]
mod public_routes;
#[path = "template/sending.rs"]
mod sending;
#[path = "template/supply_chain.rs"]
mod supply_chain;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_yaml_ng::Value;

/// Reads the template. A tagged value such as `!GetAtt X.Arn` is read as its plain value, `X.Arn`.
fn template() -> Value {
    untagged(&tagged_template())
}

/// Reads the template, with its tags.
fn tagged_template() -> Value {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../template.yaml"));
    serde_yaml_ng::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// The resources, by logical id.
fn resources() -> BTreeMap<String, Value> {
    let template = template();
    let resources = template["Resources"].as_mapping().unwrap();
    resources.iter().map(|(name, resource)| (name.as_str().unwrap().to_owned(), resource.clone())).collect()
}

fn untagged(value: &Value) -> Value {
    match value {
        Value::Tagged(tagged) => untagged(&tagged.value),
        Value::Sequence(values) => values.iter().map(untagged).collect(),
        Value::Mapping(map) => {
            Value::Mapping(map.iter().map(|(name, value)| (name.clone(), untagged(value))).collect())
        }
        plain => plain.clone(),
    }
}

fn of_type<'r>(resources: &'r BTreeMap<String, Value>, kind: &str) -> Vec<(&'r str, &'r Value)> {
    let found: Vec<_> = resources
        .iter()
        .filter(|(_, resource)| resource["Type"] == kind)
        .map(|(name, resource)| (name.as_str(), &resource["Properties"]))
        .collect();
    assert!(!found.is_empty(), "{kind}");
    found
}

/// All events of a type, each with its function's logical id and properties.
fn events<'r>(resources: &'r BTreeMap<String, Value>, kind: &str) -> Vec<(&'r str, &'r Value, &'r Value)> {
    let mut events = Vec::new();
    for (name, function) in of_type(resources, "AWS::Serverless::Function") {
        for event in function["Events"].as_mapping().unwrap().values().filter(|event| event["Type"] == kind) {
            events.push((name, function, &event["Properties"]));
        }
    }
    assert!(!events.is_empty(), "{kind}");
    events
}

/// The policy statements of a function's role.
fn statements_of<'r>(resources: &'r BTreeMap<String, Value>, function: &Value) -> Vec<&'r Value> {
    let role = &resources[named(&function["Role"])];
    assert_eq!(role["Type"], "AWS::IAM::Role");
    statements(role)
}

/// The statements of a role's inline policies.
fn statements(role: &Value) -> Vec<&Value> {
    let policies = role["Properties"]["Policies"].as_sequence();
    let statements =
        policies.into_iter().flatten().flat_map(|policy| policy["PolicyDocument"]["Statement"].as_sequence().unwrap());
    // `!If [condition, statement, AWS::NoValue]` counts as its statement.
    statements.map(|statement| statement.as_sequence().map_or(statement, |branches| &branches[1])).collect()
}

/// The elements of a list; a policy may have a single value in its place.
fn each(value: &Value) -> impl Iterator<Item = &Value> {
    let list = value.as_sequence();
    list.into_iter().flatten().chain(list.is_none().then_some(value))
}

/// The logical id in a reference: `X` in `X.Arn`.
fn named(reference: &Value) -> &str {
    reference.as_str().unwrap().split('.').next().unwrap()
}
