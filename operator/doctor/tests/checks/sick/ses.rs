//! SES.

use doctor::State::{Failed, Ok, Warning};

use super::{Sick, answer, parameters, sick};

pub(crate) const SICK: &[Sick] = &[
    sick(
        "SES account",
        Failed,
        "SHUTDOWN",
        "Support Center",
        answer(&[("ses:GetAccount", 200, "ses-GetAccount-paused")]),
    ),
    sick(
        "SES account",
        Warning,
        "PROBATION",
        "Support Center",
        answer(&[("ses:GetAccount", 200, "ses-GetAccount-probation")]),
    ),
    sick(
        "SES sandbox",
        Failed,
        "in the sandbox",
        "put-account-details",
        answer(&[("ses:GetAccount", 200, "ses-GetAccount-new")]),
    ),
    sick(
        "SES rate",
        Warning,
        "EmailRatePerSecond is 50 a second, and SES allows 1",
        "EmailRatePerSecond=1,",
        answer(&[("ses:GetAccount", 200, "ses-GetAccount-new")]),
    ),
    sick(
        "SES rate",
        Warning,
        "FallbackEmailRatePerSecond is 100 a second, and SES allows 80",
        "FallbackEmailRatePerSecond=80,",
        parameters(&[
            ("EmailTransport", "smtp"),
            ("FallbackEmailTransport", "ses"),
            ("FallbackEmailRatePerSecond", "100"),
        ]),
    ),
    sick(
        "SES daily quota",
        Warning,
        "200 of 200 e-mails in 24 hours are left: 0 minutes",
        "a higher quota",
        answer(&[("ses:GetAccount", 200, "ses-GetAccount-new")]),
    ),
    sick(
        "SES daily quota",
        Warning,
        "1000 of 50000",
        "a higher quota",
        answer(&[("ses:GetAccount", 200, "ses-GetAccount-usedup")]),
    ),
    sick("SES daily quota", Ok, "unlimited", "", answer(&[("ses:GetAccount", 200, "ses-GetAccount-unlimited")])),
    sick(
        "sender identity",
        Failed,
        "knows neither offers@news.bank.example nor its domain",
        "create-email-identity --email-identity news.bank.example",
        answer(&[("ses:GetEmailIdentity", 404, "ses-404")]),
    ),
    sick(
        "sender identity",
        Failed,
        "is not verified",
        "DkimAttributes.Tokens",
        answer(&[("ses:GetEmailIdentity", 200, "ses-GetEmailIdentity-pending")]),
    ),
    sick(
        "DKIM",
        Failed,
        "its keys are PENDING",
        "publish its three DKIM records",
        answer(&[("ses:GetEmailIdentity", 200, "ses-GetEmailIdentity-pending")]),
    ),
    sick(
        "DKIM",
        Failed,
        "are not signed",
        "--signing-enabled",
        answer(&[("ses:GetEmailIdentity", 200, "ses-GetEmailIdentity-unsigned")]),
    ),
    sick(
        "feedback forwarding",
        Warning,
        "each bounce and complaint",
        "--no-email-forwarding-enabled",
        answer(&[("ses:GetEmailIdentity", 200, "ses-GetEmailIdentity-forwarding")]),
    ),
    sick(
        "configuration set",
        Failed,
        "offers does not exist",
        "deploy",
        answer(&[("ses:GetConfigurationSet", 404, "ses-404")]),
    ),
    sick(
        "configuration set",
        Failed,
        "sending is paused",
        "put-configuration-set-sending-options",
        answer(&[("ses:GetConfigurationSet", 200, "ses-GetConfigurationSet-paused")]),
    ),
    sick(
        "configuration set",
        Warning,
        "bounces and complaints",
        "--suppressed-reasons BOUNCE COMPLAINT",
        answer(&[("ses:GetConfigurationSet", 200, "ses-GetConfigurationSet-bounces")]),
    ),
    sick(
        "SES events",
        Failed,
        "BOUNCE, COMPLAINT, REJECT",
        "deploy",
        answer(&[("ses:GetConfigurationSetEventDestinations", 200, "ses-GetConfigurationSetEventDestinations-none")]),
    ),
    sick(
        "SES events",
        Failed,
        "BOUNCE, COMPLAINT, REJECT",
        "deploy",
        answer(&[(
            "ses:GetConfigurationSetEventDestinations",
            200,
            "ses-GetConfigurationSetEventDestinations-disabled",
        )]),
    ),
    sick(
        "SES events",
        Failed,
        "EventBridge: COMPLAINT",
        "deploy",
        answer(&[(
            "ses:GetConfigurationSetEventDestinations",
            200,
            "ses-GetConfigurationSetEventDestinations-complaints",
        )]),
    ),
    sick(
        "SES events",
        Failed,
        "does not exist",
        "deploy",
        answer(&[("ses:GetConfigurationSetEventDestinations", 404, "ses-404")]),
    ),
];
