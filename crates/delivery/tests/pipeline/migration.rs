//! Hashes are migrated while a push runs.

use std::collections::BTreeSet;
use std::time::Duration;

use domain::Channel;
use serde_json::json;
use store::suppressions::{MigrationStep, Reason};
use testing::{customer_hash, hash_key};

use crate::bank::Bank;
use crate::stored::{hash_of, report};

/// What a release before keyed hashes stores: the customer's opt-out or, for another reason, a report on the address.
fn store_old(bank: &Bank, id: &str, reason: &str) {
    let address = hash_of(id).unkeyed().unwrap();
    let pk = match reason {
        "optedOut" => format!("customer#{}", customer_hash(Channel::Email, id).unkeyed().unwrap()),
        _ => format!("address#{address}"),
    };
    let since = bank.clock.now().as_millisecond();
    let item = json!({"pk": pk, "addressHash": address, "reason": reason, "since": since, "by": "x"});
    bank.dynamo.put("Suppressions", item);
}

async fn migrate_page(bank: &Bank) -> MigrationStep {
    bank.suppressions().migrate_page(&hash_key(), 2).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn nobody_who_opted_out_gets_a_message_while_hashes_are_migrated_and_everyone_else_gets_one() {
    let bank = Bank::with_customers(60).await;
    let mut unsent = BTreeSet::new();
    for number in (1..=60).step_by(5) {
        let id = format!("c-{number}");
        match number % 3 {
            0 => store_old(&bank, &id, "bounced"),
            1 => store_old(&bank, &id, "optedOut"),
            _ => bank.unsubscribe(&id).await,
        }
        unsent.insert(id);
    }
    // Lifted and subscribed again, from either form.
    for id in ["c-1", "c-31", "c-11"] {
        bank.subscribe(id).await;
        unsent.remove(id);
    }
    for _ in 0..12 {
        assert!(matches!(migrate_page(&bank).await, MigrationStep::Waiting(_)));
        bank.clock.skip(Duration::from_secs(300));
    }
    let (mut sent, mut unsent_counted) = (0, 0);
    for (number, batch) in bank.push_in_batches_of(5, 1).await.iter().enumerate() {
        // Meanwhile a customer of this batch opts out or complains, in this release or the one before.
        let id = format!("c-{}", number * 5 + 2);
        match number % 3 {
            0 => bank.unsubscribe(&id).await,
            1 => {
                // The release before is gone by the time that it is finished.
                assert_eq!(bank.dynamo.item("Suppressions", json!({"pk": "migration#keyedHashes"})), None);
                store_old(&bank, &id, "optedOut");
            }
            _ => {
                let (suppressions, hash) = (bank.suppressions(), hash_of(&id));
                suppressions.suppress(&report(&hash, bank.clock.now()), Reason::Complained).await.unwrap();
            }
        }
        unsent.insert(id);
        migrate_page(&bank).await;
        // A page comes at any moment of the batch.
        bank.dynamo.set_latency(Duration::from_millis(7));
        let migrate = async {
            for pause in [0, 3, 11, 29] {
                tokio::time::sleep(Duration::from_millis(pause)).await;
                migrate_page(&bank).await;
            }
        };
        let (completed, ()) = tokio::join!(bank.complete(batch), migrate);
        bank.dynamo.set_latency(Duration::ZERO);
        sent += completed.sent;
        unsent_counted += completed.opted_out + completed.suppressed;
    }
    let mut received = bank.smtp.customers();
    received.sort_unstable();
    let mut expected: Vec<_> = (1..=60).map(|number| format!("c-{number}")).filter(|id| !unsent.contains(id)).collect();
    expected.sort_unstable();
    assert_eq!(received, expected, "each once");
    assert_eq!((sent, unsent_counted), (expected.len() as u64, unsent.len() as u64));
    while migrate_page(&bank).await != MigrationStep::Finished {}
    assert!(!bank.dynamo.items("Suppressions").iter().any(|item| {
        let pk = item["pk"].as_str().unwrap();
        pk.starts_with("address#") || pk.starts_with("customer#")
    }));
}
