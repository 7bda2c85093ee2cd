//! Metrics in CloudWatch's embedded metric format: log lines that CloudWatch extracts metrics from. Emitting one takes
//! no call, and a metric without values costs nothing.
//!
//! All metrics are in the namespace `Offercast`, with the stack as their first dimension.

use std::sync::OnceLock;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// The namespace of all metrics.
const NAMESPACE: &str = "Offercast";
/// The environment variable with the name of the stack.
const STACK_VARIABLE: &str = "STACK_NAME";

/// Where the lines go, if not to the standard output.
static SINK: OnceLock<fn(&str)> = OnceLock::new();

/// Passes all lines of this process to `sink` from now on, instead of the standard output, where Lambda reads them. Only
/// the first call counts.
pub fn redirect(sink: fn(&str)) {
    let _ = SINK.set(sink);
}

/// The unit of a metric, by CloudWatch's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A number of things.
    Count,
    /// A duration in seconds.
    Seconds,
    /// A duration in milliseconds.
    Milliseconds,
}

impl Unit {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Count => "Count",
            Self::Seconds => "Seconds",
            Self::Milliseconds => "Milliseconds",
        }
    }
}

/// Emits metrics by name, under these dimensions. A dimension must have few values, and none may identify a customer.
pub fn emit(dimensions: &[(&str, &str)], metrics: &[(&str, Unit, u64)]) {
    let metrics: Vec<_> = metrics.iter().map(|(name, unit, value)| (*name, *unit, json!(value))).collect();
    emit_values(dimensions, &metrics);
}

/// Emits many values of one metric, for percentiles. Only the first hundred are emitted, the most that CloudWatch's
/// specification allows in a line.
pub fn emit_each(dimensions: &[(&str, &str)], name: &str, unit: Unit, values: &[u64]) {
    if !values.is_empty() {
        emit_values(dimensions, &[(name, unit, json!(values[..values.len().min(100)]))]);
    }
}

fn emit_values(dimensions: &[(&str, &str)], metrics: &[(&str, Unit, Value)]) {
    let stack = std::env::var(STACK_VARIABLE).unwrap_or_default();
    let dimensions: Vec<_> = [("stack", stack.as_str())].into_iter().chain(dimensions.iter().copied()).collect();
    // Not through `tracing`: CloudWatch requires its own form at the top level of the line.
    let line = line(Timestamp::now(), &dimensions, metrics).to_string();
    match SINK.get() {
        Some(sink) => sink(&line),
        None => println!("{line}"),
    }
}

/// A line in the embedded metric format, by CloudWatch's specification.
fn line(at: Timestamp, dimensions: &[(&str, &str)], metrics: &[(&str, Unit, Value)]) -> Value {
    let names: Vec<_> = dimensions.iter().map(|(name, _)| *name).collect();
    let units: Vec<_> = metrics.iter().map(|(name, unit, _)| json!({"Name": name, "Unit": unit.as_str()})).collect();
    let directive = json!({
        "Timestamp": at.as_millisecond(),
        "CloudWatchMetrics": [{"Namespace": NAMESPACE, "Dimensions": [names], "Metrics": units}],
    });
    let mut line = Map::from_iter([("_aws".to_owned(), directive)]);
    line.extend(dimensions.iter().map(|(name, value)| ((*name).to_owned(), json!(value))));
    line.extend(metrics.iter().map(|(name, _, value)| ((*name).to_owned(), value.clone())));
    Value::Object(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_has_the_embedded_metric_format() {
        let metrics = [("Sent", Unit::Count, json!(50)), ("Age", Unit::Seconds, json!(3))];
        let line = line(Timestamp::UNIX_EPOCH, &[("stack", "offercast"), ("channel", "email")], &metrics);
        let expected = json!({
            "_aws": {"Timestamp": 0, "CloudWatchMetrics": [{
                "Namespace": "Offercast", "Dimensions": [["stack", "channel"]],
                "Metrics": [{"Name": "Sent", "Unit": "Count"}, {"Name": "Age", "Unit": "Seconds"}],
            }]},
            "stack": "offercast", "channel": "email", "Sent": 50, "Age": 3,
        });
        assert_eq!(line, expected);
    }
}
