//! Alarms, dashboard, logs, metrics and traces cover every function, queue and table.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::encryption::OF_EVENT_BRIDGE;
use super::{each, events, named, of_type, resources, statements_of, template};

/// CloudWatch charges nothing for an account's first three dashboards if they have at most 50 metrics.
const DASHBOARD_METRICS: usize = 50;

#[test]
fn the_dashboard_shows_every_queue_function_table_and_own_metric() {
    let resources = resources();
    let (_, dashboard) = of_type(&resources, "AWS::CloudWatch::Dashboard")[0];
    // `!Sub [body, variables]`.
    let body = dashboard["DashboardBody"][0].as_str().unwrap();
    for (kind, shown) in
        [("AWS::SQS::Queue", "${*.QueueName}"), ("AWS::Serverless::Function", "${*}"), ("AWS::DynamoDB::Table", "${*}")]
    {
        // EventBridge's dead letters are left out for the limit; they have an alarm.
        for (name, _) in of_type(&resources, kind).into_iter().filter(|(name, _)| !OF_EVENT_BRIDGE.contains(name)) {
            assert!(body.contains(&shown.replace('*', name)), "{name}");
        }
    }
    for own in ["Sent", "Failed", "PutOff", "Age", "BreakerOpen", "ProviderLatency", "RateWait"] {
        assert!(body.contains(&format!(r#"["Offercast", "{own}", "stack", "${{AWS::StackName}}", "#)), "{own}");
    }
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    let metrics = |widget: &serde_json::Value| widget["properties"]["metrics"].as_array().map_or(0, Vec::len);
    assert!(body["widgets"].as_array().unwrap().iter().map(metrics).sum::<usize>() <= DASHBOARD_METRICS);
}

#[test]
fn alarms_watch_dead_letters_old_messages_and_failing_functions() {
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
    for (name, ..) in events(&resources, "DynamoDB") {
        assert!(is_watched("IteratorAge", name), "{name} reads a stream");
    }
}

#[test]
fn alarms_watch_providers_that_stay_unavailable() {
    let resources = resources();
    let alarms = of_type(&resources, "AWS::CloudWatch::Alarm");
    let mut transports = BTreeSet::new();
    for (name, alarm) in alarms.into_iter().filter(|(_, alarm)| alarm["MetricName"] == "BreakerOpen") {
        let number = |property: &str| alarm[property].as_u64().unwrap();
        assert_eq!(number("Period") * number("EvaluationPeriods"), 15 * 60, "{name}");
        // Without sends there is no data.
        assert_eq!(alarm["TreatMissingData"], "notBreaching", "{name}");
        assert_eq!(alarm["Dimensions"][0]["Name"], "stack", "{name}");
        assert_eq!(alarm["Dimensions"][1]["Name"], "transport", "{name}");
        transports.insert(alarm["Dimensions"][1]["Value"].as_str().unwrap());
    }
    assert_eq!(transports, BTreeSet::from(["ses", "smtp", "sns"]));
}

#[test]
fn the_operations_guide_covers_every_alarm() {
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
fn every_function_has_a_log_group_with_a_retention_time() {
    let resources = resources();
    let logs = of_type(&resources, "AWS::Logs::LogGroup");
    for (name, function) in of_type(&resources, "AWS::Serverless::Function") {
        let own = named(&function["LoggingConfig"]["LogGroup"]);
        assert!(logs.iter().any(|(log, log_group)| *log == own && !log_group["RetentionInDays"].is_null()), "{name}");
    }
}

#[test]
fn metrics_are_written_at_every_log_level() {
    let template = template();
    let globals = &template["Globals"]["Function"];
    // Lambda treats a line without a level as INFO, so its own filter would drop metrics.
    assert_eq!(globals["LoggingConfig"]["ApplicationLogLevel"], "DEBUG");
    assert_eq!(globals["Environment"]["Variables"]["LOG_LEVEL"], "LogLevel");
}

#[test]
fn functions_are_traced_and_the_api_is_not() {
    let resources = resources();
    // Its segments have the URL, with an unsubscribe token or an address (X-Ray developer guide, "Segment documents").
    assert_eq!(of_type(&resources, "AWS::Serverless::Api")[0].1["TracingEnabled"].as_bool(), Some(false));
    assert_eq!(template()["Globals"]["Function"]["Tracing"], "Active");
    for (name, function) in of_type(&resources, "AWS::Serverless::Function") {
        // Lambda refuses to create a traced function whose role may not write traces.
        let mut actions =
            statements_of(&resources, function).into_iter().flat_map(|statement| each(&statement["Action"]));
        assert!(actions.any(|action| action == "xray:PutTraceSegments"), "{name}");
    }
}
