//! Starting a function's own program, to see what it says of its settings.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::{fs, thread};

use serde_yaml_ng::Value;

/// Starts the function `logical_id` of the template, whose program is `program`, with the template's parameters as they
/// are by default, except those in `changes`. Returns what it prints before it ends, which it does in any case: there
/// is no Lambda to take events from.
///
/// # Panics
/// If the template has no such function, or the program cannot be run.
pub fn start(program: &str, logical_id: &str, changes: &[(&str, &str)]) -> String {
    let secrets = ["SmtpUrl", "SmtpCertificateAuthority"];
    let secrets = secrets
        .map(|name| (format!("{name}Secret.Id"), parameter(&read_template(), name, changes).unwrap_or_default()));
    let endpoint = secrets_manager(secrets.into()).expect("this machine has a free port");
    let mut command = Command::new(program);
    command.env_clear().env("AWS_REGION", "eu-west-1").env("AWS_ENDPOINT_URL", endpoint);
    command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
    // Resources have names that are never read.
    command.envs(environment(logical_id, changes, |_| "name".to_owned()));
    let output = command.output().unwrap_or_else(|error| panic!("cannot run {program}: {error}"));
    assert!(!output.status.success());
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

/// The environment variables that the template gives to the function `logical_id`, with its parameters as they are by default,
/// except those in `changes`. `name_of` returns what a resource is referred to by.
///
/// # Panics
/// If the template has no such function.
pub fn environment(
    logical_id: &str,
    changes: &[(&str, &str)],
    name_of: impl Fn(&str) -> String,
) -> BTreeMap<String, String> {
    let template = read_template();
    let parameter = |name: &str| parameter(&template, name, changes);
    let variables = template["Resources"][logical_id]["Properties"]["Environment"]["Variables"].as_mapping();
    let variables = variables.unwrap_or_else(|| panic!("template.yaml has no function {logical_id}"));
    let of_all = template["Globals"]["Function"]["Environment"]["Variables"].as_mapping();
    let mut environment = BTreeMap::new();
    for (name, value) in of_all.into_iter().flatten().chain(variables) {
        // A condition is whether the parameter of its name is empty: `HasPublicUrl`.
        let value = match value {
            Value::Tagged(tagged) if tagged.tag == "!If" => {
                let condition = tagged.value[0].as_str().and_then(|name| name.strip_prefix("Has"));
                let is_set = condition.and_then(parameter).is_some_and(|value| !value.is_empty());
                &tagged.value[if is_set { 1 } else { 2 }]
            }
            plain => plain,
        };
        let referred = |name: &str| parameter(name).unwrap_or_else(|| name_of(name));
        let value = match value {
            Value::Tagged(tagged) if tagged.value == "AWS::NoValue" => continue,
            Value::Tagged(tagged) if tagged.tag == "!Ref" => tagged.value.as_str().map(referred),
            Value::Tagged(tagged) if tagged.tag == "!GetAtt" => text(&tagged.value),
            // The API's own URL.
            Value::Tagged(tagged) if tagged.tag == "!Sub" => text(&tagged.value)
                .filter(|url| url.starts_with("https://"))
                .map(|_| "https://api.example/v1".to_owned()),
            plain => text(plain),
        };
        let name = name.as_str().unwrap_or_default();
        environment.insert(name.to_owned(), value.unwrap_or_else(|| name_of(name)));
    }
    environment
}

fn read_template() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../template.yaml");
    let template = fs::read_to_string(path).unwrap_or_else(|error| panic!("cannot read {path}: {error}"));
    serde_yaml_ng::from_str(&template).expect("template.yaml is YAML")
}

/// A parameter of the template: as in `changes`, or by default. `None` if there is no such parameter.
fn parameter(template: &Value, name: &str, changes: &[(&str, &str)]) -> Option<String> {
    let change = changes.iter().find(|(changed, _)| *changed == name).map(|(_, value)| (*value).to_owned());
    change.or_else(|| text(&template["Parameters"][name]["Default"]))
}

/// Serves GetSecretValue for these secrets as long as this process lives. Returns its URL.
fn secrets_manager(secrets: HashMap<String, String>) -> io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}", listener.local_addr()?);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // What a call cannot be told, the function's output shows.
            let _ = answer(stream, &secrets);
        }
    });
    Ok(url)
}

/// Serves one request, and closes the connection.
fn answer(stream: TcpStream, secrets: &HashMap<String, String>) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    let (mut line, mut length) = (String::new(), 0);
    while reader.read_line(&mut line)? > 2 {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or_default();
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let request: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let id = request["SecretId"].as_str().unwrap_or_default();
    let secret = serde_json::json!({"ARN": id, "Name": id, "SecretString": secrets.get(id)}).to_string();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.1\r\nconnection: close";
    write!(reader.get_mut(), "{head}\r\ncontent-length: {}\r\n\r\n{secret}", secret.len())
}

/// What a function whose settings are accepted prints.
pub const ACCEPTED: &str = "AWS_LAMBDA_";

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
