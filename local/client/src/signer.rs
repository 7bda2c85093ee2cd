//! Calls signed with AWS Signature Version 4.

use std::collections::BTreeMap;
use std::time::SystemTime;

use anyhow::{Context, Result};
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, sign,
};
use aws_sigv4::sign::v4::SigningParams;
use serde_json::Value;

/// Signs and sends HTTP requests to AWS services.
#[derive(Debug, Clone)]
pub struct Signer {
    http: reqwest::Client,
    region: String,
    credentials: Credentials,
}

/// An HTTP response.
#[derive(Debug, Clone)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// Headers by lower-case name.
    pub headers: BTreeMap<String, String>,
    /// The body as text.
    pub text: String,
}

impl Response {
    /// The body as JSON; `null` if it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }
}

/// A request to sign.
#[derive(Debug, Clone)]
pub struct Call<'a> {
    /// `GET`, `POST`, …
    pub method: &'a str,
    /// The full URL.
    pub url: &'a str,
    /// Headers in addition to those that signing adds.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body; empty for none.
    pub body: &'a [u8],
    /// The service's signing name: `execute-api`, `s3`, `iam`, …
    pub service: &'a str,
}

impl Signer {
    /// Creates a signer for a region and credentials.
    pub fn new(region: &str, credentials: Credentials) -> Self {
        Self { http: reqwest::Client::new(), region: region.to_owned(), credentials }
    }

    /// Makes a call in AWS's query protocol (IAM, CloudFormation) and returns the XML.
    ///
    /// # Errors
    /// If the service does not respond or refuses the call.
    pub async fn query(&self, endpoint: &str, service: &str, parameters: &[(&str, &str)]) -> Result<String> {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
        let url = format!("{}/", endpoint.trim_end_matches('/'));
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let response =
            self.send(&Call { method: "POST", url: &url, headers: &headers, body: body.as_bytes(), service }).await?;
        anyhow::ensure!(response.status < 300, "{service} refused ({}): {}", response.status, response.text);
        Ok(response.text)
    }

    /// Makes a signed call.
    ///
    /// # Errors
    /// If the request cannot be signed or there is no response. An error status is not an error here.
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
        let response = self
            .http
            .execute(reqwest::Request::try_from(request)?)
            .await
            .with_context(|| format!("no response to {} {}", call.method, call.url))?;
        Ok(Response {
            status: response.status().as_u16(),
            headers: response
                .headers()
                .iter()
                .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
                .collect(),
            text: response.text().await?,
        })
    }
}
