//! Each check finds a healthy account healthy and a sick one sick, from recorded answers of AWS.

#![allow(clippy::unwrap_used, reason = "a test that cannot continue has failed")]

mod nameserver;
mod replay;
mod sick;

use std::collections::BTreeSet;
use std::fs;

use doctor::{ACTIONS, Channel, Finding, State, examine};
use replay::{Replay, World};
use sick::Sick;

const BOTH: &[Channel] = &[Channel::Email, Channel::Sms];

async fn findings(world: World, channels: &[Channel]) -> Vec<Finding> {
    examine(&Replay::new(world).aws().await, "offers", channels).await.unwrap()
}

#[tokio::test]
async fn a_healthy_account_passes_every_check() {
    let findings = findings(World::default(), BOTH).await;
    for finding in &findings {
        assert_eq!(finding.state, State::Ok, "{finding:?}");
    }
    let checks: BTreeSet<&str> = findings.iter().map(|finding| finding.check).collect();
    let sick: BTreeSet<&str> = sick::all().map(|sick| sick.check).collect();
    assert_eq!(checks.len(), findings.len(), "each check is made once");
    assert_eq!(checks.difference(&sick).count(), 0, "each check has a sick answer: {:?}", checks.difference(&sick));
}

#[tokio::test]
async fn a_sick_account_fails_the_check_and_says_what_to_do() {
    for Sick { check, state, says, does, world } in sick::all() {
        let findings = findings(*world, BOTH).await;
        let finding = findings.iter().find(|finding| finding.check == *check);
        let finding = finding.unwrap_or_else(|| panic!("{check} is not checked: {world:?}"));
        assert_eq!(finding.state, *state, "{finding:?}");
        assert!(finding.what.contains(says), "{finding:?} does not say {says}");
        assert!(finding.remedy.contains(does), "{finding:?} does not advise {does}");
    }
}

#[tokio::test]
async fn nothing_but_reads_is_asked_of_aws_and_each_action_of_the_policy_is_used() {
    let replay = Replay::new(World::default());
    examine(&replay.aws().await, "offers", BOTH).await.unwrap();
    let asked = replay.asked();
    let (actions, urls): (BTreeSet<&str>, Vec<&str>) = (
        asked.iter().map(String::as_str).filter(|asked| asked.contains(':') && !asked.contains(' ')).collect(),
        asked.iter().map(String::as_str).filter(|asked| asked.contains(' ')).collect(),
    );
    assert_eq!(urls, ["GET https://offers.bank.example/health"]);
    assert_eq!(actions, BTreeSet::from(ACTIONS));
    for action in ACTIONS {
        let (_, operation) = action.split_once(':').unwrap();
        let reads = ["Get", "List", "Describe", "Check"].iter().any(|verb| operation.starts_with(verb));
        assert!(reads, "{action} does not read");
    }
}

#[tokio::test]
async fn a_permission_that_is_missing_is_named_and_stops_no_other_check() {
    const DENIED: &[(&str, u16, &str)] = &[
        ("cloudformation:DescribeStackResource", 403, "cloudformation-denied"),
        ("sns:GetSMSAttributes", 403, "sns-denied"),
        ("sns:GetSMSSandboxAccountStatus", 403, "sns-denied"),
        ("sns:ListSubscriptionsByTopic", 403, "sns-denied"),
        ("*", 403, "denied"),
    ];
    let own = ["stack", "sending enabled", "public URL", "SPF (SMTP)", "DMARC", "SMS sender"];
    let findings = findings(World { answers: DENIED, ..World::default() }, BOTH).await;
    for Finding { check, state, remedy, .. } in &findings {
        if own.contains(check) {
            assert_eq!(*state, State::Ok, "{check}");
        } else {
            assert_eq!(*state, State::Unknown, "{check}");
            let action = remedy.strip_prefix("allow the action ");
            assert!(action.is_some_and(|action| ACTIONS.contains(&action)), "{check}: {remedy}");
        }
    }
}

#[tokio::test]
async fn a_service_that_is_unavailable_leaves_its_checks_unknown() {
    let world = World { answers: &[("ses:GetAccount", 500, "unavailable")], ..World::default() };
    let findings = findings(world, BOTH).await;
    let unknown: Vec<&str> =
        findings.iter().filter(|f| f.state == State::Unknown).map(|finding| finding.check).collect();
    assert_eq!(unknown, ["SES account", "SES sandbox", "SES rate", "SES daily quota"]);
}

#[tokio::test]
async fn what_the_stack_does_not_use_is_skipped() {
    let parameters = &[("FallbackEmailTransport", "none"), ("KmsKeyArn", ""), ("CheckSmsOptOuts", "false")];
    let skipped = |findings: Vec<Finding>| -> Vec<&str> {
        findings.iter().filter(|finding| finding.state == State::Skipped).map(|finding| finding.check).collect()
    };
    let ses = World { parameters, ..World::default() };
    assert_eq!(skipped(findings(ses, BOTH).await), ["KMS key", "SMTP server", "SMS opt-out list"]);
    let parameters = &[("EmailTransport", "smtp")];
    assert_eq!(skipped(findings(World { parameters, ..World::default() }, BOTH).await), ["SES"]);
    let of = |findings: &[Finding], prefix: &str| findings.iter().any(|finding| finding.check.starts_with(prefix));
    let email = findings(World::default(), &[Channel::Email]).await;
    assert!(of(&email, "SES") && !of(&email, "SMS"));
    let sms = findings(World::default(), &[Channel::Sms]).await;
    assert!(of(&sms, "SMS") && !of(&sms, "SES"));
}

#[tokio::test]
async fn a_stack_that_cannot_be_read_is_an_error() {
    for (answers, says) in [
        (&[("cloudformation:DescribeStacks", 400, "cloudformation-nostack")], "does not exist"),
        (&[("cloudformation:DescribeStacks", 403, "cloudformation-denied")], "perform: cloudformation:DescribeStacks"),
    ] {
        let replay = Replay::new(World { answers, ..World::default() });
        let error = examine(&replay.aws().await, "offers", BOTH).await.unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

#[tokio::test]
async fn the_password_of_the_smtp_server_is_never_shown() {
    for Sick { world, .. } in sick::all() {
        let text = doctor::render(&findings(*world, BOTH).await, false);
        assert!(!text.contains("s3cret-word") && !text.contains("changed by hand"), "{text}");
    }
}

#[test]
fn the_policy_in_the_guide_allows_exactly_what_is_read() {
    let guide = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operations.md")).unwrap();
    let (_, policy) = guide.split_once("<!-- doctor's policy -->").unwrap();
    let policy = policy.split("\n\n").nth(1).unwrap();
    let policy: serde_json::Value = serde_json::from_str(policy).unwrap();
    let mut allowed = BTreeSet::new();
    for statement in policy["Statement"].as_array().unwrap() {
        assert_eq!(statement["Effect"], "Allow");
        // SNS asks its sibling with the caller's permissions; nothing is asked there directly.
        if statement["Condition"]["StringEquals"]["aws:CalledViaLast"] == "sns.amazonaws.com" {
            continue;
        }
        for action in statement["Action"].as_array().unwrap() {
            assert!(allowed.insert(action.as_str().unwrap().to_owned()), "{action} is there twice");
        }
    }
    assert_eq!(allowed, ACTIONS.iter().map(ToString::to_string).collect());
}

#[test]
fn parameters_outputs_and_resources_have_the_names_of_the_template() {
    let template = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../template.yaml")).unwrap();
    let stack = include_str!("../answers/healthy/cloudformation-DescribeStacks.xml");
    let resource = include_str!("../answers/healthy/cloudformation-DescribeStackResource.xml");
    let names = |text: &'static str, element: &str| -> Vec<&'static str> {
        let before = format!("<{element}>");
        text.split(&before).skip(1).map(|rest| rest.split_once('<').unwrap().0).collect()
    };
    let mut all = names(stack, "ParameterKey");
    all.extend(names(stack, "OutputKey"));
    all.extend(names(resource, "LogicalResourceId"));
    assert!(all.len() > 20, "{all:?}");
    for name in all {
        assert!(template.contains(&format!("\n  {name}:")), "the template has no {name}");
    }
}
