//! Telemetry: metrics, traces, logs and alarms.

use std::collections::BTreeSet;

use anyhow::{Context, ensure};
use end_to_end::{Bank, id_of, wait_for};
use serde_json::{Value, json};
use uuid::Uuid;

#[tokio::test]
async fn metrics_are_logged_in_embedded_metric_format() {
    let bank = Bank::open();
    bank.put_many(3).await;
    let offer = bank.post_offer(&json!({"code": "COUNTED", "description": "Hello"})).await;
    bank.wait_until_completed(&offer).await;
    bank.invoke("push", &json!({"source": "aws.events"})).await.unwrap();
    wait_for("the metrics", async || {
        let mut logged = BTreeSet::new();
        for function in bank.stack.functions.keys() {
            let lines = bank.log_of(function).await;
            let lines = lines.iter().flat_map(|lines| lines.lines()).filter(|line| line.contains(r#""_aws":"#));
            lines.for_each(|line| logged.extend(metrics(line)));
        }
        let wanted = [
            "Offers",
            "Sent",
            "Failed",
            "Suppressed",
            "OptedOut",
            "Expired",
            "Cancelled",
            "Age",
            "Published",
            "OldestOpenPush",
            "Pushes",
            "ProviderLatency",
            "RateWait",
        ];
        ensure!(wanted.iter().all(|name| logged.contains(*name)), "{logged:?}");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn one_trace_spans_the_call_and_every_function() {
    let bank = Bank::open();
    bank.put_customers(&[bank.customer("asha", &json!({"channels": ["email", "sms"], "mobile": bank.mobile("asha")}))])
        .await;
    let trace = Uuid::now_v7().simple().to_string();
    let traceparent = format!("00-{trace}-00f067aa0ba902b7-01");
    let offer = json!({"code": "TRACED", "description": "Hello", "eligibility": bank.rule("")}).to_string();
    let response = bank.call_with("POST", "/offers", &[("traceparent", &traceparent)], offer.as_bytes()).await;
    assert_eq!(response.status, 201, "{}", response.text);
    let offer = response.json();
    bank.wait_until_completed(&offer).await;
    wait_for("every function to log the trace", async || {
        for (function, said) in [
            ("offer", "offer stored"),
            ("push", "push started"),
            ("audience", "page scanned"),
            ("email", "batch delivered"),
            ("sms", "batch delivered"),
        ] {
            let lines = bank.log_of(function).await;
            let line =
                lines.iter().flat_map(|lines| lines.lines()).find(|line| line.contains(&trace) && line.contains(said));
            ensure!(line.is_some_and(|line| line.contains(id_of(&offer))), "{function}: {said}");
        }
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn logs_command_shows_all_functions_or_one() {
    let bank = Bank::open();
    bank.put_many(1).await;
    let offer = bank.post_offer(&json!({"code": "LOGGED", "description": "Hello"})).await;
    bank.wait_until_completed(&offer).await;
    wait_for("the lines of audience and email", async || {
        let said = about(&offer, &bank.xtask(&["logs"]));
        ensure!(said.contains("page scanned") && said.contains("batch delivered"), "{said}");
        Ok(())
    })
    .await;
    let said = about(&offer, &bank.xtask(&["logs", "email"]));
    assert!(said.contains("batch delivered") && !said.contains("page scanned"), "{said}");
}

/// The lines that contain an offer's id.
fn about(offer: &Value, lines: &str) -> String {
    lines.lines().filter(|line| line.contains(id_of(offer))).collect::<Vec<_>>().join("\n")
}

/// On a stack that evaluates alarms immediately. No local stack reads metrics from log lines as CloudWatch does, so the
/// story does.
mod alarms {
    use super::*;

    #[tokio::test]
    async fn push_unfinished_after_an_hour_raises_its_alarm() {
        let bank = Bank::open();
        let alarm = [("Action", "DescribeAlarms"), ("Version", VERSION), ("AlarmNames.member.1", ALARM)];
        let state = async || bank.aws().query("monitoring", &alarm).await;
        // The metric that the sweep logs, with another value.
        bank.invoke("push", &json!({"source": "aws.events"})).await.unwrap();
        let metric_line = wait_for("the sweep to log the age of the oldest push", async || {
            let lines = bank.log_of("push").await;
            let line = lines.iter().flat_map(|lines| lines.lines()).find(|line| line.contains("\"OldestOpenPush\""));
            Ok(serde_json::from_str::<Value>(line.context("nothing yet")?)?)
        })
        .await;
        let directive = &metric_line["_aws"]["CloudWatchMetrics"][0];
        let dimension = directive["Dimensions"][0][0].as_str().unwrap();
        let metric = [
            ("Action", "PutMetricData"),
            ("Version", VERSION),
            ("Namespace", directive["Namespace"].as_str().unwrap()),
            ("MetricData.member.1.MetricName", directive["Metrics"][0]["Name"].as_str().unwrap()),
            ("MetricData.member.1.Dimensions.member.1.Name", dimension),
            ("MetricData.member.1.Dimensions.member.1.Value", metric_line[dimension].as_str().unwrap()),
            ("MetricData.member.1.Unit", directive["Metrics"][0]["Unit"].as_str().unwrap()),
            ("MetricData.member.1.Value", "3601"),
        ];
        bank.aws().query("monitoring", &metric).await;
        assert_eq!(element(&state().await, "StateValue"), "ALARM");
    }

    const ALARM: &str = "offercast-push-unfinished";
    const VERSION: &str = "2010-08-01";

    /// The text of an element in a response of the query protocol.
    fn element(xml: &str, name: &str) -> String {
        let (_, rest) = xml.split_once(&format!("<{name}>")).unwrap_or_else(|| panic!("no {name}: {xml}"));
        rest.split_once(&format!("</{name}>")).unwrap().0.to_owned()
    }
}

/// The names of a line's metrics. Checks that each metric and each dimension has a value.
fn metrics(line: &str) -> BTreeSet<String> {
    let line: Value = serde_json::from_str(line).unwrap();
    assert!(line["_aws"]["Timestamp"].as_i64().is_some_and(|at| at > 0), "{line}");
    let directive = &line["_aws"]["CloudWatchMetrics"][0];
    assert_eq!(directive["Namespace"], "Offercast", "{line}");
    let dimensions = directive["Dimensions"][0].as_array().unwrap();
    assert_eq!((&dimensions[0], &line["stack"]), (&json!("stack"), &json!("offercast")), "{line}");
    assert!(dimensions.iter().all(|name| line[name.as_str().unwrap()].is_string()), "{line}");
    let name = |metric: &Value| metric["Name"].as_str().unwrap().to_owned();
    let names: BTreeSet<_> = directive["Metrics"].as_array().unwrap().iter().map(name).collect();
    let is_number =
        |value: &Value| value.is_u64() || value.as_array().is_some_and(|each| each.iter().all(Value::is_u64));
    assert!(names.iter().all(|name| is_number(&line[name])), "{line}");
    names
}
