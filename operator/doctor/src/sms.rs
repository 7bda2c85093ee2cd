//! Text messages through SNS.

use std::collections::HashMap;

use serde_json::Value;

use crate::finding::{Answer, Finding, Unread, read};
use crate::policy::allows;
use crate::stack::Stack;

/// SNS's attributes of the account for text messages, by name.
pub(crate) type Attributes = HashMap<String, String>;

/// The monthly limit of a new account, in USD (SNS developer guide, "Requesting increases to your monthly SMS spending quota").
const FIRST_LIMIT: f64 = 1.0;

pub(crate) fn sandbox(answer: &Answer<bool>) -> Finding {
    const CHECK: &str = "SMS sandbox";
    match read(CHECK, answer) {
        Ok(false) => Finding::ok(CHECK, "the account is out of the sandbox"),
        Ok(true) => Finding::failed(
            CHECK,
            "the account is in the sandbox: only verified numbers get text messages, and the others are dropped",
            "ask AWS to move it out: SNS, Text messaging, Exit SMS sandbox",
        ),
        Err(finding) => finding,
    }
}

pub(crate) fn spending(answer: &Answer<Attributes>) -> Finding {
    const CHECK: &str = "SMS spending limit";
    let attributes = match read(CHECK, answer) {
        Ok(attributes) => attributes,
        Err(finding) => return finding,
    };
    let Some(limit) = attributes.get("MonthlySpendLimit").and_then(|limit| limit.parse::<f64>().ok()) else {
        return Finding::unknown(
            CHECK,
            "not set, so it is the account's quota, at first 1 USD a month; SNS drops what goes beyond",
            "look it up (SNS, Text messaging), and set it: aws sns set-sms-attributes --attributes MonthlySpendLimit=USD",
        );
    };
    if limit > FIRST_LIMIT {
        return Finding::ok(CHECK, format!("{limit} USD a month; SNS drops what goes beyond"));
    }
    Finding::failed(
        CHECK,
        format!("{limit} USD a month, a few texts: SNS accepts the others and drops them"),
        "ask AWS for a higher quota (Service Quotas, SNS), then aws sns set-sms-attributes --attributes MonthlySpendLimit=USD",
    )
}

pub(crate) fn sender(stack: &Stack, answer: &Answer<Attributes>) -> Finding {
    const CHECK: &str = "SMS sender";
    let own = stack.parameter("SmsSenderId");
    if !own.is_empty() {
        return Finding::ok(CHECK, format!("texts come from {own}, in countries that allow a name"));
    }
    match read(CHECK, answer).map(|attributes| attributes.get("DefaultSenderID").filter(|id| !id.is_empty())) {
        Ok(Some(default)) => Finding::ok(CHECK, format!("texts come from {default}, the account's default")),
        Ok(None) => Finding::warning(
            CHECK,
            "neither the stack nor the account has a sender name: texts come from a number of the account or of AWS",
            "deploy with SmsSenderId, after registering it where the country requires that",
        ),
        Err(finding) => finding,
    }
}

pub(crate) fn delivery_log(stack: &Stack, answer: &Answer<Attributes>) -> Finding {
    const CHECK: &str = "SMS delivery log";
    let on = match read(CHECK, answer) {
        Ok(attributes) => attributes.get("DeliveryStatusIAMRole").is_some_and(|role| !role.is_empty()),
        Err(finding) => return finding,
    };
    let switch_on = "switch it on (SNS, Text messaging, Delivery status logging)";
    match (on, stack.parameter("SmsDeliveryLogs") == "true") {
        (true, true) => Finding::ok(CHECK, "SNS writes it, and the stack reads it"),
        (true, false) => Finding::warning(
            CHECK,
            "SNS writes it, but the stack does not read it",
            "deploy with SmsDeliveryLogs=true once the log has an entry",
        ),
        (false, true) => Finding::failed(
            CHECK,
            "SNS writes none: numbers that opted out or do not exist are never suppressed",
            switch_on,
        ),
        (false, false) => Finding::warning(
            CHECK,
            "SNS writes none: nothing shows which texts it drops",
            format!("{switch_on}, then deploy with SmsDeliveryLogs=true"),
        ),
    }
}

/// The ARN of the opt-out list that SNS uses.
pub(crate) fn opt_out_list(stack: &Stack) -> String {
    format!("arn:{}:sms-voice:{}:{}:opt-out-list/Default", stack.partition, stack.region, stack.account)
}

/// Whether SNS may look into the account's opt-out list. The list has no policy at first (SNS developer guide, "Getting started
/// with Amazon SNS SMS access management").
pub(crate) fn opt_outs(stack: &Stack, answer: &Answer<Option<String>>) -> Finding {
    const CHECK: &str = "SMS opt-out list";
    if stack.parameter("CheckSmsOptOuts") != "true" {
        return Finding::skipped(CHECK, "CheckSmsOptOuts is false");
    }
    let policy = match answer {
        Err(Unread::Missing) => None,
        _ => match read(CHECK, answer) {
            Ok(policy) => policy.as_deref(),
            Err(finding) => return finding,
        },
    };
    let policy: Value = policy.and_then(|policy| serde_json::from_str(policy).ok()).unwrap_or_default();
    if allows(&policy, "sns.amazonaws.com", "sms-voice:DescribeOptedOutNumbers") {
        return Finding::ok(CHECK, "its policy lets SNS look a number up");
    }
    Finding::warning(
        CHECK,
        "its policy does not name SNS: perhaps it is not known who opted out, and such texts are recorded as sent",
        format!(
            "try aws sns check-if-phone-number-is-opted-out --phone-number NUMBER; if that is refused, aws pinpoint-sms-voice-v2 \
             put-resource-policy --resource-arn {} with a policy that allows sns.amazonaws.com sms-voice:DescribeOptedOutNumbers",
            opt_out_list(stack)
        ),
    )
}
