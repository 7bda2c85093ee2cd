//! Reading: every call to AWS, to the API's public URL and to DNS. Nothing here writes.

use std::error::Error;
use std::fmt::Debug;
use std::net::SocketAddr;
use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_kms::types::KeyMetadata;
use aws_sdk_lambda::types::AccountLimit;
use aws_sdk_sesv2::operation::get_account::GetAccountOutput;
use aws_sdk_sesv2::operation::get_configuration_set::GetConfigurationSetOutput;
use aws_sdk_sesv2::types::EventDestination;
use aws_sdk_sns::types::Subscription;
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::{HttpConnector as _, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use crate::dns;
use crate::domains::{Records, dmarc_records};
use crate::email::Identity;
use crate::finding::{Answer, Unread};
use crate::sms::Attributes;
use crate::stack::{Stack, domain, with_parents};

/// The IAM actions that the checks need. docs/operations.md has a policy of them.
pub const ACTIONS: [&str; 14] = [
    "cloudformation:DescribeStackResource",
    "cloudformation:DescribeStacks",
    "kms:DescribeKey",
    "kms:GetKeyPolicy",
    "lambda:GetAccountSettings",
    "secretsmanager:GetSecretValue",
    "ses:GetAccount",
    "ses:GetConfigurationSet",
    "ses:GetConfigurationSetEventDestinations",
    "ses:GetEmailIdentity",
    "sms-voice:GetResourcePolicy",
    "sns:GetSMSAttributes",
    "sns:GetSMSSandboxAccountStatus",
    "sns:ListSubscriptionsByTopic",
];

/// For one call with its retries.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Where answers come from.
#[derive(Debug)]
pub struct Aws {
    config: SdkConfig,
    web: SharedHttpConnector,
    dns: Vec<SocketAddr>,
}

impl Aws {
    /// With the credentials and the region of the AWS CLI, and the DNS servers of this machine.
    pub async fn from_env(region: Option<String>) -> Self {
        let tls = || tls::Provider::Rustls(CryptoMode::Ring);
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .http_client(aws_smithy_http_client::Builder::new().tls_provider(tls()).build_https())
            .timeout_config(TimeoutConfig::builder().operation_timeout(TIMEOUT).build());
        if let Some(region) = region {
            loader = loader.region(Region::new(region));
        }
        let web = SharedHttpConnector::new(aws_smithy_http_client::Connector::builder().tls_provider(tls()).build());
        Self::new(loader.load().await, web, dns::system_servers())
    }

    /// With these clients and DNS servers.
    pub fn new(config: SdkConfig, web: SharedHttpConnector, dns: Vec<SocketAddr>) -> Self {
        Self { config, web, dns }
    }

    pub(crate) async fn stack(&self, name: &str) -> anyhow::Result<Stack> {
        anyhow::ensure!(self.config.region().is_some(), "no region: set --region or AWS_REGION");
        let client = aws_sdk_cloudformation::Client::new(&self.config);
        let described = client.describe_stacks().stack_name(name).send().await;
        let described =
            described.map_err(|error| anyhow::anyhow!("cannot read the stack {name}: {}", words(&error)))?;
        described.stacks().first().and_then(Stack::of).ok_or_else(|| anyhow::anyhow!("there is no stack named {name}"))
    }

    /// The value of the secret that holds `SmtpUrl`, with the password that is in it.
    pub(crate) async fn smtp_url(&self, stack: &Stack) -> Answer<String> {
        let client = aws_sdk_cloudformation::Client::new(&self.config);
        let request = client.describe_stack_resource().stack_name(&stack.name).logical_resource_id("SmtpUrlSecret");
        let resource = request.send().await.map_err(|error| unread("cloudformation:DescribeStackResource", &error))?;
        let secret =
            resource.stack_resource_detail().and_then(|detail| detail.physical_resource_id()).ok_or(Unread::Missing)?;
        let client = aws_sdk_secretsmanager::Client::new(&self.config);
        let value = client.get_secret_value().secret_id(secret).send().await;
        let value = value.map_err(|error| unread("secretsmanager:GetSecretValue", &error))?;
        value.secret_string.ok_or(Unread::Missing)
    }

    pub(crate) async fn ses_account(&self) -> Answer<GetAccountOutput> {
        let client = aws_sdk_sesv2::Client::new(&self.config);
        client.get_account().send().await.map_err(|error| unread("ses:GetAccount", &error))
    }

    /// The identity that SES uses for an address: the address's own, or that of its domain, or of a domain above
    /// (SES developer guide, "Verified identities").
    pub(crate) async fn identity(&self, address: &str) -> Answer<Option<Identity>> {
        let client = aws_sdk_sesv2::Client::new(&self.config);
        for name in std::iter::once(address).chain(with_parents(domain(address))) {
            let found = client.get_email_identity().email_identity(name).send().await;
            match found.map_err(|error| unread("ses:GetEmailIdentity", &error)) {
                Ok(found) => return Ok(Some(Identity { name: name.to_owned(), found })),
                Err(Unread::Missing) => {}
                Err(unread) => return Err(unread),
            }
        }
        Ok(None)
    }

    pub(crate) async fn configuration_set(&self, name: &str) -> Answer<GetConfigurationSetOutput> {
        let client = aws_sdk_sesv2::Client::new(&self.config);
        let set = client.get_configuration_set().configuration_set_name(name).send().await;
        set.map_err(|error| unread("ses:GetConfigurationSet", &error))
    }

    pub(crate) async fn event_destinations(&self, set: &str) -> Answer<Vec<EventDestination>> {
        let client = aws_sdk_sesv2::Client::new(&self.config);
        let found = client.get_configuration_set_event_destinations().configuration_set_name(set).send().await;
        let found = found.map_err(|error| unread("ses:GetConfigurationSetEventDestinations", &error))?;
        Ok(found.event_destinations.unwrap_or_default())
    }

    pub(crate) async fn sms_sandbox(&self) -> Answer<bool> {
        let client = aws_sdk_sns::Client::new(&self.config);
        let status = client.get_sms_sandbox_account_status().send().await;
        Ok(status.map_err(|error| unread("sns:GetSMSSandboxAccountStatus", &error))?.is_in_sandbox())
    }

    pub(crate) async fn sms_attributes(&self) -> Answer<Attributes> {
        let client = aws_sdk_sns::Client::new(&self.config);
        let found = client.get_sms_attributes().send().await;
        Ok(found.map_err(|error| unread("sns:GetSMSAttributes", &error))?.attributes.unwrap_or_default())
    }

    /// The resource policy of an opt-out list, if it has one.
    pub(crate) async fn opt_out_policy(&self, list: &str) -> Answer<Option<String>> {
        let client = aws_sdk_pinpointsmsvoicev2::Client::new(&self.config);
        let found = client.get_resource_policy().resource_arn(list).send().await;
        Ok(found.map_err(|error| unread("sms-voice:GetResourcePolicy", &error))?.policy)
    }

    pub(crate) async fn lambda_limit(&self) -> Answer<AccountLimit> {
        let client = aws_sdk_lambda::Client::new(&self.config);
        let settings = client.get_account_settings().send().await;
        settings.map_err(|error| unread("lambda:GetAccountSettings", &error))?.account_limit.ok_or(Unread::Missing)
    }

    pub(crate) async fn subscriptions(&self, topic: &str) -> Answer<Vec<Subscription>> {
        let client = aws_sdk_sns::Client::new(&self.config);
        let pages = client.list_subscriptions_by_topic().topic_arn(topic).into_paginator();
        let all: Result<Vec<_>, _> = pages.items().send().collect().await;
        all.map_err(|error| unread("sns:ListSubscriptionsByTopic", &error))
    }

    pub(crate) async fn key(&self, arn: &str) -> Answer<KeyMetadata> {
        let client = aws_sdk_kms::Client::new(&self.config);
        let key = client.describe_key().key_id(arn).send().await;
        key.map_err(|error| unread("kms:DescribeKey", &error))?.key_metadata.ok_or(Unread::Missing)
    }

    pub(crate) async fn key_policy(&self, arn: &str) -> Answer<String> {
        let client = aws_sdk_kms::Client::new(&self.config);
        let policy = client.get_key_policy().key_id(arn).send().await;
        policy.map_err(|error| unread("kms:GetKeyPolicy", &error))?.policy.ok_or(Unread::Missing)
    }

    /// The HTTP status of a `GET`, or why there was none.
    pub(crate) async fn get(&self, url: &str) -> Result<u16, String> {
        let request = HttpRequest::get(url).map_err(|error| error.to_string())?;
        match tokio::time::timeout(TIMEOUT, self.web.call(request)).await {
            Ok(Ok(response)) => Ok(response.status().as_u16()),
            Ok(Err(error)) => Err(causes(&error)),
            Err(_) => Err(format!("no response in {} seconds", TIMEOUT.as_secs())),
        }
    }

    pub(crate) async fn txt(&self, name: &str) -> Records {
        dns::txt(&self.dns, name).await
    }

    /// The DMARC records of a domain, or else of the nearest domain above that has one, with the name that has them. Which one
    /// above counts, the organizational domain, a list of all registries would say (RFC 7489, section 3.2).
    pub(crate) async fn dmarc(&self, domain: &str) -> Result<(String, Vec<String>), String> {
        for domain in with_parents(domain) {
            let name = format!("_dmarc.{domain}");
            let records = self.txt(&name).await?;
            if !dmarc_records(&records).is_empty() {
                return Ok((name, records));
            }
        }
        Ok((format!("_dmarc.{domain}"), Vec::new()))
    }
}

/// What an error means for a check.
fn unread<E, R>(action: &'static str, error: &SdkError<E, R>) -> Unread
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    R: Debug + Send + Sync + 'static,
{
    match error.code().unwrap_or_default() {
        code if code.contains("AccessDenied")
            || code.contains("AuthorizationError")
            || code == "UnauthorizedOperation" =>
        {
            // The service may name another action that it makes with the caller's permissions.
            let named = error.message().and_then(|message| message.split_once("perform: "));
            let named =
                named.and_then(|(_, rest)| rest.split_whitespace().next()).filter(|action| action.contains(':'));
            Unread::Denied { action: named.unwrap_or(action).to_owned() }
        }
        code if code.contains("NotFound") => Unread::Missing,
        _ => Unread::Unavailable { reason: words(error) },
    }
}

/// An error in a line.
fn words<E, R>(error: &SdkError<E, R>) -> String
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    R: Debug + Send + Sync + 'static,
{
    match (error.code(), error.message()) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        _ => causes(error),
    }
}

/// An error and its causes.
fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_url_that_cannot_be_reached_says_why() {
        let aws = Aws::from_env(Some("eu-west-1".to_owned())).await;
        // Nobody listens on port 1 of this machine.
        let reason = aws.get("https://127.0.0.1:1/health").await.unwrap_err();
        assert!(reason.to_lowercase().contains("connection refused"), "{reason}");
    }
}
