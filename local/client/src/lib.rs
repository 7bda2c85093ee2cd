//! A running stack, as tools and tests see it: where everything is, and calls signed with AWS Signature Version 4.

mod deployment;
mod logs;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context, Result};
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, sign,
};
use aws_sigv4::sign::v4::SigningParams;
use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use deployment::{Deployment, Outputs};
pub use logs::logged;

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

/// Makes signed calls.
#[derive(Debug, Clone)]
pub struct Signer {
    http: reqwest::Client,
    region: String,
    credentials: Credentials,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// Header names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body as text.
    pub text: String,
}

impl Response {
    /// The body as JSON; `null` if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }
}

/// A call to be signed.
#[derive(Debug, Clone)]
pub struct Call<'a> {
    /// `GET`, `POST`, …
    pub method: &'a str,
    /// The whole URL.
    pub url: &'a str,
    /// Beside those that signing adds.
    pub headers: &'a [(&'a str, &'a str)],
    /// Empty for none.
    pub body: &'a [u8],
    /// The name under which AWS signs for the service: `execute-api`, `s3`, `iam`, …
    pub service: &'a str,
}

impl Signer {
    /// Signs with these credentials.
    pub fn new(region: &str, credentials: Credentials) -> Self {
        Self { http: reqwest::Client::new(), region: region.to_owned(), credentials }
    }

    /// Makes a call of AWS's query protocol (IAM, CloudFormation): parameters in, XML out.
    ///
    /// # Errors
    /// If there is no answer, or the answer says no.
    pub async fn query(&self, endpoint: &str, service: &str, parameters: &[(&str, &str)]) -> Result<String> {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
        let url = format!("{}/", endpoint.trim_end_matches('/'));
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let answer =
            self.send(&Call { method: "POST", url: &url, headers: &headers, body: body.as_bytes(), service }).await?;
        anyhow::ensure!(answer.status < 300, "{service} refused ({}): {}", answer.status, answer.text);
        Ok(answer.text)
    }

    /// Makes a call.
    ///
    /// # Errors
    /// If the call cannot be signed or gets no answer. An answer that says no is no error.
    pub async fn send(&self, call: &Call<'_>) -> Result<Response> {
        let mut request = http::Request::builder().method(call.method).uri(call.url);
        for (name, value) in call.headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(call.body.to_vec())?;
        let identity = self.credentials.clone().into();
        let mut settings = SigningSettings::default();
        if call.service == "s3" {
            settings.percent_encoding_mode = PercentEncodingMode::Single;
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        }
        let parameters = SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(call.service)
            .time(SystemTime::now())
            .settings(settings)
            .build()?
            .into();
        let signable =
            SignableRequest::new(call.method, call.url, call.headers.iter().copied(), SignableBody::Bytes(call.body))?;
        let (instructions, _) = sign(signable, &parameters)?.into_parts();
        instructions.apply_to_request_http1x(&mut request);
        let answer = self
            .http
            .execute(reqwest::Request::try_from(request)?)
            .await
            .with_context(|| format!("no answer to {} {}", call.method, call.url))?;
        Ok(Response {
            status: answer.status().as_u16(),
            headers: answer
                .headers()
                .iter()
                .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
                .collect(),
            text: answer.text().await?,
        })
    }
}

/// The stack's HTTP API.
#[derive(Debug, Clone)]
pub struct Api {
    url: String,
    signer: Signer,
}

impl Api {
    /// Calls as the stack's user.
    pub fn new(stack: &Stack) -> Self {
        Self { url: stack.api_url.clone(), signer: Signer::new(&stack.region, stack.credentials()) }
    }

    /// Makes a signed call.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Response> {
        let url = format!("{}/{}", self.url, path.trim_start_matches('/'));
        self.signer.send(&Call { method, url: &url, headers, body, service: "execute-api" }).await
    }
}
