//! Each function may do what it needs, to the resources it needs.

use std::collections::BTreeSet;

use regex::Regex;
use serde_yaml_ng::Value;

use super::{each, events, named, of_type, resources, statements, statements_of, tagged_template};

/// Actions that have no resource, or none that a policy can name.
const WITHOUT_RESOURCE: [&str; 11] = [
    "xray:PutTraceSegments",
    "xray:PutTelemetryRecords",
    "sns:CheckIfPhoneNumberIsOptedOut",
    "sms-voice:SendTextMessage",
    "sms-voice:DescribeOptedOutNumbers",
    // Lambda asks for these on "*" (developer guide, "Giving Lambda functions access to resources in an Amazon VPC").
    "ec2:CreateNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:DeleteNetworkInterface",
    "ec2:AssignPrivateIpAddresses",
    "ec2:UnassignPrivateIpAddresses",
];

#[test]
fn each_function_has_its_own_role_with_named_resources() {
    let resources = resources();
    let functions = of_type(&resources, "AWS::Serverless::Function");
    let roles: BTreeSet<_> = functions.iter().map(|(_, function)| named(&function["Role"])).collect();
    assert_eq!(roles.len(), functions.len(), "two functions share a role: {roles:?}");
    let of_functions =
        of_type(&resources, "AWS::IAM::Role").into_iter().filter(|(name, _)| *name != "ApiLogRole").count();
    assert_eq!(roles.len(), of_functions, "a role belongs to no function: {roles:?}");
    for (name, function) in functions {
        // With `Policies`, SAM generates a role with managed policies, which cover all resources.
        assert!(function["Policies"].is_null(), "{name}");
        let role = &resources[named(&function["Role"])];
        assert!(role["Properties"]["ManagedPolicyArns"].is_null(), "{name}");
        for statement in statements(role).into_iter().filter(|statement| statement["Effect"] == "Allow") {
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
fn functions_may_read_their_event_sources_and_write_their_logs() {
    let resources = resources();
    let is_allowed = |function: &Value, action: &str, on: &Value| {
        statements_of(&resources, function).iter().any(|statement| {
            each(&statement["Action"]).any(|allowed| allowed == action)
                && each(&statement["Resource"]).any(|resource| resource == on)
        })
    };
    for (name, function) in of_type(&resources, "AWS::Serverless::Function") {
        let log = Value::from(format!("{}.Arn", named(&function["LoggingConfig"]["LogGroup"])));
        for action in ["logs:CreateLogStream", "logs:PutLogEvents"] {
            assert!(is_allowed(function, action, &log), "{name} and {action}");
        }
    }
    for (name, function, event) in events(&resources, "SQS") {
        for action in
            ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ChangeMessageVisibility*"]
        {
            assert!(is_allowed(function, action, &event["Queue"]), "{name} and {action}");
        }
    }
    for (name, function, event) in events(&resources, "DynamoDB") {
        for action in ["GetRecords", "GetShardIterator", "DescribeStream", "ListStreams"] {
            assert!(is_allowed(function, &format!("dynamodb:{action}"), &event["Stream"]), "{name} and {action}");
        }
        let failed = &event["DestinationConfig"]["OnFailure"]["Destination"];
        assert!(is_allowed(function, "sqs:SendMessage", failed), "{name} may send failed records to {failed:?}");
    }
}

/// A condition for all values also holds for a request without any (IAM User Guide, "Multivalued context keys").
#[test]
fn limit_on_keys_refuses_requests_without_a_key() {
    let resources = resources();
    let mut limited = 0;
    for (name, role) in resources.iter().filter(|(_, resource)| resource["Type"] == "AWS::IAM::Role") {
        for statement in statements(role) {
            let Some(condition) = statement["Condition"].as_mapping() else { continue };
            let for_all =
                condition.keys().filter_map(Value::as_str).filter(|operator| operator.starts_with("ForAllValues"));
            for operator in for_all {
                assert_eq!(statement["Condition"][operator].as_mapping().unwrap().len(), 1, "{name}");
                assert!(!statement["Condition"][operator]["dynamodb:LeadingKeys"].is_null(), "{name}");
                assert_eq!(
                    statement["Condition"]["Null"]["dynamodb:LeadingKeys"], "false",
                    "{name}: {:?}",
                    statement["Sid"]
                );
                limited += 1;
            }
        }
    }
    assert_eq!(limited, 7);
}

/// Whoever took over `offer` can make the others send test messages, and nothing else: they see by which name they were
/// invoked (`crates/runtime/src/invocation.rs`), and an ARN with an alias allows no other.
#[test]
fn function_may_invoke_another_by_its_alias_for_tests_only() {
    let resources = resources();
    let mut invoked = BTreeSet::new();
    for (name, function) in of_type(&resources, "AWS::Serverless::Function") {
        for statement in statements_of(&resources, function) {
            if each(&statement["Action"]).any(|action| action.as_str().unwrap().starts_with("lambda:Invoke")) {
                assert_eq!(name, "OfferFunction");
                invoked.extend(each(&statement["Resource"]).map(|resource| resource.as_str().unwrap().to_owned()));
            }
        }
    }
    let function = "arn:${AWS::Partition}:lambda:${AWS::Region}:${AWS::AccountId}:function:${AWS::StackName}-";
    assert_eq!(invoked, ["email:test", "sms:test"].map(|name| format!("{function}{name}")).into());
    let aliases: BTreeSet<_> = of_type(&resources, "AWS::Lambda::Alias")
        .iter()
        .map(|(_, alias)| ["FunctionName", "Name", "FunctionVersion"].map(|property| alias[property].as_str().unwrap()))
        .collect();
    let expected = [["EmailFunction", "test", "$LATEST"], ["SmsFunction", "test", "$LATEST"]];
    assert_eq!(aliases, expected.into());
}

/// What an intrinsic function of CloudFormation returns, in a stack with this `AllowedSenders`.
fn evaluate(value: &Value, senders: &str) -> Value {
    let text = |value: &Value| evaluate(value, senders).as_str().unwrap().to_owned();
    let Value::Tagged(tagged) = value else { return value.clone() };
    match (tagged.tag.to_string().as_str(), &tagged.value) {
        ("!Ref", name) if name == "AllowedSenders" => senders.into(),
        ("!Split", arguments) => {
            let (separator, list) = (text(&arguments[0]), text(&arguments[1]));
            list.split(&separator).map(Value::from).collect()
        }
        ("!Join", arguments) => {
            let list = evaluate(&arguments[1], senders);
            let list: Vec<_> = list.as_sequence().unwrap().iter().map(text).collect();
            list.join(arguments[0].as_str().unwrap()).into()
        }
        ("!Sub", arguments) => arguments[0].as_str().unwrap().replace("${Each}", &text(&arguments[1]["Each"])).into(),
        (tag, _) => panic!("{tag} is not evaluated here"),
    }
}

#[test]
fn role_of_email_allows_the_senders_that_the_function_allows() {
    let template = tagged_template();
    let policies = &template["Resources"]["EmailRole"]["Properties"]["Policies"];
    let statements = policies[0]["PolicyDocument"]["Statement"].as_sequence().unwrap();
    let branches = statements.iter().filter_map(|statement| match statement {
        Value::Tagged(tagged) => tagged.value.as_sequence(),
        _ => None,
    });
    let sends = branches.map(|branches| &branches[1]).find(|statement| statement["Sid"] == "SendEmailViaSes").unwrap();
    let Value::Tagged(condition) = &sends["Condition"] else { panic!("{sends:?}") };
    assert_eq!(condition.value[0], "HasAllowedSenders");
    let patterns =
        evaluate(&condition.value[1]["StringLike"]["ses:FromAddress"], "offers@bank.example,news.bank.example");
    let patterns: Vec<_> =
        patterns.as_sequence().unwrap().iter().map(|pattern| like(pattern.as_str().unwrap())).collect();
    // As in the tests of `crates/domain/src/allowed.rs`.
    for (address, is_allowed) in [
        ("offers@bank.example", true),
        ("a@news.bank.example", true),
        ("a@x.news.bank.example", true),
        ("ceo@bank.example", false),
        ("Offers@bank.example", false),
        ("offers@x.bank.example", false),
        ("a@badnews.bank.example", false),
        ("news.bank.example@evil.example", false),
        ("a@news.bank.example.evil.example", false),
    ] {
        assert_eq!(patterns.iter().any(|pattern| pattern.is_match(address)), is_allowed, "{address}");
    }
}

/// A pattern of IAM (IAM User Guide, `StringLike`).
fn like(pattern: &str) -> Regex {
    Regex::new(&format!("^{}$", regex::escape(pattern).replace(r"\*", ".*").replace(r"\?", "."))).unwrap()
}

#[test]
fn only_alarms_of_the_account_are_published_to_the_topic_of_alarms() {
    let resources = resources();
    let policies = of_type(&resources, "AWS::SNS::TopicPolicy");
    let [(_, policy)] = policies.as_slice() else { panic!("{policies:?}") };
    assert_eq!(policy["Topics"][0], "AlarmTopic");
    let statements = policy["PolicyDocument"]["Statement"].as_sequence().unwrap();
    let [statement] = statements.as_slice() else { panic!("{statements:?}") };
    assert_eq!(statement["Principal"]["Service"], "cloudwatch.amazonaws.com");
    assert_eq!((&statement["Action"], &statement["Resource"]), (&"sns:Publish".into(), &"AlarmTopic".into()));
    assert_eq!(statement["Condition"]["StringEquals"]["aws:SourceAccount"], "AWS::AccountId");
}

/// `push` needs to know how many customers there are, and must not be able to read their attributes.
#[test]
fn push_counts_customers_and_reads_no_attribute() {
    let resources = resources();
    let of_customers = statements(&resources["PushRole"])
        .into_iter()
        .filter(|statement| format!("{:?}", statement["Resource"]).contains("CustomersTable"));
    let of_customers: Vec<_> = of_customers.collect();
    assert_eq!(of_customers.len(), 1);
    assert_eq!(of_customers[0]["Action"], "dynamodb:Scan");
    assert_eq!(of_customers[0]["Condition"]["StringEquals"]["dynamodb:Select"], "COUNT");
}
