//! The account: Lambda's concurrency, who hears alarms, the KMS key.

use aws_sdk_kms::types::{KeyMetadata, KeyState};
use aws_sdk_lambda::types::AccountLimit;
use aws_sdk_sns::types::Subscription;
use serde_json::Value;

use crate::finding::{Answer, Finding, Unread, read};
use crate::policy::allows;
use crate::stack::Stack;

/// The parameters that say how many invocations the queues may cause at a time.
const CONCURRENCY: [&str; 4] = ["AudienceConcurrency", "EmailConcurrency", "SmsConcurrency", "FeedbackConcurrency"];
/// Invocations at a time that the API, the streams and the sweep should find free.
const MARGIN: i64 = 10;

/// Whether Lambda runs as many invocations at a time as the queues may cause. It throttles the others, and a message that was
/// throttled five times is a dead letter.
pub(crate) fn concurrency(stack: &Stack, answer: &Answer<AccountLimit>) -> Finding {
    const CHECK: &str = "Lambda concurrency";
    let limit = match read(CHECK, answer) {
        Ok(limit) => limit,
        Err(finding) => return finding,
    };
    let wanted: Vec<u32> = CONCURRENCY.iter().filter_map(|parameter| stack.number(parameter)).collect();
    if wanted.len() < CONCURRENCY.len() {
        return Finding::unknown(
            CHECK,
            format!(
                "the account allows {}; the stack has no parameters for its concurrency",
                limit.concurrent_executions()
            ),
            "deploy this release",
        );
    }
    let wanted: i64 = wanted.into_iter().map(i64::from).sum();
    // What the stack and others reserve is no longer in it.
    let free = i64::from(limit.unreserved_concurrent_executions().unwrap_or(limit.concurrent_executions()));
    let what = format!("the account allows {free} invocations at a time, and the stack's queues use up to {wanted}");
    let raise = "aws service-quotas request-service-quota-increase --service-code lambda --quota-code L-B99A9384 --desired-value 1000";
    match free - wanted {
        ..0 => Finding::failed(
            CHECK,
            format!("{what}: messages may become dead letters"),
            format!("lower {}; or {raise}", CONCURRENCY.join(", ")),
        ),
        left @ 0..MARGIN => {
            Finding::warning(CHECK, format!("{what}: {left} are left for the API and the sweep"), raise)
        }
        _ => Finding::ok(CHECK, what),
    }
}

/// Whether a person hears the alarms.
pub(crate) fn alarms(stack: &Stack, answer: &Answer<Vec<Subscription>>) -> Finding {
    const CHECK: &str = "alarms";
    let Some(topic) = alarm_topic(stack) else {
        return Finding::warning(CHECK, "the stack has none: dead letters go unnoticed", "deploy with Alarms=true");
    };
    let subscriptions = match read(CHECK, answer) {
        Ok(subscriptions) => subscriptions,
        Err(finding) => return finding,
    };
    // Others say "PendingConfirmation" or "Deleted" (SNS API, Subscription).
    let confirmed =
        |subscription: &&Subscription| subscription.subscription_arn().is_some_and(|arn| arn.starts_with("arn:"));
    let (confirmed, all) = (subscriptions.iter().filter(confirmed).count(), subscriptions.len());
    if confirmed > 0 {
        return Finding::ok(CHECK, format!("{confirmed} of {all} subscriptions are confirmed"));
    }
    let subscribe = format!("aws sns subscribe --topic-arn {topic} --protocol email --notification-endpoint ADDRESS");
    let (what, remedy) = match all {
        0 => ("their topic has no subscriber", subscribe),
        _ => (
            "no subscription to their topic is confirmed",
            format!("open the link that AWS mailed to each subscriber; or {subscribe}"),
        ),
    };
    Finding::failed(CHECK, what, remedy)
}

pub(crate) fn alarm_topic(stack: &Stack) -> Option<&str> {
    stack.output("AlarmTopicArn")
}

/// The key in `KmsKeyArn`, if there is one.
pub(crate) fn key_arn(stack: &Stack) -> Option<&str> {
    Some(stack.parameter("KmsKeyArn")).filter(|arn| !arn.is_empty())
}

pub(crate) fn key(arn: &str, answer: &Answer<KeyMetadata>) -> Finding {
    const CHECK: &str = "KMS key";
    if answer == &Err(Unread::Missing) {
        return Finding::failed(CHECK, format!("{arn} does not exist"), "deploy with a KmsKeyArn that does");
    }
    match read(CHECK, answer) {
        Ok(key) if key.key_state() == Some(&KeyState::Enabled) => Finding::ok(CHECK, format!("{arn} is enabled")),
        Ok(key) => Finding::failed(
            CHECK,
            format!(
                "{arn} is {}: tables and queues cannot be read",
                key.key_state().map_or("in no known state", KeyState::as_str)
            ),
            format!(
                "aws kms cancel-key-deletion --key-id {arn}, if it is pending; then aws kms enable-key --key-id {arn}"
            ),
        ),
        Err(finding) => finding,
    }
}

/// What AWS's own services need of the key, by the policy in docs/operations.md, "Your own KMS key".
fn needs(stack: &Stack) -> Vec<(String, &'static [&'static str])> {
    const ENCRYPTED: &[&str] = &["kms:Decrypt", "kms:GenerateDataKey"];
    let suffix = if stack.partition == "aws-cn" { "amazonaws.com.cn" } else { "amazonaws.com" };
    let logs = format!("logs.{}.{suffix}", stack.region);
    let mut needs: Vec<(String, &'static [&'static str])> = vec![
        (logs, &["kms:Encrypt", "kms:Decrypt", "kms:ReEncryptFrom", "kms:GenerateDataKey", "kms:DescribeKey"]),
        (
            "events.amazonaws.com".to_owned(),
            &["kms:DescribeKey", "kms:GenerateDataKey", "kms:Decrypt", "kms:ReEncryptFrom"],
        ),
    ];
    if alarm_topic(stack).is_some() {
        needs.push(("cloudwatch.amazonaws.com".to_owned(), ENCRYPTED));
    }
    if !stack.parameter("ReturnPath").is_empty() {
        needs.push(("s3.amazonaws.com".to_owned(), ENCRYPTED));
        needs.push(("ses.amazonaws.com".to_owned(), ENCRYPTED));
    }
    needs
}

pub(crate) fn key_policy(stack: &Stack, answer: &Answer<String>) -> Finding {
    const CHECK: &str = "KMS key policy";
    let policy: Value = match read(CHECK, answer) {
        Ok(policy) => serde_json::from_str(policy).unwrap_or_default(),
        Err(finding) => return finding,
    };
    let missing = |(service, actions): (String, &'static [&'static str])| {
        let missing: Vec<&str> = actions.iter().copied().filter(|action| !allows(&policy, &service, action)).collect();
        (!missing.is_empty()).then(|| format!("{service} ({})", missing.join(", ")))
    };
    let missing: Vec<String> = needs(stack).into_iter().filter_map(missing).collect();
    if missing.is_empty() {
        Finding::ok(CHECK, "it names the services that the stack needs; its conditions are not checked")
    } else {
        Finding::failed(
            CHECK,
            format!("it does not allow {}", missing.join("; ")),
            "aws kms put-key-policy with the policy in docs/operations.md, Your own KMS key",
        )
    }
}
