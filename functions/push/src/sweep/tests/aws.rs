//! Plays AWS, with a function that replies to each call.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use domain::{Channel, Sources};
use jiff::Timestamp;
use runtime::{Deadline, Queue};
use serde_json::{Value, json};
use store::{Customers, Offers, Pushes};

use super::super::Sweeper;
use super::super::time::tests::deadline;
use crate::publish::Publisher;
use crate::start::PushStarter;

/// A clock that moves only when it is told to. It starts in 1970.
#[derive(Debug, Clone, Default)]
pub(super) struct Clock(Arc<AtomicI64>);

impl Clock {
    pub(super) fn pass(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::Relaxed);
    }

    /// The deadline of an invocation that begins now.
    pub(super) fn deadline(&self) -> Deadline {
        deadline(Duration::from_secs(60 + u64::try_from(self.0.load(Ordering::Relaxed)).unwrap()))
    }

    fn sources(&self) -> Sources {
        let seconds = Arc::clone(&self.0);
        Sources::new(move || Timestamp::from_second(seconds.load(Ordering::Relaxed)).unwrap(), || 0)
    }
}

/// How a service responds to a call.
pub(super) enum Reply {
    Ok(Value),
    Refused,
    Never,
}

/// A call: the operation, and its body.
pub(super) type Call = (String, Value);

/// Replies to an operation with this body.
type ReplyTo = dyn Fn(&str, &Value) -> Reply + Send + Sync;

/// Plays AWS. Notes each call, by what it is for.
#[derive(Clone)]
pub(super) struct Aws {
    reply: Arc<ReplyTo>,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl fmt::Debug for Aws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aws").finish_non_exhaustive()
    }
}

impl HttpConnector for Aws {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").expect("the protocol names the operation");
        let operation = target.rsplit('.').next().expect("it has a part").to_owned();
        let body = serde_json::from_slice(request.body().bytes().expect("the body is in memory")).expect("it is JSON");
        let reply = (self.reply)(&operation, &body);
        self.calls.lock().unwrap().push((operation, body));
        let (status, body) = match reply {
            Reply::Ok(body) => (200, body),
            Reply::Refused => (400, json!({"__type": "ResourceNotFoundException", "message": "refused by the test"})),
            Reply::Never => return HttpConnectorFuture::new(std::future::pending()),
        };
        let status = StatusCode::try_from(status).expect("it is a status");
        HttpConnectorFuture::ready(Ok(HttpResponse::new(status, SdkBody::from(body.to_string()))))
    }
}

impl Aws {
    pub(super) fn new(reply: impl Fn(&str, &Value) -> Reply + Send + Sync + 'static) -> Self {
        Self { reply: Arc::new(reply), calls: Arc::default() }
    }

    pub(super) fn sweeper(&self, clock: &Clock) -> Sweeper {
        let sources = clock.sources();
        let connector = SharedHttpConnector::new(self.clone());
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new("eu-west-1"))
            .credentials_provider(SharedCredentialsProvider::new(Credentials::new("id", "secret", None, None, "test")))
            .retry_config(RetryConfig::disabled())
            .http_client(http_client_fn(move |_, _| connector.clone()))
            .build();
        let dynamodb = aws_sdk_dynamodb::Client::new(&config);
        let queue = |name| Queue::new(aws_sdk_sqs::Client::new(&config), format!("https://sqs.test/{name}"));
        let starter = PushStarter {
            sources: sources.clone(),
            offers: Offers::new(dynamodb.clone(), "offers", sources.clone()),
            pushes: Pushes::new(dynamodb.clone(), "pushes", sources.clone()),
            customers: Customers::new(dynamodb, "customers", sources.clone()),
            audience_queue: queue("audience"),
        };
        let publisher = Publisher {
            offers: starter.offers.clone(),
            pushes: starter.pushes.clone(),
            bus: aws_sdk_eventbridge::Client::new(&config),
            bus_name: "events".to_owned(),
        };
        let channels = BTreeMap::from([(Channel::Email, queue("email")), (Channel::Sms, queue("sms"))]);
        Sweeper::new(starter, channels, publisher)
    }

    /// What was called for, in order, without the calls before.
    pub(super) fn take_calls(&self) -> Vec<Call> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }

    /// How often a duty, or something it does, was called for.
    pub(super) fn count(&self, purpose: &str) -> usize {
        self.calls.lock().unwrap().iter().filter(|(operation, body)| purpose_of(operation, body) == purpose).count()
    }
}

/// What a call is for.
pub(super) fn purpose_of(operation: &str, body: &Value) -> String {
    match (operation, body["IndexName"].as_str(), body["TableName"].as_str()) {
        ("Query", Some(index), _) => format!("list {index}"),
        ("Query", None, Some("pushes")) if body["KeyConditionExpression"] == "pk = :pk" => "read progress".to_owned(),
        ("Query", None, Some("pushes")) => "read slices".to_owned(),
        (_, _, Some(table)) => format!("{operation} {table}"),
        (_, _, None) => operation.to_owned(),
    }
}

pub(super) const OFFER: &str = "01980000-0000-7000-8000-000000000001";

pub(super) fn key_of(number: u32) -> String {
    format!("{OFFER}#{number:04}")
}

/// A running push with five slices.
pub(super) fn push_item(number: u32, slices_done: &[u32]) -> Value {
    let mut item = json!({
        "pk": {"S": key_of(number)}, "sk": {"S": "push"}, "state": {"S": "running"}, "slices": {"N": "5"},
        "requestedBy": {"S": "bank"}, "requestedAt": {"N": "-100000"}, "startedAt": {"N": "-100000"},
        "open": {"S": "open"}
    });
    if !slices_done.is_empty() {
        let numbers: Vec<_> = slices_done.iter().map(ToString::to_string).collect();
        item["slicesDone"] = json!({"NS": numbers});
    }
    item
}

pub(super) fn unpublished_key(number: u32) -> Value {
    json!({"pk": {"S": key_of(number)}, "sk": {"S": "push"}, "unpublished": {"S": "yes"}})
}

/// A slice of a push that is scanned, with these outstanding batches; it made progress this many seconds before 1970.
pub(super) fn slice_item(push: u32, slice: u32, outstanding: &[u32], heartbeat: i64) -> Value {
    let mut item = json!({
        "pk": {"S": key_of(push)}, "sk": {"S": format!("slice#{slice:04}")}, "walked": {"BOOL": true},
        "generation": {"N": "1"}, "version": {"N": "1"}, "heartbeat": {"N": (heartbeat * -1_000).to_string()}
    });
    if !outstanding.is_empty() {
        let numbers: Vec<_> = outstanding.iter().map(ToString::to_string).collect();
        item["batchesOpen"] = json!({"NS": numbers});
    }
    item
}

/// An item of the Offers table: the offer, or the request for a push.
pub(super) fn offers_item(sk: &str) -> Value {
    json!({
        "pk": {"S": OFFER}, "sk": {"S": sk}, "kind": {"S": "offer"}, "at": {"S": "1970"},
        "code": {"S": "SUMMER"}, "subject": {"S": "Summer"}, "description": {"S": "An offer."},
        "channels": {"L": [{"S": "email"}]}, "createdAt": {"N": "0"}, "createdBy": {"S": "bank"},
        "requestedBy": {"S": "bank"}, "requestedAt": {"N": "0"}
    })
}
