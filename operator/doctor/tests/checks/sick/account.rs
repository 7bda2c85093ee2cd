//! The stack and the account.

use doctor::State::{Failed, Ok, Unknown, Warning};

use super::{Sick, WELL, answer, parameters, sick, stack};
use crate::replay::World;

pub(crate) const SICK: &[Sick] = &[
    sick(
        "stack",
        Warning,
        "UPDATE_ROLLBACK_COMPLETE",
        "the stack's events",
        stack(&[("UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE")]),
    ),
    sick("stack", Warning, "UPDATE_IN_PROGRESS", "wait", stack(&[("UPDATE_COMPLETE", "UPDATE_IN_PROGRESS")])),
    sick(
        "stack",
        Failed,
        "UPDATE_ROLLBACK_FAILED",
        "continue-update-rollback --stack-name offers",
        stack(&[("UPDATE_COMPLETE", "UPDATE_ROLLBACK_FAILED")]),
    ),
    sick("stack", Failed, "ROLLBACK_COMPLETE", "deploy again", stack(&[("UPDATE_COMPLETE", "ROLLBACK_COMPLETE")])),
    sick(
        "sending enabled",
        Warning,
        "wait in their queues",
        "SendingEnabled=true",
        parameters(&[("SendingEnabled", "false")]),
    ),
    sick("sending enabled", Unknown, "no parameter", "Offercast", stack(&[("SendingEnabled", "SomethingElse")])),
    sick(
        "public URL",
        Failed,
        "https://offers.bank.example/health returns 404",
        "PublicUrl",
        World { health: 404, ..WELL },
    ),
    sick("public URL", Unknown, "no output ApiUrl", "Offercast", stack(&[("ApiUrl", "OtherUrl")])),
    sick(
        "Lambda concurrency",
        Failed,
        "allows 10 invocations at a time, and the stack's queues use up to 35",
        "L-B99A9384",
        answer(&[("lambda:GetAccountSettings", 200, "lambda-GetAccountSettings-new")]),
    ),
    sick(
        "Lambda concurrency",
        Warning,
        "5 are left",
        "L-B99A9384",
        answer(&[("lambda:GetAccountSettings", 200, "lambda-GetAccountSettings-tight")]),
    ),
    sick(
        "Lambda concurrency",
        Warning,
        "2 are left",
        "L-B99A9384",
        World {
            answers: &[("lambda:GetAccountSettings", 200, "lambda-GetAccountSettings-new")],
            parameters: &[
                ("AudienceConcurrency", "2"),
                ("EmailConcurrency", "2"),
                ("SmsConcurrency", "2"),
                ("FeedbackConcurrency", "2"),
            ],
            ..WELL
        },
    ),
    sick(
        "Lambda concurrency",
        Unknown,
        "no parameters for its concurrency",
        "this release",
        stack(&[("EmailConcurrency", "OtherConcurrency")]),
    ),
    sick(
        "alarms",
        Failed,
        "has no subscriber",
        "aws sns subscribe --topic-arn arn:aws:sns:",
        answer(&[("sns:ListSubscriptionsByTopic", 200, "sns-ListSubscriptionsByTopic-none")]),
    ),
    sick(
        "alarms",
        Failed,
        "no subscription to their topic is confirmed",
        "open the link",
        answer(&[("sns:ListSubscriptionsByTopic", 200, "sns-ListSubscriptionsByTopic-pending")]),
    ),
    sick("alarms", Warning, "the stack has none", "Alarms=true", stack(&[("AlarmTopicArn", "OtherTopicArn")])),
    sick(
        "KMS key",
        Failed,
        "is Disabled",
        "aws kms enable-key",
        answer(&[("kms:DescribeKey", 200, "kms-DescribeKey-disabled")]),
    ),
    sick("KMS key", Failed, "does not exist", "KmsKeyArn", answer(&[("kms:DescribeKey", 400, "kms-404")])),
    sick(
        "KMS key policy",
        Failed,
        "logs.eu-west-1.amazonaws.com (kms:Encrypt",
        "Your own KMS key",
        answer(&[("kms:GetKeyPolicy", 200, "kms-GetKeyPolicy-default")]),
    ),
    sick(
        "KMS key policy",
        Failed,
        "does not allow cloudwatch.amazonaws.com (kms:Decrypt, kms:GenerateDataKey)",
        "Your own KMS key",
        answer(&[("kms:GetKeyPolicy", 200, "kms-GetKeyPolicy-alarms")]),
    ),
    sick(
        "KMS key policy",
        Ok,
        "names the services",
        "",
        World {
            answers: &[("kms:GetKeyPolicy", 200, "kms-GetKeyPolicy-alarms")],
            stack: &[("AlarmTopicArn", "OtherTopicArn")],
            ..WELL
        },
    ),
    sick(
        "KMS key policy",
        Failed,
        "does not allow s3.amazonaws.com (kms:Decrypt, kms:GenerateDataKey); ses.amazonaws.com",
        "Your own KMS key",
        answer(&[("kms:GetKeyPolicy", 200, "kms-GetKeyPolicy-bouncemail")]),
    ),
];
