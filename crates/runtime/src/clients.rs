//! AWS clients, with time-outs and retries set on purpose.
//!
//! The SDK's defaults would let one call to an endpoint that does not answer outlive the function that made it.

use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig, retry::RetryConfig};
use aws_sdk_dynamodb::config::SharedHttpClient;
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};
use store::OpenTable;

use crate::queue::Queue;
use crate::settings::{self, SettingError};

/// To a connection; inside one region it takes milliseconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// For one attempt at a call. The slowest, a scan's page of 1 MB, takes a fraction of it.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);
/// For a call with its retries: well within API Gateway's 29 seconds, so that a caller hears `503` from us.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(8);
/// The first attempt among them.
const ATTEMPTS: u32 = 4;

/// How long a connection that carries messages is kept unused: one that was closed while the function slept looks like an
/// answer that was lost.
const SENDING_IDLE: Duration = Duration::from_secs(5);

/// Speaks HTTPS; keeps a connection that is not used for `idle`, or for as long as the SDK does.
fn https(idle: Option<Duration>) -> SharedHttpClient {
    let mut builder = aws_smithy_http_client::Builder::new();
    if let Some(idle) = idle {
        builder = builder.pool_idle_timeout(idle);
    }
    builder.tls_provider(tls::Provider::Rustls(CryptoMode::Ring)).build_https()
}

/// What all clients share. Made once, while a function starts.
#[derive(Debug, Clone)]
pub struct Aws {
    config: SdkConfig,
    dynamodb: aws_sdk_dynamodb::Client,
    sqs: aws_sdk_sqs::Client,
}

impl Aws {
    /// Reads region, credentials and endpoint from the environment.
    pub async fn from_env() -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .operation_timeout(OPERATION_TIMEOUT)
            .build();
        let config = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .http_client(https(None))
            .timeout_config(timeouts)
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
            .load()
            .await;
        Self { dynamodb: aws_sdk_dynamodb::Client::new(&config), sqs: aws_sdk_sqs::Client::new(&config), config }
    }

    /// What a client of a service has in common with the others, for those that a single function needs.
    pub fn config(&self) -> &SdkConfig {
        &self.config
    }

    /// For a client that carries messages: one attempt for each call, which waits so long for its answer. Trying again is
    /// the pipeline's business, for a client that does so hides that a message went twice.
    pub fn one_attempt(&self, answer: Duration) -> SdkConfig {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_attempt_timeout(answer)
            .operation_timeout(answer)
            .build();
        self.config
            .to_builder()
            .http_client(https(Some(SENDING_IDLE)))
            .timeout_config(timeouts)
            .retry_config(RetryConfig::disabled())
            .build()
    }

    /// A table, by the name in its setting.
    ///
    /// # Errors
    /// If the setting is missing.
    pub fn table<T: OpenTable>(&self) -> Result<T, SettingError> {
        Ok(T::open(self.dynamodb.clone(), settings::required(T::SETTING)?))
    }

    /// A queue, by the URL in this setting.
    ///
    /// # Errors
    /// If the setting is missing.
    pub fn queue(&self, setting: &'static str) -> Result<Queue, SettingError> {
        Ok(Queue::new(self.sqs.clone(), settings::required::<String>(setting)?))
    }

    /// The value of a secret.
    ///
    /// # Errors
    /// If it cannot be read or is not text.
    pub async fn secret(&self, arn: &str) -> Result<String, SecretError> {
        aws_sdk_secretsmanager::Client::new(&self.config)
            .get_secret_value()
            .secret_id(arn)
            .send()
            .await
            .map_err(|error| SecretError::Unavailable {
                arn: arn.to_owned(),
                reason: aws_sdk_secretsmanager::error::DisplayErrorContext(&error).to_string(),
            })?
            .secret_string
            .ok_or_else(|| SecretError::NotText { arn: arn.to_owned() })
    }
}

/// Why a secret could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The call failed.
    #[error("cannot read the secret {arn}: {reason}")]
    Unavailable {
        /// Which secret.
        arn: String,
        /// The client's words.
        reason: String,
    },
    /// It is binary.
    #[error("the secret {arn} is not text")]
    NotText {
        /// Which secret.
        arn: String,
    },
}
