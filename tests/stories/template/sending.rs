//! SES, the VPC of `email`, concurrency and retries: what only AWS would show.

use super::{each, events, named, of_type, resources, statements_of, template};

#[test]
fn feedback_on_mail_that_ses_sent_is_read_whatever_the_transport_is_now() {
    let resources = resources();
    for name in ["SesConfigurationSet", "SesEvents", "FeedbackRule", "FeedbackQueuePolicy"] {
        assert!(resources[name]["Condition"].is_null(), "{name}: complaints come for weeks");
    }
    let suppressed = &resources["SesConfigurationSet"]["Properties"]["SuppressionOptions"]["SuppressedReasons"];
    let suppressed: Vec<_> = each(suppressed).map(|reason| reason.as_str().unwrap()).collect();
    assert_eq!(suppressed, ["BOUNCE", "COMPLAINT"]);
}

#[test]
fn email_alone_runs_in_the_vpc_and_knows_it() {
    let resources = resources();
    for (name, function) in of_type(&resources, "AWS::Serverless::Function") {
        let in_vpc = &function["VpcConfig"];
        assert_eq!(in_vpc.is_null(), name != "EmailFunction", "{name}");
        let mut attaching = statements_of(&resources, function)
            .into_iter()
            .filter(|statement| each(&statement["Action"]).any(|action| action.as_str().unwrap().starts_with("ec2:")));
        if in_vpc.is_null() {
            assert!(attaching.next().is_none(), "{name}");
            continue;
        }
        assert_eq!(in_vpc[0], "IsInVpc", "{name}");
        assert_eq!(function["Environment"]["Variables"]["VPC_SUBNET_IDS"], "VpcSubnetIds");
        assert!(attaching.next().is_some_and(|statement| statement["Effect"] == "Allow"), "{name}");
        // Lambda developer guide: the function's code has its role's permissions, and needs none of these.
        let denied = attaching.next().unwrap();
        assert!(denied["Effect"] == "Deny" && denied["Action"] == "ec2:*", "{name}");
        let code = denied["Condition"]["ArnEquals"]["lambda:SourceFunctionArn"].as_str().unwrap();
        assert!(code.ends_with(&format!(":{}", function["FunctionName"].as_str().unwrap())), "{name}");
    }
    assert!(!template()["Rules"]["VpcIsWhole"].is_null(), "subnets and security groups go together");
}

/// A new account runs ten invocations at a time. Above that Lambda throttles its own pollers, and SQS counts each message
/// that they give back as received: good batches would become dead letters.
#[test]
fn a_new_account_can_run_all_event_sources_at_once_and_the_api() {
    const NEW_ACCOUNT: u64 = 10;
    let (resources, template) = (resources(), template());
    let mut used = 0;
    for (name, _, event) in events(&resources, "SQS") {
        let parameter = &template["Parameters"][event["ScalingConfig"]["MaximumConcurrency"].as_str().unwrap()];
        assert_eq!(parameter["MinValue"].as_u64(), Some(2), "{name}: Lambda accepts no less");
        used += parameter["Default"].as_u64().unwrap();
    }
    assert!(used + 2 <= NEW_ACCOUNT, "{used} of {NEW_ACCOUNT}: push and the API need some");
    for (name, function) in of_type(&resources, "AWS::Serverless::Function") {
        // It would leave the account less than the 100 that Lambda keeps back, so a new account refuses any.
        if let Some(reserved) = function["ReservedConcurrentExecutions"].as_sequence() {
            let parameter = reserved[1].as_str().unwrap();
            assert_eq!(template["Parameters"][parameter]["Default"].as_u64(), Some(0), "{name}");
            assert_eq!(reserved[2], "AWS::NoValue", "{name}: 0 would stop the function");
        }
    }
}

#[test]
fn sweeps_that_fail_do_not_pile_up_and_sns_log_lines_are_retried() {
    let resources = resources();
    let push = &resources["PushFunction"]["Properties"]["EventInvokeConfig"];
    assert_eq!(push["MaximumRetryAttempts"].as_u64(), Some(0), "the next sweep comes in a minute");
    assert_eq!(push["MaximumEventAgeInSeconds"].as_u64(), Some(60));
    // CloudWatch Logs invokes it asynchronously too. Without retries, a number that opted out would be lost.
    assert_eq!(named(&resources["SmsDeliveryLogsFilter"]["Properties"]["DestinationArn"]), "FeedbackFunction");
    assert!(resources["FeedbackFunction"]["Properties"]["EventInvokeConfig"].is_null());
}

#[test]
fn code_can_be_signed() {
    let resources = resources();
    for (name, function) in of_type(&resources, "AWS::Serverless::Function") {
        assert_eq!(function["CodeSigningConfigArn"][1], "CodeSigningConfigArn", "{name}");
    }
}
