//! What `template.yaml` says of functions, queues and mappings: the simulation runs with the settings that are deployed.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value as Json;
use serde_yaml_ng::Value as Yaml;

use crate::aws::lambda::Function;
use crate::scenario::Settings;

const YAML: &str = include_str!("../../../template.yaml");

static TEMPLATE: LazyLock<Template> = LazyLock::new(|| read(YAML));

/// All that the simulation reads of the template.
#[derive(Debug, PartialEq)]
struct Template {
    queues: BTreeMap<String, Queue>,
    functions: BTreeMap<Function, Limits>,
    queue_mappings: Vec<QueueMapping>,
    stream_mappings: Vec<StreamMapping>,
    schedules: Vec<Schedule>,
}

/// A queue. Defaults are those of the SQS API reference, SetQueueAttributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    /// Its logical id.
    pub name: String,
    pub visibility: Duration,
    pub delay: Duration,
    /// How long it keeps a message.
    pub retention: Duration,
    pub redrive: Option<Redrive>,
}

/// Where a message goes that was received too often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redrive {
    /// The dead-letter queue.
    pub target: String,
    /// How often a message is received before.
    pub max_receives: u32,
}

/// How long a function runs, and what becomes of asynchronous invocations that fail. Defaults are those of the Lambda API
/// reference: Configuration of functions, EventInvokeConfig.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    pub timeout: Duration,
    pub max_retries: u32,
    pub max_event_age: Duration,
}

/// An event source mapping from a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueMapping {
    pub function: Function,
    /// The queue's logical id.
    pub queue: String,
    pub batch_size: usize,
    pub reports_failures: bool,
    /// The parameter with the number of invocations at a time, or the number. `None`: no limit.
    max_concurrency: Option<String>,
}

impl QueueMapping {
    /// Invocations at a time.
    ///
    /// # Panics
    /// If the template names a parameter that scenarios do not set.
    pub fn max_concurrency(&self, settings: &Settings) -> usize {
        // Without a limit, Lambda scales up to 1,250 (Lambda guide, "Configuring scaling behavior for SQS event source
        // mappings").
        let Some(limit) = &self.max_concurrency else { return 1_250 };
        let number = match limit.as_str() {
            "AudienceConcurrency" => settings.audience_concurrency,
            "EmailConcurrency" => settings.email_concurrency,
            "SmsConcurrency" => settings.sms_concurrency,
            "FeedbackConcurrency" => settings.feedback_concurrency,
            number => number.parse().unwrap_or_else(|_| panic!("scenarios do not set the parameter {number}")),
        };
        usize::try_from(number).expect("it is small")
    }
}

/// An event source mapping from the stream of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamMapping {
    pub function: Function,
    /// The table's logical id without `Table`.
    pub table: String,
    pub batch_size: usize,
    /// A record passes if one of them matches, or there is none.
    pub filters: Vec<Json>,
    pub reports_failures: bool,
    pub bisects: bool,
    /// `None`: no limit.
    pub max_retries: Option<u32>,
    /// `None`: as long as the stream keeps it.
    pub max_age: Option<Duration>,
    /// The queue for what is given up.
    pub on_failure: Option<String>,
}

/// A schedule that invokes a function.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    pub function: Function,
    pub every: Duration,
    /// The event, if it is not that of a schedule.
    pub input: Option<Json>,
}

/// The time-out of a function.
pub fn timeout(function: Function) -> Duration {
    limits(function).timeout
}

/// The limits of a function.
pub fn limits(function: Function) -> &'static Limits {
    &TEMPLATE.functions[&function]
}

/// All queues.
pub fn queues() -> impl Iterator<Item = &'static Queue> {
    TEMPLATE.queues.values()
}

/// The mappings from queues.
pub fn queue_mappings() -> &'static [QueueMapping] {
    &TEMPLATE.queue_mappings
}

/// The mappings from streams.
pub fn stream_mappings() -> &'static [StreamMapping] {
    &TEMPLATE.stream_mappings
}

/// The schedules.
pub fn schedules() -> &'static [Schedule] {
    &TEMPLATE.schedules
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Document {
    resources: BTreeMap<String, Resource>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Resource {
    r#type: String,
    #[serde(default)]
    properties: Yaml,
}

fn read(yaml: &str) -> Template {
    let document: Document =
        serde_yaml_ng::from_str(yaml).unwrap_or_else(|error| panic!("cannot read template.yaml: {error}"));
    let mut template = Template {
        queues: BTreeMap::new(),
        functions: BTreeMap::new(),
        queue_mappings: Vec::new(),
        stream_mappings: Vec::new(),
        schedules: Vec::new(),
    };
    for (id, Resource { r#type, properties }) in document.resources {
        match r#type.as_str() {
            "AWS::SQS::Queue" => {
                let queue = queue(id.clone(), &properties);
                template.queues.insert(id, queue);
            }
            "AWS::Serverless::Function" => template.add_function(&id, &properties),
            _ => {}
        }
    }
    template
}

impl Template {
    fn add_function(&mut self, id: &str, yaml: &Yaml) {
        let name = id.trim_end_matches("Function").to_lowercase();
        let function = Function::ALL.into_iter().find(|function| function.to_string() == name);
        let function = function.unwrap_or_else(|| panic!("the simulation does not know {id}"));
        let asynchronous = yaml.get("EventInvokeConfig");
        let of_config = |name| asynchronous.and_then(|config| number(config, name));
        let limits = Limits {
            timeout: seconds(yaml, "Timeout").unwrap_or(Duration::from_secs(3)),
            max_retries: of_config("MaximumRetryAttempts").map_or(2, small),
            max_event_age: Duration::from_secs(of_config("MaximumEventAgeInSeconds").unwrap_or(21_600)),
        };
        self.functions.insert(function, limits);
        let events = yaml.get("Events").and_then(Yaml::as_mapping);
        for event in events.into_iter().flat_map(|events| events.values()) {
            let kind = event.get("Type").and_then(text).expect("an event has a type");
            let properties = event.get("Properties").unwrap_or(&Yaml::Null);
            match kind.as_str() {
                "SQS" => self.queue_mappings.push(queue_mapping(function, properties)),
                "DynamoDB" => self.stream_mappings.push(stream_mapping(function, properties)),
                "Schedule" => self.schedules.push(schedule(function, properties)),
                "Api" => {}
                other => panic!("no model of events of the type {other}"),
            }
        }
    }
}

fn queue(name: String, yaml: &Yaml) -> Queue {
    let redrive = yaml.get("RedrivePolicy").map(|policy| Redrive {
        target: policy.get("deadLetterTargetArn").map(resource).expect("a redrive policy has a target"),
        max_receives: small(number(policy, "maxReceiveCount").expect("a redrive policy has a number")),
    });
    Queue {
        name,
        visibility: seconds(yaml, "VisibilityTimeout").unwrap_or(Duration::from_secs(30)),
        delay: seconds(yaml, "DelaySeconds").unwrap_or_default(),
        retention: seconds(yaml, "MessageRetentionPeriod").unwrap_or(Duration::from_secs(4 * 24 * 60 * 60)),
        redrive,
    }
}

fn queue_mapping(function: Function, yaml: &Yaml) -> QueueMapping {
    QueueMapping {
        function,
        queue: yaml.get("Queue").map(resource).expect("a mapping has a queue"),
        batch_size: batch_size(yaml, 10),
        reports_failures: reports_failures(yaml),
        max_concurrency: yaml.get("ScalingConfig").and_then(|config| config.get("MaximumConcurrency")).and_then(text),
    }
}

fn stream_mapping(function: Function, yaml: &Yaml) -> StreamMapping {
    let filters = yaml.get("FilterCriteria").and_then(|criteria| criteria.get("Filters")).and_then(Yaml::as_sequence);
    let filters = filters.into_iter().flatten().map(|filter| {
        let pattern = filter.get("Pattern").and_then(text).expect("a filter has a pattern");
        serde_json::from_str(&pattern).expect("a pattern is JSON")
    });
    let destination = yaml.get("DestinationConfig").and_then(|config| config.get("OnFailure"));
    // -1, the default: no limit.
    let limit = |name| yaml.get(name).and_then(Yaml::as_i64).and_then(|number| u64::try_from(number).ok());
    StreamMapping {
        function,
        table: yaml.get("Stream").map(resource).expect("a mapping has a stream").trim_end_matches("Table").to_owned(),
        batch_size: batch_size(yaml, 100),
        filters: filters.collect(),
        reports_failures: reports_failures(yaml),
        bisects: yaml.get("BisectBatchOnFunctionError").and_then(Yaml::as_bool).unwrap_or_default(),
        max_retries: limit("MaximumRetryAttempts").map(small),
        max_age: limit("MaximumRecordAgeInSeconds").map(Duration::from_secs),
        on_failure: destination.and_then(|destination| destination.get("Destination")).map(resource),
    }
}

fn schedule(function: Function, yaml: &Yaml) -> Schedule {
    let expression = yaml.get("Schedule").and_then(text).expect("a schedule has an expression");
    let rate = expression.strip_prefix("rate(").and_then(|rate| rate.strip_suffix(')'));
    let (number, unit) = rate.and_then(|rate| rate.split_once(' ')).unwrap_or_else(|| panic!("no rate: {expression}"));
    let minutes = match unit.trim_end_matches('s') {
        "minute" => 1,
        "hour" => 60,
        "day" => 24 * 60,
        other => panic!("unknown unit {other}"),
    };
    let number: u64 = number.parse().expect("a rate has a number");
    let input = yaml.get("Input").and_then(text);
    Schedule {
        function,
        every: Duration::from_secs(60 * minutes * number),
        input: input.map(|input| serde_json::from_str(&input).expect("an input is JSON")),
    }
}

fn batch_size(yaml: &Yaml, default: usize) -> usize {
    number(yaml, "BatchSize").map_or(default, |size| usize::try_from(size).expect("it is small"))
}

fn reports_failures(yaml: &Yaml) -> bool {
    let types = yaml.get("FunctionResponseTypes").and_then(Yaml::as_sequence);
    types.is_some_and(|types| types.iter().any(|one| one.as_str() == Some("ReportBatchItemFailures")))
}

/// A property that is a number. Other values, such as those that a condition decides, are not for the simulation to guess.
fn number(yaml: &Yaml, name: &str) -> Option<u64> {
    let value = yaml.get(name)?;
    Some(value.as_u64().unwrap_or_else(|| panic!("template.yaml: {name} is no number: {value:?}")))
}

fn seconds(yaml: &Yaml, name: &str) -> Option<Duration> {
    number(yaml, name).map(Duration::from_secs)
}

fn small(number: u64) -> u32 {
    u32::try_from(number).expect("it is small")
}

/// A text or number, also behind a tag: `Name` for `!Ref Name`.
fn text(yaml: &Yaml) -> Option<String> {
    match yaml {
        Yaml::Tagged(tagged) => text(&tagged.value),
        Yaml::String(text) => Some(text.clone()),
        Yaml::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The logical id in `!GetAtt Id.Arn`.
fn resource(yaml: &Yaml) -> String {
    let attribute = text(yaml).unwrap_or_else(|| panic!("template.yaml: no attribute: {yaml:?}"));
    attribute.split('.').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_has_what_the_template_says_or_the_default() {
        let template = read(
            "
            Resources:
              EmailQueue:
                Type: AWS::SQS::Queue
                Properties:
                  SqsManagedSseEnabled: !If [HasKey, !Ref AWS::NoValue, true]
                  VisibilityTimeout: 900
                  RedrivePolicy: {deadLetterTargetArn: !GetAtt Dead.Arn, maxReceiveCount: 5}
              Dead: {Type: AWS::SQS::Queue}
              EmailFunction:
                Type: AWS::Serverless::Function
                Properties:
                  Timeout: 150
                  EventInvokeConfig: {MaximumRetryAttempts: 0}
                  Events:
                    A: {Type: SQS, Properties: {Queue: !GetAtt EmailQueue.Arn, BatchSize: 1, ScalingConfig: {MaximumConcurrency: !Ref EmailConcurrency}}}
                    B: {Type: DynamoDB, Properties: {Stream: !GetAtt OffersTable.StreamArn, FunctionResponseTypes: [ReportBatchItemFailures], MaximumRetryAttempts: 20, DestinationConfig: {OnFailure: {Type: SQS, Destination: !GetAtt Dead.Arn}}}}
                    C: {Type: Schedule, Properties: {Schedule: rate(5 minutes), Input: '{\"a\": 1}'}}
            ",
        );
        let queue = &template.queues["EmailQueue"];
        assert_eq!(queue.visibility, Duration::from_secs(900));
        assert_eq!(queue.redrive, Some(Redrive { target: "Dead".to_owned(), max_receives: 5 }));
        let dead = &template.queues["Dead"];
        assert_eq!((dead.visibility, dead.redrive.as_ref()), (Duration::from_secs(30), None));
        let limits = &template.functions[&Function::Email];
        assert_eq!((limits.timeout, limits.max_retries), (Duration::from_secs(150), 0));
        let mapping = &template.queue_mappings[0];
        assert_eq!(mapping.max_concurrency.as_deref(), Some("EmailConcurrency"));
        assert_eq!((mapping.batch_size, mapping.reports_failures), (1, false));
        let stream = &template.stream_mappings[0];
        assert_eq!((stream.table.as_str(), stream.batch_size, stream.reports_failures), ("Offers", 100, true));
        assert_eq!((stream.max_retries, stream.max_age), (Some(20), None));
        assert_eq!(stream.on_failure.as_deref(), Some("Dead"));
        assert_eq!(template.schedules[0].every, Duration::from_secs(300));
        assert_eq!(template.schedules[0].input, Some(serde_json::json!({"a": 1})));
    }

    #[test]
    fn the_template_names_no_queue_that_it_does_not_have() {
        let redrives = queues().filter_map(|queue| queue.redrive.as_ref()).map(|redrive| &redrive.target);
        let failures = stream_mappings().iter().filter_map(|mapping| mapping.on_failure.as_ref());
        let sources = queue_mappings().iter().map(|mapping| &mapping.queue);
        for name in redrives.chain(failures).chain(sources) {
            assert!(TEMPLATE.queues.contains_key(name), "{name}");
        }
        assert_eq!((queue_mappings().len(), stream_mappings().len(), schedules().len()), (4, 3, 2));
        assert!(Function::ALL.into_iter().all(|function| TEMPLATE.functions.contains_key(&function)));
    }
}
