//! The functions, built from their parts as their `main.rs` do, on the network of a process.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | the functions behind the HTTP API | `http` |
//! | the functions of the pipeline | `pipeline` |

mod http;
mod pipeline;

use std::sync::Arc;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_lambda_events::sqs::SqsEvent;
use aws_smithy_async::rt::sleep::SharedAsyncSleep;
use aws_smithy_async::time::SharedTimeSource;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use axum::Router;
use delivery::{EmailTransport, SnsTransport};
use domain::Sources;
use runtime::{Aws, HashKeys, Invocation, Queue};
use serde_json::Value;
use store::OpenTable;

use crate::aws::lambda::Function;
use crate::chance::Chance;
use crate::network::Network;
use crate::process::Process;
use crate::world::World;

/// A function that has started.
pub enum App {
    Http(Router),
    Push(push::App),
    Audience(audience::App),
    Email(email::App<EmailTransport>),
    Sms(sms::App<SnsTransport>),
    Feedback(feedback::App),
}

impl App {
    /// Starts the process's function.
    pub async fn start(world: &Arc<World>, process: &Process) -> Self {
        let clients = Clients::new(world, process);
        match process.function() {
            Function::Offer => Self::Http(http::offer(&clients)),
            Function::Customer => Self::Http(http::customer(&clients)),
            Function::Preferences => Self::Http(http::preferences(&clients)),
            Function::Push => Self::Push(pipeline::push(&clients)),
            Function::Audience => Self::Audience(pipeline::audience(&clients)),
            Function::Email => Self::Email(pipeline::email(&clients)),
            Function::Sms => Self::Sms(pipeline::sms(&clients)),
            Function::Feedback => Self::Feedback(pipeline::feedback(&clients)),
        }
    }

    /// Handles an event. The HTTP functions take `{method, path, headers?, pathParameters?, body?}` and return `{status, body}`.
    ///
    /// # Errors
    /// The function's own error, as a text.
    pub async fn handle(&self, payload: Value, invocation: Invocation) -> Result<Value, String> {
        let text = |error: Box<dyn std::error::Error + Send + Sync>| error.to_string();
        let deadline = invocation.deadline;
        match self {
            Self::Http(router) => Ok(http::call(router.clone(), &payload).await),
            Self::Push(app) => app.handle(payload, deadline).await.map_err(text),
            Self::Audience(app) => {
                let event: SqsEvent = serde_json::from_value(payload).map_err(|error| error.to_string())?;
                serde_json::to_value(app.handle(event, deadline).await).map_err(|error| error.to_string())
            }
            Self::Email(app) => Box::pin(email::handle(app, payload, invocation)).await.map_err(text),
            Self::Sms(app) => Box::pin(sms::handle(app, payload, invocation)).await.map_err(text),
            Self::Feedback(app) => app.handle(payload).await.map_err(text),
        }
    }
}

/// What a function calls, through the network of its process.
struct Clients {
    world: Arc<World>,
    process: Process,
    aws: Aws,
    dynamodb: aws_sdk_dynamodb::Client,
    sqs: aws_sdk_sqs::Client,
}

impl Clients {
    fn new(world: &Arc<World>, process: &Process) -> Self {
        let number = process.number();
        let clock = process.clone();
        let chance = Chance::of(world.scenario.seed, &format!("process {number}"));
        let sources = Sources::new(move || clock.now(), move || chance.number());
        let http = SharedHttpClient::new(Network { world: world.clone(), process: process.clone() });
        let credentials = Credentials::new("simulation", "simulation", None, None, "simulation");
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            // The clients of a region share one budget of retries, for as long as the whole program runs: so each process
            // gets a region of its own.
            .region(Region::new(format!("run-{}-process-{number}", world.number)))
            .endpoint_url("http://aws.invalid")
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .sleep_impl(SharedAsyncSleep::new(process.clone()))
            .time_source(SharedTimeSource::new(process.clone()))
            .build();
        let aws = Aws::over(http, &config, sources);
        let dynamodb = aws_sdk_dynamodb::Client::new(aws.config());
        let sqs = aws_sdk_sqs::Client::new(aws.config());
        Self { world: world.clone(), process: process.clone(), aws, dynamodb, sqs }
    }

    fn sources(&self) -> Sources {
        self.aws.sources().clone()
    }

    /// A table by its name, which is the logical id without `Table`.
    fn table<T: OpenTable>(&self) -> T {
        let name = match T::SETTING {
            "CUSTOMERS_TABLE" => "Customers",
            "DELIVERIES_TABLE" => "Deliveries",
            "OFFERS_TABLE" => "Offers",
            "PUSHES_TABLE" => "Pushes",
            "SUPPRESSIONS_TABLE" => "Suppressions",
            "PACING_TABLE" => "Pacing",
            other => panic!("no table for the setting {other}"),
        };
        T::open(self.dynamodb.clone(), name.to_owned(), self.sources())
    }

    /// A queue by its logical id.
    fn queue(&self, id: &str) -> Queue {
        Queue::new(self.sqs.clone(), format!("http://aws.invalid/000000000000/{id}"))
    }

    fn hash_keys(&self) -> HashKeys {
        HashKeys::new(self.aws.clone(), "HashKey".to_owned())
    }
}
