//! The schedule runs the migration of hashes.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::time::Duration;

use domain::Channel;
use feedback::App;
use futures::FutureExt;
use runtime::{EventBus, Queue};
use serde_json::{Value, json};
use store::suppressions::BounceRule;
use store::{Deliveries, Suppressions};
use testing::{Bus, Clock, Dynamo, Sqs, address_hash, hash_key};

const EVENT: &str = include_str!("../../../events/feedback-migrate.json");

/// A new execution environment.
fn app(dynamo: &Dynamo, clock: &Clock) -> App {
    App {
        hash_keys: runtime::HashKeys::known(hash_key()),
        sources: clock.sources(),
        suppressions: Suppressions::new(dynamo.client(), "Suppressions", clock.sources()),
        deliveries: Deliveries::new(dynamo.client(), "Deliveries", clock.sources()),
        rule: BounceRule::new(3, 14).unwrap(),
        ring: Box::new(|_| std::future::ready(Err("not needed".to_owned())).boxed()),
        bus: EventBus::new(Bus::default().client(), "events"),
        queue: Queue::new(Sqs::new().client(), "https://sqs.invalid/queue"),
        objects: Box::new(|_, _| std::future::ready(Err("not needed".to_owned())).boxed()),
    }
}

async fn run(dynamo: &Dynamo, clock: &Clock) -> Value {
    app(dynamo, clock).handle(serde_json::from_str(EVENT).unwrap()).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn each_run_migrates_until_its_time_is_up_and_the_next_one_continues() {
    let (dynamo, clock) = (Dynamo::new(), Clock::new());
    for number in 0..450 {
        let hash = address_hash(Channel::Email, &format!("{number}@example.com")).unkeyed().unwrap();
        let item = json!({"pk": format!("address#{hash}"), "addressHash": hash, "reason": "bounced", "since": 1});
        dynamo.put("Suppressions", item);
    }
    for _ in 0..12 {
        assert_eq!(run(&dynamo, &clock).await["migration"], "waiting");
        clock.skip(Duration::from_secs(300));
    }
    dynamo.set_latency(Duration::from_millis(400));
    let mut moved = 0;
    for runs in 1.. {
        let started = clock.now();
        let response = run(&dynamo, &clock).await;
        let took = clock.now().duration_since(started);
        assert!(took.as_secs() < 30, "the function's timeout: {took:?}");
        moved += response["moved"].as_u64().unwrap();
        if response["migration"] == "finished now" {
            assert!(runs > 1, "it had to be continued");
            break;
        }
        assert_eq!(response["migration"], "running");
    }
    assert_eq!(moved, 450);
    assert_eq!(run(&dynamo, &clock).await, json!({"migration": "finished"}));
}

#[tokio::test(start_paused = true)]
async fn a_table_that_does_not_respond_fails_the_run_and_the_next_one_continues() {
    let (dynamo, clock) = (Dynamo::new(), Clock::new());
    dynamo.inject("GetItem", "Suppressions", [testing::Fault::Refuse]);
    app(&dynamo, &clock).handle(serde_json::from_str(EVENT).unwrap()).await.unwrap_err();
    assert_eq!(run(&dynamo, &clock).await["migration"], "waiting");
}
