//! What is written into the queues by others than the functions of this release: nothing is sent that is not stored. One
//! test at a time: they share the queues.

use end_to_end::{Bank, each_once, email_batch, id_of, wait_for};
use serde_json::{Value, json};
use tokio::sync::Mutex;

static QUEUES: Mutex<()> = Mutex::const_new(());

/// What an attacker would like to be sent.
const FORGED: &str = "Urgent: verify your account";
/// What is stored.
const STORED: &str = "Save with your card";

/// The offer as the release before had it in its messages, with another text.
fn forged(offer: &Value) -> Value {
    let mut forged = offer.clone();
    for field in ["subject", "description"] {
        forged[field] = FORGED.into();
    }
    forged["eligibility"] = "true".into();
    forged["channels"] = json!(["email", "sms"]);
    forged
}

/// A message with these fields changed.
fn changed(message: &Value, fields: Value) -> Value {
    let mut message = message.clone();
    message.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    message
}

/// The messages of the release before, as it wrote them, beside those of this one.
#[tokio::test]
async fn messages_of_two_releases_are_delivered_with_the_stored_offer_once() {
    let _guard = QUEUES.lock().await;
    let bank = Bank::open();
    bank.put_many(100).await;
    let offer = json!({"code": "RELEASES", "description": "Hello", "subject": STORED});
    let offer = bank.post_offer(&offer).await;
    wait_for("the push to start", async || {
        let push = bank.push(&offer).await;
        anyhow::ensure!(push["startedAt"].is_string(), "{push}");
        Ok(())
    })
    .await;
    let (push, old) = (json!({"offer": id_of(&offer), "number": 1}), forged(&offer));
    let origin = json!({"requestedAt": "2026-01-01T00:00:00Z"});
    for batch in 0..2_usize {
        let customers: Vec<_> = (batch * 50..(batch + 1) * 50).map(|c| bank.id(&format!("c{c}"))).collect();
        let message = json!({
            "type": "batch.v1", "push": push, "offer": old, "slice": 0, "generation": 1, "batch": batch, "channel": "email",
            "customers": customers, "retryRejected": true, "attempt": 0, "origin": origin,
        });
        bank.queues().send("email", &message.to_string()).await;
        bank.queues().send("email", &email_batch(&offer, batch, &customers)).await;
    }
    for slice in 0..8 {
        let message = json!({
            "type": "slice.v1", "push": push, "offer": old, "slice": slice, "slices": 8, "generation": 1,
            "retryRejected": false, "origin": origin,
        });
        bank.queues().send("audience", &message.to_string()).await;
    }
    let push = bank.wait_until_completed(&offer).await;
    assert_eq!((&push["sent"], &push["eligible"]), (&json!(100), &json!(100)), "{push}");
    wait_for("the queues to be empty", async || {
        let depths = bank.queues().depths().await;
        anyhow::ensure!(depths["email"] + depths["audience"] == 0, "{depths:?}");
        Ok(())
    })
    .await;
    assert_eq!(bank.mail_count().await, each_once(100));
    assert!(bank.mail().await.iter().all(|mail| mail.subject == STORED && !mail.html.contains(FORGED)));
}

/// Each function's role, in the hands of an intruder.
mod enforced_roles {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::stories::roles::enforced_roles::Intruder;

    /// The queues that each role may write to.
    const MAY_WRITE: [(&str, &[&str]); 4] = [
        ("push", &["audience"]),
        ("audience", &["audience", "email", "sms"]),
        ("email", &["email"]),
        ("sms", &["sms"]),
    ];

    /// Slices that are none, each with the id of an offer that nobody posted or with the id of this one.
    fn slices(offer: &Value) -> Vec<Value> {
        let unknown = json!({"offer": "01980000-0000-7000-8000-00000000ffff", "number": 1});
        let slice = json!({
            "type": "slice.v2", "push": {"offer": id_of(offer), "number": 1}, "slice": 0, "generation": 1,
        });
        let old = json!({"type": "slice.v1", "offer": forged(offer), "slices": 1, "retryRejected": true});
        [json!({"push": unknown}), json!({"push": {"offer": id_of(offer), "number": 2}}), json!({"slice": 9_999})]
            .into_iter()
            .flat_map(|fields| {
                let new = changed(&slice, fields);
                [changed(&new, old.clone()), new]
            })
            .collect()
    }

    /// Batches that are none, for these customers.
    fn batches(offer: &Value, channel: &str, customers: &[String]) -> Vec<Value> {
        let batch = json!({
            "type": "batch.v2", "push": {"offer": id_of(offer), "number": 1}, "slice": 0, "generation": 1, "batch": 0,
            "channel": channel, "customers": customers,
        });
        let old = json!({"type": "batch.v1", "offer": forged(offer), "retryRejected": true});
        let many: Vec<_> =
            (0..101).map(|number| format!("{}-{number}", customers[0])).chain([customers[0].clone()]).collect();
        let other = if channel == "email" { "sms" } else { "email" };
        [
            json!({"push": {"offer": "01980000-0000-7000-8000-00000000ffff", "number": 1}}),
            json!({"push": {"offer": id_of(offer), "number": 2}}),
            json!({"slice": 9_999}),
            json!({"channel": other}),
            json!({"customers": [customers[0], customers[0]]}),
            json!({"customers": many}),
            json!({"tally": {"sent": u64::MAX}}),
        ]
        .into_iter()
        .flat_map(|fields| {
            let new = changed(&batch, fields);
            [changed(&new, old.clone()), new]
        })
        .collect()
    }

    /// The bodies of a queue's dead letters, of which there are few.
    async fn dead_letters(bank: &Bank, queue: &str) -> BTreeSet<String> {
        let queues = bank.queues();
        let mut bodies = BTreeSet::new();
        for _ in 0..10 {
            let receive = queues.sqs().receive_message().queue_url(queues.url(&format!("{queue}DeadLetters")));
            let received = receive.max_number_of_messages(10).visibility_timeout(3).send().await.unwrap();
            bodies.extend(received.messages().iter().filter_map(|message| message.body().map(str::to_owned)));
        }
        bodies
    }

    #[tokio::test]
    async fn stolen_function_role_has_nothing_sent_that_is_not_stored() {
        let _guard = QUEUES.lock().await;
        let bank = Bank::open();
        let both = json!({"channels": ["email", "sms"], "mobile": bank.mobile("vic")});
        bank.put_customers(&[bank.customer("vic", &both)]).await;
        let offer = json!({"code": "STORED", "description": STORED, "subject": STORED, "eligibility": "false"});
        let offer = bank.post_offer(&offer).await;
        bank.wait_until_completed(&offer).await;
        let vic = [bank.id("vic")];

        // What is redelivered comes at once, and is a dead letter after five receives.
        bank.queues().set_visibility_timeout(1).await;
        let mut forged_into: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for (role, queues) in MAY_WRITE {
            let intruder = Intruder::into(&bank, role).await;
            for queue in queues {
                let messages = if *queue == "audience" { slices(&offer) } else { batches(&offer, queue, &vic) };
                for (number, message) in messages.iter().enumerate() {
                    // So that each is told from the others.
                    let body = changed(message, json!({"forged": format!("{role} {number}")})).to_string();
                    let send = json!({"QueueUrl": bank.queues().url(queue), "MessageBody": body});
                    wait_for("the role to be assumed", async || {
                        anyhow::ensure!(
                            intruder.may("AmazonSQS.SendMessage", &send).await,
                            "{role} may write to {queue}"
                        );
                        Ok(())
                    })
                    .await;
                    forged_into.entry(queue).or_default().insert(body);
                }
            }
        }
        for (queue, forged) in &forged_into {
            // Each of them is seen at some time.
            let dead = Mutex::new(BTreeSet::new());
            wait_for("the forged messages to reach the dead-letter queue", async || {
                let mut dead = dead.lock().await;
                dead.append(&mut dead_letters(&bank, queue).await);
                let missing: Vec<_> = forged.difference(&dead).collect();
                anyhow::ensure!(missing.is_empty(), "{} of {queue}: {missing:?}", missing.len());
                Ok(())
            })
            .await;
        }
        bank.queues().reset_visibility_timeout().await;
        assert_eq!((bank.mail().await.len(), bank.texts(&["vic"]).await.len()), (0, 0));

        let intruder = Intruder::into(&bank, "audience").await;
        let send_stored = async |queue: &str, batch: u32| {
            let body = json!({
                "type": "batch.v1", "push": {"offer": id_of(&offer), "number": 1}, "offer": forged(&offer), "slice": 0,
                "generation": 1, "batch": batch, "channel": queue, "customers": vic,
            });
            let send = json!({"QueueUrl": bank.queues().url(queue), "MessageBody": body.to_string()});
            assert!(intruder.may("AmazonSQS.SendMessage", &send).await);
        };
        let sent = async || (bank.mail().await.len(), bank.texts(&["vic"]).await.get("vic").map_or(0, Vec::len));
        // The push is completed: no batch of it is outstanding.
        for (queue, batch) in [("email", 0), ("sms", 1)] {
            send_stored(queue, batch).await;
        }
        wait_for("the queues to be empty", async || {
            let depths = bank.queues().depths().await;
            anyhow::ensure!(depths["email"] + depths["sms"] == 0, "{depths:?}");
            Ok(())
        })
        .await;
        assert_eq!(sent().await, (0, 0));
        // A batch of a running push has the stored text, whatever else the message says.
        for (queue, batch, expected) in [("email", 0, (1, 0)), ("sms", 1, (1, 1))] {
            bank.tables().await_batch(&offer, batch, 1).await;
            send_stored(queue, batch).await;
            wait_for("the stored offer to be sent", async || {
                let sent = sent().await;
                anyhow::ensure!(sent == expected, "{sent:?}");
                Ok(())
            })
            .await;
            bank.wait_until_completed(&offer).await;
        }
        let (mail, texts) = (bank.mail().await, bank.texts(&["vic"]).await);
        assert_eq!(mail[0].subject, STORED);
        let sent = format!("{} {} {}", mail[0].text, mail[0].html, texts["vic"][0].message);
        assert!(sent.contains(STORED) && !sent.contains(FORGED), "{sent}");
        for queue in forged_into.keys() {
            bank.queues().purge(&format!("{queue}DeadLetters")).await;
        }
    }
}
