//! Text messages.

use doctor::State::{Failed, Ok, Unknown, Warning};

use super::{Sick, WELL, answer, parameters, sick};
use crate::replay::World;

pub(crate) const SICK: &[Sick] = &[
    sick(
        "SMS sandbox",
        Failed,
        "in the sandbox",
        "Exit SMS sandbox",
        answer(&[("sns:GetSMSSandboxAccountStatus", 200, "sns-GetSMSSandboxAccountStatus-sandbox")]),
    ),
    sick(
        "SMS spending limit",
        Failed,
        "1 USD a month",
        "MonthlySpendLimit=USD",
        answer(&[("sns:GetSMSAttributes", 200, "sns-GetSMSAttributes-dollar")]),
    ),
    sick(
        "SMS spending limit",
        Unknown,
        "not set",
        "MonthlySpendLimit=USD",
        answer(&[("sns:GetSMSAttributes", 200, "sns-GetSMSAttributes-new")]),
    ),
    sick(
        "SMS spending limit",
        Unknown,
        "may not read it",
        "allow the action sms-voice:DescribeSpendLimits",
        answer(&[("sns:GetSMSAttributes", 403, "sns-denied-underneath")]),
    ),
    sick(
        "SMS sender",
        Warning,
        "neither the stack nor the account",
        "SmsSenderId",
        World {
            answers: &[("sns:GetSMSAttributes", 200, "sns-GetSMSAttributes-new")],
            parameters: &[("SmsSenderId", "")],
            ..WELL
        },
    ),
    sick("SMS sender", Ok, "the account's default", "", parameters(&[("SmsSenderId", "")])),
    sick(
        "SMS delivery log",
        Failed,
        "SNS writes none",
        "Delivery status logging",
        answer(&[("sns:GetSMSAttributes", 200, "sns-GetSMSAttributes-new")]),
    ),
    sick(
        "SMS delivery log",
        Warning,
        "does not read it",
        "SmsDeliveryLogs=true",
        parameters(&[("SmsDeliveryLogs", "false")]),
    ),
    sick(
        "SMS delivery log",
        Warning,
        "nothing shows which texts it drops",
        "SmsDeliveryLogs=true",
        World {
            answers: &[("sns:GetSMSAttributes", 200, "sns-GetSMSAttributes-new")],
            parameters: &[("SmsDeliveryLogs", "false")],
            ..WELL
        },
    ),
    sick(
        "SMS opt-out list",
        Warning,
        "does not name SNS",
        "opt-out-list/Default",
        answer(&[("sms-voice:GetResourcePolicy", 200, "sms-voice-GetResourcePolicy-none")]),
    ),
    sick(
        "SMS opt-out list",
        Warning,
        "does not name SNS",
        "opt-out-list/Default",
        answer(&[("sms-voice:GetResourcePolicy", 200, "sms-voice-GetResourcePolicy-other")]),
    ),
    sick(
        "SMS opt-out list",
        Warning,
        "does not name SNS",
        "arn:aws:sms-voice:eu-west-1:123456789012:opt-out-list/Default",
        answer(&[("sms-voice:GetResourcePolicy", 400, "sms-voice-404")]),
    ),
];
