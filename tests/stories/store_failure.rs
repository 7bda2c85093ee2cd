//! Stored first: if storing fails, no customer is notified.

use end_to_end::{Bank, id_of, wait_for};
use serde_json::json;

mod enforced_roles {
    use super::*;

    #[tokio::test]
    async fn failed_store_notifies_nobody_and_retry_succeeds() {
        let bank = Bank::open();
        bank.put_customers(&[bank.customer("asha", &json!({}))]).await;
        let offer = json!({"code": bank.name, "description": "Hello", "eligibility": bank.rule("")});
        let body = offer.to_string();
        let post =
            async || bank.call_with("POST", "/offers", &[("idempotency-key", &bank.name)], body.as_bytes()).await;
        // Empty queues, so that a new message would be noticed.
        let before = wait_for("the queues to be empty", async || {
            let queued = bank.queues().depths().await;
            anyhow::ensure!(queued["email"] + queued["audience"] == 0, "{queued:?}");
            Ok(queued)
        })
        .await;

        // The offer function may not write to the store.
        bank.aws().deny_writes("offer").await;
        let refused = post().await;
        bank.aws().allow_writes("offer").await;

        assert_eq!(refused.status, 503, "{}", refused.text);
        assert!(refused.headers["retry-after"].parse::<u32>().is_ok());
        assert_eq!(refused.headers["content-type"], "application/problem+json");
        assert_eq!(bank.tables().count_offers(&bank.name).await, 0, "nothing is stored");
        assert_eq!(bank.queues().depths().await, before, "nothing is queued");
        assert!(bank.mail().await.is_empty(), "no customer is notified");

        // Once the store is back, the same request creates the offer, once.
        let taken = post().await;
        assert_eq!(taken.status, 201, "{}", taken.text);
        let offer = taken.json();
        bank.wait_until_completed(&offer).await;
        let again = post().await;
        assert_eq!((again.status, id_of(&again.json())), (201, id_of(&offer)));
        assert_eq!(bank.mail().await.len(), 1);
    }
}
