//! What a release before keyed hashes stored is migrated while the system runs.

use end_to_end::{Bank, wait_for};
use serde_json::{Value, json};

async fn push(bank: &Bank, code: &str) -> Value {
    let offer = bank.post_offer(&json!({"code": code, "description": "Hello"})).await;
    bank.wait_until_completed(&offer).await
}

#[tokio::test]
async fn an_opt_out_of_an_earlier_release_holds_before_and_after_it_is_migrated_and_can_be_lifted() {
    let bank = Bank::open();
    if bank.tables().are_hashes_migrated().await {
        // On a stack that is older than an hour. Its functions remember it, and new ones do not.
        bank.tables().forget_migration().await;
        for function in ["customer", "email", "feedback"] {
            bank.aws().set_environment(function, "MIGRATION_FORGOTTEN", Some(bank.id("x").as_str())).await;
        }
    }
    bank.put_customers(&[bank.customer("asha", &json!({})), bank.customer("ines", &json!({}))]).await;
    let hashes = bank.tables().put_unkeyed_opt_out(&bank.id("asha"), &bank.address("asha")).await;
    let first = push(&bank, "FIRST").await;
    assert_eq!((&first["sent"], &first["optedOut"]), (&json!(1), &json!(1)), "{first}");

    let event =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../events/feedback-migrate.json")).unwrap();
    let event: Value = serde_json::from_str(&event).unwrap();
    let waiting = bank.invoke("feedback", &event).await.unwrap();
    assert_eq!(waiting["migration"], "waiting", "{waiting}");
    assert!(!bank.tables().containing(&hashes).await.is_empty());
    bank.tables().backdate_migration().await;
    wait_for("the migration to be finished", async || {
        let response = bank.invoke("feedback", &event).await?;
        anyhow::ensure!(response["migration"] == "finished", "{response}");
        Ok(())
    })
    .await;
    assert!(bank.tables().are_hashes_migrated().await);
    let left = bank.tables().containing(&hashes).await;
    assert!(left.is_empty(), "unkeyed hashes in {left:?}");

    let second = push(&bank, "SECOND").await;
    assert_eq!((&second["sent"], &second["optedOut"]), (&json!(1), &json!(1)), "{second}");
    let path = format!("/suppressions/email/{}", bank.address("asha"));
    assert_eq!(bank.call("GET", &path, &Value::Null).await.json()["reason"], "optedOut");
    assert_eq!(bank.call("DELETE", &path, &Value::Null).await.status, 204);
    assert_eq!(push(&bank, "THIRD").await["sent"], 2);
    let count = bank.mail_count().await;
    assert_eq!((count["asha"], count["ines"]), (1, 3));
}
