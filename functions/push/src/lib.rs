//! The function `push`: starts requested pushes, sweeps open ones and publishes their events.
//!
//! It is invoked by the stream of the Offers table, which is the outbox of requests; by the stream of the Pushes table,
//! which reports changes to publish; and by a schedule each minute, which starts the pushes whose time has come and
//! finishes whatever was left unfinished or unpublished.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | what the function may be invoked with | `event` |
//! | how a push is planned and its slices queued | `start` |
//! | what a sweep finishes | `sweep` |
//! | how events reach the bus | `publish` |

mod event;
mod publish;
mod start;
mod sweep;

use std::collections::BTreeMap;

use aws_lambda_events::streams::{DynamoDbBatchItemFailure, DynamoDbEventResponse};
use domain::Channel;
use lambda_runtime::Error;
use runtime::{Deadline, Queue, telemetry};
use serde_json::Value;
use tracing::Instrument;

use crate::event::{Event, PushRecord};
pub use crate::publish::{PublishError, Publisher};
pub use crate::start::{PushStarter, StartError};
use crate::sweep::Sweeper;

/// The function, built once and used by every invocation.
pub struct App {
    sweeper: Sweeper,
}

impl App {
    /// `channels` are the queues that batches go to.
    pub fn new(starter: PushStarter, publisher: Publisher, channels: BTreeMap<Channel, Queue>) -> Self {
        Self { sweeper: Sweeper::new(starter, channels, publisher) }
    }

    /// Handles an invocation: a stream's records, the schedule, or the request to sweep one offer.
    ///
    /// # Errors
    /// If the payload is unknown, or a sweep is incomplete. Records of a stream that fail are named in the response.
    pub async fn handle(&self, payload: Value, deadline: Deadline) -> Result<Value, Error> {
        // Boxed: inside a caller's own futures, a sweep exceeds the compiler's depth limit for layouts.
        Box::pin(self.dispatch(payload, deadline)).await
    }

    async fn dispatch(&self, payload: Value, deadline: Deadline) -> Result<Value, Error> {
        let sweeper = &self.sweeper;
        Ok(match Event::parse(payload)? {
            Event::Requested(records) => serde_json::to_value(start_requested(&sweeper.starter, records).await)?,
            Event::Changed(pushes) => {
                // The sweep publishes within minutes what fails here, so the stream need not deliver the record again.
                sweeper.publisher.publish_each(pushes).await;
                serde_json::to_value(DynamoDbEventResponse::default())?
            }
            Event::Schedule => serde_json::to_value(sweeper.sweep_all(deadline).await?)?,
            Event::Sweep(offer) => serde_json::to_value(sweeper.sweep_offer(offer, deadline).await?)?,
        })
    }
}

/// Starts pushes in the order of the stream. Stops at the first failure: Lambda delivers the rest again, from there.
async fn start_requested(starter: &PushStarter, records: Vec<PushRecord>) -> DynamoDbEventResponse {
    let mut response = DynamoDbEventResponse::default();
    for record in records {
        let work = telemetry::work_span();
        if let Err(error) = starter.start_push(record.push).instrument(work.clone()).await {
            let _in_span = work.entered();
            telemetry::record_push(record.push, None);
            tracing::error!(error = %error, "push not started; the stream will deliver its request again");
            let mut failure = DynamoDbBatchItemFailure::default();
            failure.item_identifier = Some(record.sequence_number);
            response.batch_item_failures.push(failure);
            break;
        }
    }
    response
}
