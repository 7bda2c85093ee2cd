//! The network: from a client's request to the response of a service, or to none.

use std::fmt;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::aws::call::{Call, Service};
use crate::fault::{Fault, millis};
use crate::process::Process;
use crate::scenario::Trouble;
use crate::world::World;

/// A response of a service, and how it travels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    pub content_type: &'static str,
    pub body: String,
    /// How long the service takes for it, besides the usual time.
    pub after: Duration,
    pub arrival: Arrival,
    /// What a provider accepted with this call, by its number in the evidence.
    pub handover: Option<usize>,
}

/// What becomes of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    Arrives,
    /// The connection closes.
    Lost,
    /// The connection stays open, and nothing comes.
    Never,
}

impl Reply {
    pub fn json(status: u16, body: &serde_json::Value) -> Self {
        Self::new(status, "application/x-amz-json-1.0", body.to_string())
    }

    pub fn new(status: u16, content_type: &'static str, body: String) -> Self {
        Self { status, content_type, body, after: Duration::ZERO, arrival: Arrival::Arrives, handover: None }
    }

    /// An error as DynamoDB, SQS, EventBridge and Secrets Manager report theirs.
    pub fn error(status: u16, kind: &str) -> Self {
        Self::json(status, &serde_json::json!({"__type": kind, "message": "simulated"}))
    }
}

/// The network as a process sees it.
#[derive(Clone)]
pub struct Network {
    pub world: Arc<World>,
    pub process: Process,
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Network")
    }
}

impl HttpClient for Network {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Network {
    fn call(&self, mut request: HttpRequest) -> HttpConnectorFuture {
        let network = self.clone();
        HttpConnectorFuture::new(async move {
            let call = Call::read(network.process.function(), &request);
            // Read to its end as a connection does: else the client takes the upload for stalled after some seconds.
            ByteStream::new(request.take_body()).collect().await.expect("the body of a call is in memory");
            network.respond(call).await
        })
    }
}

impl Network {
    async fn respond(&self, call: Call) -> Result<HttpResponse, ConnectorError> {
        let Self { world, process } = self;
        let point = call.point();
        let struck = world.faults.pass(&point);
        match &world.meter {
            Some(meter) => meter.call(&call),
            None => world.evidence.call(world, process, &call, &struck),
        }
        match struck.before {
            Some(Fault::Kill) => {
                self.kill(&point, "before");
                return pending().await;
            }
            Some(Fault::Freeze(time)) => self.freeze(&point, "before", time).await,
            _ => {}
        }
        let (send, receive) = oneshot::channel();
        let server = self.clone();
        // A task of its own: what is on its way takes effect even if the process ends meanwhile.
        let (nth, before, after) = (struck.nth, struck.before, struck.after);
        tokio::spawn(async move {
            if let Some(response) = server.serve(&call, &point, nth, before, after).await {
                let _ = send.send(response);
            }
        });
        let Ok(response) = receive.await else {
            // The service never answers.
            return pending().await;
        };
        let reply = response?;
        if let Some(handover) = reply.handover {
            world.handovers.answered(handover, world.clock.now());
            world.evidence.answered(handover, world.clock.now());
        }
        let status = StatusCode::try_from(reply.status).expect("a reply has an HTTP status");
        let mut response = HttpResponse::new(status, SdkBody::from(reply.body));
        response.headers_mut().insert("content-type", reply.content_type);
        Ok(response)
    }

    /// What happens on the way to the service, in it, and on the way back. `None`: nothing comes back.
    async fn serve(
        &self,
        call: &Call,
        point: &str,
        nth: u32,
        before: Option<Fault>,
        after: Option<Fault>,
    ) -> Option<Result<Reply, ConnectorError>> {
        let Self { world, process } = self;
        let lost = || Some(Err(ConnectorError::io("the connection was closed".into())));
        sleep(world.latency.between(call.service.fastest() / 2, call.service.slowest() / 2)).await;
        if let Some(Fault::Late(time)) = before {
            sleep(millis(time)).await;
        }
        sleep(self.slowness(call)).await;
        let reply = match (before, self.trouble(call)) {
            (Some(Fault::Lose), _) => {
                world.history.note(format_args!("{process} {point} #{nth}: request lost"));
                return lost();
            }
            (Some(Fault::Hang), _) => {
                world.history.note(format_args!("{process} {point} #{nth}: request never arrives"));
                return None;
            }
            (Some(Fault::Throttle), _) => world.dynamo.serve_in_part(call).unwrap_or_else(|| call.throttled(nth)),
            (Some(Fault::Unavailable), _) => call.service.unavailable(),
            (_, Some(reply)) => reply,
            _ => call.serve(world, process),
        };
        world.history.note(format_args!("{process} {point} #{nth}: {}", reply.status));
        if world.meter.is_none() {
            world.evidence.served(world, process, call, &reply);
        }
        if after.is_some() && reply.status == 200 {
            world.faults.took_effect(point);
        }
        match after {
            Some(Fault::Kill) => self.kill(point, "after"),
            Some(Fault::Freeze(time)) => self.freeze(point, "after", time).await,
            Some(Fault::Lose) => {
                world.history.note(format_args!("{process} {point} #{nth}: response lost"));
                return lost();
            }
            Some(Fault::Hang) => {
                world.history.note(format_args!("{process} {point} #{nth}: response never arrives"));
                return None;
            }
            Some(Fault::Unavailable) => {
                world.history.note(format_args!("{process} {point} #{nth}: took effect, and reports an error"));
                return Some(Ok(call.service.unavailable()));
            }
            Some(Fault::Late(time)) => sleep(millis(time)).await,
            _ => {}
        }
        sleep(reply.after + world.latency.between(call.service.fastest() / 2, call.service.slowest() / 2)).await;
        match reply.arrival {
            Arrival::Arrives => Some(Ok(reply)),
            Arrival::Lost => lost(),
            Arrival::Never => None,
        }
    }

    /// The response while something is wrong with the service.
    fn trouble(&self, call: &Call) -> Option<Reply> {
        let unavailable = |service| (call.service == service).then(|| service.unavailable());
        self.world.troubles().find_map(|trouble| match trouble {
            Trouble::WritesThrottled(table) => call.writes_to(table).then(|| call.throttled(0)),
            Trouble::StoreUnavailable => unavailable(Service::DynamoDb),
            Trouble::QueuesUnavailable => unavailable(Service::Sqs),
            Trouble::BusUnavailable => unavailable(Service::EventBridge),
            Trouble::SecretsUnavailable => unavailable(Service::SecretsManager),
            // `slowness`, and `providers::mode`.
            Trouble::StoreSlow(_) | Trouble::Provider(..) => None,
        })
    }

    /// How much longer a call takes before it has its effect.
    fn slowness(&self, call: &Call) -> Duration {
        let slow = self.world.troubles().map(|trouble| match trouble {
            Trouble::StoreSlow(time) if call.service == Service::DynamoDb => millis(*time),
            _ => Duration::ZERO,
        });
        slow.max().unwrap_or_default()
    }

    /// Ends the process.
    pub(crate) fn kill(&self, point: &str, moment: &str) {
        self.world.history.note(format_args!("{} killed {moment} {point}", self.process));
        self.world.evidence.killed(&self.process, self.world.clock.now());
        self.process.kill();
    }

    /// Freezes the process for this many milliseconds.
    pub(crate) async fn freeze(&self, point: &str, moment: &str, time: u64) {
        self.world.history.note(format_args!("{} frozen for {time} ms {moment} {point}", self.process));
        self.world.evidence.frozen(&self.process, self.world.clock.now(), time, point);
        self.process.freeze(millis(time));
        // The process is not polled until it is thawed.
        tokio::task::yield_now().await;
    }
}

#[cfg(test)]
mod tests {
    use domain::TransportId;
    use jiff::SignedDuration;
    use serde_json::{Value, json};
    use tokio::time::Instant;

    use super::*;
    use crate::aws::call::Body;
    use crate::aws::lambda::Function;
    use crate::providers::Mode;
    use crate::providers::tests::scenario;
    use crate::scenario::{Outage, Scenario};

    fn call(service: Service, operation: &str, target: &str, request: Value) -> Call {
        let (operation, target) = (operation.to_owned(), target.to_owned());
        Call { function: Function::Email, service, operation, target, body: Body::Json(request) }
    }

    /// A call with which a trouble interferes.
    fn concerned(trouble: &Trouble) -> Call {
        let key = json!({"TableName": "Suppressions", "Key": {"pk": {"S": "a"}}});
        match trouble {
            Trouble::WritesThrottled(table) => call(Service::DynamoDb, "DeleteItem", table, key),
            Trouble::StoreUnavailable | Trouble::StoreSlow(_) => {
                call(Service::DynamoDb, "GetItem", "Suppressions", key)
            }
            Trouble::QueuesUnavailable => {
                call(Service::Sqs, "GetQueueAttributes", "EmailQueue", json!({"AttributeNames": ["All"]}))
            }
            Trouble::BusUnavailable => {
                let entries = json!({"Entries": [{"DetailType": "push.completed", "Detail": "{}"}]});
                call(Service::EventBridge, "PutEvents", "", entries)
            }
            Trouble::SecretsUnavailable => {
                call(Service::SecretsManager, "GetSecretValue", "HashKey", json!({"SecretId": "HashKey"}))
            }
            Trouble::Provider(..) => {
                let form = "Action=Publish&PhoneNumber=%2B4915123450001&Message=OFFER-1".to_owned();
                Call { body: Body::Form(form), ..call(Service::Sns, "Publish", "", Value::Null) }
            }
        }
    }

    /// The status of the response, and how long it took.
    async fn response(call: Call, troubles: &[&Trouble]) -> (u16, Duration) {
        let outage = |what: &Trouble| Outage { from_ms: 0, for_ms: u64::MAX, what: what.clone() };
        let outages = troubles.iter().map(|trouble| outage(trouble)).collect();
        let world = World::new(Scenario { outages, ..scenario() }, true);
        let process = Process::new(1, call.function, world.clock.clone(), SignedDuration::ZERO);
        let began = Instant::now();
        let response = Network { world, process }.respond(call).await.unwrap();
        (response.status().as_u16(), began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn each_trouble_changes_a_response_or_its_time() {
        for trouble in [
            Trouble::WritesThrottled("Suppressions".to_owned()),
            Trouble::StoreUnavailable,
            Trouble::StoreSlow(4_000),
            Trouble::QueuesUnavailable,
            Trouble::BusUnavailable,
            Trouble::SecretsUnavailable,
            Trouble::Provider(TransportId::Sns, Mode::OverQuota),
        ] {
            let (status, time) = response(concerned(&trouble), &[]).await;
            assert!(status == 200 && time < Duration::from_secs(1), "{trouble:?}: {status} after {time:?}");
            let (status, time) = response(concerned(&trouble), &[&trouble]).await;
            assert!(status != 200 || time >= Duration::from_secs(4), "{trouble:?}: {status} after {time:?}");
        }
    }
}
