//! What `template.yaml` says about event sources, queues, roles, keys and alarms, which no local stack shows.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_yaml_ng::Value;

const FOURTEEN_DAYS: u64 = 14 * 24 * 3_600;

/// The template. A tag such as `!GetAtt X.Arn` is read as what it is applied to.
fn template() -> Value {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../template.yaml"));
    untagged(&serde_yaml_ng::from_str(&fs::read_to_string(path).unwrap()).unwrap())
}

/// The resources by their names.
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

/// What a function may do.
fn statements_of<'r>(resources: &'r BTreeMap<String, Value>, function: &Value) -> Vec<&'r Value> {
    let role = &resources[named(&function["Role"])];
    assert_eq!(role["Type"], "AWS::IAM::Role");
    statements(role)
}

/// What the inline policies of a role say.
fn statements(role: &Value) -> Vec<&Value> {
    let policies = role["Properties"]["Policies"].as_sequence().unwrap();
    let statements = policies.iter().flat_map(|policy| policy["PolicyDocument"]["Statement"].as_sequence().unwrap());
    // Of `!If [condition, statement, nothing]`, the statement.
    statements.map(|statement| statement.as_sequence().map_or(statement, |branches| &branches[1])).collect()
}

/// A policy has one thing, or a list.
fn each(value: &Value) -> impl Iterator<Item = &Value> {
    let list = value.as_sequence();
    list.into_iter().flatten().chain(list.is_none().then_some(value))
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
        let sends = statements_of(&resources, function).iter().any(|statement| {
            let is_sending =
                each(&statement["Action"]).any(|action| action.as_str().unwrap().starts_with("sqs:SendMessage"));
            is_sending && each(&statement["Resource"]).any(|resource| resource == queue)
        });
        if sends {
            own += 1;
            assert_eq!(function["RecursiveLoop"], "Allow", "{name}");
        }
    }
    assert_eq!(own, 3, "audience hands on its slices, email and sms their batches");
}

/// Actions for which AWS knows no resource, or none that a policy could name.
const WITHOUT_RESOURCE: [&str; 5] = [
    "xray:PutTraceSegments",
    "xray:PutTelemetryRecords",
    "sns:CheckIfPhoneNumberIsOptedOut",
    "sms-voice:SendTextMessage",
    "sms-voice:DescribeOptedOutNumbers",
];

#[test]
fn every_function_has_a_role_of_its_own_that_names_what_it_may_touch() {
    let resources = resources();
    let functions = of_type(&resources, "AWS::Serverless::Function");
    let roles: BTreeSet<_> = functions.iter().map(|(_, function)| named(&function["Role"])).collect();
    assert_eq!(roles.len(), functions.len(), "no two functions share a role: {roles:?}");
    assert_eq!(roles.len(), of_type(&resources, "AWS::IAM::Role").len(), "no role is nobody's: {roles:?}");
    for (name, function) in functions {
        // To a role, SAM would add managed policies, which are for everything.
        assert!(function["Policies"].is_null(), "{name}");
        let role = &resources[named(&function["Role"])];
        assert!(role["Properties"]["ManagedPolicyArns"].is_null(), "{name}");
        for statement in statements(role) {
            let sid = statement["Sid"].as_str().unwrap();
            let mut actions = each(&statement["Action"]).map(|action| action.as_str().unwrap());
            if each(&statement["Resource"]).any(|resource| resource == "*") {
                assert!(actions.all(|action| WITHOUT_RESOURCE.contains(&action)), "{name}: {sid}");
            } else if statement["Resource"].is_null() {
                let others = statement["NotResource"].as_str().unwrap();
                assert!(others.ends_with(":sns:*:*:*"), "{name}: {sid}");
                assert!(actions.all(|action| action == "sns:Publish"), "{name}: {sid}");
            } else {
                assert!(actions.all(|action| !action.ends_with(":*")), "{name}: {sid}");
            }
        }
    }
}

#[test]
fn a_function_may_take_from_its_own_sources_and_log_to_its_own_log() {
    let resources = resources();
    let may = |function: &Value, action: &str, on: &Value| {
        statements_of(&resources, function).iter().any(|statement| {
            each(&statement["Action"]).any(|allowed| allowed == action)
                && each(&statement["Resource"]).any(|resource| resource == on)
        })
    };
    for (name, function) in of_type(&resources, "AWS::Serverless::Function") {
        let log = Value::from(format!("{}.Arn", named(&function["LoggingConfig"]["LogGroup"])));
        for action in ["logs:CreateLogStream", "logs:PutLogEvents"] {
            assert!(may(function, action, &log), "{name} and {action}");
        }
    }
    for (name, function, event) in events(&resources, "SQS") {
        for action in ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"] {
            assert!(may(function, action, &event["Queue"]), "{name} and {action}");
        }
    }
    for (name, function, event) in events(&resources, "DynamoDB") {
        for action in ["GetRecords", "GetShardIterator", "DescribeStream", "ListStreams"] {
            assert!(may(function, &format!("dynamodb:{action}"), &event["Stream"]), "{name} and {action}");
        }
        let failed = &event["DestinationConfig"]["OnFailure"]["Destination"];
        assert!(may(function, "sqs:SendMessage", failed), "{name} puts aside what fails");
    }
}

#[test]
fn the_page_that_everybody_can_reach_takes_back_no_bounce_or_complaint() {
    let resources = resources();
    let function = &resources["PreferencesFunction"]["Properties"];
    let statements = statements_of(&resources, function);
    let mut writing = statements.iter().filter(|statement| statement["Resource"] == "SuppressionsTable.Arn");
    let keys = &writing.next().unwrap()["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"];
    assert_eq!(each(keys).map(|key| key.as_str().unwrap()).collect::<Vec<_>>(), ["customer#*"]);
    assert_eq!(writing.count(), 0, "there is no other way to write");
}

/// What is `value` if there is a key of one's own, and AWS's own choice otherwise.
fn with_a_key(value: impl Into<Value>) -> Value {
    Value::Sequence(vec!["HasKey".into(), value.into(), "AWS::NoValue".into()])
}

#[test]
fn everything_that_is_kept_is_encrypted_with_the_key_of_ones_choice() {
    let resources = resources();
    let key = with_a_key("KmsKeyArn");
    for (kind, property) in [
        ("AWS::SQS::Queue", "KmsMasterKeyId"),
        ("AWS::SNS::Topic", "KmsMasterKeyId"),
        ("AWS::SecretsManager::Secret", "KmsKeyId"),
        ("AWS::Logs::LogGroup", "KmsKeyId"),
        ("AWS::Events::EventBus", "KmsKeyIdentifier"),
        ("AWS::Events::Archive", "KmsKeyIdentifier"),
    ] {
        for (name, resource) in of_type(&resources, kind) {
            assert_eq!(resource[property], key, "{name}");
        }
    }
    for (name, table) in of_type(&resources, "AWS::DynamoDB::Table") {
        let [condition, with, without] = &table["SSESpecification"].as_sequence().unwrap()[..] else {
            panic!("{name} is encrypted on a condition");
        };
        assert!(condition == "HasKey" && without == "AWS::NoValue", "{name}");
        assert_eq!(with["KMSMasterKeyId"], "KmsKeyArn", "{name}");
        assert_eq!(with["SSEType"], "KMS", "{name}");
        assert_eq!(with["SSEEnabled"].as_bool(), Some(true), "{name}");
    }
    for (name, queue) in of_type(&resources, "AWS::SQS::Queue") {
        // SQS wants one of the two; without a key, its own.
        let own = Value::Sequence(vec!["HasKey".into(), "AWS::NoValue".into(), true.into()]);
        assert_eq!(queue["SqsManagedSseEnabled"], own, "{name}");
    }
    assert_eq!(template()["Globals"]["Function"]["KmsKeyArn"], key, "the functions' settings");
}

#[test]
fn every_role_may_use_the_key_through_the_services_that_hold_its_data() {
    let resources = resources();
    let policies = of_type(&resources, "AWS::IAM::Policy");
    assert_eq!(policies.len(), 1, "the roles' own statements say everything else");
    let (name, policy) = policies[0];
    assert_eq!(resources[name]["Condition"], "HasKey");
    let may: BTreeSet<_> = each(&policy["Roles"]).map(named).collect();
    let roles: BTreeSet<_> = of_type(&resources, "AWS::IAM::Role").into_iter().map(|(role, _)| role).collect();
    assert_eq!(may, roles);
    for statement in each(&policy["PolicyDocument"]["Statement"]) {
        assert_eq!(statement["Resource"], "KmsKeyArn");
        let services = &statement["Condition"]["StringEquals"]["kms:ViaService"];
        assert!(each(services).count() > 0, "nobody may use the key by itself");
    }
}

/// CloudWatch gives an account's first dashboards away if they show 50 metrics at most.
const DASHBOARD_METRICS: usize = 50;

#[test]
fn the_dashboard_shows_every_queue_function_and_table_and_what_functions_tell() {
    let resources = resources();
    let (_, dashboard) = of_type(&resources, "AWS::CloudWatch::Dashboard")[0];
    // `!Sub [body, queries]`.
    let body = dashboard["DashboardBody"][0].as_str().unwrap();
    for (kind, shown) in
        [("AWS::SQS::Queue", "${*.QueueName}"), ("AWS::Serverless::Function", "${*}"), ("AWS::DynamoDB::Table", "${*}")]
    {
        for (name, _) in of_type(&resources, kind) {
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
fn somebody_is_woken_by_a_provider_that_stays_out_of_reach() {
    let resources = resources();
    let alarms = of_type(&resources, "AWS::CloudWatch::Alarm");
    let mut transports = BTreeSet::new();
    for (name, alarm) in alarms.into_iter().filter(|(_, alarm)| alarm["MetricName"] == "BreakerOpen") {
        let number = |property: &str| alarm[property].as_u64().unwrap();
        assert_eq!(number("Period") * number("EvaluationPeriods"), 15 * 60, "{name}");
        // While nobody sends, nobody knows.
        assert_eq!(alarm["TreatMissingData"], "notBreaching", "{name}");
        assert_eq!(alarm["Dimensions"][0]["Name"], "stack", "{name}");
        assert_eq!(alarm["Dimensions"][1]["Name"], "transport", "{name}");
        transports.insert(alarm["Dimensions"][1]["Value"].as_str().unwrap());
    }
    assert_eq!(transports, BTreeSet::from(["ses", "smtp", "sns"]));
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

#[test]
fn no_log_level_silences_the_metrics() {
    let template = template();
    let globals = &template["Globals"]["Function"];
    // Lambda takes a line without a level for INFO: only the functions can tell a metric from what is to be left out.
    assert_eq!(globals["LoggingConfig"]["ApplicationLogLevel"], "DEBUG");
    assert_eq!(globals["Environment"]["Variables"]["LOG_LEVEL"], "LogLevel");
}

#[test]
fn calls_are_traced_from_the_api_to_the_functions() {
    let resources = resources();
    assert_eq!(of_type(&resources, "AWS::Serverless::Api")[0].1["TracingEnabled"].as_bool(), Some(true));
    assert_eq!(template()["Globals"]["Function"]["Tracing"], "Active");
    for (name, function) in of_type(&resources, "AWS::Serverless::Function") {
        // Lambda makes no function that is to be traced and may not be.
        let mut actions =
            statements_of(&resources, function).into_iter().flat_map(|statement| each(&statement["Action"]));
        assert!(actions.any(|action| action == "xray:PutTraceSegments"), "{name}");
    }
}

#[test]
fn what_the_bus_carries_is_kept_for_subscribers_that_come_late() {
    let resources = resources();
    let archives = of_type(&resources, "AWS::Events::Archive");
    assert_eq!(archives.len(), 1);
    let (name, archive) = archives[0];
    assert_eq!(named(&archive["SourceArn"]), "EventBus");
    let sources: Vec<_> = each(&archive["EventPattern"]["source"]).map(|source| source.as_str().unwrap()).collect();
    assert_eq!(sources, ["offercast"], "all of ours, whatever they tell of");
    assert_eq!(archive["EventPattern"].as_mapping().unwrap().len(), 1);
    assert_eq!(archive["RetentionDays"], "EventArchiveDays");
    // EventBridge takes 0 for for ever.
    assert_eq!(resources[name]["Condition"], "KeepsEvents");
    let template = template();
    assert_eq!(template["Conditions"]["KeepsEvents"][0][1].as_u64(), Some(0));
    assert!(template["Parameters"]["EventArchiveDays"]["Default"].as_u64().is_some_and(|days| days >= 90));
}
