//! How the messages of a queue reach their function (Lambda guide, "Using Lambda with Amazon SQS").

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::spawn_local;
use tokio::time::sleep;

use super::Invoke;
use super::report::{Report, report};
use crate::aws::activity::Activity;
use crate::aws::lambda::Function;
use crate::aws::sqs::{MD5, Received, system_attributes};
use crate::aws::template::QueueMapping;
use crate::aws::{ACCOUNT, REGION};
use crate::chance::Chance;
use crate::fault::Fault;
use crate::world::World;

/// How long a call of SQS takes, and how long Lambda needs for what it received.
const RECEIVING: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(60));
const DELETING: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(30));
/// The functions whose mappings the parameter `SendingEnabled` disables.
const SENDING: [Function; 2] = [Function::Email, Function::Sms];
/// How often a call receives fewer messages than there are (SQS Developer Guide, "Short and long polling").
const FEWER: f64 = 0.3;

/// Receives messages and invokes the function with them, for ever.
pub(super) async fn poll(world: Arc<World>, mapping: &'static QueueMapping, invoke: Invoke, activity: Activity) {
    let chance = Chance::of(world.scenario.seed, &format!("poller {}", mapping.queue));
    let slots = Arc::new(Semaphore::new(mapping.max_concurrency(&world.scenario.settings)));
    loop {
        if SENDING.contains(&mapping.function) {
            world.people.switches.sending_enabled().await;
        }
        // With MaximumConcurrency, pollers receive no more than they can invoke for (Lambda guide, "Configuring maximum
        // concurrency for Amazon SQS event sources").
        let slot = Arc::clone(&slots).acquire_owned().await.expect("it is never closed");
        let messages = next(&world, mapping, &chance).await;
        let busy = activity.begin();
        let work = handle(Arc::clone(&world), mapping, messages, Rc::clone(&invoke), chance.clone());
        spawn_local(async move {
            work.await;
            drop((slot, busy));
        });
    }
}

async fn next(world: &World, mapping: &QueueMapping, chance: &Chance) -> Vec<Received> {
    loop {
        world.queues.changed(&mapping.queue).await;
        sleep(chance.between(RECEIVING.0, RECEIVING.1)).await;
        let size = mapping.batch_size;
        let most = if size > 1 && chance.happens(FEWER) { 1 + chance.below(size) } else { size };
        let messages = world.queues.receive(world, &mapping.queue, most);
        if !messages.is_empty() {
            return messages;
        }
    }
}

/// Invokes the function, and deletes what it handled. The rest can be received again when its visibility time-out ends
/// (Lambda guide, "Handling errors for an SQS event source in Lambda"). So can a message whose deletion is planned to be lost,
/// at the point `delete <queue>` (SQS API reference, DeleteMessage: "it is possible to receive a message even after you delete
/// it").
async fn handle(
    world: Arc<World>,
    mapping: &'static QueueMapping,
    messages: Vec<Received>,
    invoke: Invoke,
    chance: Chance,
) {
    let QueueMapping { function, queue, reports_failures, .. } = mapping;
    let ids: Vec<_> = messages.iter().map(|message| message.id.as_str()).collect();
    world.history.note(format_args!("{function} is given {} of {queue}", ids.join(", ")));
    if let Some(meter) = &world.meter {
        meter.received(messages.len());
    }
    let invoked = invoke(event(queue, &messages)).await;
    let report = report(&invoked, &ids, *reports_failures);
    sleep(chance.between(DELETING.0, DELETING.1)).await;
    for (place, message) in messages.iter().enumerate() {
        match &report {
            Report::Partly(failed) if failed.contains(&place) => {
                returned_as_failed(&world, *function, queue, &message.id);
                continue;
            }
            Report::Failure => {
                world.history.note(format_args!("{function} has not handled {} of {queue}", message.id));
                continue;
            }
            Report::Success | Report::Partly(_) => {}
        }
        let struck = world.faults.pass(&format!("delete {queue}"));
        if struck.before == Some(Fault::Gone) {
            world.history.note(format_args!("delete {queue} #{}: {} stays", struck.nth, message.id));
        } else if !world.queues.delete(queue, &message.receipt) {
            world.history.note(format_args!("{} of {queue} is not deleted: it was received again", message.id));
        }
    }
}

/// The function itself said that it has not handled a message.
fn returned_as_failed(world: &World, function: Function, queue: &str, message: &str) {
    world.history.note(format_args!("{function} returned {message} of {queue} as failed"));
    world.evidence.returned_as_failed(message);
}

/// The event as Lambda builds it.
fn event(queue: &str, messages: &[Received]) -> Value {
    let record = |message: &Received| {
        json!({
            "messageId": message.id,
            "receiptHandle": message.receipt,
            "body": message.body,
            "attributes": system_attributes(message),
            "messageAttributes": {},
            "md5OfBody": MD5,
            "eventSource": "aws:sqs",
            "eventSourceARN": format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}"),
            "awsRegion": REGION,
        })
    };
    json!({"Records": messages.iter().map(record).collect::<Vec<_>>()})
}
