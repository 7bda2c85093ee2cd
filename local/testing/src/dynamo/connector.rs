//! How a call of the SDK becomes a response, or none.

use std::future;
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use serde_json::{Value, json};

use super::batch::run_in_part;
use super::engine::{self, Reply};
use super::fault::Fault;
use super::{Call, Dynamo};
use crate::template;

impl HttpClient for Dynamo {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Dynamo {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let dynamo = self.clone();
        HttpConnectorFuture::new(async move { dynamo.respond(&request).await })
    }
}

impl Dynamo {
    async fn respond(&self, request: &HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let Operation { name: operation, table, request } = read_call(request);
        let (fault, latency) = {
            let mut state = self.state();
            state.calls.push(Call { operation, table, request: request.clone() });
            (state.faults.take((operation, table)), state.latency)
        };
        sleep(latency / 2).await;
        let reply = self.reply(fault, operation, table, request).await?;
        sleep(latency - latency / 2).await;
        Ok(response(&reply))
    }

    async fn reply(
        &self,
        fault: Fault,
        operation: &'static str,
        table: &str,
        request: Value,
    ) -> Result<Reply, ConnectorError> {
        let execute = |request| self.inner.engine.execute(operation, request);
        match fault {
            Fault::Nothing => Ok(execute(request)),
            Fault::Before(hook) => {
                hook.run(self);
                Ok(execute(request))
            }
            Fault::Delay(time) => {
                let reply = execute(request);
                sleep(time).await;
                Ok(reply)
            }
            Fault::LoseResponse => {
                execute(request);
                Err(ConnectorError::io("the connection was closed before the response".into()))
            }
            Fault::HangAfterEffect => {
                execute(request);
                future::pending().await
            }
            Fault::Hang => future::pending().await,
            Fault::Unavailable => Ok(Reply::error(500, "InternalServerError", "injected")),
            Fault::Throttle => Ok(Reply::error(400, "ProvisionedThroughputExceededException", "injected")),
            Fault::Refuse => Ok(Reply::error(400, "ValidationException", "injected")),
            Fault::Conflict => Ok(conflict(&request)),
            Fault::Unprocessed(count) => Ok(run_in_part(operation, table, request, count, execute)),
        }
    }
}

async fn sleep(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

/// A call of DynamoDB's client.
#[derive(Debug, Clone)]
pub struct Operation {
    /// As in DynamoDB's API reference.
    pub name: &'static str,
    /// The table that it is for. A batch or a transaction may be for several; it counts as a call to the first.
    pub table: &'static str,
    /// In DynamoDB's JSON.
    pub request: Value,
}

/// The call that a request of DynamoDB's client makes.
///
/// # Panics
/// If the request is none, or its operation or table is unknown.
pub fn read_call(request: &HttpRequest) -> Operation {
    let target = request.headers().get("x-amz-target").expect("a call names its operation");
    let name = engine::operation(target.rsplit('.').next().expect("a split has at least one part"));
    let body = request.body().bytes().expect("the body of a call is in memory");
    let request = serde_json::from_slice(body).expect("the body of a call is JSON");
    Operation { name, table: table_of(name, &request), request }
}

/// The table that a call is for. A batch or a transaction may be for several; it counts as a call to the first.
fn table_of(operation: &str, request: &Value) -> &'static str {
    let first = |object: &Value| Some(object.as_object()?.iter().next()?.0.clone());
    let name = match operation {
        "BatchGetItem" | "BatchWriteItem" => first(&request["RequestItems"]),
        "TransactWriteItems" => first(&request["TransactItems"][0])
            .and_then(|action| Some(request["TransactItems"][0][action]["TableName"].as_str()?.to_owned())),
        // In `INSERT INTO "Offers" ...`, the first name in quotation marks.
        "BatchExecuteStatement" => request["Statements"][0]["Statement"]
            .as_str()
            .and_then(|statement| statement.split('"').nth(1))
            .map(str::to_owned),
        _ => request["TableName"].as_str().map(str::to_owned),
    };
    &template::table(&name.unwrap_or_else(|| panic!("{operation} names no table: {request}"))).name
}

fn conflict(request: &Value) -> Reply {
    let Some(actions) = request["TransactItems"].as_array() else {
        return Reply::error(400, "TransactionConflictException", "injected");
    };
    let mut reply = Reply::error(400, "TransactionCanceledException", "injected");
    let mut reasons = vec![json!({"Code": "None"}); actions.len()];
    reasons[0] = json!({"Code": "TransactionConflict", "Message": "injected"});
    reply.body["CancellationReasons"] = json!(reasons);
    reply
}

fn response(reply: &Reply) -> HttpResponse {
    let status = StatusCode::try_from(reply.status).expect("a reply has an HTTP status");
    let mut response = HttpResponse::new(status, SdkBody::from(reply.body.to_string()));
    response.headers_mut().insert("content-type", "application/x-amz-json-1.0");
    response
}
