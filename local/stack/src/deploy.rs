//! Deploying the real `template.yaml` as `sam deploy` does: upload packages to S3, then create or update the stack.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use aws_credential_types::Credentials;
use aws_sdk_cloudformation::Client;
use aws_sdk_cloudformation::types::{Capability, Output, Parameter, StackStatus};
use client::{Call, Outputs, Signer, sdk_config, sentence};
use offercast::output;

use crate::packages::{Deployable, Package};
use crate::settings::Settings;
use crate::stack_dir::REGION;

/// The CloudFormation stack's name.
const STACK: &str = "offercast";
const BUCKET: &str = "offercast-packages";
/// The IAM user whose key is in `stack.json`.
const USER: &str = "offercast-local";

/// Lines of roles' statements about what a request contains: its keys, and what it selects. No emulator passes that to its
/// policies, so that these lines would refuse all requests. A test of the template requires them.
const ON_REQUESTS: [&str; 2] = [
    "                  \"Null\": {\"dynamodb:LeadingKeys\": \"false\"}\n",
    "                Condition: {StringEquals: {\"dynamodb:Select\": COUNT}}\n",
];

/// An AWS emulator to deploy to.
pub(crate) struct Aws {
    endpoint: String,
    administrator: Credentials,
    signer: Signer,
}

impl Aws {
    /// The emulator at `endpoint`, and the key of its administrator.
    pub(crate) fn at(endpoint: &str, administrator: Credentials) -> Self {
        let signer = Signer::new(REGION, administrator.clone());
        Self { endpoint: endpoint.trim_end_matches('/').to_owned(), administrator, signer }
    }

    /// Creates the CloudFormation stack, or updates it and keeps its data. Returns its outputs.
    pub(crate) async fn deploy(&self, deployable: &Deployable, settings: &Settings) -> Result<Outputs> {
        let mut step = output::step("Deploying template.yaml");
        let location = format!(
            "<CreateBucketConfiguration><LocationConstraint>{REGION}</LocationConstraint></CreateBucketConfiguration>"
        );
        self.put(&format!("/{BUCKET}"), location.as_bytes()).await?;
        let mut template = deployable.template.clone();
        for Package { function, code_uri, hash, zip } in &deployable.packages {
            step.update(&format!("uploading {function}, {} MB", zip.len() >> 20));
            let key = format!("{function}-{hash}.zip");
            if !self.exists(&format!("/{BUCKET}/{key}")).await? {
                self.put(&format!("/{BUCKET}/{key}"), zip).await?;
            }
            let line = format!("CodeUri: {code_uri}\n");
            if !template.contains(&line) {
                bail!("template.yaml has no line `{}`", line.trim_end());
            }
            template = template.replace(&line, &format!("CodeUri: s3://{BUCKET}/{key}\n"));
        }
        for line in ON_REQUESTS {
            template = template.replace(line, "");
        }
        // MiniStack compares this with a number, and a `!Ref` is text.
        for (name, value) in settings.iter().filter(|(name, _)| name.ends_with("Concurrency")) {
            template = template
                .replace(&format!("MaximumConcurrency: !Ref {name}}}"), &format!("MaximumConcurrency: {value}}}"));
        }
        // A template in the request is limited to 51,200 bytes, in a bucket to 1 MB (CloudFormation quotas).
        self.put(&format!("/{BUCKET}/template.yaml"), template.as_bytes()).await?;
        let template = format!("{}/{BUCKET}/template.yaml", self.endpoint);
        let cloudformation = Client::new(&sdk_config(&self.endpoint, REGION, self.administrator.clone()));
        let parameters: Vec<_> = settings
            .iter()
            .map(|(name, value)| Parameter::builder().parameter_key(name).parameter_value(value).build())
            .collect();
        step.update("creating resources");
        let exists = cloudformation.describe_stacks().stack_name(STACK).send().await.is_ok();
        if exists {
            let updated = cloudformation
                .update_stack()
                .stack_name(STACK)
                .template_url(template)
                .set_parameters(Some(parameters))
                .capabilities(Capability::CapabilityIam)
                .capabilities(Capability::CapabilityAutoExpand)
                .send()
                .await;
            if let Err(error) = updated {
                let error = sentence(&error);
                if !error.contains("No updates are to be performed") {
                    bail!("the stack cannot be updated: {error}");
                }
            }
        } else {
            cloudformation
                .create_stack()
                .stack_name(STACK)
                .template_url(template)
                .set_parameters(Some(parameters))
                .capabilities(Capability::CapabilityIam)
                .capabilities(Capability::CapabilityAutoExpand)
                .send()
                .await
                .map_err(|error| anyhow::anyhow!("the stack cannot be created: {}", sentence(&error)))?;
        }
        let outputs = self.wait_for_outputs(&cloudformation).await?;
        step.done(if exists { "updated" } else { "created" });
        Ok(outputs)
    }

    async fn wait_for_outputs(&self, cloudformation: &Client) -> Result<Outputs> {
        loop {
            let response = cloudformation.describe_stacks().stack_name(STACK).send().await?;
            let stack = response.stacks().first().context("the stack no longer exists")?;
            match stack.stack_status() {
                Some(StackStatus::CreateComplete | StackStatus::UpdateComplete) => {
                    let pair = |output: &Output| Some((output.output_key.clone()?, output.output_value.clone()?));
                    return Ok(stack.outputs().iter().filter_map(pair).collect());
                }
                Some(status) if status.as_str().ends_with("IN_PROGRESS") => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                status => bail!(
                    "deployment failed ({}): {}\n{}",
                    status.map_or("unknown state", StackStatus::as_str),
                    stack.stack_status_reason().unwrap_or("no reason given"),
                    self.failures(cloudformation).await
                ),
            }
        }
    }

    async fn failures(&self, cloudformation: &Client) -> String {
        let events = cloudformation.describe_stack_events().stack_name(STACK).send().await;
        events
            .iter()
            .flat_map(aws_sdk_cloudformation::operation::describe_stack_events::DescribeStackEventsOutput::stack_events)
            .filter(|event| event.resource_status().is_some_and(|status| status.as_str().ends_with("FAILED")))
            .map(|event| {
                let what = event.logical_resource_id().unwrap_or_default();
                format!("  {what}: {}\n", event.resource_status_reason().unwrap_or_default())
            })
            .collect()
    }

    /// Creates a user with an access key. Every emulator that enforces roles refuses wrong signatures of this user.
    pub(crate) async fn create_user(&self) -> Result<Credentials> {
        let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;
        // The user already exists after an earlier `up` on an emulator that we did not start.
        let _ = self.iam(&[("Action", "CreateUser"), ("UserName", USER)]).await;
        let keys = self.iam(&[("Action", "ListAccessKeys"), ("UserName", USER)]).await?;
        for key in elements(&keys, "AccessKeyId") {
            self.iam(&[("Action", "DeleteAccessKey"), ("UserName", USER), ("AccessKeyId", key)]).await?;
        }
        self.iam(&[
            ("Action", "PutUserPolicy"),
            ("UserName", USER),
            ("PolicyName", "everything"),
            ("PolicyDocument", policy),
        ])
        .await?;
        let response = self.iam(&[("Action", "CreateAccessKey"), ("UserName", USER)]).await?;
        let element = |name| elements(&response, name).next();
        let (id, secret) =
            element("AccessKeyId").zip(element("SecretAccessKey")).context("the new access key has no id or secret")?;
        Ok(Credentials::new(id, secret, None, None, "created for the local stack"))
    }

    async fn iam(&self, parameters: &[(&str, &str)]) -> Result<String> {
        self.signer.query(&self.endpoint, "iam", &[parameters, &[("Version", "2010-05-08")]].concat()).await
    }

    async fn put(&self, path: &str, body: &[u8]) -> Result<()> {
        let url = format!("{}{path}", self.endpoint);
        let response = self.signer.send(&Call { method: "PUT", url: &url, headers: &[], body, service: "s3" }).await?;
        // 409: the bucket already exists and is ours.
        if response.status >= 300 && response.status != 409 {
            bail!("S3 refused PUT {path} ({}): {}", response.status, response.text);
        }
        Ok(())
    }

    async fn exists(&self, path: &str) -> Result<bool> {
        let url = format!("{}{path}", self.endpoint);
        let call = Call { method: "HEAD", url: &url, headers: &[], body: &[], service: "s3" };
        Ok(self.signer.send(&call).await?.status == 200)
    }
}

/// The text of every element with this name.
fn elements<'a>(xml: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    xml.split(&format!("<{name}>"))
        .skip(1)
        .filter_map(|rest| Some(rest.split_once('<')?.0))
        .collect::<Vec<_>>()
        .into_iter()
}
