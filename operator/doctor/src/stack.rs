//! The deployed stack: its parameters and outputs; whether it is complete, sends, and can be reached.

use std::collections::BTreeMap;

use crate::finding::Finding;

/// A deployed stack.
#[derive(Debug, Clone)]
pub(crate) struct Stack {
    pub(crate) name: String,
    /// `aws`, `aws-cn`, …
    pub(crate) partition: String,
    pub(crate) region: String,
    pub(crate) account: String,
    status: String,
    parameters: BTreeMap<String, String>,
    outputs: BTreeMap<String, String>,
}

impl Stack {
    /// `None` if CloudFormation did not say its ARN.
    pub(crate) fn of(described: &aws_sdk_cloudformation::types::Stack) -> Option<Self> {
        // arn:aws:cloudformation:eu-west-1:123456789012:stack/NAME/ID
        let arn: Vec<&str> = described.stack_id()?.split(':').collect();
        let [_, partition, _, region, account, _] = arn.as_slice() else { return None };
        let parameters = described.parameters().iter();
        let outputs = described.outputs().iter();
        Some(Self {
            name: described.stack_name()?.to_owned(),
            partition: (*partition).to_owned(),
            region: (*region).to_owned(),
            account: (*account).to_owned(),
            status: described.stack_status()?.as_str().to_owned(),
            parameters: parameters
                .filter_map(|p| Some((p.parameter_key.clone()?, p.parameter_value.clone()?)))
                .collect(),
            outputs: outputs.filter_map(|o| Some((o.output_key.clone()?, o.output_value.clone()?))).collect(),
        })
    }

    /// A parameter's value; empty if the deployed release does not have it.
    pub(crate) fn parameter(&self, name: &str) -> &str {
        self.parameters.get(name).map_or("", String::as_str)
    }

    /// A parameter that is a number.
    pub(crate) fn number(&self, name: &str) -> Option<u32> {
        self.parameter(name).parse().ok()
    }

    pub(crate) fn output(&self, name: &str) -> Option<&str> {
        self.outputs.get(name).map(String::as_str)
    }

    /// The parameter with the rate of a transport, `ses` or `smtp`; `None` if the stack does not use it.
    pub(crate) fn rate_parameter(&self, transport: &str) -> Option<&'static str> {
        if self.parameter("EmailTransport") == transport {
            Some("EmailRatePerSecond")
        } else {
            (self.parameter("FallbackEmailTransport") == transport).then_some("FallbackEmailRatePerSecond")
        }
    }

    pub(crate) fn uses(&self, transport: &str) -> bool {
        self.rate_parameter(transport).is_some()
    }

    /// The address in `FromAddress`, which may be `A Bank <offers@bank.example>`.
    pub(crate) fn sender(&self) -> &str {
        let from = self.parameter("FromAddress");
        from.rsplit_once('<').map_or(from, |(_, address)| address.trim_end_matches('>')).trim()
    }

    /// The URL that tells whether the API can be reached, as customers reach it.
    pub(crate) fn health_url(&self) -> Option<String> {
        let api = self.output("ApiUrl")?;
        let public = self.parameter("PublicUrl").replace("{api}", self.output("ApiId").unwrap_or_default());
        let base = if public.is_empty() { api } else { &public };
        Some(format!("{}/health", base.trim_end_matches('/')))
    }
}

/// The domain of an address.
pub(crate) fn domain(address: &str) -> &str {
    address.rsplit_once('@').map_or(address, |(_, domain)| domain)
}

/// A domain and those above it, down to two labels: `news.bank.example`, `bank.example`.
pub(crate) fn with_parents(domain: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(domain), |domain| domain.split_once('.').map(|(_, parent)| parent))
        .filter(|domain| domain.contains('.'))
}

pub(crate) fn status(stack: &Stack) -> Finding {
    const CHECK: &str = "stack";
    let status = stack.status.as_str();
    let what = format!("{} in {} is {status}", stack.name, stack.region);
    match status {
        "CREATE_COMPLETE" | "UPDATE_COMPLETE" | "IMPORT_COMPLETE" => Finding::ok(CHECK, what),
        "UPDATE_ROLLBACK_COMPLETE" | "IMPORT_ROLLBACK_COMPLETE" => Finding::warning(
            CHECK,
            what,
            "the last update was undone, and the release before it runs: read the stack's events, correct, deploy again",
        ),
        "UPDATE_ROLLBACK_FAILED" => Finding::failed(
            CHECK,
            what,
            format!(
                "fix the cause that the stack's events give, then aws cloudformation continue-update-rollback --stack-name {}",
                stack.name
            ),
        ),
        _ if status.ends_with("_IN_PROGRESS") => {
            Finding::warning(CHECK, what, "wait until it is complete, then check again")
        }
        _ => Finding::failed(CHECK, what, "read the stack's events, correct the cause, and deploy again"),
    }
}

pub(crate) fn sending(stack: &Stack) -> Finding {
    const CHECK: &str = "sending enabled";
    match stack.parameter("SendingEnabled") {
        "true" => Finding::ok(CHECK, "notifications are sent"),
        "false" => Finding::warning(
            CHECK,
            "notifications wait in their queues, for 14 days at most",
            "deploy with SendingEnabled=true when they may be sent",
        ),
        _ => Finding::unknown(CHECK, "the stack has no parameter SendingEnabled", "is it a stack of Offercast?"),
    }
}

/// `answer` is the HTTP status, or why there was none.
pub(crate) fn public_url(url: Option<&str>, answer: &Result<u16, String>) -> Finding {
    const CHECK: &str = "public URL";
    let Some(url) = url else {
        return Finding::unknown(CHECK, "the stack has no output ApiUrl", "is it a stack of Offercast?");
    };
    let remedy = "links in e-mails lead there: check PublicUrl, its certificate, its DNS record, and the API mapping";
    match answer {
        Ok(200) => Finding::ok(CHECK, format!("{url} returns 200")),
        Ok(403) if url.contains(".execute-api.") => {
            Finding::failed(CHECK, format!("{url} returns 403"), "check the web ACL (WebAcl)")
        }
        Ok(status) => Finding::failed(CHECK, format!("{url} returns {status}"), remedy),
        Err(reason) => Finding::failed(CHECK, format!("{url} cannot be reached from here: {reason}"), remedy),
    }
}
