//! What callers read about deliveries, and what providers report about them.

use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use domain::Channel;
use domain::notification::{DeliveryState, Outcome, ReasonCode};
use serde_json::json;
use store::deliveries::{DeliveryId, Feedback, FeedbackKind, FeedbackResult, FinalOutcome};
use store::history::CustomerHistory;
use store::{Cursor, Deliveries, Offers, Pushes};

use crate::world::{OFFER, World, address, claim, customer, email_to, offer, offer_id, push};

async fn unsent(world: &World, id: &DeliveryId, outcome: Outcome) {
    let outcome = FinalOutcome { outcome, ..FinalOutcome::unsent(ReasonCode::RecipientRefused, "why") };
    world.deliveries().record_unsent(id, push(1), &offer(), &outcome, None).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_delivery_is_read_as_recorded() {
    let world = World::new();
    let claim = claim(&world, 1).await;
    let sent = FinalOutcome {
        outcome: Outcome::Sent,
        code: None,
        reason: None,
        provider_message_id: Some("m-1".to_owned()),
        address_hash: Some(address("asha@example.com")),
    };
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.deliveries().record(&claim, &sent).await.unwrap();
    unsent(&world, &DeliveryId { channel: Channel::Sms, ..email_to("c-1") }, Outcome::OptedOut).await;
    unsent(&world, &email_to("c-10"), Outcome::Expired).await;

    let found = world.deliveries().of_customer(offer_id(), &customer("c-1")).await.unwrap();
    let [email, sms] = found.try_into().unwrap();
    assert_eq!((email.customer, email.channel), (customer("c-1"), Channel::Email));
    assert_eq!((email.state, email.push, email.attempts), (DeliveryState::Final(Outcome::Sent), 1, 1));
    assert_eq!((email.provider_message_id.as_deref(), email.reason), (Some("m-1"), None));
    assert_eq!((email.updated_at, email.feedback), (world.now(), None));
    assert_eq!((sms.channel, sms.reason.as_deref(), sms.attempts), (Channel::Sms, Some("why"), 0));
}

#[tokio::test(start_paused = true)]
async fn deliveries_are_counted_by_state_in_every_shard() {
    let world = World::new();
    for number in 0..40 {
        let outcome = if number % 4 == 0 { Outcome::Failed } else { Outcome::Expired };
        unsent(&world, &email_to(&format!("c-{number}")), outcome).await;
    }
    // A page of a query ends after a megabyte.
    let items = world.dynamo.items("Deliveries");
    for item in &items {
        world.dynamo.set("Deliveries", json!({"pk": item["pk"], "sk": item["sk"]}), "padding", "x".repeat(300_000));
    }
    world.dynamo.forget_calls();
    for (state, expected) in [(Outcome::Failed, 10), (Outcome::Expired, 30), (Outcome::Sent, 0)] {
        assert_eq!(world.deliveries().count(offer_id(), DeliveryState::Final(state)).await.unwrap(), expected);
    }
    let queries = world.dynamo.requests("Query", "Deliveries");
    assert!(queries.len() > 3 * 16, "{}", queries.len());
    assert!(queries.iter().all(|query| query["ConsistentRead"] == true && query["Select"] == "COUNT"));
}

/// A cursor with these parts.
fn cursor(parts: &[(&str, &str)]) -> Cursor {
    BASE64URL_NOPAD.encode(json!(parts).to_string().as_bytes()).parse().unwrap()
}

#[test]
fn a_cursor_fits_only_the_list_that_returned_it() {
    let (mine, other) = (format!("{OFFER}#3"), "01980000-0000-7000-8000-000000000002#3");
    let fits = |parts: &[(&str, &str)]| Deliveries::check_cursor(&cursor(parts), offer_id(), None).is_ok();
    assert!(fits(&[("pk", &mine), ("sk", "c-1#email")]));
    assert!(!fits(&[("pk", other), ("sk", "c-1#email")]));
    assert!(!fits(&[("pk", &mine)]));
    assert!(!fits(&[("pk", &mine), ("sk", "")]));
    assert!(!fits(&[("pk", &format!("{OFFER}#g")), ("sk", "c-1#email")]), "there is no such shard");
    assert!(!fits(&[("pk", &mine), ("sk", "c-1#email"), ("open", "open")]));
    // DynamoDB refuses to start at a key that the query does not select.
    let fits = |shard: u8, sk: &str| {
        let cursor = cursor(&[("pk", &format!("{OFFER}#{shard:x}")), ("sk", sk)]);
        Deliveries::check_cursor(&cursor, offer_id(), Some(&customer("c-1"))).is_ok()
    };
    assert_eq!((0..16).filter(|shard| fits(*shard, "c-1#email")).count(), 1);
    assert!((0..16).all(|shard| !fits(shard, "c-10#email") && !fits(shard, "c-1")));
    let fits = |parts: &[(&str, &str)]| Pushes::check_cursor(&cursor(parts)).is_ok();
    assert!(fits(&[("open", "open"), ("pk", &mine), ("sk", "push")]));
    assert!(!fits(&[("open", "closed"), ("pk", &mine), ("sk", "push")]));
    assert!(!fits(&[("open", "open"), ("pk", &mine)]));
    let fits = |parts: &[(&str, &str)]| Offers::check_cursor(&cursor(parts)).is_ok();
    assert!(fits(&[("at", "2026"), ("kind", "offer"), ("pk", OFFER), ("sk", "offer")]));
    assert!(!fits(&[("at", "2026"), ("kind", "push"), ("pk", OFFER), ("sk", "offer")]));
    assert!(!fits(&[("kind", "offer"), ("pk", OFFER), ("sk", "offer")]));
    let fits = |parts: &[(&str, &str)]| CustomerHistory::check_cursor(&cursor(parts)).is_ok();
    let offer = [("at", "2026"), ("kind", "offer"), ("pk", OFFER), ("sk", "offer")];
    assert!(fits(&offer) && fits(&[offer.as_slice(), &[("channel", "sms")]].concat()));
    assert!(!fits(&[offer.as_slice(), &[("channel", "fax")]].concat()));
    assert!(!fits(&[("channel", "sms")]));
    for invalid in ["", "%", "e30", "W1sxLDJdXQ"] {
        assert!(invalid.parse::<Cursor>().is_err(), "{invalid}");
    }
}

#[tokio::test(start_paused = true)]
async fn feedback_is_replaced_only_by_what_is_at_least_as_severe() {
    let kinds = [FeedbackKind::Delayed, FeedbackKind::Rejected, FeedbackKind::Bounced, FeedbackKind::Complained];
    for (stored_at, stored) in kinds.into_iter().enumerate() {
        for (reported_at, reported) in kinds.into_iter().enumerate() {
            let world = World::new();
            claim(&world, 1).await;
            let feedback = |kind, detail: &str| Feedback { kind, detail: detail.to_owned(), at: world.now() };
            let add =
                async |feedback: &Feedback| world.deliveries().add_feedback(&email_to("c-1"), feedback).await.unwrap();
            assert_eq!(add(&feedback(stored, "first")).await, FeedbackResult::Stored);
            let expected = if reported_at >= stored_at { FeedbackResult::Stored } else { FeedbackResult::LessSevere };
            assert_eq!(add(&feedback(reported, "second")).await, expected, "{reported} after {stored}");
            let [delivery] =
                world.deliveries().of_customer(offer_id(), &customer("c-1")).await.unwrap().try_into().unwrap();
            let expected = match expected {
                FeedbackResult::Stored => feedback(reported, "second"),
                _ => feedback(stored, "first"),
            };
            assert_eq!((delivery.feedback, delivery.state), (Some(expected), DeliveryState::Claimed));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn feedback_about_no_delivery_stores_nothing() {
    let world = World::new();
    let feedback = Feedback { kind: FeedbackKind::Bounced, detail: String::new(), at: world.now() };
    let result = world.deliveries().add_feedback(&email_to("c-1"), &feedback).await.unwrap();
    assert_eq!(result, FeedbackResult::NoDelivery);
    assert!(world.dynamo.items("Deliveries").is_empty());
}

#[tokio::test(start_paused = true)]
async fn feedback_of_a_later_release_is_left_out() {
    let world = World::new();
    claim(&world, 1).await;
    let item = world.only("Deliveries");
    let key = json!({"pk": item["pk"], "sk": item["sk"]});
    world.dynamo.set("Deliveries", &key, "feedback", "opened");
    world.dynamo.set("Deliveries", &key, "feedbackAt", 1);
    let [delivery] = world.deliveries().of_customer(offer_id(), &customer("c-1")).await.unwrap().try_into().unwrap();
    assert_eq!(delivery.feedback, None);
}
