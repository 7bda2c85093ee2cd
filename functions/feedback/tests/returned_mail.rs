//! What follows from mail to the return path, and from events of SES, for the tables.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use domain::notification::{Outcome, ReasonCode};
use domain::unsubscribe::KeyRing;
use domain::{AddressHash, Channel, CustomerId, OfferId, PushId, ReturnPath, TransportId};
use feedback::{App, StoredMail};
use futures::FutureExt;
use runtime::{EventBus, Queue};
use serde_json::{Value, json};
use store::deliveries::{ClaimResult, DeliveryId, FinalOutcome, HolderId, Lease, ResendPolicy, Route};
use store::suppressions::{BounceRule, Reason};
use store::{Deliveries, Suppressions};
use testing::{Bus, Clock, Dynamo, OFFER, Sqs};

const SECRET: &str = r#"{"current": "k1", "k1": "0123456789012345678901234567890123456789"}"#;
const NEWER: &str = r#"{"current": "k2", "k2": "abcdefghijabcdefghijabcdefghijabcdefghij"}"#;
const UNKNOWN_USER: &str = include_str!("mail/postfix-unknown-user.eml");
const EXPIRED: &str = include_str!("mail/postfix-expired.eml");
const DELAYED: &str = include_str!("mail/postfix-delayed.eml");
const POLICY: &str = include_str!("mail/policy.eml");
const OUT_OF_OFFICE: &str = include_str!("mail/out-of-office.eml");
const COMPLAINT: &str = include_str!("mail/complaint-with-envelope.eml");

struct World {
    dynamo: Dynamo,
    clock: Clock,
    app: App,
}

fn ring(secret: &str) -> Arc<KeyRing> {
    Arc::new(KeyRing::parse(secret).unwrap())
}

fn offer_id() -> OfferId {
    OFFER.parse().unwrap()
}

fn customer(id: &str) -> CustomerId {
    id.parse().unwrap()
}

fn address(id: &str) -> AddressHash {
    testing::address_hash(Channel::Email, &format!("{id}@example.com"))
}

fn sent_to(address: AddressHash) -> FinalOutcome {
    FinalOutcome {
        outcome: Outcome::Sent,
        address_hash: Some(address),
        ..FinalOutcome::unsent(ReasonCode::Refused, "")
    }
}

/// A message of the corpus about the e-mail to this customer.
fn about(message: &str, id: &str, secret: &str) -> String {
    let path: ReturnPath = "bounces@bank.example".parse().unwrap();
    message.replace("RETURN-PATH", &path.tagged(&ring(secret), offer_id(), &customer(id)))
}

impl World {
    fn new() -> Self {
        let (dynamo, clock) = (Dynamo::new(), Clock::new());
        let keys = ring(SECRET);
        let app = App {
            hash_keys: runtime::HashKeys::known(testing::hash_key()),
            sources: clock.sources(),
            suppressions: Suppressions::new(dynamo.client(), "Suppressions", clock.sources()),
            deliveries: Deliveries::new(dynamo.client(), "Deliveries", clock.sources()),
            rule: BounceRule::new(3, 14).unwrap(),
            ring: Box::new(move |_| std::future::ready(Ok(keys.clone())).boxed()),
            objects: Box::new(|_, _| std::future::ready(Err("no such bucket".to_owned())).boxed()),
            bus: EventBus::new(Bus::default().client(), "events"),
            queue: Queue::new(Sqs::new().client(), "https://sqs.invalid/queue"),
        };
        Self { dynamo, clock, app }
    }

    /// A delivery that was sent to `<id>@example.com`.
    async fn sent(&self, id: &str) {
        let claim = self.claim(id).await;
        let outcome = sent_to(address(id));
        self.app.deliveries.record(&claim, &outcome).await.unwrap();
    }

    async fn claim(&self, id: &str) -> store::deliveries::Claim {
        let id = DeliveryId { offer: offer_id(), customer: customer(id), channel: Channel::Email };
        let push = PushId { offer: offer_id(), number: 1 };
        let offer = testing::offer(json!({"code": "CASHBK", "description": "Get 5%"}));
        let route = Route { transport: TransportId::Smtp, other: None };
        let holder = HolderId::generate(&self.clock.sources());
        let lease = Lease { holder: &holder, until: self.clock.now() + Duration::from_secs(60), after: None };
        match self.app.deliveries.claim(id, push, &offer, ResendPolicy::UnsentAndRejected, route, lease).await.unwrap()
        {
            ClaimResult::Granted(claim) => claim,
            refused => panic!("{refused:?}"),
        }
    }

    /// Delivers a message in the queue. Returns whether it was handled, or must come again.
    async fn queue(&self, body: impl ToString) -> bool {
        let record = json!({"messageId": "m-1", "eventSource": "aws:sqs", "body": body.to_string()});
        let response = self.app.handle(json!({"Records": [record]})).await.unwrap();
        response["batchItemFailures"].as_array().unwrap().is_empty()
    }

    async fn suppressed(&self, id: &str) -> Option<Reason> {
        self.app.suppressions.for_address(&address(id), &[]).await.unwrap().map(|suppression| suppression.reason)
    }

    async fn feedback(&self, id: &str) -> Option<(&'static str, String)> {
        let deliveries = self.app.deliveries.of_customer(offer_id(), &customer(id)).await.unwrap();
        let feedback = deliveries.into_iter().next()?.feedback?;
        Some((feedback.kind.as_str(), feedback.detail))
    }
}

#[tokio::test(start_paused = true)]
async fn a_report_suppresses_the_address_that_the_message_went_to() {
    for (message, suppressed, kind, detail) in [
        (UNKNOWN_USER, Some(Reason::Bounced), "bounced", "failed 5.1.1"),
        (EXPIRED, None, "delayed", "failed 4.4.1"),
        (DELAYED, None, "delayed", "delayed 4.4.1"),
        (POLICY, None, "rejected", "failed 5.7.1"),
        (COMPLAINT, Some(Reason::Complained), "complained", "abuse"),
    ] {
        let world = World::new();
        // The report names asha@example.com, as the address of someone else.
        world.sent("c-1").await;
        world.sent("asha").await;
        assert!(world.queue(about(message, "c-1", SECRET)).await);
        assert_eq!(world.suppressed("c-1").await, suppressed, "{detail}");
        assert_eq!(world.feedback("c-1").await, Some((kind, detail.to_owned())));
        assert_eq!(world.suppressed("asha").await, None, "{detail}: the report is not believed");
        assert_eq!(world.feedback("asha").await, None, "{detail}");
    }
}

#[tokio::test(start_paused = true)]
async fn mail_without_a_tag_of_ours_changes_nothing_and_is_not_retried() {
    let world = World::new();
    world.sent("c-1").await;
    let before = (world.dynamo.items("Deliveries"), world.dynamo.items("Suppressions"));
    for mail in [
        UNKNOWN_USER.replace("RETURN-PATH", "bounces@bank.example"),
        about(UNKNOWN_USER, "c-1", NEWER),
        about(COMPLAINT, "c-1", NEWER),
        about(OUT_OF_OFFICE, "c-1", SECRET),
        about(UNKNOWN_USER, "a-customer-who-is-not-there", SECRET),
        "no mail at all".to_owned(),
        "\r\n\r\n".to_owned(),
        String::new(),
    ] {
        assert!(world.queue(&mail).await, "{mail}");
    }
    assert_eq!((world.dynamo.items("Deliveries"), world.dynamo.items("Suppressions")), before);
}

#[tokio::test(start_paused = true)]
async fn three_offers_that_fail_for_now_suppress_the_address() {
    let world = World::new();
    // The same report again, or another one about the same e-mail, does not count again.
    world.sent("c-1").await;
    for _ in 0..5 {
        assert!(world.queue(about(EXPIRED, "c-1", SECRET)).await);
    }
    assert_eq!(world.suppressed("c-1").await, None);
    let event = |feedback_id: &str, status: &str| {
        json!({"detail": {"mail": {}, "bounce": {
            "bounceType": "Transient", "bounceSubType": "General", "feedbackId": feedback_id,
            "timestamp": world.clock.now().to_string(),
            "bouncedRecipients": [{"emailAddress": "C-1@example.com", "action": "failed", "status": status}]}}})
    };
    assert!(world.queue(event("f-1", "4.4.7")).await);
    assert!(world.queue(event("f-1", "4.4.7")).await, "delivered twice");
    assert_eq!(world.suppressed("c-1").await, None);
    assert!(world.queue(event("f-2", "4.4.7")).await);
    assert_eq!(world.suppressed("c-1").await, Some(Reason::Bounced));
}

#[tokio::test(start_paused = true)]
async fn a_permanent_status_in_a_transient_bounce_suppresses_at_once() {
    let world = World::new();
    let event = json!({"detail": {"mail": {}, "bounce": {
        "bounceType": "Transient", "bounceSubType": "General", "feedbackId": "f-1", "timestamp": "2026-06-01T12:00:00Z",
        "bouncedRecipients": [{"emailAddress": "c-1@example.com", "action": "failed", "status": "5.4.4"}]}}});
    assert_eq!(world.app.handle(event).await.unwrap(), json!({"actedOn": true}));
    assert_eq!(world.suppressed("c-1").await, Some(Reason::Bounced));
}

#[tokio::test(start_paused = true)]
async fn a_report_that_is_quicker_than_the_record_comes_again() {
    let world = World::new();
    let claim = world.claim("c-1").await;
    assert!(!world.queue(about(UNKNOWN_USER, "c-1", SECRET)).await);
    let outcome = sent_to(address("c-1"));
    world.app.deliveries.record(&claim, &outcome).await.unwrap();
    assert!(world.queue(about(UNKNOWN_USER, "c-1", SECRET)).await);
    assert_eq!(world.suppressed("c-1").await, Some(Reason::Bounced));
}

#[tokio::test(start_paused = true)]
async fn a_tag_of_a_newer_key_is_verified_with_the_ring_read_again() {
    let mut world = World::new();
    world.sent("c-1").await;
    let (old, new) = (ring(SECRET), ring(NEWER));
    let is_new = move |age: Duration| if age <= Duration::from_secs(1) { new.clone() } else { old.clone() };
    world.app.ring = Box::new(move |age| std::future::ready(Ok(is_new(age))).boxed());
    assert!(world.queue(about(UNKNOWN_USER, "c-1", NEWER)).await);
    assert_eq!(world.suppressed("c-1").await, Some(Reason::Bounced));
}

#[tokio::test(start_paused = true)]
async fn mail_in_a_bucket_is_read_once_it_can_be() {
    let mut world = World::new();
    world.sent("c-1").await;
    let created = json!({"Records": [{"eventSource": "aws:s3", "s3": {
        "bucket": {"name": "mail"}, "object": {"key": "returned/1", "size": 1}}}]});
    assert!(!world.queue(&created).await, "the bucket cannot be read, so the message comes again");
    let mail = about(UNKNOWN_USER, "c-1", SECRET).into_bytes();
    let reads = Arc::new(AtomicUsize::new(0));
    let count = reads.clone();
    world.app.objects = Box::new(move |bucket, key| {
        assert_eq!((bucket.as_str(), key.as_str()), ("mail", "returned/1"));
        count.fetch_add(1, Ordering::Relaxed);
        std::future::ready(Ok(StoredMail { mail: mail.clone(), stored: None })).boxed()
    });
    assert!(world.queue(&created).await);
    assert_eq!(world.suppressed("c-1").await, Some(Reason::Bounced));
    // As S3 invokes a function itself.
    assert_eq!(world.app.handle(created).await.unwrap(), json!({"actedOn": true}));
    assert_eq!(reads.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn keys_that_cannot_be_read_lose_no_report() {
    let mut world = World::new();
    world.sent("c-1").await;
    world.app.ring = Box::new(|_| std::future::ready(Err("no secret".to_owned())).boxed());
    assert!(!world.queue(about(UNKNOWN_USER, "c-1", SECRET)).await);
    assert_eq!(world.suppressed("c-1").await, None);
    let value: Value = json!({"source": "aws.ses", "detail": {"mail": {}, "delivery": {}}});
    assert!(world.queue(value).await, "events of SES need none");
}

#[tokio::test(start_paused = true)]
async fn a_report_that_arrives_again_does_not_undo_a_lift() {
    let at = "2026-06-01T11:59:58Z";
    let mail = |message: &str| about(message, "c-1", SECRET);
    let dated = |message: &str, date: &str| {
        let other = message.lines().filter(|line| !line.starts_with("Date:")).collect::<Vec<_>>().join("\r\n");
        mail(&format!("Date: {date}\r\n{other}"))
    };
    let created = json!({"Records": [{"eventSource": "aws:s3", "s3": {
        "bucket": {"name": "mail"}, "object": {"key": "returned/1"}}}]});
    let received = |message: &str, name: &str| {
        let mut received = json!({"content": mail(message), "receipt": {}, "mail": {}});
        received[name]["timestamp"] = json!(at);
        received
    };
    let action = json!({"type": "S3", "bucketName": "mail", "objectKey": "returned/1"});
    for (reported, reason) in [(UNKNOWN_USER, Reason::Bounced), (COMPLAINT, Reason::Complained)] {
        for (name, body) in [
            ("an object", created.to_string()),
            ("an object that SES stored", json!({"receipt": {"timestamp": at, "action": action}}).to_string()),
            ("SES's receipt", received(reported, "receipt").to_string()),
            ("SES's mail", received(reported, "mail").to_string()),
            ("through SNS", json!({"Type": "Notification", "Timestamp": at, "Message": mail(reported)}).to_string()),
            ("raw and dated", dated(reported, "Mon, 1 Jun 2026 11:59:58 +0000")),
            ("raw and dated in the future", dated(reported, "Fri, 1 Jun 2096 12:00:00 +0000")),
            ("raw and undated", dated(reported, "yesterday")),
        ] {
            let mut world = World::new();
            let object = StoredMail { mail: mail(reported).into_bytes(), stored: Some(at.parse().unwrap()) };
            world.app.objects = Box::new(move |_, _| std::future::ready(Ok(object.clone())).boxed());
            world.sent("c-1").await;
            assert!(world.queue(&body).await, "{name}");
            assert_eq!(world.suppressed("c-1").await, Some(reason), "{name}");
            tokio::time::advance(Duration::from_secs(60)).await;
            world.app.suppressions.lift(&address("c-1"), &[], &testing::hash_key(), "operator").await.unwrap();
            for _ in 0..2 {
                tokio::time::advance(Duration::from_secs(60)).await;
                assert!(world.queue(&body).await, "{name}");
                assert_eq!(world.suppressed("c-1").await, None, "{name}: the lift stays");
            }
        }
    }
}
