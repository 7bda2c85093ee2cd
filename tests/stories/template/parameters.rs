//! Parameters: which values CloudFormation refuses, and which a function refuses when it starts.

use std::collections::BTreeSet;

use regex::Regex;
use serde_yaml_ng::Value;

use crate::{of_type, resources, template};

/// Why CloudFormation would refuse a value, as the User Guide defines the properties of a parameter.
fn refusal(parameter: &Value, value: &str) -> Option<&'static str> {
    let length = u64::try_from(value.chars().count()).unwrap();
    let limit = |property: &str| parameter[property].as_u64();
    if let Some(allowed) = parameter["AllowedValues"].as_sequence() {
        let text = |value: &Value| value.as_str().map_or_else(|| value.as_u64().unwrap().to_string(), str::to_owned);
        return (!allowed.iter().any(|allowed| text(allowed) == value)).then_some("is not one of the allowed values");
    }
    if parameter["Type"] == "Number" {
        let Ok(number) = value.parse::<f64>() else { return Some("is no number") };
        let bound = |property: &str| parameter[property].as_f64();
        let is_below = bound("MinValue").is_some_and(|least| number < least);
        return (is_below || bound("MaxValue").is_some_and(|most| number > most)).then_some("is out of range");
    }
    if limit("MinLength").is_some_and(|least| length < least) || limit("MaxLength").is_some_and(|most| length > most) {
        return Some("has another length");
    }
    let pattern = parameter["AllowedPattern"].as_str().map(|pattern| Regex::new(&format!("^(?:{pattern})$")).unwrap());
    pattern.is_some_and(|pattern| !pattern.is_match(value)).then_some("does not match the pattern")
}

// Values that are refused, of the parameters with many of them.
const MAILBOXES: &[&str] = &[
    "",
    "nobody",
    "a@b",
    "A Bank",
    "A Bank <>",
    "A Bank <a@b.example",
    "a@b.example, c@d.example",
    "a b@c.example",
    "ü@b.example",
    "offers@b\u{e4}nk.example",
    "\"a\"@b.example",
    "a@b_c.example",
    "a@192.0.2.1",
    "a.@b.example",
    "A\nBank <a@b.example>",
    "A\u{2028}Bank <a@b.example>",
    "\u{202e}Bank <a@b.example>",
];

const RETURN_PATHS: &[&str] =
    &["bounces", "boun+ces@bank.example", "A <a@b.example>", ".a@b.example", "a@b", "aaaaaaaaaaaaaaaaaaaaaa@b.example"];

const TEST_RECIPIENTS: &[&str] =
    &["a@bank.example", "com", "351", "+", "+0351", "+35 1", "bank.example;+351", "*.bank.example", "10.0.0.1"];

const SENDERS: &[&str] =
    &["com", "A <a@bank.example>", "*@bank.example", "a.example, b.example", "Bank.example", "@bank.example"];

const PUBLIC_URLS: &[&str] = &[
    "offers.bank.example",
    "ftp://bank.example",
    "https://",
    "http://bank.example",
    "https://bank.example/?a=b",
    "https://bank.example/#a",
    "https://user@bank.example",
    "https://bank.example/a b",
    "https://bank.example/{stage}",
    "https://bank.example\nBcc: x",
    "https://b\u{e4}nk.example",
    "http://localhost.bank.example/",
];

const SMTP_URLS: &[&str] = &[
    "",
    "mail.bank.example",
    "http://mail.bank.example",
    "smtps://",
    "smtp://user:secret@mail.bank.example",
    "smtps://mail.bank.example:port",
    "smtps://mail.bank.example:0",
    "smtps://mail.bank.example:65536",
    "smtps://mail.bank.example:99999",
    "smtps://user:50%@mail.bank.example",
    "smtps://user:%zz@mail.bank.example",
    "smtp://user:%4@127.0.0.1",
    "smtps://mail.bank.example/path",
    "smtps://mail.bank.example\n",
];

const CERTIFICATES: &[&str] =
    &["no certificate", "-----BEGIN CERTIFICATE-----", "-----BEGIN PRIVATE KEY-----\nMII\n-----END PRIVATE KEY-----"];

/// Values that are refused when the stack is deployed.
fn refused() -> Vec<(&'static str, Vec<String>)> {
    let texts = |limit: usize| {
        let long = "x".repeat(limit + 1);
        ["", "  ", "a\nb", "a\r\nBcc: b", "a\0b", "a\u{85}b", "a\u{2028}b", "\u{202e}a", "a\u{fffe}", &long]
            .map(str::to_owned)
    };
    let list = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>();
    let mailboxes = || {
        let long_name = format!("{} <a@b.example>", "n".repeat(201));
        [&list(MAILBOXES)[..], &[long_name]].concat()
    };
    let switch = || list(&["", "TRUE", "yes"]);
    let rate = || list(&["0", "-1", "100001", "many", ""]);
    vec![
        ("FromAddress", mailboxes()),
        ("ReplyToAddress", mailboxes()),
        ("ReturnPath", list(RETURN_PATHS)),
        ("BounceThreshold", list(&["0", "101", "x"])),
        ("BounceDays", list(&["0", "366"])),
        ("BrandName", texts(100).to_vec()),
        ("PostalAddress", texts(200).to_vec()),
        (
            "DefaultSubject",
            [&texts(200)[..], &list(&["Hi {name}", "Hi {{ name }}", "{{ customer.a.b }}", "}}", "{% if %}"])].concat(),
        ),
        ("DefaultLanguage", list(&["", "english", "e", "pt_PT", "pt-", "en-GB-oed"])),
        (
            "LinkDomains",
            list(&["https://bank.example", "bank.example;shop.example", "-a.example", "a b", "b\u{e4}nk.example"]),
        ),
        (
            "LogoUrl",
            list(&[
                "bank.example/logo.png",
                "http://bank.example/logo.png",
                "https://bank.example/a b",
                "data:image/png,",
            ]),
        ),
        ("BrandColour", list(&["", "blue", "1f4fa3", "#1f4fa", "#1f4fa3ff", "#1f4fag"])),
        ("PublicUrl", [&list(PUBLIC_URLS)[..], &[format!("https://offers.bank.example/{}", "u".repeat(900))]].concat()),
        ("AllowedTestRecipients", list(TEST_RECIPIENTS)),
        ("TestMessagesPerDay", list(&["-1", "100001", "many", ""])),
        ("AllowedSenders", list(SENDERS)),
        ("EmailTransport", list(&["", "sns", "SMTP"])),
        ("FallbackEmailTransport", list(&["", "sns"])),
        ("SmtpUrl", list(SMTP_URLS)),
        ("SmtpHelloName", list(&["bank example", "bank_1.example", "-bank.example", "[192.0.2]", "192.0.2.1"])),
        ("SmtpCertificateAuthority", list(CERTIFICATES)),
        ("EmailRatePerSecond", rate()),
        ("FallbackEmailRatePerSecond", rate()),
        ("RetryHours", list(&["0", "337"])),
        ("SmsRatePerSecond", rate()),
        ("SmsSenderId", list(&["123", "A Bank", "TwelveLetter"])),
        ("SmsType", list(&["", "Loud"])),
        ("SmsSegments", list(&["0", "8"])),
        ("SmsAlphabet", list(&["", "GSM", "ucs2"])),
        ("SmsDltEntityId", list(&["a-b", "1 2", &"1".repeat(51)])),
        ("SmsDltTemplateId", list(&["a-b", "1 2", &"1".repeat(51)])),
        ("SmsOptOutText", texts(60)[1..].to_vec()),
        ("CheckSmsOptOuts", switch()),
        ("SmsDeliveryLogs", switch()),
        ("ApiRatePerSecond", rate()),
        ("PublicRatePerSecond", rate()),
        ("EventArchiveDays", list(&["-1", "36501", "ever"])),
        ("Alarms", switch()),
        ("LogRetentionDays", list(&["0", "2", "ever"])),
        ("KmsKeyArn", list(&["alias/bank", "arn:aws:kms:eu-west-1:1:key/a", "arn:aws:s3:::bucket"])),
        ("DeletionProtection", switch()),
        ("SendingEnabled", switch()),
        ("LogLevel", list(&["", "info", "TRACE"])),
        ("Architecture", list(&["", "x86"])),
    ]
}

/// As [`refused`], of the parameters for AWS's own settings.
fn refused_for_aws() -> Vec<(&'static str, Vec<String>)> {
    let list = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>();
    let concurrency = || list(&["0", "1", "1001", "x"]);
    vec![
        ("UnsubscribeBurst", list(&["0", "100001", ""])),
        ("WebAcl", list(&["", "true", "arn:aws:wafv2:eu-west-1:123456789012:global/webacl/a/1"])),
        ("WebAclRequestsPer5Minutes", list(&["9", "many", ""])),
        ("ApiAccessLog", list(&["", "yes"])),
        ("AudienceConcurrency", concurrency()),
        ("EmailConcurrency", concurrency()),
        ("SmsConcurrency", concurrency()),
        ("FeedbackConcurrency", concurrency()),
        ("ReservedForPreferences", list(&["-1", "1001", "x"])),
        ("ReservedForOffer", list(&["-1", "1001", "x"])),
        ("CodeSigningConfigArn", list(&["csc-0123456789abcdef0", "arn:aws:lambda:eu-west-1:123456789012:function:a"])),
        ("VpcSubnetIds", list(&["subnet-1", "sg-0a1b2c3d", "subnet-0a1b2c3d, subnet-0a1b2c3e", "vpc-0a1b2c3d"])),
        ("SecurityGroupIds", list(&["sg-", "subnet-0a1b2c3d", "sg-0a1b2c3d,"])),
    ]
}

/// Values that are accepted.
const ACCEPTED: &[(&str, &str)] = &[
    ("FromAddress", "offers@bank.example"),
    ("FromAddress", "A Bank <offers@bank.example>"),
    ("FromAddress", "Banco \"Ágil\", S.A. <offers@bank.example>"),
    ("FromAddress", "\"Banco Ágil, S.A.\" <o'hara+offers@mail.xn--bnk-sla.example>"),
    ("ReplyToAddress", "بنك <service@bank.example>"),
    ("ReturnPath", "bounces@bank.example"),
    ("BrandName", "Banco Ágil, S.A. 🎁"),
    ("PostalAddress", "Avenida da Liberdade 1, 1250-139 Lisboa"),
    ("DefaultSubject", "For {{ customer.name }}: 5 % more, {{customer.tier}}"),
    (
        "DefaultSubject",
        r#"{{ customer.name | default: "You" }}: {{ customer.spend | money: "EUR" | default: "a lot" }}"#,
    ),
    ("DefaultLanguage", "pt-PT"),
    ("DefaultLanguage", "zh-Hant-TW"),
    ("LinkDomains", "bank.example, shop.bank.example,xn--bnk-qla.example"),
    ("LogoUrl", "https://cdn.bank.example:8443/a/logo.png?v=2"),
    ("BrandColour", "#1F4fa3"),
    ("PublicUrl", "https://offers.bank.example"),
    ("PublicUrl", "https://{api}.execute-api.eu-west-1.amazonaws.com/v1"),
    ("PublicUrl", "http://127.0.0.1:4566/_aws/execute-api/{api}/v1"),
    ("PublicUrl", "http://localhost:4566"),
    ("AllowedTestRecipients", "bank.example, qa.xn--bnk-qla.example,+351"),
    ("TestMessagesPerDay", "0"),
    ("AllowedSenders", "Offers+1@bank.example,news.bank.example"),
    ("SmtpUrl", "smtps://user:p%40ss@mail.bank.example:465"),
    ("SmtpUrl", "smtps://user:%25%2F%c3%A9@mail.bank.example:65535"),
    ("SmtpUrl", "smtp+starttls://mail.bank.example:1"),
    ("SmtpUrl", "smtp+starttls://mail.bank.example"),
    ("SmtpUrl", "smtp://user:password@127.0.0.1:1025"),
    ("SmtpUrl", "smtp://[2001:db8::1]:25"),
    ("SmtpCertificateAuthority", "# Ours\n-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"),
    ("SmsOptOutText", "Responda PARE para não receber mais"),
    ("KmsKeyArn", "arn:aws:kms:eu-west-1:123456789012:key/mrk-1234abcd"),
    ("WebAcl", "create"),
    ("WebAcl", "arn:aws:wafv2:eu-west-1:123456789012:regional/webacl/bank/a1b2c3d4-5678-90ab-cdef-111122223333"),
    ("CodeSigningConfigArn", "arn:aws:lambda:eu-west-1:123456789012:code-signing-config:csc-0123456789abcdef0"),
    ("VpcSubnetIds", "subnet-0a1b2c3d4e5f60718,subnet-1a1b2c3d"),
    ("SecurityGroupIds", "sg-0a1b2c3d4e5f60718"),
];

#[test]
fn bad_value_of_a_parameter_is_refused_when_the_stack_is_deployed() {
    let template = template();
    let parameters = template["Parameters"].as_mapping().unwrap();
    let refused = [refused(), refused_for_aws()].concat();
    let tried: BTreeSet<_> = refused.iter().map(|(name, _)| *name).collect();
    let known: BTreeSet<_> = parameters.keys().map(|name| name.as_str().unwrap()).collect();
    assert_eq!(tried, known, "every parameter has bad values here");
    for (name, values) in &refused {
        for value in values {
            assert!(refusal(&parameters[*name], value).is_some(), "{name}={value:?}");
        }
    }
    for (name, value) in ACCEPTED {
        assert_eq!(refusal(&parameters[*name], value), None, "{name}={value:?}");
    }
    for (name, parameter) in parameters {
        let default = &parameter["Default"];
        let default = default.as_str().map_or_else(|| default.as_u64().unwrap().to_string(), str::to_owned);
        assert_eq!(refusal(parameter, &default), None, "{name:?}");
        // Without it, CloudFormation shows the pattern.
        assert!(!parameter["ConstraintDescription"].is_null() || parameter["AllowedPattern"].is_null(), "{name:?}");
    }
}

/// A function that cannot use a parameter names it by its variable, `FromAddress` by `FROM_ADDRESS`
/// (`crates/runtime/src/settings.rs`).
#[test]
fn variable_of_a_parameter_is_named_after_it() {
    let template = template();
    let parameters = template["Parameters"].as_mapping().unwrap();
    for (function, properties) in of_type(&resources(), "AWS::Serverless::Function") {
        for (variable, value) in properties["Environment"]["Variables"].as_mapping().unwrap() {
            let Some(parameter) = value.as_str().filter(|value| parameters.contains_key(*value)) else { continue };
            let plain = variable.as_str().unwrap().replace('_', "");
            assert!(plain.eq_ignore_ascii_case(parameter), "{function}: {plain} has the value of {parameter}");
        }
    }
}
