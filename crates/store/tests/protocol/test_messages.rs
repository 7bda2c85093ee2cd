//! Test messages of previews: their daily number and their record.

use std::time::Duration;

use domain::Channel;
use serde_json::json;
use store::offers::{TestMessages, TestRecord, TestReservation};
use testing::Fault;

use crate::world::World;

fn tests(world: &World, recipients: usize) -> TestMessages {
    TestMessages {
        sent_at: world.now(),
        by: "arn:aws:iam::111122223333:role/marketing".to_owned(),
        code: "CASHBK".to_owned(),
        recipients: (0..recipients).map(|number| (Channel::Email, format!("hash-{number}"))).collect(),
    }
}

async fn reserve(world: &World, recipients: usize) -> TestReservation {
    world.offers().reserve_tests(&tests(world, recipients), 5).await.unwrap()
}

async fn reserved(world: &World, recipients: usize) -> TestRecord {
    match reserve(world, recipients).await {
        TestReservation::Reserved(record) => record,
        exhausted @ TestReservation::Exhausted { .. } => panic!("{exhausted:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_day_has_so_many_test_messages_and_the_next_day_as_many_again() {
    let world = World::new();
    reserved(&world, 3).await;
    // Refused as a whole, not in part.
    let TestReservation::Exhausted { until } = reserve(&world, 3).await else { panic!("three of five are left") };
    reserved(&world, 2).await;
    assert!(matches!(reserve(&world, 1).await, TestReservation::Exhausted { .. }));
    assert_eq!(world.dynamo.items("Offers").len(), 3, "a count and two records");

    tokio::time::sleep(Duration::from_secs(24 * 60 * 60)).await;
    assert!(world.now() >= until, "the time at which a caller may retry has come");
    reserved(&world, 5).await;
    assert!(matches!(reserve(&world, 6).await, TestReservation::Exhausted { .. }), "more than any day has");
}

#[tokio::test(start_paused = true)]
async fn test_messages_are_counted_once_even_if_a_response_is_lost() {
    let world = World::new();
    world.dynamo.inject("TransactWriteItems", "Offers", [Fault::LoseResponse]);
    reserved(&world, 5).await;
    assert_eq!(world.dynamo.count("TransactWriteItems", "Offers"), 2);
    assert_eq!(world.dynamo.items("Offers").len(), 2, "a count and a record");
}

#[tokio::test(start_paused = true)]
async fn record_says_who_sent_which_messages_when_and_expires() {
    let world = World::new();
    let (at, record) = (world.now(), reserved(&world, 2).await);
    let ids = [Some("<1@bank.example>".to_owned()), None];
    world.offers().record_test_results(&record, &ids).await.unwrap();
    let mut items = world.dynamo.items("Offers");
    items.sort_by_key(|item| item["sk"] != "count");
    let [count, mut record] = items.try_into().unwrap();
    let expires_at = at.as_second() + 90 * 24 * 60 * 60;
    assert_eq!(count, json!({"pk": count["pk"], "sk": "count", "sent": 2, "expiresAt": expires_at}));
    assert!(count["pk"].as_str().unwrap().starts_with("tests#20"), "{count}");
    assert_eq!(record["pk"], count["pk"]);
    record.as_object_mut().unwrap().retain(|name, _| name != "pk" && name != "sk");
    let recipient = |hash: &str| json!({"channel": "email", "unkeyedHash": hash});
    assert_eq!(
        record,
        json!({
            "by": "arn:aws:iam::111122223333:role/marketing", "code": "CASHBK", "sentAt": at.as_millisecond(),
            "recipients": [recipient("hash-0"), recipient("hash-1")], "messageIds": ["<1@bank.example>", null],
            "expiresAt": expires_at,
        })
    );
    let listed = world.offers().list(10, None).await.unwrap();
    assert!(listed.items.is_empty(), "it is no offer");
}
