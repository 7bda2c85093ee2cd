//! Privacy: no log line has a customer's address, number or name, and nothing is left of a customer who is erased. And no
//! function made a call that its role does not allow.
//!
//! This group runs last, so that it reads the log lines of all other stories.

use std::time::SystemTime;

use end_to_end::{Bank, MOBILE_PREFIX, id_of, one_click, wait_for};
use serde_json::json;

#[tokio::test]
async fn logs_contain_no_address_number_or_name() {
    let bank = Bank::open();
    let both = json!({"channels": ["email", "sms"], "mobile": bank.mobile("asha"), "name": "Ashalatha"});
    let no_number = json!({"channels": ["sms"], "mobile": bank.mobile("ines"), "name": "Ashalatha"});
    bank.put_customers(&[bank.customer("asha", &both), bank.customer("ines", &no_number)]).await;
    let offer = bank.post_offer(&json!({"code": "QUIET", "description": "Hello {{ customer.name }}"})).await;
    bank.wait_until_completed(&offer).await;

    let mut is_logged = false;
    for function in bank.stack.functions.keys() {
        for line in bank.log_since(function, SystemTime::UNIX_EPOCH).await {
            is_logged |= line.contains(id_of(&offer));
            // All stories' customers have addresses in domains of this form, and numbers with this prefix. The prefix alone is
            // a setting, which errors name.
            let is_address =
                line.split('@').skip(1).any(|domain| domain.starts_with("bank") && domain.contains(".example"));
            let is_number =
                line.split(MOBILE_PREFIX).skip(1).any(|rest| rest.starts_with(|next: char| next.is_ascii_digit()));
            assert!(!is_address && !is_number && !line.contains("Ashalatha"), "{function}: {line}");
        }
    }
    assert!(is_logged, "the log has this story's lines");
}

#[tokio::test]
async fn erased_customer_leaves_only_hashes() {
    let bank = Bank::open();
    let (name, city) = (format!("Name{}", bank.name), format!("City{}", bank.name));
    let asha = json!({"channels": ["email", "sms"], "mobile": bank.mobile("asha"), "name": name,
                      "attributes": {"city": city}});
    bank.put_customers(&[bank.customer("asha", &asha)]).await;
    // A server whose replies repeat the address.
    let words = format!("550 5.2.1 <{}>: mailbox disabled", bank.address("asha"));
    bank.smtp_faults(json!([{"at": "rcpt", "to": bank.domain(), "do": {"reply": words}}])).await;
    let refused = bank.post_offer(&json!({"code": "GONE", "description": "Hello {{ customer.name }}"})).await;
    assert_eq!(bank.wait_until_completed(&refused).await["failed"], 1);
    bank.smtp_faults(json!([])).await;
    let delivered = bank.post_offer(&json!({"code": "LOGGED", "description": "Hello {{ customer.city }}"})).await;
    assert_eq!(bank.wait_until_completed(&delivered).await["sent"], 2);
    let link = bank.mail().await[0].unsubscribe_link().to_owned();
    assert_eq!(one_click(&link).await.status(), 200);

    let data = [bank.address("asha"), bank.mobile("asha"), name, city];
    let tables_with_data = async || bank.tables().containing(&data).await;
    assert_eq!(tables_with_data().await, ["customers"], "only the customers table has personal data");
    let path = format!("/customers/{}", bank.id("asha"));
    assert_eq!(bank.call_with("DELETE", &path, &[], b"").await.status, 204);
    assert_eq!(tables_with_data().await, Vec::<String>::new());

    // The opt-out outlives the customer: if they are stored again, they are not written to.
    bank.put_customers(&[bank.customer("asha", &json!({}))]).await;
    wait_for("the opt-out to take effect", async || {
        let offer = bank.post_offer(&json!({"code": "BACK", "description": "Hello"})).await;
        anyhow::ensure!(bank.wait_until_completed(&offer).await["optedOut"] == 1);
        Ok(())
    })
    .await;
}

/// Where a function goes on without a call that its role forbids, no other story notices.
mod enforced_roles {
    use super::*;

    #[tokio::test]
    async fn no_function_logged_a_call_that_its_role_does_not_allow() {
        let bank = Bank::open();
        for function in bank.stack.functions.keys() {
            let log = bank.log_since(function, SystemTime::UNIX_EPOCH).await;
            // Stories that forbid a call do it by a policy that denies it.
            let refused = log.iter().find(|line| line.contains("no identity-based policy allows"));
            assert_eq!(refused, None, "{function}");
        }
    }
}
