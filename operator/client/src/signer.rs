//! Calls signed with AWS Signature Version 4.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, sign,
};
use aws_sigv4::sign::v4::SigningParams;
use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorSettings, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use serde_json::Value;

/// Signs and sends HTTP requests to AWS services.
#[derive(Debug, Clone)]
pub struct Signer {
    http: SharedHttpConnector,
    region: String,
    credentials: SharedCredentialsProvider,
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// With TLS where the URL asks for it.
fn connector() -> SharedHttpConnector {
    let tls = tls::Provider::Rustls(CryptoMode::Ring);
    // API Gateway responds within 29 seconds; local emulators may take longer.
    let settings = HttpConnectorSettings::builder().connect_timeout(CONNECT_TIMEOUT).read_timeout(READ_TIMEOUT).build();
    let connector = aws_smithy_http_client::Connector::builder().tls_provider(tls);
    SharedHttpConnector::new(
        connector.connector_settings(settings).sleep_impl(SharedAsyncSleep::new(TokioSleep::new())).build(),
    )
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

    /// What a refusal says: each field with what is wrong with it, or else the detail, or the message of API Gateway.
    pub fn problem(&self) -> String {
        let json = self.json();
        let errors = json["errors"].as_array().map_or(&[][..], Vec::as_slice);
        let fault = |error: &Value| Some(format!("{} {}", error["field"].as_str()?, error["detail"].as_str()?));
        let faults: Vec<_> = errors.iter().filter_map(fault).collect();
        let said = ["detail", "message", "Message"].iter().find_map(|name| json[*name].as_str());
        match (faults.is_empty(), said) {
            (false, _) => faults.join("; "),
            (true, Some(said)) => said.to_owned(),
            (true, None) => format!("status {}: {}", self.status, self.text),
        }
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
        Self { http: connector(), region: region.to_owned(), credentials: SharedCredentialsProvider::new(credentials) }
    }

    /// Creates a signer with the region and the credentials of a configuration; they are read again when they expire.
    ///
    /// # Errors
    /// If it has none.
    pub fn of(sdk: &SdkConfig) -> Result<Self> {
        let region = sdk.region().context("no AWS region is set")?.to_string();
        let credentials = sdk.credentials_provider().context("there are no AWS credentials")?;
        Ok(Self { http: connector(), region, credentials })
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
        let credentials = self.credentials.provide_credentials().await.context("there are no AWS credentials")?;
        let request = self.signed(call, credentials, SystemTime::now())?;
        let none = || format!("no response to {} {}", call.method, call.url);
        let request = HttpRequest::try_from(request.map(SdkBody::from))?;
        let mut response = self.http.call(request).await.with_context(none)?;
        let headers = response.headers().iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let status = response.status().as_u16();
        let body = ByteStream::new(response.take_body()).collect().await.with_context(none)?;
        Ok(Response { status, headers, text: String::from_utf8_lossy(&body.into_bytes()).into_owned() })
    }

    /// The request with its signature. All services but S3 sign the path encoded once more than it is sent, as in `%252F`
    /// for `%2F` (AWS IAM User Guide, "Create a signed AWS API request").
    fn signed(&self, call: &Call<'_>, credentials: Credentials, time: SystemTime) -> Result<http::Request<Vec<u8>>> {
        // As it will be sent: the HTTP client encodes what no URL may contain, such as `{`.
        let url = url::Url::parse(call.url).with_context(|| format!("{} is not a URL", call.url))?;
        let mut request = http::Request::builder().method(call.method).uri(url.as_str());
        for (name, value) in call.headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(call.body.to_vec())?;
        let identity = credentials.into();
        let mut settings = SigningSettings::default();
        if call.service == "s3" {
            settings.percent_encoding_mode = PercentEncodingMode::Single;
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        }
        let parameters = SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(call.service)
            .time(time)
            .settings(settings)
            .build()?
            .into();
        let headers = call.headers.iter().copied();
        let signable = SignableRequest::new(call.method, url.as_str(), headers, SignableBody::Bytes(call.body))?;
        let (instructions, _) = sign(signable, &parameters)?.into_parts();
        instructions.apply_to_request_http1x(&mut request);
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn signature(url: &str, service: &str) -> String {
        let credentials = Credentials::new("AKIDEXAMPLE", "secret", None, None, "test");
        let signer = Signer::new("eu-west-1", credentials.clone());
        let call = Call { method: "GET", url, headers: &[], body: b"", service };
        let request = signer.signed(&call, credentials, UNIX_EPOCH + Duration::from_secs(1_800_000_000)).unwrap();
        let authorization = request.headers()["authorization"].to_str().unwrap();
        authorization.rsplit_once("Signature=").unwrap().1.to_owned()
    }

    /// Made with hashlib and hmac of Python from the canonical request, which has the path
    /// `/v1/suppressions/email/name%252Fsur%252Bname%2540example.com`.
    #[test]
    fn an_encoded_path_is_signed_encoded_twice() {
        let url = "https://api.example/v1/suppressions/email/name%2Fsur%2Bname%40example.com";
        assert_eq!(signature(url, "execute-api"), "a2806f6d7f2b30208375160b93a4707cf13b90e79f79ad79810eb1e2360ce50b");
    }

    #[test]
    fn a_path_is_signed_as_it_is_sent() {
        let sent = "https://api.example/v1/suppressions/email/a%7Bb@example.com";
        assert_eq!(
            signature("https://api.example/v1/suppressions/email/a{b@example.com", "execute-api"),
            signature(sent, "execute-api")
        );
    }
}
