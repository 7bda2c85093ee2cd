//! How the records of a stream reach their function (Lambda guide, "Using Lambda with Amazon DynamoDB").

use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::spawn_local;
use tokio::time::sleep;

use super::report::report;
use super::shard::{Discarded, Record, Shard, Step};
use super::{Invoke, filter};
use crate::aws::activity::Activity;
use crate::aws::lambda::Invoked;
use crate::aws::template::StreamMapping;
use crate::aws::{ACCOUNT, REGION};
use crate::chance::Chance;
use crate::fault::{Fault, millis};
use crate::world::World;

/// From a write to its record's delivery: streams are near real time, and Lambda polls four times a second (DynamoDB
/// Developer Guide, "Change data capture for DynamoDB Streams"; Lambda guide, "Polling and batching streams").
const LATENCY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(1_000));
/// How long Lambda waits before it tries a batch again for which there was no capacity.
const THROTTLED_FOR: Duration = Duration::from_secs(1);

/// Reads the records of the stream and invokes the function with them, for ever.
pub(super) async fn poll(world: Arc<World>, mapping: &'static StreamMapping, invoke: Invoke, activity: Activity) {
    let chance = Chance::of(world.scenario.seed, &format!("poller {}", mapping.table));
    let mut poller = Poller { shard: Shard::new(mapping), world, mapping, invoke, activity, chance };
    loop {
        let busy = poller.activity.begin();
        poller.take();
        poller.work().await;
        drop(busy);
        poller.world.dynamo.written(&mapping.table).await;
    }
}

struct Poller {
    world: Arc<World>,
    mapping: &'static StreamMapping,
    invoke: Invoke,
    activity: Activity,
    chance: Chance,
    shard: Shard,
}

impl Poller {
    /// Delivers records until there are none.
    async fn work(&mut self) {
        loop {
            let now = self.world.clock.now();
            match self.shard.next(now) {
                Step::Idle => return,
                Step::Wait(until) => {
                    let wait = Duration::try_from(until.duration_since(now)).expect("it is later");
                    self.meanwhile(sleep(wait)).await;
                }
                Step::Invoke(records) => self.deliver(records).await,
                Step::Discard(discarded) => self.discard(&discarded),
            }
        }
    }

    async fn deliver(&mut self, records: Vec<Record>) {
        let StreamMapping { function, table, reports_failures, .. } = self.mapping;
        self.world.history.note(format_args!("{function} is given {} records of {table}", records.len()));
        let mut invoked = self.meanwhile((self.invoke)(event(table, &records))).await;
        // A batch that did not reach the function counts as no attempt (Lambda API reference, CreateEventSourceMapping,
        // MaximumRetryAttempts; Lambda guide, "Retain discarded records").
        while invoked == Invoked::Throttled {
            self.meanwhile(sleep(THROTTLED_FOR)).await;
            invoked = self.meanwhile((self.invoke)(event(table, &records))).await;
        }
        let ids: Vec<_> = records.iter().map(|record| sequence_number(&record.value)).collect();
        let report = report(&invoked, &ids, *reports_failures);
        let done = self.shard.finish(&report, self.world.clock.now());
        let left = records.len() - done.len();
        if left > 0 {
            let (history, all) = (&self.world.history, records.len());
            history.note(format_args!("{function} has not handled {left} of {all} records of {table}"));
        }
        if let Some(after) = done.iter().filter_map(|record| record.again).max() {
            self.repeat(&done, after);
        }
    }

    /// Lambda handles each record at least once: it may deliver records that were handled (Lambda guide, "Using Lambda with
    /// Amazon DynamoDB").
    fn repeat(&self, records: &[Record], after: Duration) {
        let (world, invoke, busy) = (Arc::clone(&self.world), Rc::clone(&self.invoke), self.activity.begin());
        let StreamMapping { function, table, .. } = self.mapping;
        let (count, event) = (records.len(), event(table, records));
        spawn_local(async move {
            world.sleep_until_calm(after).await;
            world.history.note(format_args!("{function} is given {count} records of {table} again"));
            invoke(event).await;
            drop(busy);
        });
    }

    /// Sends what Lambda documents about discarded records to the on-failure queue (Lambda guide, "Retain discarded
    /// records"): not the records themselves.
    fn discard(&self, discarded: &Discarded) {
        let Discarded { records, condition, invocations } = discarded;
        let StreamMapping { function, table, on_failure, .. } = self.mapping;
        self.world
            .history
            .note(format_args!("{function} is not given {} records of {table}: {condition}", records.len()));
        let (Some(queue), Some(first), Some(last)) = (on_failure, records.first(), records.last()) else { return };
        let arrival = |record: &Record| record.arrived.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let message = json!({
            "requestContext": {
                "requestId": "00000000-0000-4000-8000-000000000000",
                "functionArn": format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function}"),
                "condition": condition,
                "approximateInvokeCount": invocations,
            },
            "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
            "version": "1.0",
            "timestamp": self.world.clock.now().strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string(),
            "DDBStreamBatchInfo": {
                "shardId": "shardId-00000001573689847184-864758bb",
                "startSequenceNumber": sequence_number(&first.value),
                "endSequenceNumber": sequence_number(&last.value),
                "approximateArrivalOfFirstRecord": arrival(first),
                "approximateArrivalOfLastRecord": arrival(last),
                "batchSize": records.len(),
                "streamArn": stream_arn(table),
            },
        });
        if self.world.queues.send(&self.world, queue, message.to_string(), None).is_err() {
            // Lambda tries for a while (Lambda guide, "Capturing records of Lambda asynchronous invocations"); lost.
            self.world.history.note(format_args!("{queue} has not accepted what was given up"));
        }
    }

    /// Waits for this, and notes when records arrive meanwhile.
    async fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        let world = Arc::clone(&self.world);
        loop {
            tokio::select! {
                biased;
                result = &mut work => return result,
                () = world.dynamo.written(&self.mapping.table) => self.take(),
            }
        }
    }

    /// Takes the new records of the stream.
    fn take(&mut self) {
        let StreamMapping { table, filters, .. } = self.mapping;
        let now = self.world.clock.now();
        let not_before = now + self.chance.between(LATENCY.0, LATENCY.1);
        loop {
            let taken = self.world.dynamo.take_records(table);
            if taken.is_empty() {
                return;
            }
            for mut value in taken {
                if !filter::passes(filters, &value) {
                    continue;
                }
                // Whole seconds, by the world's clock.
                value["dynamodb"]["ApproximateCreationDateTime"] = json!(now.as_second());
                let record = Record { value, arrived: now, not_before, again: None };
                self.shard.add(strike(&self.world, table, record));
            }
        }
    }
}

/// What goes wrong with a record.
fn strike(world: &World, table: &str, mut record: Record) -> Option<Record> {
    let struck = world.faults.pass(&format!("record {table}"));
    for fault in [struck.before, struck.after].into_iter().flatten() {
        world.history.note(format_args!("record {table} #{}: {fault:?}", struck.nth));
        match fault {
            Fault::Twice(time) => record.again = Some(millis(time)),
            Fault::Late(time) => record.not_before += millis(time),
            Fault::Gone => return None,
            other => panic!("a record cannot be {other:?}"),
        }
    }
    Some(record)
}

/// The event as Lambda builds it.
fn event(table: &str, records: &[Record]) -> Value {
    let record = |record: &Record| {
        let mut value = record.value.clone();
        value["eventSourceARN"] = json!(stream_arn(table));
        value
    };
    json!({"Records": records.iter().map(record).collect::<Vec<_>>()})
}

fn stream_arn(table: &str) -> String {
    format!("arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{table}/stream/2026-01-01T00:00:00.000")
}

fn sequence_number(record: &Value) -> &str {
    record["dynamodb"]["SequenceNumber"].as_str().expect("a record has a sequence number")
}
