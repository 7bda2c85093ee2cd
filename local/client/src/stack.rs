//! `stack.json`: where everything of a running stack is.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use serde::{Deserialize, Serialize};

/// Names the file that says where the stack to test is.
pub const STACK_VARIABLE: &str = "OFFERCAST_STACK";
/// Tells the tests where the Python is that has moto.
pub const MOTO_VARIABLE: &str = "OFFERCAST_MOTO";
/// Tells the tests where schemathesis is.
pub const SCHEMATHESIS_VARIABLE: &str = "OFFERCAST_SCHEMATHESIS";

/// Where everything of a running stack is: the content of `stack.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stack {
    /// The API, with its stage.
    pub api_url: String,
    /// Every AWS service.
    pub endpoint_url: String,
    /// The inbox: a page, and `api/messages`.
    pub inbox_url: String,
    /// The status page, where there is one.
    pub status_url: Option<String>,
    /// The SMTP server that e-mail is delivered to.
    pub smtp_url: String,
    /// The AWS region.
    pub region: String,
    /// Of a user who may do everything on this stack.
    pub access_key_id: String,
    /// Belongs to it.
    pub secret_access_key: String,
    /// Function names by what they do: `offer`, `push`, …
    pub functions: BTreeMap<String, String>,
    /// Table names: `offers`, `customers`, …
    pub tables: BTreeMap<String, String>,
    /// Queue URLs: `email`, `emailDeadLetters`, …
    pub queues: BTreeMap<String, String>,
}

impl Stack {
    /// # Errors
    /// If there is no such file or it is malformed.
    pub fn read(path: &Path) -> Result<Self> {
        let json = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_slice(&json).with_context(|| format!("{} is malformed", path.display()))
    }

    /// The user's key.
    pub fn credentials(&self) -> Credentials {
        Credentials::new(&self.access_key_id, &self.secret_access_key, None, None, "stack.json")
    }

    /// What an SDK client needs to talk to it.
    pub fn sdk_config(&self) -> SdkConfig {
        sdk_config(&self.endpoint_url, &self.region, self.credentials())
    }
}

/// What an SDK client needs to talk to a local stack. Without TLS: it is on this machine.
pub fn sdk_config(endpoint: &str, region: &str, credentials: Credentials) -> SdkConfig {
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .endpoint_url(endpoint)
        .region(Region::new(region.to_owned()))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .sleep_impl(SharedAsyncSleep::new(TokioSleep::new()))
        .build()
}
