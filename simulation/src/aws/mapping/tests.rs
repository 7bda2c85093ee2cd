use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use testing::clock::START;
use tokio::task::LocalSet;
use tokio::time::sleep;

use super::report::Report;
use super::shard::{Record, Shard, Step};
use super::{Invoke, queue, stream};
use crate::aws::activity::Activity;
use crate::aws::lambda::Invoked;
use crate::aws::template::{QueueMapping, StreamMapping, queue_mappings, stream_mappings};
use crate::aws::testing::{planned, world};
use crate::fault::{Fault, Moment};
use crate::world::World;

/// A function of a test: what it was invoked with, and the most invocations at a time.
#[derive(Default)]
struct Seen {
    events: RefCell<Vec<Value>>,
    running: RefCell<(usize, usize)>,
}

/// A function that takes `seconds` and returns what `answer` says of the event.
fn function(seconds: u64, answer: impl Fn(&Value, usize) -> Invoked + 'static) -> (Rc<Seen>, Invoke) {
    let seen = Rc::new(Seen::default());
    let answer = Rc::new(answer);
    let kept = Rc::clone(&seen);
    let invoke: Invoke = Rc::new(move |event| {
        let (seen, answer) = (Rc::clone(&kept), Rc::clone(&answer));
        Box::pin(async move {
            let number = seen.events.borrow().len();
            seen.events.borrow_mut().push(event.clone());
            let (running, most) = *seen.running.borrow();
            seen.running.replace((running + 1, most.max(running + 1)));
            sleep(Duration::from_secs(seconds)).await;
            seen.running.borrow_mut().0 -= 1;
            answer(&event, number)
        })
    });
    (seen, invoke)
}

/// The texts at this place of all records of each event.
fn texts(seen: &Seen, place: &str) -> Vec<Vec<String>> {
    let of_event = |event: &Value| {
        let records = event["Records"].as_array().unwrap().iter();
        records.map(|record| record.pointer(place).unwrap().as_str().unwrap().to_owned()).collect()
    };
    seen.events.borrow().iter().map(of_event).collect()
}

fn mapping_of(queue: &str) -> &'static QueueMapping {
    queue_mappings().iter().find(|mapping| mapping.queue == queue).unwrap()
}

fn offers() -> &'static StreamMapping {
    stream_mappings().iter().find(|mapping| mapping.table == "Offers").unwrap()
}

fn success() -> Invoked {
    Invoked::Returned(json!({"batchItemFailures": []}))
}

/// Runs for this long with a poller of the queue. Returns whether it is idle then.
async fn run_queue(world: &Arc<World>, queue: &str, invoke: Invoke, seconds: u64) -> bool {
    let activity = Activity::default();
    let poller = queue::poll(Arc::clone(world), mapping_of(queue), invoke, activity.clone());
    let local = LocalSet::new();
    local.spawn_local(poller);
    local.run_until(sleep(Duration::from_secs(seconds))).await;
    activity.is_idle()
}

#[tokio::test(start_paused = true)]
async fn messages_reach_their_function_two_invocations_at_a_time_and_are_deleted() {
    let world = world(vec![]);
    for at in 0..20 {
        world.queues.send(&world, "EmailQueue", at.to_string(), None).unwrap();
    }
    let (seen, invoke) = function(1, |_, _| success());
    let is_idle = run_queue(&world, "EmailQueue", invoke, 60).await;
    let mut bodies: Vec<usize> = texts(&seen, "/body").concat().iter().map(|body| body.parse().unwrap()).collect();
    bodies.sort_unstable();
    assert_eq!(bodies, (0..20).collect::<Vec<_>>());
    assert_eq!(*seen.running.borrow(), (0, 2));
    assert!(world.queues.is_empty() && is_idle);
    let record = &seen.events.borrow()[0]["Records"][0];
    assert_eq!(record["eventSourceARN"], "arn:aws:sqs:eu-central-1:123456789012:EmailQueue");
    assert_eq!(record["attributes"]["ApproximateReceiveCount"], "1");
    let event: lambda_http::aws_lambda_events::sqs::SqsEvent =
        serde_json::from_value(seen.events.borrow()[0].clone()).unwrap();
    assert_eq!(event.records.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_fails_comes_again_after_its_time_out_until_it_is_a_dead_letter() {
    let world = world(vec![]);
    for body in ["a", "poison", "b"] {
        world.queues.send(&world, "FeedbackQueue", body.to_owned(), None).unwrap();
    }
    let (seen, invoke) = function(1, |event, _| {
        let records = event["Records"].as_array().unwrap();
        let failed = records.iter().filter(|record| record["body"] == "poison");
        let failed: Vec<_> = failed.map(|record| json!({"itemIdentifier": record["messageId"]})).collect();
        Invoked::Returned(json!({"batchItemFailures": failed}))
    });
    run_queue(&world, "FeedbackQueue", invoke, 10 * 600 + 60).await;
    let bodies = texts(&seen, "/body").concat();
    assert_eq!(bodies.iter().filter(|body| *body == "poison").count(), 10);
    assert_eq!(bodies.len(), 12);
    assert_eq!(world.queues.dead_letters(), [("FeedbackDeadLetters", "poison".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_deleted_if_the_function_fails_or_ends() {
    for broken in [Invoked::Failed("error".to_owned()), Invoked::Ended] {
        let world = world(vec![]);
        world.queues.send(&world, "EmailQueue", "a".to_owned(), None).unwrap();
        let (seen, invoke) = function(1, move |_, number| if number == 0 { broken.clone() } else { success() });
        run_queue(&world, "EmailQueue", invoke, 950).await;
        assert_eq!(seen.events.borrow().len(), 2);
        assert!(world.queues.is_empty());
    }
}

fn put_request(world: &World, number: usize) {
    let item = json!({"pk": {"S": "offer"}, "sk": {"S": format!("push#{number:03}")}});
    assert_eq!(world.dynamo.execute("PutItem", json!({"TableName": "Offers", "Item": item})).status, 200);
}

/// Runs for this long with a poller of the stream of the Offers table, into which requests are put at once. Returns
/// whether it is idle then.
async fn run_stream(world: &Arc<World>, requests: usize, invoke: Invoke, seconds: u64) -> bool {
    let activity = Activity::default();
    let poller = stream::poll(Arc::clone(world), offers(), invoke, activity.clone());
    let local = LocalSet::new();
    local.spawn_local(poller);
    let work = async {
        sleep(Duration::from_secs(1_000)).await;
        assert!(activity.is_idle());
        for number in 0..requests {
            put_request(world, number);
        }
        let other = json!({"TableName": "Offers", "Item": {"pk": {"S": "offer"}, "sk": {"S": "offer"}}});
        world.dynamo.execute("PutItem", other);
        sleep(Duration::from_secs(seconds)).await;
    };
    local.run_until(work).await;
    activity.is_idle()
}

const KEY: &str = "/dynamodb/Keys/sk/S";

#[tokio::test(start_paused = true)]
async fn records_that_pass_the_filter_reach_their_function_in_order() {
    let world = world(vec![]);
    let (seen, invoke) = function(1, |_, _| success());
    let is_idle = run_stream(&world, 25, invoke, 10).await;
    let keys = texts(&seen, KEY);
    assert_eq!(keys.iter().map(Vec::len).collect::<Vec<_>>(), [10, 10, 5]);
    assert!(keys.concat().is_sorted() && is_idle);
    assert_eq!(seen.running.borrow().1, 1);
    let event: lambda_http::aws_lambda_events::dynamodb::Event =
        serde_json::from_value(seen.events.borrow()[0].clone()).unwrap();
    assert_eq!(event.records.len(), 10);
    assert_eq!(event.records[0].change.approximate_creation_date_time.timestamp(), START.as_second() + 1_000);
}

#[tokio::test(start_paused = true)]
async fn records_from_the_failed_one_on_are_tried_again() {
    let world = world(vec![]);
    let (seen, invoke) = function(1, |event, number| {
        let failure = |at: usize| json!({"itemIdentifier": event["Records"][at]["dynamodb"]["SequenceNumber"]});
        if number > 0 {
            return success();
        }
        Invoked::Returned(json!({"batchItemFailures": [failure(4), failure(3)]}))
    });
    run_stream(&world, 5, invoke, 30).await;
    let keys = texts(&seen, KEY);
    assert_eq!(keys.iter().map(Vec::len).collect::<Vec<_>>(), [5, 2]);
    assert_eq!(keys[1], ["push#003", "push#004"]);
}

#[tokio::test(start_paused = true)]
async fn a_poison_record_is_isolated_and_its_place_goes_to_the_on_failure_queue() {
    let world = world(vec![]);
    let (seen, invoke) = function(1, |event, _| {
        let records = event["Records"].as_array().unwrap();
        let is_poison = |record: &Value| record.pointer(KEY).unwrap() == "push#002";
        if records.iter().any(is_poison) { Invoked::Ended } else { success() }
    });
    let is_idle = run_stream(&world, 8, invoke, 3_000).await;
    let keys = texts(&seen, KEY);
    assert_eq!(keys.iter().filter(|keys| **keys == ["push#002"]).count(), 21, "once, and 20 retries");
    let handled: Vec<_> = keys.iter().filter(|keys| !keys.contains(&"push#002".to_owned())).flatten().collect();
    assert!(handled.len() == 7 && handled.is_sorted(), "{handled:?}");
    assert!(is_idle);
    let dead = world.queues.dead_letters();
    assert_eq!((dead.len(), dead[0].0), (1, "PushDeadLetters"));
    let message: Value = serde_json::from_str(&dead[0].1).unwrap();
    assert_eq!(message["requestContext"]["condition"], "RetryAttemptsExhausted");
    assert_eq!(message["DDBStreamBatchInfo"]["batchSize"], 1);
    assert_eq!(message["DDBStreamBatchInfo"]["approximateArrivalOfFirstRecord"], "2026-06-01T12:16:40Z");
}

#[tokio::test(start_paused = true)]
async fn a_fault_of_a_record_strikes_as_planned() {
    let both = || vec!["push#000", "push#001"];
    // What was delivered within 50 seconds, and within 70.
    for (fault, soon, later) in [
        (Fault::Twice(60_000), vec![both()], vec![both(), both()]),
        (Fault::Late(60_000), vec![], vec![both()]),
        (Fault::Gone, vec![vec!["push#000"]], vec![vec!["push#000"]]),
    ] {
        for (seconds, expected) in [(50, soon), (70, later)] {
            let world = world(planned(&[("record Offers", 2, Moment::After, fault)]));
            let (seen, invoke) = function(1, |_, _| success());
            let is_idle = run_stream(&world, 2, invoke, seconds).await;
            assert_eq!(texts(&seen, KEY), expected, "{fault:?}");
            assert_eq!(is_idle, fault == Fault::Gone || seconds == 70, "{fault:?}");
        }
    }
}

/// Records that arrived in these seconds.
fn records(arrived: &[i64]) -> Vec<Record> {
    let record = |second: &i64| {
        let arrived = START + Duration::from_secs(u64::try_from(*second).unwrap());
        Record { value: json!(second), arrived, not_before: arrived, again: None }
    };
    arrived.iter().map(record).collect()
}

fn at(second: u64) -> Timestamp {
    START + Duration::from_secs(second)
}

/// What the next step is about, by when its records arrived.
fn step(shard: &mut Shard, now: Timestamp) -> (&'static str, Vec<i64>) {
    let seconds = |records: &[Record]| records.iter().map(|record| record.value.as_i64().unwrap()).collect();
    match shard.next(now) {
        Step::Idle => ("idle", vec![]),
        Step::Wait(until) => ("wait", vec![until.duration_since(START).as_secs()]),
        Step::Invoke(records) => ("invoke", seconds(&records)),
        Step::Discard(discarded) => (discarded.condition, seconds(&discarded.records)),
    }
}

#[test]
fn a_batch_that_fails_is_split_and_tried_again_in_order() {
    let mut shard = Shard::new(offers());
    shard.add(records(&[1, 2, 3, 4]));
    assert_eq!(step(&mut shard, at(4)), ("invoke", vec![1, 2, 3, 4]));
    assert!(shard.finish(&Report::Failure, at(4)).is_empty());
    shard.add(records(&[5]));
    assert_eq!(step(&mut shard, at(4)), ("wait", vec![5]));
    assert_eq!(step(&mut shard, at(5)), ("invoke", vec![1, 2]));
    assert_eq!(shard.finish(&Report::Partly([1].into()), at(5)).len(), 1);
    assert_eq!(step(&mut shard, at(6)), ("invoke", vec![2]));
    assert_eq!(shard.finish(&Report::Failure, at(6)).len(), 0);
    assert_eq!(step(&mut shard, at(6)), ("wait", vec![8]), "twice as long");
    assert_eq!(step(&mut shard, at(8)), ("invoke", vec![2]));
    assert_eq!(shard.finish(&Report::Success, at(8)).len(), 1);
    assert_eq!(step(&mut shard, at(8)), ("invoke", vec![3, 4]));
    assert_eq!(shard.finish(&Report::Success, at(8)).len(), 2);
    assert_eq!(step(&mut shard, at(8)), ("invoke", vec![5]));
    assert_eq!(shard.finish(&Report::Success, at(8)).len(), 1);
    assert_eq!(step(&mut shard, at(8)), ("idle", vec![]));
}

#[test]
fn records_that_are_too_old_are_given_up_and_later_ones_are_not() {
    let mut shard = Shard::new(offers());
    shard.add(records(&[1, 2, 100]));
    assert_eq!(step(&mut shard, at(3_600)), ("invoke", vec![1, 2, 100]));
    assert_eq!(step(&mut shard, at(3_602)), ("RecordAgeExceeded", vec![1, 2]));
    assert_eq!(step(&mut shard, at(3_602)), ("invoke", vec![100]));
}

#[test]
fn a_record_is_tried_twenty_times_again() {
    let mut shard = Shard::new(offers());
    shard.add(records(&[0, 0]));
    let mut now = at(0);
    for _ in 0..21 {
        assert_eq!(step(&mut shard, now).0, "invoke");
        shard.finish(&Report::Partly([0].into()), now);
        now += Duration::from_secs(60);
    }
    assert_eq!(step(&mut shard, now), ("RetryAttemptsExhausted", vec![0, 0]));
    assert_eq!(step(&mut shard, now), ("idle", vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_message_whose_deletion_is_lost_comes_again() {
    let world = world(planned(&[("delete FeedbackQueue", 1, Moment::Before, Fault::Gone)]));
    world.queues.send(&world, "FeedbackQueue", "a".to_owned(), None).unwrap();
    let (seen, invoke) = function(1, |_, _| success());
    run_queue(&world, "FeedbackQueue", invoke, 3_600).await;
    assert_eq!(texts(&seen, "/body"), [["a"], ["a"]]);
    assert!(world.queues.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_batch_without_capacity_is_tried_until_there_is_some() {
    let world = world(vec![]);
    // More often than a batch that fails.
    let throttled = usize::try_from(offers().max_retries.unwrap_or_default()).unwrap() + 5;
    let answer = move |_: &Value, number| if number < throttled { Invoked::Throttled } else { success() };
    let (seen, invoke) = function(1, answer);
    run_stream(&world, 1, invoke, 300).await;
    assert_eq!(seen.events.borrow().len(), throttled + 1);
}
