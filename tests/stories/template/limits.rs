//! The limits of AWS, with every parameter as long as it sensibly is. `.ci/limits` looks at the template as SAM translates it,
//! for cycles as well.

use std::collections::BTreeSet;

use serde_yaml_ng::Value;

use super::{of_type, resources, template};

/// Bytes of all environment variables of a function (Lambda developer guide, "Lambda quotas").
const ENVIRONMENT: usize = 4 * 1024;
/// Characters of all inline policies of a role, without white space (IAM user guide, "IAM and AWS STS quotas").
const POLICIES: usize = 10_240;
/// Characters of a function's name, which limit the stack's (Lambda API reference, CreateFunction).
const FUNCTION_NAME: usize = 64;

/// The longest region, and a stack's name that leaves room for the functions'.
const REGION: &str = "ap-southeast-1";
const STACK: &str = "offercast-production-of-the-bank-in-asia-pacific";

/// Bytes of parameters of free text, as long as a bank's sensibly are. Two bytes for a letter: names may be in any script.
const SENSIBLE: &[(&str, usize)] = &[
    ("FromAddress", 160),
    ("ReplyToAddress", 160),
    ("ReturnPath", 80),
    ("BrandName", 120),
    ("PostalAddress", 300),
    ("DefaultSubject", 300),
    ("LinkDomains", 400),
    ("LogoUrl", 300),
    ("PublicUrl", 100),
    ("SmtpHelloName", 100),
    ("SmsOptOutText", 120),
    ("VpcSubnetIds", 6 * 25),
    ("DefaultLanguage", 11),
    ("BrandColour", 7),
    ("SmsDltEntityId", 30),
    ("SmsDltTemplateId", 30),
    ("SmsSenderId", 11),
    ("AllowedSenders", 200),
    ("AllowedTestRecipients", 200),
];

/// How long a value of the template is at most once it is deployed, in bytes.
fn longest(template: &Value, value: &Value) -> usize {
    if let Some(branches) = value.as_sequence() {
        return branches[1..].iter().map(|branch| longest(template, branch)).max().unwrap_or_default();
    }
    let Some(text) = value.as_str() else { return 10 };
    if let Some((_, sensible)) = SENSIBLE.iter().find(|(name, _)| *name == text) {
        return *sensible;
    }
    let parameter = &template["Parameters"][text];
    if !parameter.is_null() {
        let number = (parameter["Type"] == "Number").then_some(6);
        let longest = parameter["AllowedValues"]
            .as_sequence()
            .and_then(|values| values.iter().map(|value| value.as_str().map_or(6, str::len)).max());
        let limit = parameter["MaxLength"].as_u64().and_then(|limit| usize::try_from(limit).ok());
        return number.or(longest).or(limit).unwrap_or_else(|| panic!("{text} has no length in SENSIBLE"));
    }
    let name = text.split('.').next().unwrap_or_default();
    let physical = STACK.len() + name.len() + 14;
    match template["Resources"][name]["Type"].as_str() {
        Some("AWS::SQS::Queue") => format!("https://sqs.{REGION}.amazonaws.com/123456789012/").len() + physical.min(80),
        Some("AWS::SecretsManager::Secret") => {
            format!("arn:aws:secretsmanager:{REGION}:123456789012:secret:").len() + name.len() + 21
        }
        Some(_) => physical,
        None => text.replace("${AWS::StackName}", STACK).replace("AWS::StackName", STACK).len(),
    }
}

#[test]
fn settings_of_a_function_fit_into_its_environment() {
    let template = template();
    let of_all = &template["Globals"]["Function"]["Environment"]["Variables"];
    for (name, function) in of_type(&resources(), "AWS::Serverless::Function") {
        let variables = [of_all, &function["Environment"]["Variables"]];
        let variables = variables.into_iter().flat_map(|variables| variables.as_mapping().unwrap());
        let size: usize = variables.map(|(name, value)| name.as_str().unwrap().len() + longest(&template, value)).sum();
        assert!(size <= ENVIRONMENT, "{name}: {size} bytes");
    }
}

/// A statement with its references as long as what they stand for.
fn written(statement: &Value) -> usize {
    let json = serde_json::to_string(statement).unwrap();
    let arn = format!("arn:aws:dynamodb:{REGION}:123456789012:table/{STACK}-SuppressionsTable-ABCDEFGHIJKLM");
    // A reference is shorter than the ARN it becomes; a template string contains most of its ARN.
    json.len() + (json.matches(".Arn").count() + json.matches(".Id").count() + 1) * arn.len()
}

#[test]
fn statements_of_a_role_fit_into_its_policies() {
    for (name, role) in resources().iter().filter(|(_, resource)| resource["Type"] == "AWS::IAM::Role") {
        let policies = role["Properties"]["Policies"].as_sequence();
        let statements = policies.into_iter().flatten().map(|policy| &policy["PolicyDocument"]["Statement"]);
        let size: usize = statements.flat_map(|statements| statements.as_sequence().unwrap()).map(written).sum();
        assert!(size <= POLICIES, "{name}: {size} characters");
    }
}

#[test]
fn names_are_unique_and_short_enough() {
    let resources = resources();
    let mut names = BTreeSet::new();
    for (kind, property) in [
        ("AWS::Serverless::Function", "FunctionName"),
        ("AWS::CloudWatch::Alarm", "AlarmName"),
        ("AWS::Logs::LogGroup", "LogGroupName"),
    ] {
        for (name, resource) in of_type(&resources, kind) {
            let given = resource[property].as_str().unwrap().replace("${AWS::StackName}", STACK);
            assert!(kind != "AWS::Serverless::Function" || given.len() <= FUNCTION_NAME, "{given}");
            assert!(names.insert((kind, given)), "{name} has the name of another one");
        }
    }
}
