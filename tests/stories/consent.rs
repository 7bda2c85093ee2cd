//! Consent: the unsubscribe link, bounces and complaints, and how a suppression is lifted.

use std::collections::BTreeMap;

use end_to_end::unsubscribe_page::{form_token, page, post, subscribe_again};
use end_to_end::{Bank, counts, id_of, one_click, wait_for};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tokio::sync::RwLock;

/// The keys of links. One test rotates them, and functions might not know yet the key that signed another test's links.
static KEYS: RwLock<()> = RwLock::const_new(());

/// Posts an offer to the bank's customers and returns its push once it is completed.
async fn push(bank: &Bank, code: &str) -> Value {
    let offer = bank.post_offer(&json!({"code": code, "description": "Hello"})).await;
    bank.wait_until_completed(&offer).await
}

/// The unsubscribe link in a customer's mail.
async fn read_unsubscribe_link(bank: &Bank, who: &str) -> String {
    let mail = bank.mail().await;
    mail.iter().find(|mail| mail.to == bank.address(who)).unwrap().unsubscribe_link().to_owned()
}

async fn suppression(bank: &Bank, who: &str) -> Option<Value> {
    let response = bank.call_with("GET", &format!("/suppressions/email/{}", bank.address(who)), &[], b"").await;
    assert!([200, 404].contains(&response.status), "{}", response.text);
    (response.status == 200).then(|| response.json())
}

/// The suppression, once it is found by the address: the index may lag behind.
async fn wait_for_suppression(bank: &Bank, who: &str) -> Value {
    wait_for("the suppression to be found by its address", async || {
        suppression(bank, who).await.ok_or_else(|| anyhow::anyhow!("not yet"))
    })
    .await
}

#[tokio::test]
async fn unsubscribe_get_is_safe_and_post_takes_effect() {
    let _keys = KEYS.read().await;
    let bank = Bank::open();
    bank.put_customers(&[bank.customer("asha", &json!({})), bank.customer("ines", &json!({}))]).await;
    push(&bank, "FIRST").await;
    let mail = bank.mail().await;
    let asha = mail.iter().find(|mail| mail.to == bank.address("asha")).unwrap();
    let link = asha.unsubscribe_link();
    assert!(!asha.header("List-Unsubscribe").contains(['\r', '\n']), "one line");
    assert_eq!(asha.header("List-Unsubscribe-Post"), "List-Unsubscribe=One-Click");
    assert!(asha.text.contains(link) && asha.html.contains(link), "the link is visible as well");
    assert!(asha.text.contains("1 High Street, Springfield") && asha.html.contains("1 High Street, Springfield"));

    // A GET changes nothing: scanners and mail programs follow every link.
    let shown = Client::new().get(link).send().await.unwrap();
    assert_eq!(shown.status(), StatusCode::OK);
    for (header, value) in [
        ("content-type", "text/html; charset=utf-8"),
        ("cache-control", "no-store"),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(shown.headers()[header], value);
    }
    let policy = shown.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(shown.text().await.unwrap().contains("Unsubscribe"));
    assert_eq!(suppression(&bank, "asha").await, None);
    assert_eq!(push(&bank, "SECOND").await["sent"], 2);

    // One click, without a cookie or login, and a second one, as some mail programs send.
    let (first, again) = (one_click(link).await, one_click(link).await);
    assert_eq!((first.status(), again.status()), (StatusCode::OK, StatusCode::OK));
    assert_eq!(first.headers().get("set-cookie"), None);
    // The form's token has the time at which it expires.
    let [first, again] = [first.text().await.unwrap(), again.text().await.unwrap()];
    assert_eq!(first.replace(&form_token(&first), ""), again.replace(&form_token(&again), ""));
    let noted = wait_for_suppression(&bank, "asha").await;
    assert_eq!(noted["reason"], "optedOut");
    let third = push(&bank, "THIRD").await;
    assert_eq!((&third["sent"], &third["optedOut"]), (&json!(1), &json!(1)), "{third}");

    // The nightly load says that the customer wants e-mail. The opt-out wins, even if the customer was deleted in
    // between.
    bank.call("DELETE", &format!("/customers/{}", bank.id("asha")), &Value::Null).await;
    bank.put_customers(&[bank.customer("asha", &json!({"name": "Asha Rao"}))]).await;
    let fourth = push(&bank, "FOURTH").await;
    assert_eq!((&fourth["sent"], &fourth["optedOut"]), (&json!(1), &json!(1)), "{fourth}");

    // The customer subscribes again on their own page.
    assert!(page(link).await.contains("You are unsubscribed"));
    assert!(subscribe_again(link).await.text().await.unwrap().contains("Welcome back"));
    assert_eq!(push(&bank, "FIFTH").await["sent"], 2);
    assert_eq!(bank.mail_count().await, BTreeMap::from([("asha".into(), 3), ("ines".into(), 5)]));
}

#[tokio::test]
async fn subscribing_again_takes_the_page_and_no_forwarded_mail() {
    let _keys = KEYS.read().await;
    let bank = Bank::open();
    bank.put_customers(&[bank.customer("asha", &json!({})), bank.customer("ines", &json!({}))]).await;
    push(&bank, "FIRST").await;
    let (asha, ines) = (read_unsubscribe_link(&bank, "asha").await, read_unsubscribe_link(&bank, "ines").await);
    for link in [&asha, &ines] {
        assert_eq!(one_click(link).await.status(), StatusCode::OK);
    }
    let of_ines = form_token(&page(&ines).await);
    let of_the_link = asha.rsplit('/').next().unwrap();
    // What a form without a token of this page asks for is refused, with a form that works.
    let mut fresh = String::new();
    for token in ["again", "", &of_ines, of_the_link] {
        let refused = post(&asha, &format!("subscribe={token}")).await;
        assert_eq!(refused.status(), StatusCode::FORBIDDEN, "{token}");
        fresh = form_token(&refused.text().await.unwrap());
        assert!(page(&asha).await.contains("You are unsubscribed"), "{token}");
    }
    // A body that asks for both unsubscribes.
    let both = format!("subscribe={fresh}&List-Unsubscribe=One-Click");
    assert_eq!(post(&asha, &both).await.status(), StatusCode::OK);
    assert!(page(&asha).await.contains("You are unsubscribed"));
    assert_eq!(push(&bank, "SECOND").await["optedOut"], 2);

    assert_eq!(post(&asha, &format!("subscribe={fresh}")).await.status(), StatusCode::OK);
    assert_eq!(post(&asha, &both).await.status(), StatusCode::OK);
    assert!(page(&asha).await.contains("You are unsubscribed"), "also if the customer was subscribed");
}

#[tokio::test]
async fn operator_can_lift_an_opt_out() {
    let _keys = KEYS.read().await;
    let bank = Bank::open();
    bank.put_customers(&[bank.customer("asha", &json!({}))]).await;
    push(&bank, "FIRST").await;
    one_click(&read_unsubscribe_link(&bank, "asha").await).await;
    wait_for_suppression(&bank, "asha").await;
    let path = format!("/suppressions/email/{}", bank.address("asha").to_uppercase());
    for _ in 0..2 {
        assert_eq!(bank.call("DELETE", &path, &Value::Null).await.status, 204);
    }
    assert_eq!(suppression(&bank, "asha").await, None);
    assert_eq!(push(&bank, "SECOND").await["sent"], 1);
    for path in
        ["/suppressions/pigeon/asha@example.com", "/suppressions/email/asha", "/suppressions/sms/asha@example.com"]
    {
        assert_eq!(bank.call_with("GET", path, &[], b"").await.status, 400, "{path}");
    }
}

#[tokio::test]
async fn unsubscribing_during_a_push_stops_pending_messages() {
    const CUSTOMERS: usize = 200;
    let _keys = KEYS.read().await;
    let bank = Bank::open();
    bank.put_many(CUSTOMERS).await;
    push(&bank, "FIRST").await;
    let links: BTreeMap<_, _> =
        bank.mail().await.iter().map(|mail| (mail.to.clone(), mail.unsubscribe_link().to_owned())).collect();

    // The server accepts most messages and defers the others.
    bank.smtp_faults(json!([{"at": "rcpt", "to": format!("5@{}", bank.domain()), "do": {"reply": "451 4.7.1 later"}}]))
        .await;
    let offer = bank.post_offer(&json!({"code": "SECOND", "description": "Hello"})).await;
    wait_for("the other messages to be sent, and these to wait", async || {
        let sent = bank.deliveries(&offer, "state=sent&limit=100").await.len();
        anyhow::ensure!(sent == CUSTOMERS - 20, "{sent}");
        Ok(())
    })
    .await;
    assert_eq!(one_click(&links[&bank.address("c5")]).await.status(), StatusCode::OK);
    // This also stops a function that read the consent earlier and is about to send.
    let delivery = async || bank.deliveries(&offer, &format!("customer={}", bank.id("c5"))).await.remove(0);
    wait_for("the opt-out to take effect", async || {
        let delivery = delivery().await;
        anyhow::ensure!(delivery["state"] == "optedOut", "{delivery}");
        Ok(())
    })
    .await;
    bank.smtp_faults(json!([])).await;
    let push = bank.wait_until_completed(&offer).await;
    assert_eq!((&push["sent"], &push["optedOut"]), (&json!(CUSTOMERS - 1), &json!(1)), "{push}");
    let count = bank.mail_count().await;
    assert_eq!((count["c5"], count["c15"], count["c6"]), (1, 2, 2));
    assert_eq!(delivery().await["reason"], "the customer unsubscribed");
}

#[tokio::test]
async fn forged_unsubscribe_links_all_get_the_same_404() {
    let _keys = KEYS.read().await;
    let bank = Bank::open();
    bank.put_customers(&[bank.customer("asha", &json!({})), bank.customer("ines", &json!({}))]).await;
    push(&bank, "FIRST").await;
    let (asha, ines) = (read_unsubscribe_link(&bank, "asha").await, read_unsubscribe_link(&bank, "ines").await);
    let (base, asha) = asha.rsplit_once('/').unwrap();
    let (_, ines) = ines.rsplit_once('/').unwrap();
    let half = asha.len() / 2;
    // Another story may have rotated the keys.
    let (key, sealed) = asha.split_once('.').unwrap();
    let mut responses = Vec::new();
    for token in [
        &asha[..asha.len() - 1],
        &asha[..half],
        &format!("{key}."),
        &format!("{}{}", &ines[..half], &asha[half..]),
        &format!("k999.{sealed}"),
        &format!("{asha}x"),
        "x",
        &"x".repeat(2_000),
    ] {
        let link = format!("{base}/{token}");
        let shown = Client::new().get(&link).send().await.unwrap();
        let posted = one_click(&link).await;
        assert_eq!((shown.status(), posted.status()), (StatusCode::NOT_FOUND, StatusCode::NOT_FOUND), "{token}");
        responses.push(shown.text().await.unwrap());
        responses.push(posted.text().await.unwrap());
    }
    responses.dedup();
    assert_eq!(responses.len(), 1, "one response for all");
    assert_eq!(push(&bank, "SECOND").await["sent"], 2, "no customer was unsubscribed");
}

#[tokio::test]
async fn hard_bounce_and_complaint_suppress_but_soft_bounce_does_not() {
    let _keys = KEYS.read().await;
    let bank = Bank::open();
    bank.put_many(4).await;
    let offer = bank.post_offer(&json!({"code": "FIRST", "description": "Hello"})).await;
    bank.wait_until_completed(&offer).await;
    // As SES reports it. Only SES may put such an event on the bus, so EventBridge is asked whether the rule matches
    // it, and the test puts into the rule's queue what the rule would.
    let rules = bank.aws().json("events", "AWSEvents.ListRules", &json!({"NamePrefix": "offercast"})).await;
    let patterns: Vec<_> =
        rules["Rules"].as_array().unwrap().iter().filter_map(|rule| rule["EventPattern"].as_str()).collect();
    assert_eq!(patterns.len(), 1, "{rules}");
    for (who, sample) in [("c0", "feedback-bounce"), ("c1", "feedback-complaint"), ("c2", "feedback-bounce-transient")]
    {
        let event = std::fs::read_to_string(format!("{}/../events/{sample}.json", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let event = event
            .replace("asha@example.com", &bank.address(who))
            .replace("sample-1", &bank.id(who))
            .replace("01980000-0000-7000-8000-000000000001", id_of(&offer));
        let event: Value = serde_json::from_str(&event).unwrap();
        let test = json!({"EventPattern": patterns[0], "Event": event.to_string()});
        assert_eq!(bank.aws().json("events", "AWSEvents.TestEventPattern", &test).await["Result"], true);
        bank.queues().send("feedback", &event.to_string()).await;
    }
    for (who, feedback) in [("c0", "bounced"), ("c1", "complained"), ("c2", "delayed")] {
        let delivery = wait_for("the delivery to show its feedback", async || {
            let delivery = bank.deliveries(&offer, &format!("customer={}", bank.id(who))).await.remove(0);
            anyhow::ensure!(delivery["feedback"].is_object(), "{delivery}");
            Ok(delivery)
        })
        .await;
        assert_eq!((&delivery["state"], &delivery["feedback"]["kind"]), (&json!("sent"), &json!(feedback)));
    }
    assert_eq!(suppression(&bank, "c0").await.unwrap()["reason"], "bounced");
    assert_eq!(suppression(&bank, "c1").await.unwrap()["reason"], "complained");
    assert_eq!(suppression(&bank, "c2").await, None);
    let second = push(&bank, "SECOND").await;
    assert_eq!((&second["sent"], &second["suppressed"]), (&json!(2), &json!(2)), "{second}");
    let mut expected = counts(&["c0", "c1", "c2", "c3"]);
    expected.extend([("c2".to_owned(), 2), ("c3".to_owned(), 2)]);
    assert_eq!(bank.mail_count().await, expected);

    // An operator who knows better lifts the suppression.
    assert_eq!(
        bank.call("DELETE", &format!("/suppressions/email/{}", bank.address("c0")), &Value::Null).await.status,
        204
    );
    assert_eq!(push(&bank, "THIRD").await["sent"], 3);
}

#[tokio::test]
async fn operator_can_lift_the_suppressions_of_a_period() {
    let bank = Bank::open();
    // A period that no other story uses.
    let event =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../events/feedback-bounce.json")).unwrap();
    for (who, at) in [("c0", "2001-02-03T04:05:06"), ("c1", "2001-02-03T04:05:07"), ("c2", "2001-02-03T04:05:08")] {
        let event = event.replace("asha@example.com", &bank.address(who)).replace("2026-01-01T00:00:10", at);
        bank.queues().send("feedback", &event).await;
    }
    wait_for("the addresses to be suppressed", async || {
        for who in ["c0", "c1", "c2"] {
            anyhow::ensure!(suppression(&bank, who).await.is_some(), "{who}");
        }
        Ok(())
    })
    .await;
    let period = json!({"reason": "bounced", "since": "2001-02-03T04:05:06Z", "until": "2001-02-03T04:05:08Z"});
    let mut dry_run = period.clone();
    dry_run["dryRun"] = json!(true);
    let lift = async |request: &Value| bank.call("POST", "/suppressions/lift", request).await;
    assert_eq!(lift(&dry_run).await.json(), json!({"lifted": 2, "dryRun": true, "cursor": null}));
    assert_eq!(lift(&period).await.json(), json!({"lifted": 2, "dryRun": false, "cursor": null}));
    let refused = lift(&json!({"reason": "optedOut"})).await;
    assert_eq!((refused.status, &refused.json()["errors"][0]["field"]), (400, &json!("reason")));
    wait_for("the lift to be seen", async || {
        let left = [suppression(&bank, "c0").await, suppression(&bank, "c1").await];
        anyhow::ensure!(left == [None, None], "{left:?}");
        Ok(())
    })
    .await;
    assert!(suppression(&bank, "c2").await.is_some(), "it is of the next second");
}

/// A slash, a question mark or a plus in an address ends no path: it is encoded once, as anywhere else.
#[tokio::test]
async fn operator_can_lift_the_opt_out_of_any_address() {
    let _keys = KEYS.read().await;
    let bank = Bank::open();
    let address = format!("name/sur?name+1%x@{}", bank.domain());
    bank.put_customers(&[bank.customer("asha", &json!({"email": address}))]).await;
    push(&bank, "FIRST").await;
    let mail = bank.mail().await;
    let link = mail.iter().find(|mail| mail.to == address).unwrap().unsubscribe_link();
    assert_eq!(one_click(link).await.status(), StatusCode::OK);
    let encoded = format!("name%2Fsur%3Fname%2B1%25x%40{}", bank.domain());
    let path = format!("/suppressions/email/{encoded}");
    let found = wait_for("the suppression to be found by its address", async || {
        let response = bank.call_with("GET", &path, &[], b"").await;
        anyhow::ensure!(response.status == 200, "{}", response.text);
        Ok(response.json())
    })
    .await;
    assert_eq!((&found["address"], &found["reason"]), (&json!(address), &json!("optedOut")));
    assert_eq!(bank.call_with("DELETE", &path, &[], b"").await.status, 204);
    let second = push(&bank, "SECOND").await;
    assert_eq!((&second["sent"], &second["optedOut"]), (&json!(1), &json!(0)), "{second}");
}

#[tokio::test]
async fn unsubscribe_links_survive_key_rotation() {
    let _keys = KEYS.write().await;
    let bank = Bank::open();
    bank.put_customers(&[bank.customer("asha", &json!({})), bank.customer("ines", &json!({}))]).await;
    push(&bank, "FIRST").await;
    let old = read_unsubscribe_link(&bank, "asha").await;
    let secret = bank.aws().environment_of("preferences").await["UNSUBSCRIBE_KEYS_SECRET_ARN"].clone();
    let read = bank.aws().json("secretsmanager", "secretsmanager.GetSecretValue", &json!({"SecretId": secret})).await;
    let mut ring: Value = serde_json::from_str(read["SecretString"].as_str().unwrap()).unwrap();
    ring["current"] = json!("k2");
    ring["k2"] = json!("x".repeat(64));
    bank.aws().put_secret(&secret, &ring.to_string()).await;
    // A running function picks up the new key within minutes, a new one immediately.
    bank.aws().set_environment("email", "KEYS_CHANGED", Some("yes")).await;
    bank.put_customers(&[bank.customer("tom", &json!({}))]).await;
    push(&bank, "SECOND").await;
    let new = read_unsubscribe_link(&bank, "tom").await;
    assert!(old.contains("/k1.") && new.contains("/k2."), "{old} {new}");
    assert_eq!(one_click(&old).await.status(), StatusCode::OK);
    wait_for("the page to know the new key", async || {
        let response = one_click(&new).await;
        anyhow::ensure!(response.status() == StatusCode::OK, "{}", response.status());
        Ok(())
    })
    .await;
    let third = push(&bank, "THIRD").await;
    assert_eq!((&third["sent"], &third["optedOut"]), (&json!(1), &json!(2)), "{third}");
}
