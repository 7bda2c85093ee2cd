//! Starting a function's own program, to see what it says of its settings.

use std::fs;
use std::process::Command;

use serde_yaml_ng::Value;

/// Starts the function `logical_id` of the template, whose program is `program`, with the template's parameters as they
/// are by default, except those in `changes`. Returns what it prints before it ends, which it does in any case: there
/// is no Lambda to take events from.
///
/// # Panics
/// If the template has no such function, or the program cannot be run.
pub fn start(program: &str, logical_id: &str, changes: &[(&str, &str)]) -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../template.yaml");
    let template = fs::read_to_string(path).unwrap_or_else(|error| panic!("cannot read {path}: {error}"));
    let template: Value = serde_yaml_ng::from_str(&template).expect("template.yaml is YAML");
    let parameter = |name: &str| {
        let change = changes.iter().find(|(changed, _)| *changed == name).map(|(_, value)| (*value).to_owned());
        change.or_else(|| text(&template["Parameters"][name]["Default"]))
    };
    let variables = template["Resources"][logical_id]["Properties"]["Environment"]["Variables"].as_mapping();
    let variables = variables.unwrap_or_else(|| panic!("template.yaml has no function {logical_id}"));
    let of_all = template["Globals"]["Function"]["Environment"]["Variables"].as_mapping();
    let mut command = Command::new(program);
    command.env_clear().env("AWS_REGION", "eu-west-1");
    for (name, value) in of_all.into_iter().flatten().chain(variables) {
        let value = match value {
            Value::Tagged(tagged) if tagged.tag == "!Ref" => tagged.value.as_str().and_then(parameter),
            // The only condition is whether there is a public URL of the bank's own.
            Value::Tagged(tagged) if tagged.tag == "!If" => parameter("PublicUrl")
                .filter(|url| !url.is_empty())
                .or_else(|| Some("https://api.example/v1".to_owned())),
            plain => text(plain),
        };
        // Resources have names that nobody checks.
        command.env(name.as_str().unwrap_or_default(), value.unwrap_or_else(|| "name".to_owned()));
    }
    let output = command.output().unwrap_or_else(|error| panic!("cannot run {program}: {error}"));
    assert!(!output.status.success());
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

/// What a function whose settings are accepted prints.
const ACCEPTED: &str = "AWS_LAMBDA_";

/// Checks that the function starts with the template's defaults and with each of `good`, and that each of `bad` stops
/// it with a log line that names the parameter.
///
/// # Panics
/// If it does not.
pub fn check_starts(program: &str, logical_id: &str, good: &[(&str, &str)], bad: &[(&str, &str)]) {
    for changes in std::iter::once(&[] as &[(&str, &str)]).chain(good.iter().map(std::slice::from_ref)) {
        let output = start(program, logical_id, changes);
        assert!(output.contains(ACCEPTED) && !output.contains("cannot start"), "{changes:?}: {output}");
    }
    for (name, value) in bad {
        let output = start(program, logical_id, &[(name, value)]);
        assert!(output.contains("ERROR") && output.contains("the function cannot start"), "{name}={value}: {output}");
        let named = output.matches(&format!("the parameter {name} of the stack")).count();
        // In the log line, and as the program's own last word.
        assert_eq!(named, 2, "{name}={value}: {output}");
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}
