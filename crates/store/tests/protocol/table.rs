//! What the store makes of DynamoDB's errors.

use domain::TransportId;
use store::StoreError;
use testing::Fault;

use crate::world::{World, push, recipient};

#[tokio::test(start_paused = true)]
async fn an_unavailable_table_is_tried_four_times() {
    let world = World::new();
    world.dynamo.inject_always("GetItem", "Pushes", Fault::Unavailable);
    let error = world.pushes().get(push(1)).await.unwrap_err();
    assert!(matches!(&error, StoreError::Unavailable { operation: "GetItem", table, .. } if table == "Pushes"));
    assert_eq!(world.dynamo.count("GetItem", "Pushes"), 4);
}

#[tokio::test(start_paused = true)]
async fn a_malformed_call_is_no_outage() {
    let world = World::new();
    world.dynamo.inject("GetItem", "Pacing", [Fault::Refuse]);
    let error = world.limits().delay(push(1), TransportId::Ses).await.unwrap_err();
    assert!(matches!(&error, StoreError::InvalidRequest { operation: "GetItem", .. }), "{error:?}");
    assert_eq!(world.dynamo.count("GetItem", "Pacing"), 1);
}

#[tokio::test(start_paused = true)]
async fn keys_that_stay_unprocessed_are_an_outage() {
    let world = World::new();
    world.dynamo.inject_always("BatchGetItem", "Suppressions", Fault::Unprocessed(1));
    let recipients = [recipient("c-1", "asha@example.com")];
    let started = world.now();
    let error = world.suppressions().lookup(&recipients).await.unwrap_err();
    assert!(error.to_string().contains("1 keys left unprocessed"), "{error}");
    assert_eq!(world.dynamo.count("BatchGetItem", "Suppressions"), 6);
    // 50, 100, 200, 400 and 800 ms between the attempts.
    assert_eq!(world.now().duration_since(started).as_millis(), 1_550);
}

#[tokio::test(start_paused = true)]
async fn an_unreadable_item_names_the_table_and_no_value() {
    let world = World::new();
    world.push(1).await;
    let key = serde_json::json!({"pk": crate::world::push_key(1), "sk": "push"});
    world.dynamo.set("Pushes", &key, "state", "secret");
    let error = world.pushes().get(push(1)).await.unwrap_err();
    assert!(matches!(&error, StoreError::Unreadable { table, .. } if table == "Pushes"), "{error:?}");
    assert!(!error.to_string().contains("secret"), "{error}");
}
