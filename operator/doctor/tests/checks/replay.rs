//! Replays answers of AWS, of the API's public URL, and of a DNS server, and records what was asked.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use doctor::Aws;

use crate::nameserver;

/// What is answered in place of the healthy answers.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct World {
    /// By IAM action, or by `*` for all but the stack's description: HTTP status, and a file in `answers/sick`.
    pub(crate) answers: &'static [(&'static str, u16, &'static str)],
    /// Parameters of the stack.
    pub(crate) parameters: &'static [(&'static str, &'static str)],
    /// Any text in the stack's description, and what is there instead.
    pub(crate) stack: &'static [(&'static str, &'static str)],
    /// TXT records by name; `None` for a server that fails.
    pub(crate) records: &'static [(&'static str, Option<&'static [&'static str]>)],
    /// The HTTP status of the public URL; 0 for 200.
    pub(crate) health: u16,
}

/// Plays AWS, and keeps the actions that were asked for.
#[derive(Debug, Clone)]
pub(crate) struct Replay {
    world: World,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Replay {
    pub(crate) fn new(world: World) -> Self {
        Self { world, asked: Arc::default() }
    }

    /// The actions and URLs that were asked for, in order.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// What the checks read from.
    pub(crate) async fn aws(&self) -> Aws {
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .http_client(self.clone())
            .region(Region::new("eu-west-1"))
            .credentials_provider(SharedCredentialsProvider::new(Credentials::for_tests()))
            .sleep_impl(SharedAsyncSleep::new(TokioSleep::new()))
            .retry_config(aws_config::retry::RetryConfig::disabled())
            .build();
        let records: BTreeMap<_, _> = HEALTHY_RECORDS.iter().chain(self.world.records).copied().collect();
        let server: SocketAddr = nameserver::start(records).await;
        Aws::new(config, SharedHttpConnector::new(self.clone()), vec![server])
    }

    fn respond(&self, request: &HttpRequest) -> HttpResponse {
        let action = action(request);
        self.asked.lock().unwrap().push(action.clone());
        if let Some(url) = action.strip_prefix("GET ") {
            assert_eq!(url, "https://offers.bank.example/health");
            let status = if self.world.health == 0 { 200 } else { self.world.health };
            return HttpResponse::new(StatusCode::try_from(status).unwrap(), SdkBody::empty());
        }
        let mut sick = self.world.answers.iter();
        let stacks = action == "cloudformation:DescribeStacks";
        let (status, text) = match sick.find(|(of, ..)| *of == action || *of == "*" && !stacks) {
            Some((_, status, file)) => (*status, read(&format!("sick/{file}"))),
            // SES knows the domain; neither the address nor the domain below it is an identity of its own.
            None if action == "ses:GetEmailIdentity" && !request.uri().ends_with("/bank.example") => {
                (404, read("sick/ses-404"))
            }
            None => (200, read(&format!("healthy/{}", action.replace(':', "-")))),
        };
        let text = text.replace("THE_ACTION", &action);
        let text = if stacks && status == 200 { self.described(text) } else { text };
        HttpResponse::new(StatusCode::try_from(status).unwrap(), SdkBody::from(text))
    }

    /// The stack with this world's parameters.
    fn described(&self, mut text: String) -> String {
        for (name, value) in self.world.parameters {
            let before = format!("<ParameterKey>{name}</ParameterKey><ParameterValue>");
            let (head, tail) = text.split_once(&before).unwrap_or_else(|| panic!("no parameter {name}"));
            let (_, tail) = tail.split_once('<').unwrap();
            text = format!("{head}{before}{value}<{tail}");
        }
        for (from, to) in self.world.stack {
            assert!(text.contains(from), "{from}");
            text = text.replace(from, to);
        }
        text
    }
}

/// The domain's records when all is well.
const HEALTHY_RECORDS: &[(&str, Option<&[&str]>)] = &[
    ("mail.bank.example", Some(&["some-site-verification=1", "v=spf1 include:amazonses.com ~all"])),
    ("returns.bank.example", Some(&["v=spf1 ip4:192.0.2.0/24 -all"])),
    ("_dmarc.bank.example", Some(&["v=DMARC1; p=quarantine; rua=mailto:dmarc@bank.example"])),
];

/// A recorded answer, whatever its form.
fn read(name: &str) -> String {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/answers"));
    let file = |form: &str| fs::read_to_string(folder.join(format!("{name}.{form}")));
    file("json").or_else(|_| file("xml")).unwrap_or_else(|_| panic!("no answer {name}"))
}

/// The IAM action of a request, as in `ses:GetAccount`; method and URL of one that is not for AWS.
fn action(request: &HttpRequest) -> String {
    let url = url::Url::parse(request.uri()).unwrap();
    let host = url.host_str().unwrap();
    if !host.ends_with(".amazonaws.com") {
        return format!("{} {url}", request.method());
    }
    let service = match host.split('.').next().unwrap() {
        "email" => "ses",
        other => other,
    };
    let body = request.body().bytes().map(String::from_utf8_lossy).unwrap_or_default();
    let path: Vec<&str> = url.path_segments().unwrap().collect();
    let operation = match (request.headers().get("x-amz-target"), request.method(), path.as_slice()) {
        (Some(target), ..) => target.rsplit('.').next().unwrap().to_owned(),
        (None, "POST", [""]) => {
            let field = body.split('&').find_map(|field| field.strip_prefix("Action="));
            field.expect("a call in the query protocol names its action").to_owned()
        }
        (None, "GET", ["v2", "email", "account"]) => "GetAccount".to_owned(),
        (None, "GET", ["v2", "email", "identities", _]) => "GetEmailIdentity".to_owned(),
        (None, "GET", ["v2", "email", "configuration-sets", _]) => "GetConfigurationSet".to_owned(),
        (None, "GET", ["v2", "email", "configuration-sets", _, "event-destinations"]) => {
            "GetConfigurationSetEventDestinations".to_owned()
        }
        (None, "GET", ["2016-08-19", "account-settings"]) => "GetAccountSettings".to_owned(),
        (None, method, _) => panic!("an unknown call: {method} {url}"),
    };
    format!("{service}:{operation}")
}

impl HttpClient for Replay {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Replay {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let response = self.respond(&request);
        HttpConnectorFuture::ready(Ok(response))
    }
}
