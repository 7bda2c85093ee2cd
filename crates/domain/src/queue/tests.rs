use serde_json::{Value, json};

use super::*;

const PUSH: &str = "01980000-0000-7000-8000-000000000001";

/// A batch with these customers and this tally.
fn batch(customers: Value, tally: Value) -> Value {
    json!({
        "type": "batch.v2", "push": {"offer": PUSH, "number": 1}, "slice": 3, "generation": 1, "batch": 7,
        "channel": "email", "customers": customers, "tally": tally, "attempt": 2,
    })
}

/// Functions of two releases share the queues: a field must keep its name.
#[test]
fn slice_message_keeps_its_wire_format() {
    let message = json!({"type": "slice.v2", "push": {"offer": PUSH, "number": 1}, "slice": 3, "generation": 1});
    let parsed: AudienceMessage = serde_json::from_value(message.clone()).unwrap();
    let AudienceMessage::Slice(slice) = &parsed;
    assert_eq!((slice.index, slice.generation), (3, 1));
    assert_eq!(serde_json::to_value(parsed).unwrap(), message);
}

/// As above.
#[test]
fn batch_message_keeps_its_wire_format() {
    let tally = json!({
        "sent": 49, "failed": 0, "suppressed": 0, "optedOut": 0, "expired": 0, "cancelled": 0, "alreadyServed": 0,
    });
    let message = batch(json!(["c-1"]), tally);
    let parsed: ChannelMessage = serde_json::from_value(message.clone()).unwrap();
    let ChannelMessage::Batch(batch) = &parsed;
    assert_eq!((batch.number, batch.counts().sent, batch.deferrals), (7, 49, 2));
    assert_eq!(serde_json::to_value(parsed).unwrap(), message);
}

/// The messages of the release before, as it wrote them. What they say of the offer need not even be an offer.
#[test]
fn messages_of_version_1_are_read_for_their_ids() {
    let valid = json!({
        "id": PUSH, "code": "CASHBK", "description": "5%", "subject": "Save", "channels": ["email"],
        "createdAt": "2026-01-01T00:00:00Z", "createdBy": "bank",
    });
    let origin = json!({"requestedAt": "2026-01-01T00:00:00Z", "trace": "0123456789abcdef0123456789abcdef"});
    for offer in [valid, json!({"id": 7, "subject": "{name}", "eligibility": "customer.tier =="}), json!("none")] {
        let slice = json!({
            "type": "slice.v1", "push": {"offer": PUSH, "number": 2}, "offer": offer, "slice": 3, "slices": 8,
            "generation": 1, "retryRejected": true, "origin": origin,
        });
        let expected = json!({"type": "slice.v2", "push": {"offer": PUSH, "number": 2}, "slice": 3, "generation": 1});
        let slice: AudienceMessage = serde_json::from_value(slice).unwrap();
        assert_eq!(serde_json::to_value(slice).unwrap(), expected);

        let tally = json!({
            "sent": 1, "failed": 0, "suppressed": 0, "optedOut": 0, "expired": 0, "cancelled": 0, "alreadyServed": 0,
        });
        let mut message = batch(json!(["c-1", "c-2"]), tally.clone());
        for (field, value) in
            [("type", json!("batch.v1")), ("offer", offer), ("retryRejected", json!(true)), ("origin", origin.clone())]
        {
            message[field] = value;
        }
        let read: ChannelMessage = serde_json::from_value(message).unwrap();
        assert_eq!(serde_json::to_value(read).unwrap(), batch(json!(["c-1", "c-2"]), tally));
    }
}

#[test]
fn unknown_version_is_an_error() {
    assert!(serde_json::from_str::<ChannelMessage>(r#"{"type":"batch.v9"}"#).is_err());
}

#[test]
fn batch_has_one_to_fifty_notifications_each_customer_once() {
    let many = |count: usize| (0..count).map(|i| json!(format!("c-{i}"))).collect::<Value>();
    let number = InvalidNotifications::Number.to_string();
    for (customers, tally, refused) in [
        (many(1), json!({}), None),
        (many(50), json!({}), None),
        // It waits for its page to be committed.
        (many(0), json!({"sent": 50}), None),
        (many(49), json!({"failed": 1}), None),
        // Reasons that cannot be true are left out.
        (many(49), json!({"failed": 1, "reasonRefused": u64::MAX}), None),
        (many(0), json!({}), Some(&number)),
        (many(51), json!({}), Some(&number)),
        (many(101), json!({}), Some(&number)),
        (many(50), json!({"sent": 1}), Some(&number)),
        (many(1), json!({"sent": u64::MAX}), Some(&number)),
        (many(1), json!({"sent": u64::MAX, "failed": u64::MAX, "expired": 2}), Some(&number)),
        (json!(["c-1", "c-2", "c-1"]), json!({}), Some(&InvalidNotifications::RepeatedCustomer.to_string())),
    ] {
        let read = serde_json::from_value::<ChannelMessage>(batch(customers.clone(), tally.clone()));
        let error = read.err().map(|error| error.to_string());
        assert_eq!(error.as_ref(), refused, "{customers} {tally}");
    }
}

#[test]
fn message_is_small_whatever_the_offer_and_its_customers() {
    let customers = (0..BATCH_LIMIT).map(|i| json!(format!("{i:064}"))).collect::<Value>();
    let tally = json!({});
    let batch: ChannelMessage = serde_json::from_value(batch(customers, tally)).unwrap();
    let bytes = serde_json::to_string(&batch).unwrap().len();
    assert!(bytes < 4_000, "{bytes}");
}
