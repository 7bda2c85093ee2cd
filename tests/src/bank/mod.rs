//! `Bank`, the fixture of each test. It stores customers, posts offers, and reads the messages that arrived.
//!
//! All tests share one stack. Each test opens a bank of its own, whose customers are marked by an attribute and by the
//! domain of their addresses. Its offers are for these customers only, and it reads only their messages.
//!
//! # Layout
//!
//! | to change | open |
//! |---|---|
//! | customers, their ids, addresses and numbers | `customers` |
//! | offers, pushes, deliveries | `offers` |
//! | the e-mail and texts that arrived | `inbox` |
//! | faults of the SMTP server | `faults` |
//! | queues: depth, loss, visibility | `queues` |
//! | items that a test writes or reads itself, with their keys and attributes | `tables` |
//! | messages and stream records that a test makes itself | `messages` |
//! | raw calls to AWS: IAM, Lambda, secrets | `aws` |
//! | processes that run functions | `processes` |
//! | the unsubscribe page | `unsubscribe_page` |

mod aws;
mod customers;
mod faults;
mod inbox;
mod messages;
mod offers;
mod queues;
mod tables;
pub mod unsubscribe_page;

use std::env;
use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use client::{Api, Response, STACK_VARIABLE, Stack, logged};
use processes::Processes;
use serde_json::Value;
use uuid::Uuid;

pub use aws::Aws;
pub use customers::{MOBILE_PREFIX, counts, each_once};
pub use inbox::{Header, Mail, TextMessage};
pub use messages::{email_batch, push_stream_event, sqs_event};
pub use offers::{check_sum, id_of};
pub use queues::Queues;
pub use tables::Tables;

use crate::program;

/// The fixture of one test: a client of the running stack, with customers of its own.
pub struct Bank {
    /// Where the stack's parts are.
    pub stack: Stack,
    api: Api,
    /// Marks its customers, so that they differ from those of other tests.
    pub name: String,
    opened_at: SystemTime,
}

impl Bank {
    /// A new bank without customers.
    pub fn open() -> Self {
        let file = env::var_os(STACK_VARIABLE).unwrap_or_else(|| {
            panic!("these tests need a stack of their own: run them with cargo xtask test");
        });
        let stack = Stack::read(&PathBuf::from(file)).expect("cargo xtask test wrote the file");
        let name = format!("bank{}", Uuid::now_v7().simple());
        Self { api: Api::new(&stack), stack, name, opened_at: SystemTime::now() }
    }

    /// Makes a signed call.
    pub async fn call(&self, method: &str, path: &str, body: &Value) -> Response {
        self.call_with(method, path, &[], body.to_string().as_bytes()).await
    }

    /// Makes a signed call with headers and any body.
    pub async fn call_with(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        self.api.call(method, path, headers, body).await.expect("the API responds")
    }

    /// Reads a resource that must exist.
    pub async fn get(&self, path: &str) -> Value {
        let response = self.call_with("GET", path, &[], b"").await;
        assert_eq!(response.status, 200, "GET {path}: {}", response.text);
        response.json()
    }

    /// Invokes a function directly and returns its response.
    ///
    /// # Errors
    /// With the function's own error.
    pub async fn invoke(&self, function: &str, event: &Value) -> Result<Value> {
        let response = self
            .aws()
            .lambda()
            .invoke()
            .function_name(&self.stack.functions[function])
            .payload(aws_sdk_lambda::primitives::Blob::new(event.to_string()))
            .send()
            .await
            .context("Lambda does not respond")?;
        let payload = response.payload.map(aws_sdk_lambda::primitives::Blob::into_inner).unwrap_or_default();
        let payload = String::from_utf8_lossy(&payload).into_owned();
        match response.function_error {
            Some(_) => bail!("{payload}"),
            None => Ok(serde_json::from_str(&payload).unwrap_or_default()),
        }
    }

    /// Runs `offercast` with these arguments on this stack, as `cargo xtask` does, and returns its output. It must succeed.
    pub fn xtask(&self, arguments: &[&str]) -> String {
        let output = self.try_tool(arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The same, whether it succeeds or not.
    pub fn try_tool(&self, arguments: &[&str]) -> std::process::Output {
        std::process::Command::new(program("offercast"))
            .env("OFFERCAST_TOOL", "cargo xtask")
            .args(arguments)
            // With `--stack NAME`, this stack takes the place of AWS.
            .env("AWS_ENDPOINT_URL", &self.stack.endpoint_url)
            .env("AWS_REGION", &self.stack.region)
            .env("AWS_ACCESS_KEY_ID", &self.stack.access_key_id)
            .env("AWS_SECRET_ACCESS_KEY", &self.stack.secret_access_key)
            .output()
            .expect("the program runs")
    }

    /// The log of a function since the bank was opened.
    pub async fn log_of(&self, function: &str) -> Vec<String> {
        self.log_since(function, self.opened_at).await
    }

    /// The log of a function since a moment.
    pub async fn log_since(&self, function: &str, since: SystemTime) -> Vec<String> {
        let logs = aws_sdk_cloudwatchlogs::Client::new(&self.stack.sdk_config());
        let events = logged(&logs, &self.stack.functions[function], since).await.expect("the logs can be read");
        events.into_iter().filter_map(|event| event.message).collect()
    }

    /// Raw calls to the stack's AWS.
    pub fn aws(&self) -> Aws<'_> {
        Aws::new(&self.stack)
    }

    /// The stack's queues.
    pub fn queues(&self) -> Queues<'_> {
        Queues::new(&self.stack)
    }

    /// The stack's tables.
    pub fn tables(&self) -> Tables<'_> {
        Tables::new(&self.stack)
    }

    /// The processes that run the stack's functions.
    pub fn processes(&self) -> Processes<'_> {
        Processes::new(&self.stack)
    }
}
