//! What `template.yaml` says about event sources and queues, which no local stack shows.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_yaml_ng::Value;

const FOURTEEN_DAYS: u64 = 14 * 24 * 3_600;

/// The resources by their names. A tag such as `!GetAtt X.Arn` is read as what it is applied to.
fn resources() -> BTreeMap<String, Value> {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../template.yaml"));
    let template: Value = serde_yaml_ng::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let resources = template["Resources"].as_mapping().unwrap();
    resources.iter().map(|(name, resource)| (name.as_str().unwrap().to_owned(), untagged(resource))).collect()
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

/// The events of one kind, each with its function's name and properties.
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

/// `X.Arn` is about X.
fn named(reference: &Value) -> &str {
    reference.as_str().unwrap().split('.').next().unwrap()
}

#[test]
fn a_message_is_hidden_for_six_times_as_long_as_its_function_may_take() {
    let resources = resources();
    for (name, function, event) in events(&resources, "SQS") {
        let queue = &resources[named(&event["Queue"])]["Properties"];
        let (timeout, hidden) = (function["Timeout"].as_u64().unwrap(), queue["VisibilityTimeout"].as_u64().unwrap());
        assert!(hidden >= 6 * timeout, "{name}: {hidden} s for a time-out of {timeout} s");
        assert_eq!(event["FunctionResponseTypes"][0], "ReportBatchItemFailures", "{name}");
        let tries = queue["RedrivePolicy"]["maxReceiveCount"].as_u64().unwrap();
        assert!((5..=10).contains(&tries), "{name}: {tries} tries");
    }
}

#[test]
fn no_queue_forgets_before_fourteen_days() {
    let resources = resources();
    for (name, queue) in of_type(&resources, "AWS::SQS::Queue") {
        assert_eq!(queue["MessageRetentionPeriod"].as_u64(), Some(FOURTEEN_DAYS), "{name}");
        assert_eq!(queue["SqsManagedSseEnabled"].as_bool(), Some(true), "{name}");
        if name.ends_with("Queue") {
            let dead = named(&queue["RedrivePolicy"]["deadLetterTargetArn"]);
            assert!(dead.ends_with("DeadLetters") && resources.contains_key(dead), "{name}");
        }
    }
}

#[test]
fn a_stream_record_is_neither_retried_for_ever_nor_lost() {
    let resources = resources();
    for (name, _, event) in events(&resources, "DynamoDB") {
        assert!(event["MaximumRetryAttempts"].as_u64().is_some_and(|tries| (1..=100).contains(&tries)), "{name}");
        assert!(event["MaximumRecordAgeInSeconds"].as_u64().is_some_and(|age| age <= 86_400), "{name}");
        assert_eq!(event["BisectBatchOnFunctionError"].as_bool(), Some(true), "{name}");
        assert_eq!(event["FunctionResponseTypes"][0], "ReportBatchItemFailures", "{name}");
        let failed = &event["DestinationConfig"]["OnFailure"];
        assert_eq!(failed["Type"], "SQS", "{name}");
        assert!(resources.contains_key(named(&failed["Destination"])), "{name}");
    }
}

#[test]
fn a_function_that_sends_to_its_own_queue_is_not_stopped_for_it() {
    let resources = resources();
    let mut own = 0;
    for (name, function, event) in events(&resources, "SQS") {
        let queue = event["Queue"].as_str().unwrap();
        let statements = function["Policies"][0]["Statement"].as_sequence().unwrap();
        let sends = statements.iter().any(|statement| {
            let resources = &statement["Resource"];
            let mut resources = resources.as_sequence().into_iter().flatten().chain(Some(resources));
            let action = statement["Action"].as_str().unwrap_or_default();
            action.starts_with("sqs:SendMessage") && resources.any(|resource| *resource == queue)
        });
        if sends {
            own += 1;
            assert_eq!(function["RecursiveLoop"], "Allow", "{name}");
        }
    }
    assert_eq!(own, 3, "audience hands on its slices, email and sms their batches");
}

/// CloudWatch gives an account's first dashboards away if they show 50 metrics at most.
const DASHBOARD_METRICS: usize = 50;

#[test]
fn the_dashboard_shows_every_queue_function_and_table() {
    let resources = resources();
    let (_, dashboard) = of_type(&resources, "AWS::CloudWatch::Dashboard")[0];
    let body = dashboard["DashboardBody"].as_str().unwrap();
    for (kind, shown) in
        [("AWS::SQS::Queue", "${*.QueueName}"), ("AWS::Serverless::Function", "${*}"), ("AWS::DynamoDB::Table", "${*}")]
    {
        for (name, _) in of_type(&resources, kind) {
            assert!(body.contains(&shown.replace('*', name)), "{name}");
        }
    }
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    let metrics = |widget: &serde_json::Value| widget["properties"]["metrics"].as_array().map_or(0, Vec::len);
    assert!(body["widgets"].as_array().unwrap().iter().map(metrics).sum::<usize>() <= DASHBOARD_METRICS);
}

#[test]
fn every_route_without_credentials_has_a_limit_of_its_own() {
    let resources = resources();
    let limits = &of_type(&resources, "AWS::Serverless::Api")[0].1["MethodSettings"];
    let limits = limits.as_sequence().unwrap();
    let limit_of = |method: &str, path: &str| {
        let limit = limits.iter().find(|limit| limit["HttpMethod"] == method && limit["ResourcePath"] == path);
        limit.map(|limit| (limit["ThrottlingRateLimit"].clone(), limit["ThrottlingBurstLimit"].clone()))
    };
    let everybody = limit_of("*", "/*").unwrap();
    let mut public = 0;
    for (name, _, event) in events(&resources, "Api") {
        if event["Auth"]["Authorizer"] == "NONE" {
            // CloudFormation writes the slashes within a path as ~1.
            let path = event["Path"].as_str().unwrap().strip_prefix('/').unwrap().replace('/', "~1");
            let own = limit_of(event["Method"].as_str().unwrap(), &format!("/~1{path}"));
            assert!(own.is_some_and(|own| own != everybody), "{name}: {path}");
            public += 1;
        }
    }
    assert_eq!(public, 3, "the page, its button, and health");
}

#[test]
fn somebody_is_woken_by_dead_letters_and_by_what_waits_too_long_and_by_functions_that_fail() {
    let resources = resources();
    let alarms = of_type(&resources, "AWS::CloudWatch::Alarm");
    let is_watched = |metric: &str, of: &str| {
        alarms.iter().any(|(_, alarm)| alarm["MetricName"] == metric && named(&alarm["Dimensions"][0]["Value"]) == of)
    };
    for (name, _) in of_type(&resources, "AWS::SQS::Queue") {
        let metric = match name.ends_with("DeadLetters") {
            true => "ApproximateNumberOfMessagesVisible",
            false => "ApproximateAgeOfOldestMessage",
        };
        assert!(is_watched(metric, name), "{name}");
    }
    for (name, _) in of_type(&resources, "AWS::Serverless::Function") {
        assert!(is_watched("Errors", name), "{name}");
    }
}

#[test]
fn the_operations_guide_says_what_to_do_about_each_alarm() {
    let guide = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operations.md"));
    let guide = fs::read_to_string(guide).unwrap();
    let resources = resources();
    for (_, alarm) in of_type(&resources, "AWS::CloudWatch::Alarm") {
        let name = alarm["AlarmName"].as_str().unwrap().strip_prefix("${AWS::StackName}-").unwrap();
        assert!(guide.contains(&format!("`{name}`")), "{name}");
        assert!(!alarm["AlarmDescription"].as_str().unwrap().is_empty(), "{name}");
    }
}

#[test]
fn every_function_has_a_log_that_ends_some_day() {
    let resources = resources();
    let logs = of_type(&resources, "AWS::Logs::LogGroup");
    for (name, function) in of_type(&resources, "AWS::Serverless::Function") {
        let own = named(&function["LoggingConfig"]["LogGroup"]);
        assert!(logs.iter().any(|(log, log_group)| *log == own && !log_group["RetentionInDays"].is_null()), "{name}");
    }
}
