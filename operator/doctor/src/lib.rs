//! Checks, read-only, what an AWS account must have before the first push of a stack.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | which checks are made | `examine`, here |
//! | what is read, and the IAM actions for it | `aws` |
//! | TXT records | `dns` |
//! | the stack itself; its parameters | `stack` |
//! | SES: account, identity, configuration set | `email` |
//! | SPF and DMARC | `domains` |
//! | the SMTP server's port | `smtp` |
//! | text messages | `sms` |
//! | Lambda's concurrency, alarms, the KMS key | `account` |
//! | what a policy allows | `policy` |
//! | the states of a finding; the text that is printed | `finding`; `report` |
//! | the command | `main` |
//!
//! Each check is a function from answers to a [`Finding`].

mod account;
mod aws;
mod dns;
mod domains;
mod email;
mod finding;
mod policy;
mod report;
mod sms;
mod smtp;
mod stack;

use anyhow::Result;
use email::Identity;

pub use aws::{ACTIONS, Aws};
pub use finding::{Finding, State};
pub use report::render;
use stack::{Stack, domain};

/// A channel that the stack's offers use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Channel {
    /// E-mail.
    Email,
    /// Text messages.
    Sms,
}

/// Makes all checks that apply to the stack and these channels.
///
/// # Errors
/// If the stack cannot be read. Anything else that cannot is a finding.
pub async fn examine(aws: &Aws, name: &str, channels: &[Channel]) -> Result<Vec<Finding>> {
    let stack = aws.stack(name).await?;
    let url = stack.health_url();
    let health = match &url {
        Some(url) => aws.get(url).await,
        None => Err(String::new()),
    };
    let mut findings = vec![stack::status(&stack), stack::sending(&stack), stack::public_url(url.as_deref(), &health)];
    findings.push(account::concurrency(&stack, &aws.lambda_limit().await));
    let subscriptions = match account::alarm_topic(&stack) {
        Some(topic) => aws.subscriptions(topic).await,
        None => Ok(Vec::new()),
    };
    findings.push(account::alarms(&stack, &subscriptions));
    findings.extend(key(aws, &stack).await);
    if channels.contains(&Channel::Email) {
        findings.extend(ses(aws, &stack).await);
        findings.extend(smtp(aws, &stack).await);
        findings.push(domains::dmarc(domain(stack.sender()), &aws.dmarc(domain(stack.sender())).await));
    }
    if channels.contains(&Channel::Sms) {
        findings.extend(text_messages(aws, &stack).await);
    }
    Ok(findings)
}

async fn key(aws: &Aws, stack: &Stack) -> Vec<Finding> {
    let Some(arn) = account::key_arn(stack) else {
        return vec![Finding::skipped("KMS key", "KmsKeyArn is empty: keys are AWS's own")];
    };
    vec![account::key(arn, &aws.key(arn).await), account::key_policy(stack, &aws.key_policy(arn).await)]
}

async fn ses(aws: &Aws, stack: &Stack) -> Vec<Finding> {
    if !stack.uses("ses") {
        return vec![Finding::skipped("SES", "the stack sends no e-mail through it")];
    }
    let account = aws.ses_account().await;
    let identity = aws.identity(stack.sender()).await;
    let records = match identity.as_ref().ok().and_then(Option::as_ref).and_then(Identity::mail_from) {
        Some(domain) => aws.txt(domain).await,
        None => Ok(Vec::new()),
    };
    vec![
        email::account(&account),
        email::sandbox(&account),
        email::rate(stack, &account),
        email::quota(stack, &account),
        email::identity(stack, &identity),
        email::dkim(&identity),
        email::forwarding(&identity),
        domains::spf_of_ses(&stack.region, &identity, &records),
        email::configuration_set(stack, &aws.configuration_set(&stack.name).await),
        email::events(stack, &aws.event_destinations(&stack.name).await),
    ]
}

async fn smtp(aws: &Aws, stack: &Stack) -> Vec<Finding> {
    if !stack.uses("smtp") {
        return vec![Finding::skipped("SMTP server", "the stack sends no e-mail over SMTP")];
    }
    let return_path = Some(stack.parameter("ReturnPath")).filter(|path| !path.is_empty()).unwrap_or(stack.sender());
    let envelope = domain(return_path);
    vec![smtp::port(stack, &aws.smtp_url(stack).await), domains::spf_of_smtp(envelope, &aws.txt(envelope).await)]
}

async fn text_messages(aws: &Aws, stack: &Stack) -> Vec<Finding> {
    let attributes = aws.sms_attributes().await;
    let policy = match stack.parameter("CheckSmsOptOuts") {
        "true" => aws.opt_out_policy(&sms::opt_out_list(stack)).await,
        _ => Ok(None),
    };
    vec![
        sms::sandbox(&aws.sms_sandbox().await),
        sms::spending(&attributes),
        sms::sender(stack, &attributes),
        sms::delivery_log(stack, &attributes),
        sms::opt_outs(stack, &policy),
    ]
}
