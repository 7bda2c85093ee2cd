//! The events about customers: which changes publish one, and that none is lost.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::time::Duration;

use domain::unsubscribe::Subscription;
use domain::{Channel, CustomerId};
use feedback::App;
use futures::FutureExt;
use runtime::{EventBus, HashKeys, Queue};
use serde_json::{Value, json};
use store::suppressions::{BounceRule, Notified, Reason, Report};
use store::{Deliveries, Suppressions};
use testing::{Bus, BusState, Clock, Dynamo, OFFER, Sqs};

struct World {
    dynamo: Dynamo,
    bus: Bus,
    clock: Clock,
    app: App,
}

fn customer(id: &str) -> CustomerId {
    id.parse().unwrap()
}

fn subscription(id: &str) -> Subscription {
    let address = testing::address_hash(Channel::Email, &format!("{id}@example.com"));
    Subscription { customer: customer(id), channel: Channel::Email, address }
}

/// A record of the table's stream.
fn record(event_name: &str, item: &Value, sequence_number: usize) -> Value {
    let typed = |value: &Value| match value {
        Value::Number(number) => json!({"N": number.to_string()}),
        text => json!({"S": text}),
    };
    let image: serde_json::Map<_, _> =
        item.as_object().unwrap().iter().map(|(name, value)| (name.clone(), typed(value))).collect();
    json!({"eventName": event_name, "eventSource": "aws:dynamodb", "awsRegion": "eu-west-1", "dynamodb": {
        "Keys": {"pk": typed(&item["pk"])}, "NewImage": image, "SequenceNumber": sequence_number.to_string(),
        "SizeBytes": 180, "StreamViewType": "NEW_IMAGE"}})
}

fn is_event(item: &Value) -> bool {
    item["pk"].as_str().unwrap().starts_with("event#")
}

/// The id of an event, by its item.
fn id(item: &Value) -> String {
    item["pk"].as_str().unwrap().replace("event#", "")
}

impl World {
    fn new() -> Self {
        let (dynamo, bus, clock) = (Dynamo::new(), Bus::default(), Clock::new());
        let app = App {
            hash_keys: HashKeys::known(testing::hash_key()),
            sources: clock.sources(),
            suppressions: Suppressions::new(dynamo.client(), "Suppressions", clock.sources()),
            deliveries: Deliveries::new(dynamo.client(), "Deliveries", clock.sources()),
            rule: BounceRule::new(3, 14).unwrap(),
            ring: Box::new(|_| std::future::ready(Err("no keys".to_owned())).boxed()),
            objects: Box::new(|_, _| std::future::ready(Err("no such bucket".to_owned())).boxed()),
            bus: EventBus::new(bus.client(), "events"),
            queue: Queue::new(Sqs::new().client(), "https://sqs.invalid/queue"),
        };
        Self { dynamo, bus, clock, app }
    }

    async fn opt_out(&self, id: &str) {
        let now = self.clock.now();
        self.app.suppressions.opt_out(&subscription(id), &testing::hash_key(), now).await.unwrap();
    }

    /// The customers opt out, a second after each other.
    async fn opted_out(ids: impl IntoIterator<Item = String>) -> Self {
        let world = Self::new();
        for id in ids {
            world.opt_out(&id).await;
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        world
    }

    /// The stored events, the first one first.
    fn stored(&self) -> Vec<Value> {
        let mut events: Vec<_> = self.dynamo.items("Suppressions").into_iter().filter(is_event).collect();
        events.sort_by_key(id);
        events
    }

    async fn stream(&self, records: Vec<Value>) -> Value {
        self.app.handle(json!({"Records": records})).await.unwrap()
    }

    /// Delivers these items as the stream does, with the sequence numbers 0, 1, …
    async fn insert(&self, items: &[Value]) -> Value {
        let records = items.iter().enumerate().map(|(number, item)| record("INSERT", item, number));
        self.stream(records.collect()).await
    }
}

fn retried_from(sequence_number: &str) -> Value {
    json!({"batchItemFailures": [{"itemIdentifier": sequence_number}]})
}

fn all_done() -> Value {
    json!({"batchItemFailures": []})
}

/// Checks a detail against its documented schema, in which it may have no field that is not documented.
fn check(kind: &str, detail: &Value) {
    let path = format!("{}/../../docs/events/{kind}.v1.json", env!("CARGO_MANIFEST_DIR"));
    let mut schema: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    schema["additionalProperties"] = json!(false);
    for object in ["customer", "offer"] {
        schema["properties"][object]["additionalProperties"] = json!(false);
    }
    let validator = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
    let faults: Vec<_> = validator.iter_errors(detail).map(|fault| fault.to_string()).collect();
    assert!(faults.is_empty(), "{kind}: {faults:?} in {detail}");
}

#[tokio::test(start_paused = true)]
async fn each_change_is_published_with_the_banks_own_id_and_no_address() {
    let world = World::new();
    let (suppressions, hash_key) = (&world.app.suppressions, testing::hash_key());
    world.opt_out("c-1").await;
    world.opt_out("c-1").await;
    tokio::time::advance(Duration::from_secs(1)).await;
    suppressions.opt_in(&subscription("c-1"), &hash_key, world.clock.now()).await.unwrap();
    for (number, (channel, by, reason)) in [
        (Channel::Email, "smtp", Reason::Bounced),
        (Channel::Email, "ses", Reason::Complained),
        (Channel::Sms, "sns", Reason::OptedOut),
    ]
    .into_iter()
    .enumerate()
    {
        tokio::time::advance(Duration::from_secs(1)).await;
        let customer = customer(&format!("c-{}", number + 2));
        let address = testing::address_hash(channel, "asha@example.com");
        let hash = hash_key.customer(channel, &customer);
        let notified = Notified { offer: OFFER.parse().unwrap(), customer, channel, hash };
        let report = Report { address: &address, at: world.clock.now(), by, notified: Some(&notified) };
        suppressions.suppress(&report, reason).await.unwrap();
        suppressions.suppress(&report, reason).await.unwrap();
    }
    assert_eq!(world.insert(&world.dynamo.items("Suppressions")).await, all_done());
    let mut published = world.bus.take();
    published.sort_by_key(|event| event.id().to_owned());
    let expected = [
        ("customer.unsubscribed", json!({"customer": {"id": "c-1"}, "channel": "email", "at": "2026-06-01T12:00:00Z"})),
        ("customer.resubscribed", json!({"customer": {"id": "c-1"}, "channel": "email", "at": "2026-06-01T12:00:01Z"})),
        (
            "customer.bounced",
            json!({"customer": {"id": "c-2"}, "channel": "email", "offer": {"id": OFFER}, "at": "2026-06-01T12:00:02Z"}),
        ),
        (
            "customer.complained",
            json!({"customer": {"id": "c-3"}, "channel": "email", "offer": {"id": OFFER}, "at": "2026-06-01T12:00:03Z"}),
        ),
        (
            "customer.unsubscribed",
            json!({"customer": {"id": "c-4"}, "channel": "sms", "offer": {"id": OFFER}, "at": "2026-06-01T12:00:04Z"}),
        ),
    ];
    assert_eq!(published.len(), expected.len(), "{published:?}");
    for ((event, (kind, mut detail)), item) in published.iter().zip(expected).zip(world.stored()) {
        detail["version"] = json!(1);
        detail["id"] = json!(id(&item));
        assert_eq!((event.source.as_str(), event.detail_type.as_str(), &event.detail), ("offercast", kind, &detail));
        check(kind, &event.detail);
    }
}

#[tokio::test(start_paused = true)]
async fn only_a_new_event_is_published() {
    let world = World::opted_out(["c-1".to_owned()]).await;
    let event = &world.stored()[0];
    let mut removed = record("REMOVE", event, 1);
    removed["dynamodb"]["OldImage"] = removed["dynamodb"]["NewImage"].take();
    let others: Vec<_> = world.dynamo.items("Suppressions").into_iter().filter(|item| !is_event(item)).collect();
    assert_eq!(others.len(), 2, "the opt-outs");
    assert_eq!(world.insert(&others).await, all_done());
    assert_eq!(world.stream(vec![record("MODIFY", event, 0), removed]).await, all_done());
    assert!(world.bus.take_tried().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_unreadable_record_does_not_keep_the_others_from_being_published() {
    let world = World::opted_out((1..=3).map(|number| format!("c-{number}"))).await;
    let stored = world.stored();
    let mut unknown = stored[1].clone();
    unknown["kind"] = json!("customer.abducted");
    let mut malformed = record("INSERT", &stored[1], 3);
    malformed["dynamodb"]["NewImage"]["at"] = json!(7);
    let records = vec![
        record("INSERT", &stored[0], 0),
        record("INSERT", &unknown, 1),
        json!({"eventSource": "aws:dynamodb"}),
        malformed,
        record("INSERT", &stored[2], 4),
    ];
    assert_eq!(world.stream(records).await, all_done());
    assert_eq!(world.bus.take_accepted(), [id(&stored[0]), id(&stored[2])]);
}

#[tokio::test(start_paused = true)]
async fn records_come_again_from_the_first_event_that_the_bus_rejects() {
    let world = World::opted_out((10..35).map(|number| format!("c-{number}"))).await;
    let stored = world.stored();
    world.bus.set(BusState::RejectingOne(id(&stored[13])));
    assert_eq!(world.insert(&stored).await, retried_from("13"));
    let accepted = world.bus.take_accepted();
    assert_eq!(accepted[..13], stored[..13].iter().map(id).collect::<Vec<_>>());
    world.bus.set(BusState::Accepting);
    assert_eq!(world.insert(&stored[13..]).await, all_done());
    assert_eq!(world.bus.take_accepted(), stored[13..].iter().map(id).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn records_come_again_while_the_bus_is_unavailable() {
    let world = World::opted_out(["c-1".to_owned(), "c-2".to_owned()]).await;
    for state in [BusState::Unavailable, BusState::Hanging, BusState::Rejecting] {
        world.bus.set(state);
        assert_eq!(world.insert(&world.stored()).await, retried_from("0"));
    }
    world.bus.set(BusState::Accepting);
    assert_eq!(world.insert(&world.stored()).await, all_done());
    assert_eq!(world.bus.take_accepted().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn events_whose_records_were_given_up_are_published_from_the_table() {
    // A minute apart, so that the first ones and the last are outside the period.
    let world = World::new();
    for number in 10..40 {
        world.opt_out(&format!("c-{number}")).await;
        tokio::time::advance(Duration::from_secs(60)).await;
    }
    let stored = world.stored();
    let mut unreadable = stored[15].clone();
    unreadable["kind"] = json!("customer.abducted");
    world.dynamo.put("Suppressions", unreadable);
    let given_up = json!({"requestContext": {"condition": "RetryAttemptsExhausted"}, "DDBStreamBatchInfo": {
        "approximateArrivalOfFirstRecord": "2026-06-01T12:10:00Z", "approximateArrivalOfLastRecord": "2026-06-01T12:20:00Z",
        "shardId": "s", "startSequenceNumber": "1", "endSequenceNumber": "9", "batchSize": 9}});
    // As `redrive` sends it.
    let message = json!({"messageId": "m-1", "eventSource": "aws:sqs", "body": given_up.to_string()});
    let redrive = async || world.app.handle(json!({"Records": [message]})).await.unwrap();
    world.bus.set(BusState::Unavailable);
    assert_eq!(redrive().await, retried_from("m-1"), "the queue delivers the message again");
    world.bus.set(BusState::Accepting);
    world.bus.take_tried();
    assert_eq!(redrive().await, all_done());
    let mut published = world.bus.take_accepted();
    published.sort();
    // From five minutes before the first until a minute after the last.
    assert_eq!(
        published,
        (5..=20).filter(|number| *number != 15).map(|number| id(&stored[number])).collect::<Vec<_>>()
    );

    let period = |since: &str, until: &str| json!({"publishEvents": {"since": since, "until": until}});
    let call = period("2026-06-01T12:01:00Z", "2026-06-01T12:03:00Z");
    assert_eq!(world.app.handle(call).await.unwrap(), json!({"actedOn": true}));
    let mut published = world.bus.take_accepted();
    published.sort();
    assert_eq!(published, [id(&stored[1]), id(&stored[2])]);
    let call = period("2026-06-01T11:00:00Z", "2026-06-01T12:00:00Z");
    assert_eq!(world.app.handle(call).await.unwrap(), json!({"actedOn": false}));
}

/// A dead letter of the stream whose records arrived at this time.
fn given_up(at: jiff::Timestamp) -> Value {
    json!({"requestContext": {"condition": "RetryAttemptsExhausted"}, "DDBStreamBatchInfo": {
        "approximateArrivalOfFirstRecord": at.to_string(), "approximateArrivalOfLastRecord": at.to_string()}})
}

fn batch(bodies: impl IntoIterator<Item = String>) -> Value {
    let message = |(number, body): (usize, String)| json!({"messageId": format!("m-{number}"), "eventSource": "aws:sqs", "body": body});
    json!({"Records": bodies.into_iter().enumerate().map(message).collect::<Vec<_>>()})
}

fn bounce(id: &str) -> String {
    json!({"detail": {"mail": {}, "bounce": {
        "bounceType": "Permanent", "bounceSubType": "General", "timestamp": "2026-06-01T12:00:00Z",
        "bouncedRecipients": [{"emailAddress": format!("{id}@example.com")}]}}})
    .to_string()
}

#[tokio::test(start_paused = true)]
async fn dead_letters_of_one_time_read_the_table_once() {
    let world = World::opted_out((0..3).map(|number| format!("c-{number}"))).await;
    let now = world.clock.now();
    let letters = (0..10).map(|minutes| given_up(now + Duration::from_secs(60 * minutes)).to_string());
    assert_eq!(world.app.handle(batch(letters)).await.unwrap(), all_done());
    let mut published = world.bus.take_accepted();
    published.sort();
    assert_eq!(published, world.stored().iter().map(id).collect::<Vec<_>>(), "each once");
}

#[tokio::test(start_paused = true)]
async fn dead_letters_that_take_long_hold_up_no_bounce_and_end_in_time() {
    let world = World::opted_out(["c-1".to_owned()]).await;
    let now = world.clock.now();
    // Days apart, so that each reads the table: for 2.5 seconds.
    let mut bodies: Vec<_> = (0..9).map(|days| given_up(now - Duration::from_secs(86400 * days)).to_string()).collect();
    bodies.push(bounce("c-2"));
    world.dynamo.set_latency(Duration::from_millis(2_500));
    let started = world.clock.now();
    let response = world.app.handle(batch(bodies)).await.unwrap();
    let took = world.clock.now().duration_since(started);
    assert!(took.as_secs() <= 25, "the function's timeout is 30 s: {took:?}");
    let failed: Vec<_> = response["batchItemFailures"].as_array().unwrap().iter().collect();
    assert!((4..9).contains(&failed.len()), "{failed:?}");
    assert!(failed.iter().all(|failure| failure["itemIdentifier"] != "m-9"), "the bounce: {failed:?}");
    assert_eq!(world.bus.take_accepted().len(), 1, "the first period is done");
    world.dynamo.set_latency(Duration::ZERO);
    let bounced = testing::address_hash(Channel::Email, "c-2@example.com");
    let suppression = world.app.suppressions.for_address(&bounced, &[]).await.unwrap().unwrap();
    assert_eq!(suppression.reason, Reason::Bounced);
    assert!(suppression.since < now + Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_that_fails_fails_those_of_its_period_only() {
    let world = World::opted_out(["c-1".to_owned()]).await;
    let now = world.clock.now();
    let other = now - Duration::from_secs(86400);
    world.bus.set(BusState::Unavailable);
    let letters = [given_up(now), given_up(other), given_up(now)].map(|letter| letter.to_string());
    let response = world.app.handle(batch(letters)).await.unwrap();
    assert_eq!(
        response,
        json!({"batchItemFailures": [{"itemIdentifier": "m-0"}, {"itemIdentifier": "m-2"}]}),
        "there is nothing to publish of the other"
    );
}
