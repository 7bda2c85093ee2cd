//! The functions to start: ours, and empty ones in Rust, Python and Node.js.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use client::Stack;
use offercast::output;

use super::table::median;
use crate::emulator::install_awslambdaric;
use crate::process::run;
use crate::stack_dir::StackDir;

/// AWS's client of the Runtime API for Node.js: the last version for Node.js 20.
const NODE_CLIENT: &str = "aws-lambda-ric@3.3.0";

/// A function that the emulator can run.
pub(super) struct Handler {
    pub(super) name: String,
    /// The program that is packaged, if it is a single file.
    pub(super) program: Option<PathBuf>,
    pub(super) command: Vec<OsString>,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) event: String,
    pub(super) inits: Vec<f64>,
    pub(super) memory: u64,
}

impl Handler {
    /// A handler without environment whose event is `{}`.
    fn empty(name: &str, command: Vec<OsString>) -> Self {
        Self {
            name: name.to_owned(),
            program: None,
            command,
            environment: BTreeMap::new(),
            event: "{}".to_owned(),
            inits: Vec::new(),
            memory: 0,
        }
    }

    pub(super) fn init(&self) -> f64 {
        median(self.inits.clone()).unwrap_or(f64::NAN)
    }
}

/// Our functions with the environment that they are deployed with, each with a sample event.
pub(super) async fn functions(dir: &StackDir, stack: &Stack) -> Result<Vec<Handler>> {
    let lambda = aws_sdk_lambda::Client::new(&stack.sdk_config());
    let mut handlers = Vec::new();
    for function in package::functions(dir.workspace())? {
        let deployed = stack.functions.get(&function).with_context(|| format!("{function} is not deployed"))?;
        let response = lambda.get_function_configuration().function_name(deployed).send().await?;
        let variables = response.environment.and_then(|environment| environment.variables).unwrap_or_default();
        let program = dir.function(&function)?;
        let mut handler = Handler::empty(&function, vec![program.clone().into()]);
        handler.program = Some(program);
        handler.environment.extend(variables);
        for (name, value) in [
            ("AWS_ENDPOINT_URL", &stack.endpoint_url),
            ("AWS_REGION", &stack.region),
            ("AWS_ACCESS_KEY_ID", &stack.access_key_id),
            ("AWS_SECRET_ACCESS_KEY", &stack.secret_access_key),
            ("AWS_LAMBDA_FUNCTION_NAME", &function),
        ] {
            handler.environment.insert(name.to_owned(), value.clone());
        }
        handler.event = sample(dir, &function)?;
        handlers.push(handler);
    }
    Ok(handlers)
}

/// A function's first sample event. Samples refer to items that do not exist, so handling one is quick.
fn sample(dir: &StackDir, function: &str) -> Result<String> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(dir.workspace().join("events"))?.filter_map(Result::ok).map(|entry| entry.path()).collect();
    files.sort();
    let is_its = |file: &&PathBuf| {
        file.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(&format!("{function}-")))
    };
    let file = files.iter().find(is_its).with_context(|| format!("{function} has no sample event"))?;
    Ok(fs::read_to_string(file)?)
}

/// Empty functions in the languages that are installed.
pub(super) async fn empty(dir: &StackDir, notes: &mut Vec<String>) -> Result<Vec<Handler>> {
    let program = dir.function("empty")?;
    let mut rust = Handler::empty("empty, in Rust", vec![program.clone().into()]);
    rust.program = Some(program);
    let mut handlers = vec![rust];

    match install_awslambdaric(dir) {
        Ok(python) => {
            let command = vec![python.into(), "-m".into(), "awslambdaric".into(), "empty.handler".into()];
            handlers.push(Handler::empty("empty, in Python", command));
        }
        Err(error) => notes.push(format!("No empty function in Python: {error:#}.")),
    }

    let version = tokio::process::Command::new("node").arg("--version").output().await;
    match version {
        Ok(version) => {
            let version = String::from_utf8_lossy(&version.stdout).trim().to_owned();
            let command = match node_client(dir) {
                Ok(client) => vec!["node".into(), client.into(), "empty.handler".into()],
                Err(_) => {
                    notes.push(format!(
                        "{NODE_CLIENT}, AWS's client, cannot be built here (it needs CMake and Autotools), so the empty function in \
                         Node.js runs on a plain loop, which starts faster: local/stack/bench/loop.mjs."
                    ));
                    vec!["node".into(), "loop.mjs".into()]
                }
            };
            notes.push(format!("Node.js is {version}."));
            handlers.push(Handler::empty("empty, in Node.js", command));
        }
        Err(_) => notes.push("No empty function in Node.js: node is not installed.".to_owned()),
    }
    Ok(handlers)
}

/// Installs AWS's runtime client for Node.js and returns its program.
fn node_client(dir: &StackDir) -> Result<PathBuf> {
    let folder = dir.workspace().join("target/local/aws-lambda-ric");
    let program = folder.join("node_modules/.bin/aws-lambda-ric");
    if !program.exists() {
        fs::create_dir_all(&folder)?;
        let step = output::step("Building AWS's Lambda client for Node.js (once, needs CMake and Autotools)");
        let mut npm = Command::new("npm");
        npm.args(["install", "--silent", "--no-audit", "--no-fund", NODE_CLIENT]).current_dir(&folder);
        let installed = run("build AWS's client for Node.js", &mut npm);
        step.done(if installed.is_ok() { "built" } else { "not built" });
        installed?;
    }
    Ok(program)
}
