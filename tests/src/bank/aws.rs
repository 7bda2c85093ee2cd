//! Raw calls to the stack's AWS, as an administrator makes them.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use aws_sdk_lambda::types::{Environment, LastUpdateStatus};
use client::{Call, Signer, Stack};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::wait_for;

/// The stack's AWS.
#[derive(Clone, Copy)]
pub struct Aws<'a> {
    stack: &'a Stack,
}

impl<'a> Aws<'a> {
    pub(super) fn new(stack: &'a Stack) -> Self {
        Self { stack }
    }

    /// Makes a call in AWS's JSON protocol, which must succeed.
    pub async fn json(self, service: &str, target: &str, body: &Value) -> Value {
        let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target)];
        let (url, body) = (format!("{}/", self.stack.endpoint_url), body.to_string());
        let call = Call { method: "POST", url: &url, headers: &headers, body: body.as_bytes(), service };
        let signer = Signer::new(&self.stack.region, self.stack.credentials());
        let response = signer.send(&call).await.expect("AWS responds");
        assert_eq!(response.status, 200, "{target}: {}", response.text);
        response.json()
    }

    /// Makes a call in AWS's query protocol, which must succeed.
    pub async fn query(self, service: &str, parameters: &[(&str, &str)]) -> String {
        let signer = Signer::new(&self.stack.region, self.stack.credentials());
        signer.query(&self.stack.endpoint_url, service, parameters).await.expect("AWS accepts the call")
    }

    /// Changes permissions, as an administrator would.
    pub async fn iam(self, parameters: &[(&str, &str)]) {
        self.query("iam", &[parameters, &[("Version", "2010-05-08")]].concat()).await;
    }

    /// The name of a function's role.
    pub async fn role_of(self, function: &str) -> String {
        let name = &self.stack.functions[function];
        let response = self.lambda().get_function_configuration().function_name(name).send().await;
        let arn = response.expect("Lambda responds").role.expect("a function has a role");
        arn.rsplit('/').next().expect("an ARN has a name").to_owned()
    }

    /// Denies a function all new items in the store, until [`allow_writes`](Self::allow_writes).
    pub async fn deny_writes(self, function: &str) {
        let deny = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":["dynamodb:PutItem","dynamodb:TransactWriteItems"],"Resource":"*"}]}"#;
        let role = self.role_of(function).await;
        let policy = [("RoleName", role.as_str()), ("PolicyName", NO_WRITES)];
        self.iam(&[&[("Action", "PutRolePolicy"), ("PolicyDocument", deny)], &policy[..]].concat()).await;
    }

    /// Takes back [`deny_writes`](Self::deny_writes).
    pub async fn allow_writes(self, function: &str) {
        let role = self.role_of(function).await;
        self.iam(&[("Action", "DeleteRolePolicy"), ("RoleName", &role), ("PolicyName", NO_WRITES)]).await;
    }

    /// Changes a secret.
    pub async fn put_secret(self, id: &str, value: &str) {
        let body = json!({"SecretId": id, "SecretString": value, "ClientRequestToken": Uuid::now_v7()});
        self.json("secretsmanager", "secretsmanager.PutSecretValue", &body).await;
    }

    /// A client for the functions.
    pub fn lambda(self) -> aws_sdk_lambda::Client {
        aws_sdk_lambda::Client::new(&self.stack.sdk_config())
    }

    /// A function's environment, as deployed.
    pub async fn environment_of(self, function: &str) -> BTreeMap<String, String> {
        let name = &self.stack.functions[function];
        let response = self.lambda().get_function_configuration().function_name(name).send().await;
        let environment = response.expect("Lambda responds").environment.and_then(|environment| environment.variables);
        environment.unwrap_or_default().into_iter().collect()
    }

    /// Changes a variable in a function's environment; the next invocation sees it.
    pub async fn set_environment(self, function: &str, name: &str, value: Option<&str>) {
        let mut variables = self.environment_of(function).await;
        match value {
            Some(value) => variables.insert(name.to_owned(), value.to_owned()),
            None => variables.remove(name),
        };
        let (lambda, function) = (self.lambda(), &self.stack.functions[function]);
        let environment = Environment::builder().set_variables(Some(variables.into_iter().collect())).build();
        let update = lambda.update_function_configuration().function_name(function).environment(environment);
        update.send().await.expect("Lambda accepts the update");
        wait_for("the function to be updated", async || {
            let response = lambda.get_function_configuration().function_name(function).send().await?;
            let status = response.last_update_status.context("no status")?;
            ensure!(status == LastUpdateStatus::Successful, "{status:?}");
            Ok(())
        })
        .await;
    }

    /// Changes how often a failed record of a function's stream is retried.
    pub async fn set_stream_retries(self, function: &str, retries: i32) {
        let lambda = self.lambda();
        let sources = lambda.list_event_source_mappings().function_name(&self.stack.functions[function]).send().await;
        let source = sources.expect("Lambda responds").event_source_mappings.unwrap_or_default().remove(0);
        let id = source.uuid.expect("an event source has an id");
        let update = lambda.update_event_source_mapping().uuid(&id).maximum_retry_attempts(retries);
        update.send().await.expect("Lambda accepts the update");
        wait_for("the event source to be updated", async || {
            let state = lambda.get_event_source_mapping().uuid(&id).send().await?.state.unwrap_or_default();
            ensure!(state == "Enabled", "{state}");
            Ok(())
        })
        .await;
    }
}

/// The name of the policy that denies writes.
const NO_WRITES: &str = "no-writes";
