//! What functions tell of themselves.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;

use anyhow::ensure;
use end_to_end::{Bank, wait_for};
use serde_json::{Value, json};

#[tokio::test]
async fn what_is_measured_stands_in_the_logs_as_cloudwatch_reads_it() {
    let bank = Bank::open();
    bank.put_many(3).await;
    let offer = bank.post_offer(&json!({"code": "COUNTED", "description": "Hello"})).await;
    bank.completed(&offer).await;
    bank.invoke("push", &json!({"source": "aws.events"})).await.unwrap();
    wait_for("the metrics", async || {
        let mut told = BTreeSet::new();
        for function in bank.stack.functions.keys() {
            let lines = bank.log_of(function).await;
            let lines = lines.iter().flat_map(|lines| lines.lines()).filter(|line| line.contains(r#""_aws":"#));
            lines.for_each(|line| told.extend(metrics(line)));
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
        ];
        ensure!(wanted.iter().all(|name| told.contains(*name)), "{told:?}");
        Ok(())
    })
    .await;
}

/// The names of a line's metrics, each of which has its value, and its dimensions theirs.
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
    assert!(names.iter().all(|name| line[name].is_u64()), "{line}");
    names
}
