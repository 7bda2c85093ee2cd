//! `docs/configuration.md`, which is written from the template.

use std::fmt::Write;
use std::fs;

use serde_yaml_ng::Value;

use crate::template;

const GUIDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
/// If it is set, the guide is written anew.
const WRITE: &str = "WRITE_GUIDE";

const INTRODUCTION: &str = "\
# Configuration

<!-- Written from template.yaml: `WRITE_GUIDE=1 cargo test -p end-to-end --test template configuration`. -->

The parameters of the stack. `sam deploy --guided` asks for them, and [one can be changed](operations.md#change-a-parameter) at any
time. On this machine, `cargo xtask up --set NAME=VALUE` sets them; there the rates and the concurrency are larger, and e-mail goes to
the inbox. CloudFormation refuses a value that cannot be right. The few
mistakes that only a function can find stop it when it starts, with
[a log line that names the parameter](operations.md#a-parameter-that-cannot-be-used).
";

#[test]
fn the_configuration_guide_has_every_parameter_as_the_template_has_it() {
    let written = guide(&template());
    if std::env::var_os(WRITE).is_some() {
        fs::write(GUIDE, &written).unwrap();
    }
    let stored = fs::read_to_string(GUIDE).unwrap_or_default();
    assert!(stored == written, "docs/configuration.md differs from template.yaml. {WRITE}=1 writes it anew");
}

fn guide(template: &Value) -> String {
    let parameters = template["Parameters"].as_mapping().unwrap();
    let mut guide = INTRODUCTION.to_owned();
    let mut listed = 0;
    for group in template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"].as_sequence().unwrap() {
        let label = group["Label"]["default"].as_str().unwrap();
        write!(guide, "\n## {label}\n\n| parameter | default | |\n|---|---|---|\n").unwrap();
        for name in group["Parameters"].as_sequence().unwrap() {
            let parameter = &parameters[name];
            let (name, default) = (name.as_str().unwrap(), default(parameter));
            writeln!(guide, "| `{name}` | {default} | {} |", description(name, parameter)).unwrap();
            listed += 1;
        }
    }
    assert_eq!(listed, parameters.len(), "each parameter is in one group");
    guide
}

fn default(parameter: &Value) -> String {
    let default = match &parameter["Default"] {
        Value::String(text) => text.clone(),
        Value::Null => panic!("each parameter has a default: {parameter:?}"),
        other => serde_yaml_ng::to_string(other).unwrap().trim().to_owned(),
    };
    if default.is_empty() { "none".to_owned() } else { format!("`{default}`") }
}

/// What it is for, and which values it may have.
fn description(name: &str, parameter: &Value) -> String {
    let text = parameter["Description"].as_str().unwrap_or_else(|| panic!("{name} has a description"));
    let mut description = escaped(text);
    if let Some(allowed) = parameter["AllowedValues"].as_sequence() {
        let allowed: Vec<_> = allowed.iter().map(|value| format!("`{}`", plain(value))).collect();
        write!(description, " One of {}.", allowed.join(", ")).unwrap();
    }
    let bound = |property: &str| parameter[property].as_i64();
    match (bound("MinValue"), bound("MaxValue")) {
        (Some(least), Some(most)) => write!(description, " From {least} to {most}.").unwrap(),
        (Some(least), None) => write!(description, " At least {least}.").unwrap(),
        (None, Some(most)) => write!(description, " At most {most}.").unwrap(),
        (None, None) => {}
    }
    if let Some(constraint) = parameter["ConstraintDescription"].as_str() {
        write!(description, " It {}.", escaped(constraint).trim_end_matches('.')).unwrap();
    }
    description
}

/// As text in a cell of a table.
fn escaped(text: &str) -> String {
    text.trim().replace('|', "\\|").replace('<', "\\<")
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| serde_yaml_ng::to_string(value).unwrap().trim().to_owned(), str::to_owned)
}
