//! Which messages are slices to scan, and how their batches are queued, on the tables in process.

#![expect(clippy::unwrap_used, reason = "clippy allows it in tests, but not in what they share")]

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use audience::{App, ChannelQueue, SliceScanner};
use aws_lambda_events::sqs::{SqsEvent, SqsMessage};
use domain::{Channel, Customer, OfferId, PushId, TraceId};
use lambda_runtime::Context;
use runtime::{Deadline, Queue};
use serde_json::{Value, json};
use store::pushes::{Plan, Push};
use store::{Customers, Offers, PushedOffers, Pushes};
use testing::{Clock, Dynamo, OFFER, Sqs};

/// A stack with two customers and a push of an offer that is for none of them.
struct World {
    dynamo: Dynamo,
    clock: Clock,
    channels: BTreeMap<Channel, Sqs>,
}

impl World {
    async fn with_push(slices: u32, fields: Value) -> Self {
        let channels = BTreeMap::from(Channel::ALL.map(|channel| (channel, Sqs::new())));
        let world = Self { dynamo: Dynamo::new(), clock: Clock::new(), channels };
        for id in ["c-1", "c-2"] {
            let body = json!({"name": "Asha", "email": format!("{id}@example.com"), "channels": ["email"]});
            world.customers().put(&Customer::parse(id, body).unwrap()).await.unwrap();
        }
        let mut body = json!({"code": "A", "description": "B", "eligibility": "false"});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let trace = TraceId::generate(&world.clock.sources());
        world.offers().create(&testing::offer(body), None, trace).await.unwrap();
        let request = world.offers().push_request(push()).await.unwrap().unwrap();
        world.pushes().create(&request, Plan::Now { slices }).await.unwrap();
        world.dynamo.forget_calls();
        world
    }

    fn customers(&self) -> Customers {
        Customers::new(self.dynamo.client(), "Customers", self.clock.sources())
    }

    fn offers(&self) -> Offers {
        Offers::new(self.dynamo.client(), "Offers", self.clock.sources())
    }

    fn pushes(&self) -> Pushes {
        Pushes::new(self.dynamo.client(), "Pushes", self.clock.sources())
    }

    async fn push(&self) -> Push {
        self.pushes().get(push()).await.unwrap().unwrap()
    }

    /// Has the function handle a message, and returns whether it is done with it.
    async fn handle(&self, message: &Value) -> bool {
        let queue = |sqs: &Sqs| Queue::new(sqs.client(), "http://sqs.invalid/queue");
        let channel = |(channel, sqs): (&Channel, &Sqs)| {
            // One e-mail a second, and as many texts as one could wish.
            let per_second = if *channel == Channel::Email { 1 } else { 100_000 };
            (*channel, ChannelQueue { queue: queue(sqs), per_second: NonZeroU32::new(per_second).unwrap() })
        };
        let app = App::new(SliceScanner {
            sources: self.clock.sources(),
            customers: self.customers(),
            pushed_offers: PushedOffers::new(self.offers(), self.pushes(), self.clock.sources()),
            pushes: self.pushes(),
            slice_queue: queue(&Sqs::new()),
            channels: self.channels.iter().map(channel).collect(),
        });
        let mut record = SqsMessage::default();
        record.message_id = Some("message".to_owned());
        record.body = Some(message.to_string());
        let mut event = SqsEvent::default();
        event.records.push(record);
        let mut context = Context::default();
        context.deadline = u64::MAX;
        app.handle(event, Deadline::of(&context)).await.batch_item_failures.is_empty()
    }

    fn scans(&self) -> Vec<Value> {
        self.dynamo.requests("Scan", "Customers")
    }
}

fn push() -> PushId {
    PushId { offer: OFFER.parse::<OfferId>().unwrap(), number: 1 }
}

/// A slice's message with these fields besides its own, or instead of them.
fn message(fields: Value) -> Value {
    let mut message = json!({"type": "slice.v2", "push": {"offer": OFFER, "number": 1}, "slice": 0, "generation": 1});
    message.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    message
}

/// What the release before had in its messages, with a text and a rule that no caller stored.
fn forged() -> Value {
    let offer = json!({
        "id": OFFER, "code": "A", "subject": "Urgent", "description": "Urgent", "eligibility": "true",
        "channels": ["email", "sms"], "createdAt": "2026-06-01T12:00:00Z", "createdBy": "bank",
    });
    json!({"type": "slice.v1", "offer": offer, "slices": 1, "retryRejected": true})
}

#[tokio::test(start_paused = true)]
async fn slice_of_what_is_not_stored_is_not_scanned() {
    let world = World::with_push(2, json!({})).await;
    for fields in [
        json!({"push": {"offer": "01980000-0000-7000-8000-00000000ffff", "number": 1}}),
        json!({"push": {"offer": OFFER, "number": 2}}),
        json!({"slice": 2}),
        json!({"slice": u32::MAX}),
    ] {
        let mut old = message(forged());
        old.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        for message in [message(fields.clone()), old] {
            assert!(!world.handle(&message).await, "{message}");
        }
    }
    assert_eq!((world.scans().len(), world.dynamo.items("Pushes").len()), (0, 1));
}

/// A forged number would have made the next restart overflow.
#[tokio::test(start_paused = true)]
async fn slice_that_was_never_scanned_is_not_scanned_in_a_later_generation() {
    let world = World::with_push(1, json!({})).await;
    assert!(world.handle(&message(json!({"generation": u32::MAX}))).await);
    assert_eq!((world.scans().len(), world.dynamo.items("Pushes").len()), (0, 1));
    assert!(world.handle(&message(json!({}))).await);
    assert_eq!(world.push().await.slices_done, 1);
}

#[tokio::test(start_paused = true)]
async fn rule_and_number_of_slices_are_the_stored_ones_whatever_the_message_says() {
    let world = World::with_push(2, json!({})).await;
    for slice in 0..2 {
        let mut message = message(forged());
        message["slice"] = slice.into();
        assert!(world.handle(&message).await);
    }
    assert!(world.scans().iter().all(|scan| scan["TotalSegments"] == 2), "{:?}", world.scans());
    let progress = world.pushes().progress(push()).await.unwrap().unwrap();
    assert_eq!((progress.scan.customers_read, progress.scan.notifications), (2, 0));
    assert!(!world.push().await.state.is_open());
}

#[tokio::test(start_paused = true)]
async fn customers_are_read_with_what_the_rule_needs() {
    let attributes = json!({"tier": "gold", "card": {"kind": "visa"}, "key": "tier", "notes": "long"});
    for (rule, names) in [
        ("customer.tier == 'silver' || !has(customer.card.kind)", Some(&["card", "tier"][..])),
        ("customer.name == 'Tom'", Some(&[])),
        ("customer[customer.key] == 'silver'", None),
    ] {
        let world = World::with_push(1, json!({"eligibility": rule})).await;
        for id in ["c-1", "c-2"] {
            let body = json!({"name": "Asha", "channels": ["email"], "attributes": attributes});
            world.customers().put(&Customer::parse(id, body).unwrap()).await.unwrap();
        }
        assert!(world.handle(&message(json!({}))).await);
        let scan = world.pushes().progress(push()).await.unwrap().unwrap().scan;
        assert_eq!((scan.customers_read, scan.customers_eligible, scan.customers_unevaluable), (2, 0, 0), "{rule}");
        let request = &world.scans()[0];
        assert_eq!(request["ProjectionExpression"].is_null(), names.is_none(), "{rule}");
        let read = |name| {
            request["ExpressionAttributeNames"].as_object().is_some_and(|names| names.values().any(|it| it == name))
        };
        let read: Vec<_> = ["card", "key", "notes", "tier"].into_iter().filter(|name| read(*name)).collect();
        assert_eq!(read, names.unwrap_or_default(), "{rule}");
    }
}

#[tokio::test(start_paused = true)]
async fn offer_that_has_expired_is_not_scanned_and_its_push_ends() {
    let world = World::with_push(2, json!({"validUntil": "2026-06-01T12:00:10Z", "eligibility": "true"})).await;
    tokio::time::advance(std::time::Duration::from_secs(10)).await;
    for slice in 0..2 {
        assert!(world.push().await.state.is_open());
        assert!(world.handle(&message(json!({"slice": slice}))).await);
    }
    assert!(world.scans().is_empty());
    assert!(!world.push().await.state.is_open());
    // A message that comes again changes nothing.
    assert!(world.handle(&message(json!({}))).await);
}

/// Batches of its page may have been queued and sent by a scanner that ended before it committed the page.
#[tokio::test(start_paused = true)]
async fn slice_whose_scan_has_started_is_scanned_to_its_end_although_the_offer_has_expired() {
    let world = World::with_push(1, json!({"validUntil": "2026-06-01T12:00:10Z"})).await;
    world.pushes().start_scan(push(), 0, 1).await.unwrap();
    tokio::time::advance(std::time::Duration::from_secs(10)).await;
    assert!(world.handle(&message(json!({}))).await);
    assert_eq!(world.scans().len(), 1);
    assert!(!world.push().await.state.is_open());
}

/// Three pages, of which each continues the count of the one before.
#[tokio::test(start_paused = true)]
async fn batches_are_delayed_by_a_quarter_of_the_time_that_those_before_them_take() {
    let world = World::with_push(1, json!({"eligibility": "true", "channels": ["email", "sms"]})).await;
    // With the two that are there, two full pages and half of a third.
    for number in 0..2_498 {
        let body =
            json!({"name": "Asha", "email": "a@b.example", "mobile": "+351912345678", "channels": ["email", "sms"]});
        world.customers().put(&Customer::parse(&format!("d-{number}"), body).unwrap()).await.unwrap();
    }
    assert!(world.handle(&message(json!({}))).await);
    // In the order of their numbers: calls for several of them run at the same time.
    let delays = |channel| {
        let mut sent = world.channels[&channel].take_sent();
        sent.sort_by_key(|sent| sent.body["batch"].as_u64());
        sent.into_iter().map(|sent| sent.delay).collect::<Vec<_>>()
    };
    let emails = delays(Channel::Email);
    assert_eq!(emails.len(), 50);
    for (before, delay) in (0_u64..).zip(&emails) {
        // A batch takes 50 seconds.
        let expected = match before {
            0..=23 => 0..=0,
            24..=70 => before * 50 / 4..=(before + 1) * 50 / 4 + 1,
            _ => 450..=900,
        };
        assert!(expected.contains(delay), "{before} before: {delay} s, not {expected:?}");
    }
    assert!(delays(Channel::Sms).into_iter().all(|delay| delay == 0));
}
