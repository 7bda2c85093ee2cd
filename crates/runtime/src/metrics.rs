//! Metrics in CloudWatch's embedded metric format: a log line that CloudWatch reads numbers from, so that telling them
//! takes no call, and costs nothing while there is nothing to tell.
//!
//! All are in the namespace `Offercast`, with the stack as their first dimension.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// Where all of them are.
const NAMESPACE: &str = "Offercast";
/// Which stack they are of.
const STACK_VARIABLE: &str = "STACK_NAME";

/// What a number counts, by CloudWatch's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Things.
    Count,
    /// Time.
    Seconds,
    /// Short time.
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

/// Tells numbers, each by its name, under these dimensions. Their values are few, and nothing of a customer.
pub fn emit(dimensions: &[(&str, &str)], metrics: &[(&str, Unit, u64)]) {
    let metrics: Vec<_> = metrics.iter().map(|(name, unit, value)| (*name, *unit, json!(value))).collect();
    tell(dimensions, &metrics);
}

/// Tells each of many values of one number, for percentiles. At most a hundred (CloudWatch's specification); the others are
/// left out.
pub fn emit_each(dimensions: &[(&str, &str)], name: &str, unit: Unit, values: &[u64]) {
    if !values.is_empty() {
        tell(dimensions, &[(name, unit, json!(values[..values.len().min(100)]))]);
    }
}

fn tell(dimensions: &[(&str, &str)], metrics: &[(&str, Unit, Value)]) {
    let stack = std::env::var(STACK_VARIABLE).unwrap_or_default();
    let dimensions: Vec<_> = [("stack", stack.as_str())].into_iter().chain(dimensions.iter().copied()).collect();
    // Not through the log: CloudWatch wants its own form at the line's outermost level.
    println!("{}", line(Timestamp::now(), &dimensions, metrics));
}

/// The line (CloudWatch's specification of the embedded metric format).
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
    fn the_line_is_as_cloudwatch_reads_it() {
        let metrics = [("Sent", Unit::Count, json!(50)), ("Age", Unit::Seconds, json!(3))];
        let line = line(Timestamp::UNIX_EPOCH, &[("stack", "offercast"), ("channel", "email")], &metrics);
        let wanted = json!({
            "_aws": {"Timestamp": 0, "CloudWatchMetrics": [{
                "Namespace": "Offercast", "Dimensions": [["stack", "channel"]],
                "Metrics": [{"Name": "Sent", "Unit": "Count"}, {"Name": "Age", "Unit": "Seconds"}],
            }]},
            "stack": "offercast", "channel": "email", "Sent": 50, "Age": 3,
        });
        assert_eq!(line, wanted);
    }
}
