//! Which service a request is for, and what of it.

use std::time::Duration;

use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use serde_json::{Value, json};
use testing::read_call;

use crate::aws::lambda::Function;
use crate::network::Reply;
use crate::process::Process;
use crate::world::World;

/// A service that functions call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    DynamoDb,
    Sqs,
    EventBridge,
    SecretsManager,
    Ses,
    Sns,
}

/// A call of a function.
#[derive(Debug, Clone)]
pub struct Call {
    pub function: Function,
    pub service: Service,
    /// As in the service's API reference.
    pub operation: String,
    /// The table or queue. Empty where there is only one.
    pub target: String,
    /// The request: JSON, but a form for SNS.
    pub body: Body,
}

#[derive(Debug, Clone)]
pub enum Body {
    Json(Value),
    /// `application/x-www-form-urlencoded`.
    Form(String),
}

impl Call {
    /// The call that a request makes.
    ///
    /// # Panics
    /// If it is for a service that no function calls.
    pub fn read(function: Function, request: &HttpRequest) -> Self {
        let bytes = request.body().bytes().expect("the body of a call is in memory");
        let json = || Body::Json(serde_json::from_slice(bytes).expect("the body of a call is JSON"));
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let operation = || target.rsplit('.').next().unwrap_or_default().to_owned();
        let call =
            |service, operation: String, target: String, body| Self { function, service, operation, target, body };
        match target.split('.').next().unwrap_or_default() {
            "DynamoDB_20120810" => {
                let read = read_call(request);
                call(Service::DynamoDb, read.name.to_owned(), read.table.to_owned(), Body::Json(read.request))
            }
            "AmazonSQS" => {
                let body = json();
                let queue = match &body {
                    Body::Json(json) => {
                        json["QueueUrl"].as_str().and_then(|url| url.rsplit('/').next()).map(str::to_owned)
                    }
                    Body::Form(_) => None,
                };
                call(Service::Sqs, operation(), queue.expect("a call names its queue"), body)
            }
            "AWSEvents" => call(Service::EventBridge, operation(), String::new(), json()),
            "secretsmanager" => {
                let body = json();
                let secret = match &body {
                    Body::Json(json) => json["SecretId"].as_str().map(str::to_owned),
                    Body::Form(_) => None,
                };
                call(Service::SecretsManager, operation(), secret.expect("a call names its secret"), body)
            }
            "" if request.uri().contains("/v2/email/") => {
                call(Service::Ses, "SendEmail".to_owned(), String::new(), json())
            }
            "" => {
                let form = String::from_utf8(bytes.to_vec()).expect("a form is text");
                let operation = form.split('&').find_map(|pair| pair.strip_prefix("Action="));
                let operation = operation.unwrap_or_else(|| panic!("no service for {}", request.uri())).to_owned();
                call(Service::Sns, operation, String::new(), Body::Form(form))
            }
            other => panic!("no model of the service {other}"),
        }
    }

    /// The name of the point that it passes.
    pub fn point(&self) -> String {
        let Self { function, service, operation, target, .. } = self;
        let place = format!("{function} {}.{operation}", service.name());
        if target.is_empty() { place } else { format!("{place} {target}") }
    }

    /// Whether it writes to this table.
    pub fn writes_to(&self, table: &str) -> bool {
        self.service == Service::DynamoDb && self.target == table && !only_reads(&self.operation)
    }

    /// The request's JSON.
    ///
    /// # Panics
    /// If it is a form.
    pub fn json(&self) -> &Value {
        match &self.body {
            Body::Json(json) => json,
            Body::Form(_) => panic!("{} takes no JSON", self.point()),
        }
    }

    /// The response to too many calls. A transaction is cancelled, with the reason for each of its actions: here the first one
    /// conflicts with another transaction, or is throttled (DynamoDB API reference, TransactWriteItems: errors). `nth` decides.
    pub fn throttled(&self, nth: u32) -> Reply {
        if self.operation != "TransactWriteItems" {
            return self.service.throttled();
        }
        let (code, message) = if nth.is_multiple_of(2) {
            ("ThrottlingError", "Throughput exceeds the current capacity of your table or index.")
        } else {
            ("TransactionConflict", "Transaction is ongoing for the item")
        };
        let count = self.json()["TransactItems"].as_array().map_or(0, Vec::len);
        let first = json!({"Code": code, "Message": message});
        let reasons: Vec<_> = std::iter::once(first).chain((1..count).map(|_| json!({"Code": "None"}))).collect();
        let body = json!({
            "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
            "message": format!("Transaction cancelled, please refer cancellation reasons for specific reasons [{code}]"),
            "CancellationReasons": reasons,
        });
        Reply::json(400, &body)
    }

    /// Takes effect.
    pub fn serve(&self, world: &World, process: &Process) -> Reply {
        match self.service {
            Service::DynamoDb => world.dynamo.serve(world, self),
            Service::Sqs => world.queues.serve(world, self),
            Service::EventBridge => world.bus.serve(world, self),
            Service::SecretsManager => world.secrets.serve(world, self),
            Service::Ses => match &world.meter {
                Some(meter) => meter.ses(world.second()),
                None => world.ses.serve(world, process, self),
            },
            Service::Sns => world.sns.serve(world, process, self),
        }
    }
}

/// Whether an operation of DynamoDB writes nothing.
pub(crate) fn only_reads(operation: &str) -> bool {
    matches!(operation, "GetItem" | "BatchGetItem" | "Query" | "Scan")
}

impl Service {
    fn name(self) -> &'static str {
        match self {
            Self::DynamoDb => "DynamoDB",
            Self::Sqs => "SQS",
            Self::EventBridge => "EventBridge",
            Self::SecretsManager => "SecretsManager",
            Self::Ses => "SES",
            Self::Sns => "SNS",
        }
    }

    /// The shortest time that a call takes, from the request to the response.
    pub fn fastest(self) -> Duration {
        Duration::from_millis(match self {
            Self::DynamoDb => 3,
            Self::Sqs | Self::EventBridge | Self::SecretsManager => 6,
            Self::Ses | Self::Sns => 40,
        })
    }

    /// The longest, unless something is wrong.
    pub fn slowest(self) -> Duration {
        Duration::from_millis(match self {
            Self::DynamoDb => 12,
            Self::Sqs | Self::EventBridge | Self::SecretsManager => 30,
            Self::Ses | Self::Sns => 90,
        })
    }

    /// The response to too many calls.
    pub fn throttled(self) -> Reply {
        match self {
            Self::DynamoDb => {
                Reply::error(400, "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException")
            }
            Self::Sqs => Reply::error(400, "com.amazonaws.sqs#RequestThrottled"),
            Self::EventBridge | Self::SecretsManager => Reply::error(400, "ThrottlingException"),
            Self::Ses => Reply::error(429, "TooManyRequestsException"),
            Self::Sns => crate::providers::sns_error(400, "Throttling", "Rate exceeded"),
        }
    }

    /// The response to an error of the service's own.
    pub fn unavailable(self) -> Reply {
        match self {
            Self::Sns => crate::providers::sns_error(500, "InternalError", "simulated"),
            Self::Ses | Self::EventBridge | Self::SecretsManager | Self::Sqs => {
                Reply::error(500, "InternalServiceError")
            }
            Self::DynamoDb => Reply::error(500, "com.amazonaws.dynamodb.v20120810#InternalServerError"),
        }
    }
}
