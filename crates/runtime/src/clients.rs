//! AWS clients, with explicit timeouts and retries.
//!
//! With the SDK's defaults, one call to an endpoint that does not respond could outlast the invocation that made it.

use std::sync::OnceLock;
use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig, retry::RetryConfig};
use aws_sdk_dynamodb::config::SharedHttpClient;
use aws_smithy_http_client::tls::TlsContext;
use domain::Sources;
use store::OpenTable;

use crate::bus::EventBus;
use crate::connections::{FreshConnections, https};
use crate::hash_keys::HashKeys;
use crate::queue::Queue;
use crate::settings::{self, SettingError};
use crate::{sources, trust};

/// For connecting, which takes milliseconds within a region.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// For one attempt of a call. The slowest, a scan's page of 1 MB, takes a fraction of it.
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);
/// For a call with its retries: well within API Gateway's 29 seconds, so that the API can still return `503`.
pub const OPERATION_TIMEOUT: Duration = Duration::from_secs(8);
/// Attempts of a call, including the first.
const ATTEMPTS: u32 = 4;

/// How long the unused connections of a sending client are kept.
const SENDING_IDLE: Duration = Duration::from_secs(5);

/// The configuration that all clients share. Built once, when a function starts.
#[derive(Debug, Clone)]
pub struct Aws {
    config: SdkConfig,
    dynamodb: aws_sdk_dynamodb::Client,
    /// Made for the first queue: not every function has one.
    sqs: OnceLock<aws_sdk_sqs::Client>,
    sources: Sources,
    /// The authorities whose certificates are accepted.
    trusted: TlsContext,
    /// What carries the calls of the clients that send messages, if not connections of their own.
    sending: Option<SharedHttpClient>,
}

impl Aws {
    /// Reads region, credentials, endpoint and trusted authorities from the environment.
    ///
    /// # Errors
    /// If the file that `AWS_CA_BUNDLE` names cannot be read or holds no certificates.
    pub async fn from_env() -> Result<Self, SettingError> {
        let trusted = trust::from_env()?;
        let config = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .http_client(https(None, &trusted))
            .timeout_config(timeouts())
            .retry_config(retries())
            .load()
            .await;
        Ok(Self { trusted, ..Self::new(config, sources::system()) })
    }

    /// Clients with this configuration, on this clock.
    pub fn new(config: SdkConfig, sources: Sources) -> Self {
        let (dynamodb, trusted) = (aws_sdk_dynamodb::Client::new(&config), trust::of_system());
        Self { dynamodb, sqs: OnceLock::new(), config, sources, trusted, sending: None }
    }

    /// Clients with this configuration and the timeouts and retries of a function, on this clock. `http` carries the
    /// calls of all of them, those that send messages included: for a network that is simulated.
    pub fn over(http: SharedHttpClient, config: &SdkConfig, sources: Sources) -> Self {
        let config = config.to_builder().timeout_config(timeouts()).retry_config(retries()).http_client(http.clone());
        Self { sending: Some(http), ..Self::new(config.build(), sources) }
    }

    /// The clock, and the source of ids and random numbers.
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// The shared configuration, for a client that only one function needs.
    pub fn config(&self) -> &SdkConfig {
        &self.config
    }

    /// The configuration of a client that sends messages: one attempt for each call, with this timeout. Only the
    /// pipeline may retry, because a retry inside the client could send a message twice without any record of it.
    pub fn one_attempt(&self, timeout: Duration) -> SdkConfig {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_attempt_timeout(timeout)
            .operation_timeout(timeout)
            .build();
        let config = self.config.to_builder().timeout_config(timeouts).retry_config(RetryConfig::disabled());
        match &self.sending {
            Some(http) => config.http_client(http.clone()),
            None => config.http_client(FreshConnections::new(self.sources.clone(), self.trusted.clone(), SENDING_IDLE)),
        }
        .build()
    }

    /// Opens a table by the name in its setting.
    ///
    /// # Errors
    /// If the setting is missing.
    pub fn table<T: OpenTable>(&self) -> Result<T, SettingError> {
        Ok(T::open(self.dynamodb.clone(), settings::required(T::SETTING)?, self.sources.clone()))
    }

    /// The key of the stack's hashes, in the secret that the setting names.
    ///
    /// # Errors
    /// If the setting is missing.
    pub fn hash_keys(&self) -> Result<HashKeys, SettingError> {
        Ok(HashKeys::new(self.clone(), settings::required("HASH_KEY_SECRET_ARN")?))
    }

    /// Opens a queue by the URL in this setting.
    ///
    /// # Errors
    /// If the setting is missing.
    pub fn queue(&self, setting: &'static str) -> Result<Queue, SettingError> {
        let client = self.sqs.get_or_init(|| aws_sdk_sqs::Client::new(&self.config));
        Ok(Queue::new(client.clone(), settings::required::<String>(setting)?))
    }

    /// The event bus that the setting names.
    ///
    /// # Errors
    /// If the setting is missing.
    pub fn event_bus(&self) -> Result<EventBus, SettingError> {
        let name = settings::required::<String>("EVENT_BUS")?;
        Ok(EventBus::new(aws_sdk_eventbridge::Client::new(&self.config), name))
    }

    /// The value of a secret.
    ///
    /// # Errors
    /// If the secret cannot be read or is not text.
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

fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(OPERATION_TIMEOUT)
        .build()
}

fn retries() -> RetryConfig {
    RetryConfig::standard().with_max_attempts(ATTEMPTS)
}

/// Why a secret could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The call failed.
    #[error("cannot read the secret {arn}: {reason}")]
    Unavailable {
        /// Which secret.
        arn: String,
        /// The client's error message.
        reason: String,
    },
    /// The secret is binary.
    #[error("the secret {arn} is not text")]
    NotText {
        /// Which secret.
        arn: String,
    },
}
