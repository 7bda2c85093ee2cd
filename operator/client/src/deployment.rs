//! A deployment of Offercast, locally or on AWS: functions, tables and queues by short name.

use std::collections::BTreeMap;

use anyhow::{Context, Result, anyhow, bail};
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::ProvideCredentials;
use aws_sdk_cloudformation::types::Output;
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};

use crate::sentence::{cause_of, sentence};
use crate::stack::Stack;

const NO_CREDENTIALS: &str =
    "there are no AWS credentials; sign in with `aws sso login`, or set AWS_PROFILE, and try again";

/// The template's outputs by name.
pub type Outputs = BTreeMap<String, String>;

/// A deployment of Offercast.
#[derive(Debug, Clone)]
pub struct Deployment {
    /// The configuration for SDK clients.
    pub sdk: SdkConfig,
    /// Full names of functions by short name: `offer`, `push`, …
    pub functions: BTreeMap<String, String>,
    /// Full names of tables by short name: `offers`, `customers`, …
    pub tables: BTreeMap<String, String>,
    /// Queue URLs by short name: `email`, `emailDeadLetters`, …
    pub queues: BTreeMap<String, String>,
    /// The template's outputs. Empty for the local stack.
    pub outputs: Outputs,
}

impl Deployment {
    /// The local stack.
    pub fn local(stack: &Stack) -> Self {
        let Stack { functions, tables, queues, .. } = stack.clone();
        Self { sdk: stack.sdk_config(), functions, tables, queues, outputs: Outputs::new() }
    }

    /// A CloudFormation stack on AWS, with the credentials and, unless it is given, the region that the AWS CLI would use.
    ///
    /// # Errors
    /// If the stack does not exist or the credentials do not permit reading it. The text says which, and what to do.
    pub async fn on_aws(name: &str, region: Option<&str>) -> Result<Self> {
        let https =
            aws_smithy_http_client::Builder::new().tls_provider(tls::Provider::Rustls(CryptoMode::Ring)).build_https();
        let mut sdk = aws_config::defaults(BehaviorVersion::v2026_01_12()).http_client(https);
        if let Some(region) = region {
            sdk = sdk.region(Region::new(region.to_owned()));
        }
        let sdk = sdk.load().await;
        if sdk.region().is_none() {
            bail!("no AWS region is set; name one with --region, or in AWS_REGION or the AWS CLI's configuration");
        }
        if let Some(credentials) = sdk.credentials_provider() {
            credentials
                .provide_credentials()
                .await
                .map_err(|error| anyhow!("{NO_CREDENTIALS} ({})", cause_of(&error)))?;
        }
        let described = aws_sdk_cloudformation::Client::new(&sdk).describe_stacks().stack_name(name).send().await;
        let described = described.map_err(|error| anyhow!("cannot read the stack {name}: {}", sentence(&error)))?;
        let stack = described.stacks().first().with_context(|| format!("there is no stack named {name}"))?;
        let pair = |output: &Output| Some((output.output_key.clone()?, output.output_value.clone()?));
        Ok(Self::of(sdk, &stack.outputs().iter().filter_map(pair).collect()))
    }

    /// Takes the resource names from the template's outputs.
    pub fn of(sdk: SdkConfig, outputs: &Outputs) -> Self {
        let queues = named(outputs, "Url").into_iter().filter(|(name, _)| name != "api").collect();
        let (functions, tables) = (named(outputs, "FunctionName"), named(outputs, "TableName"));
        Self { sdk, functions, tables, queues, outputs: outputs.clone() }
    }
}

/// `OfferFunctionName: x` becomes `offer: x`.
fn named(outputs: &Outputs, suffix: &str) -> BTreeMap<String, String> {
    outputs
        .iter()
        .filter_map(|(name, value)| {
            let name = name.strip_suffix(suffix)?;
            let name = name.strip_suffix("Queue").unwrap_or(name);
            let (first, rest) = name.split_at_checked(1)?;
            Some((first.to_lowercase() + rest, value.clone()))
        })
        .collect()
}
