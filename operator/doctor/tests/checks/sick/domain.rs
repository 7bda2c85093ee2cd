//! The domain, and the SMTP server.

use doctor::State::{Failed, Ok, Unknown, Warning};

use super::{Sick, WELL, answer, records, sick};
use crate::replay::World;

pub(crate) const SICK: &[Sick] = &[
    sick(
        "SPF",
        Warning,
        "no MAIL FROM domain",
        "put-email-identity-mail-from-attributes",
        answer(&[("ses:GetEmailIdentity", 200, "ses-GetEmailIdentity-nomailfrom")]),
    ),
    sick(
        "SPF",
        Warning,
        "(FAILED), and uses amazonses.com",
        "MX 10 feedback-smtp.eu-west-1.amazonses.com",
        answer(&[("ses:GetEmailIdentity", 200, "ses-GetEmailIdentity-nomx")]),
    ),
    sick(
        "SPF",
        Failed,
        "refuses e-mails meanwhile",
        "MX 10 feedback-smtp.eu-west-1.amazonses.com",
        answer(&[("ses:GetEmailIdentity", 200, "ses-GetEmailIdentity-nomx-reject")]),
    ),
    sick(
        "SPF",
        Failed,
        "mail.bank.example has no SPF record",
        "v=spf1 include:amazonses.com ~all",
        records(&[("mail.bank.example", Some(&["some-site-verification=1"]))]),
    ),
    sick(
        "SPF",
        Failed,
        "does not name SES",
        "include:amazonses.com",
        records(&[("mail.bank.example", Some(&["v=spf1 include:other.example -all"]))]),
    ),
    sick(
        "SPF",
        Failed,
        "2 SPF records",
        "keep one",
        records(&[("mail.bank.example", Some(&["v=spf1 include:amazonses.com ~all", "v=spf1 -all"]))]),
    ),
    sick("SPF", Unknown, "ServerFailure", "try again", records(&[("mail.bank.example", None)])),
    // Longer than a UDP packet.
    sick(
        "SPF",
        Ok,
        "has an SPF record",
        "",
        records(&[("mail.bank.example", Some(&[LONG, LONG, LONG, "v=spf1 include:amazonses.com ~all"]))]),
    ),
    sick(
        "SPF (SMTP)",
        Failed,
        "returns.bank.example has no SPF record",
        "with the SMTP server's addresses",
        records(&[("returns.bank.example", Some(&[]))]),
    ),
    sick(
        "SPF (SMTP)",
        Ok,
        "news.bank.example has an SPF record",
        "",
        World {
            parameters: &[("ReturnPath", "")],
            records: &[("news.bank.example", Some(&["v=spf1 mx -all"]))],
            ..WELL
        },
    ),
    sick(
        "DMARC",
        Failed,
        "news.bank.example has no DMARC record",
        "_dmarc.news.bank.example TXT",
        records(&[("_dmarc.bank.example", Some(&[]))]),
    ),
    sick(
        "DMARC",
        Failed,
        "no valid policy",
        "v=DMARC1; p=none",
        records(&[("_dmarc.bank.example", Some(&["v=DMARC1; sp=none"]))]),
    ),
    sick(
        "DMARC",
        Failed,
        "2 DMARC records",
        "keep one",
        records(&[("_dmarc.news.bank.example", Some(&["v=DMARC1; p=none", "v=DMARC1; p=none"]))]),
    ),
    sick("DMARC", Unknown, "ServerFailure", "try again", records(&[("_dmarc.news.bank.example", None)])),
    sick(
        "SMTP server",
        Failed,
        "port 25 of mail.bank.example: AWS closes port 25",
        "VpcSubnetIds",
        answer(&[("secretsmanager:GetSecretValue", 200, "secretsmanager-GetSecretValue-port25")]),
    ),
    sick(
        "SMTP server",
        Warning,
        "from a VPC",
        "Request to remove email sending limitations",
        World {
            answers: &[("secretsmanager:GetSecretValue", 200, "secretsmanager-GetSecretValue-port25")],
            parameters: &[("VpcSubnetIds", "subnet-0a1b2c3d4e5f60718")],
            ..WELL
        },
    ),
    sick(
        "SMTP server",
        Failed,
        "port 1025 of 127.0.0.1 is the function itself",
        "SmtpUrl",
        answer(&[("secretsmanager:GetSecretValue", 200, "secretsmanager-GetSecretValue-local")]),
    ),
    sick(
        "SMTP server",
        Failed,
        "the URL in the secret of SmtpUrl is not a URL",
        "SmtpUrl",
        answer(&[("secretsmanager:GetSecretValue", 200, "secretsmanager-GetSecretValue-nourl")]),
    ),
];

const LONG: &str = "some-site-verification=0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789";
