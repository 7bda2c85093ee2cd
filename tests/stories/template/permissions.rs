//! Each function may do what it needs, to the resources it needs.

use std::collections::BTreeSet;

use serde_yaml_ng::Value;

use super::{each, events, named, of_type, resources, statements, statements_of};

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
        for action in ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"] {
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
