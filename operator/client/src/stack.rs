//! `stack.json`: the endpoints and resources of a running stack.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use serde::{Deserialize, Serialize};

/// Environment variable: the path of `stack.json`.
pub const STACK_VARIABLE: &str = "OFFERCAST_STACK";
/// Environment variable for tests: a Python that has moto.
pub const MOTO_VARIABLE: &str = "OFFERCAST_MOTO";
/// Environment variable for tests: the path of schemathesis.
pub const SCHEMATHESIS_VARIABLE: &str = "OFFERCAST_SCHEMATHESIS";

/// The content of `stack.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stack {
    /// The HTTP API's URL, including its stage.
    pub api_url: String,
    /// The endpoint of all AWS services.
    pub endpoint_url: String,
    /// The inbox's page; its API is at `api/messages` under it.
    pub inbox_url: String,
    /// The status page, if one is running.
    pub status_url: Option<String>,
    /// The SMTP server that receives e-mail.
    pub smtp_url: String,
    /// The AWS region.
    pub region: String,
    /// The access key id of a user with all permissions on this stack.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: String,
    /// Full names of functions by short name: `offer`, `push`, …
    pub functions: BTreeMap<String, String>,
    /// Full names of tables by short name: `offers`, `customers`, …
    pub tables: BTreeMap<String, String>,
    /// Queue URLs by short name: `email`, `emailDeadLetters`, …
    pub queues: BTreeMap<String, String>,
}

impl Stack {
    /// Reads `stack.json`.
    ///
    /// # Errors
    /// If the file does not exist or is malformed.
    pub fn read(path: &Path) -> Result<Self> {
        let json = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_slice(&json).with_context(|| format!("{} is malformed", path.display()))
    }

    /// The user's access key.
    pub fn credentials(&self) -> Credentials {
        Credentials::new(&self.access_key_id, &self.secret_access_key, None, None, "stack.json")
    }

    /// The configuration for SDK clients of this stack.
    pub fn sdk_config(&self) -> SdkConfig {
        sdk_config(&self.endpoint_url, &self.region, self.credentials())
    }
}

/// The configuration for SDK clients of a local stack. Without TLS, since the stack is on this machine.
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
