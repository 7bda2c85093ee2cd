//! Offers, their pushes and their deliveries.

use anyhow::bail;
use serde_json::{Value, json};

use super::Bank;
use crate::wait_for;

impl Bank {
    /// The time in this many seconds, in the API's format.
    pub fn in_seconds(&self, seconds: i64) -> String {
        let at = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds);
        at.round(jiff::Unit::Millisecond).expect("now is within range").to_string()
    }

    /// A rule for its own customers only.
    pub fn rule(&self, and: &str) -> String {
        let own = format!("customer.bank == '{}'", self.name);
        if and.is_empty() { own } else { format!("{own} && ({and})") }
    }

    /// An offer with all that an offer can have, in words that say nothing, for its own customers.
    pub fn whole_offer(&self) -> Value {
        json!({
            "code": "API", "subject": "S", "description": "Hello {{ customer.name }}", "channels": ["email", "sms"],
            "eligibility": self.rule(""), "validFrom": self.in_seconds(-60), "validUntil": self.in_seconds(3_600),
            "language": "en", "preheader": "P", "terms": "T",
            "link": {"url": "https://bank.example/?c={{ customer.id }}", "label": "L"},
            "image": {"url": "https://bank.example/a.png", "alt": "A"},
            "sms": {"cut": false, "dltEntityId": "1", "dltTemplateId": "1"},
            "translations": {"pt-PT": {
                "subject": "S", "description": "D", "preheader": "P", "terms": "T",
                "link": {"url": "https://bank.example/pt?c={{ customer.id }}", "label": "L"},
                "image": {"url": "https://bank.example/pt.png", "alt": "A"}, "sms": {"dltTemplateId": "2"},
            }},
        })
    }

    /// Posts an offer for its own customers, which must be accepted, and returns it as it was stored.
    pub async fn post_offer(&self, offer: &Value) -> Value {
        let mut offer = offer.clone();
        let rule = self.rule(offer["eligibility"].as_str().unwrap_or_default());
        offer["eligibility"] = rule.into();
        let response = self.call("POST", "/offers", &offer).await;
        assert_eq!(response.status, 201, "{}", response.text);
        let mut offer = response.json();
        // They are about the customers there are, and not stored.
        offer.as_object_mut().expect("the API returns an offer").remove("warnings");
        offer
    }

    /// The progress of an offer's first push.
    pub async fn push(&self, offer: &Value) -> Value {
        self.push_number(offer, 1).await
    }

    /// The progress of one of an offer's pushes.
    pub async fn push_number(&self, offer: &Value, number: u32) -> Value {
        let push = self.get(&format!("/offers/{}/pushes/{number}", id_of(offer))).await;
        check_sum(&push);
        push
    }

    /// Waits until an offer's first push is completed and returns it.
    pub async fn wait_until_completed(&self, offer: &Value) -> Value {
        self.wait_until_push_completed(offer, 1).await
    }

    /// Waits until one of an offer's pushes is completed and returns it.
    pub async fn wait_until_push_completed(&self, offer: &Value, number: u32) -> Value {
        wait_for("the push to complete", async || {
            let push = self.push_number(offer, number).await;
            if push["state"] != "completed" {
                bail!("{push}");
            }
            assert_eq!(push["pending"], 0, "{push}");
            Ok(push)
        })
        .await
    }

    /// Waits until one of the counts of an offer's first push reaches a number.
    pub async fn wait_until_count(&self, offer: &Value, what: &str, count: u64) -> Value {
        wait_for(what, async || {
            let push = self.push(offer).await;
            if push[what].as_u64().is_some_and(|n| n >= count) { Ok(push) } else { bail!("{push}") }
        })
        .await
    }

    /// Sweeps an offer's last push, as the schedule does once something is stale.
    pub async fn sweep(&self, offer: &Value) -> Value {
        self.invoke("push", &json!({"sweep": id_of(offer)})).await.expect("a sweep succeeds")
    }

    /// An offer's deliveries, of all pages.
    pub async fn deliveries(&self, offer: &Value, query: &str) -> Vec<Value> {
        let mut deliveries = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = self.get(&format!("/offers/{}/deliveries?{query}{cursor}", id_of(offer))).await;
            deliveries.extend(page["deliveries"].as_array().expect("deliveries").iter().cloned());
            match page["cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return deliveries,
            }
        }
    }
}

/// An offer's id.
pub fn id_of(offer: &Value) -> &str {
    offer["id"].as_str().expect("an offer has an id")
}

/// A push's counts add up at every moment, and as many reasons are counted as notifications were not sent.
pub fn check_sum(push: &Value) {
    let count = |name: &str| push[name].as_u64().unwrap_or_else(|| panic!("{name} in {push}"));
    let sum: u64 = ["sent", "failed", "suppressed", "optedOut", "expired", "cancelled", "pending", "alreadyServed"]
        .into_iter()
        .map(count)
        .sum();
    assert_eq!(count("eligible"), sum, "{push}");
    let reasons = push["reasons"].as_array().unwrap_or_else(|| panic!("reasons in {push}"));
    for outcome in ["failed", "suppressed", "optedOut", "expired", "cancelled"] {
        let counted = reasons.iter().filter(|reason| reason["outcome"] == outcome);
        let counted: u64 = counted.map(|reason| reason["count"].as_u64().expect("a count")).sum();
        // Only the three most frequent are listed.
        let is_all = reasons.len() < 3;
        assert!(counted == count(outcome) || (!is_all && counted < count(outcome)), "{outcome} in {push}");
    }
}
