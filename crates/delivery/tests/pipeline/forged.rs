//! Messages that another principal wrote into the queue, and those of the release before: nothing is sent but what is stored.

use delivery::{DeliverError, Delivered, UnusableBatch};
use domain::Channel;
use domain::queue::{Batch, ChannelMessage};
use serde_json::{Value, json};

use crate::bank::{Bank, sent};
use crate::stored::assert_has;

/// What an attacker would like to be sent.
const FORGED: &str = "Urgent: verify your account";

/// A message as it is in the queue, with these fields changed.
fn queued(batch: &Batch, changed: Value) -> Value {
    let mut message = json!(ChannelMessage::Batch(batch.clone()));
    message.as_object_mut().unwrap().extend(changed.as_object().unwrap().clone());
    message
}

fn parse(message: Value) -> serde_json::Result<Batch> {
    serde_json::from_value(message).map(|ChannelMessage::Batch(batch)| batch)
}

/// An offer with another text, as messages of version 1 had it inside.
fn forged_offer(bank: &Bank) -> Value {
    let mut offer = json!(bank.offer);
    offer["subject"] = FORGED.into();
    offer["description"] = FORGED.into();
    offer["channels"] = json!(["email", "sms"]);
    offer["validUntil"] = "2099-01-01T00:00:00Z".into();
    offer
}

#[tokio::test(start_paused = true)]
async fn batch_of_what_is_not_stored_sends_nothing() {
    let bank = Bank::with_customers(2).await;
    let batch = bank.push(1).await;
    let other = "01980000-0000-7000-8000-00000000ffff";
    for (changed, refused) in [
        // An offer that no caller posted.
        (json!({"push": {"offer": other, "number": 1}}), UnusableBatch::NotStored),
        // A push that no caller requested.
        (json!({"push": {"offer": bank.offer.id, "number": 2}}), UnusableBatch::NotStored),
        (json!({"channel": "sms"}), UnusableBatch::OtherChannel { named: Channel::Sms, own: Channel::Email }),
        (json!({"slice": 1}), UnusableBatch::NoSuchSlice { slices: 1, slice: 1, generation: 1 }),
        (json!({"generation": 0}), UnusableBatch::NoSuchSlice { slices: 1, slice: 0, generation: 0 }),
    ] {
        for mut message in [queued(&batch, changed.clone()), queued(&batch, changed.clone())].into_iter().enumerate() {
            if message.0 == 1 {
                message.1["type"] = "batch.v1".into();
                message.1["offer"] = forged_offer(&bank);
            }
            let error = bank.try_deliver(&parse(message.1).unwrap()).await.unwrap_err();
            assert!(matches!(&error, DeliverError::Unusable(unusable) if *unusable == refused), "{changed}: {error}");
            assert!(!error.to_string().contains("c-1"), "{error}");
        }
    }
    assert_eq!((bank.smtp.count(), bank.dynamo.items("Deliveries").len()), (0, 0));
    // The message of the scan itself is delivered all the same.
    assert_eq!(bank.complete(&batch).await, sent(2));
}

/// `email` may write the Pushes table, where it reports. What may be sent is in the Offers table, where it may not.
#[tokio::test(start_paused = true)]
async fn push_that_no_caller_requested_sends_nothing_although_it_is_stored() {
    let bank = Bank::with_customers(1).await;
    let batch = bank.push(1).await;
    let item = bank.dynamo.item("Pushes", json!({"pk": bank.push_id(1).to_string(), "sk": "push"})).unwrap();
    for push in [bank.push_id(2).to_string(), "01980000-0000-7000-8000-00000000ffff#0001".to_owned()] {
        let mut forged = item.clone();
        forged["pk"] = push.clone().into();
        bank.dynamo.put("Pushes", forged);
        let error = bank.try_deliver(&Batch { push: push.parse().unwrap(), ..batch.clone() }).await.unwrap_err();
        assert!(matches!(error, DeliverError::Unusable(UnusableBatch::NotStored)), "{push}: {error}");
    }
    assert_eq!(bank.smtp.count(), 0);
}

/// A completed push has no outstanding batch, so no scan queued this one.
#[tokio::test(start_paused = true)]
async fn batch_of_a_completed_push_sends_and_counts_nothing() {
    let bank = Bank::with_customers(1).await;
    let batch = bank.push(1).await;
    assert_eq!(bank.complete(&batch).await, sent(1));
    assert_eq!(bank.state_of_push(1), "completed");
    bank.put_customer("c-2", json!({})).await;
    let forged = parse(queued(&batch, json!({"customers": ["c-2"]}))).unwrap();
    for forged in [forged.clone(), Batch { number: 7, ..forged }] {
        assert_eq!(bank.deliver(&forged).await, Delivered::NothingToReport);
    }
    assert_eq!((bank.smtp.count(), bank.dynamo.items("Deliveries").len()), (1, 1));
    assert_has(&bank.slice(1), &json!({"sent": 1}));
}

#[tokio::test(start_paused = true)]
async fn offer_is_sent_on_its_own_channels_only() {
    let mut bank = Bank::with_customers(1).await;
    bank.offer.channels = [Channel::Sms].into();
    let batch = bank.push(1).await;
    let error = bank.try_deliver(&batch).await.unwrap_err();
    assert!(matches!(error, DeliverError::Unusable(UnusableBatch::NotOffered(Channel::Email))), "{error}");
    assert_eq!(bank.smtp.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn message_that_no_scan_could_have_written_is_no_batch() {
    let bank = Bank::with_customers(1).await;
    let batch = bank.push(1).await;
    let many: Value = (0..101).map(|number| json!(format!("c-{number}"))).collect();
    for changed in [
        json!({"customers": ["c-1", "c-1"]}),
        json!({"customers": many}),
        json!({"customers": []}),
        json!({"tally": {"sent": u64::MAX}}),
        json!({"tally": {"sent": u64::MAX, "failed": u64::MAX}}),
        json!({"tally": {"sent": 50}}),
        json!({"slice": -1}),
        json!({"type": "batch.v3"}),
    ] {
        parse(queued(&batch, changed.clone())).expect_err(&changed.to_string());
    }
}

#[tokio::test(start_paused = true)]
async fn text_inside_a_message_of_version_1_is_not_what_is_sent() {
    let bank = Bank::with_customers(2).await;
    let batch = bank.push(1).await;
    let origin = json!({"requestedAt": "2020-01-01T00:00:00Z"});
    let changed = json!({"type": "batch.v1", "offer": forged_offer(&bank), "retryRejected": true, "origin": origin});
    let old = parse(queued(&batch, changed)).unwrap();
    assert_eq!(bank.complete(&old).await, sent(2));
    let texts: Vec<_> = bank.smtp.received().into_iter().map(|received| received.letter.subject).collect();
    assert_eq!(texts, ["Save", "Save"]);
    // Beside the same batch in version 2, once.
    assert_eq!(bank.deliver(&batch).await, Delivered::NothingToReport);
    assert_eq!(bank.smtp.count(), 2);
    assert_has(&bank.slice(1), &json!({"sent": 2, "batchesOpen": null}));
}

/// Another message of the same push, whose offer the function has read a moment ago.
#[tokio::test(start_paused = true)]
async fn push_that_was_cancelled_a_moment_ago_sends_nothing_although_its_offer_is_remembered() {
    let bank = Bank::with_customers(4).await;
    let batches = bank.push_in_batches_of(2, 1).await;
    let function = bank.function();
    let deadline = bank.sources.now() + crate::bank::TIMEOUT;
    bank.dynamo.forget_calls();
    function.deliver(&batches[0], deadline).await.unwrap();
    bank.cancel(1).await;
    function.deliver(&batches[1], deadline).await.unwrap();
    assert_eq!(bank.smtp.customers(), ["c-1", "c-2"]);
    assert_has(&bank.delivery("c-3"), &json!({"state": "cancelled"}));
    // The offer and the request for the push, once.
    assert_eq!(bank.dynamo.count("GetItem", "Offers"), 2);
}
