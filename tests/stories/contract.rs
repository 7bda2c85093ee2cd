//! What callers may rely on: bad input, idempotency, paging, authentication.

use std::collections::BTreeSet;

use client::{Api, Stack};
use end_to_end::{Bank, id_of};
use futures::future::join_all;
use serde_json::{Value, json};

/// Sends an invalid body and returns the fields that the problem lists.
async fn faults(bank: &Bank, method: &str, path: &str, body: &[u8]) -> BTreeSet<String> {
    let response = bank.call_with(method, path, &[], body).await;
    let shown = String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
    assert_eq!(response.status, 400, "{shown}: {}", response.text);
    assert_eq!(response.headers["content-type"], "application/problem+json");
    let problem = response.json();
    assert_eq!(problem["status"], 400);
    assert!(!problem["detail"].as_str().unwrap().is_empty());
    let errors = problem["errors"].as_array().unwrap_or_else(|| panic!("{problem}"));
    assert!(errors.iter().all(|error| !error["detail"].as_str().unwrap().is_empty()));
    errors.iter().map(|error| error["field"].as_str().unwrap().to_owned()).collect()
}

fn set(fields: &[&str]) -> BTreeSet<String> {
    fields.iter().map(|field| (*field).to_owned()).collect()
}

#[tokio::test]
async fn invalid_offer_is_rejected_with_every_fault_and_not_stored() {
    let bank = Bank::open();
    let good = json!({"code": bank.name, "description": bank.name});
    let with = |field: &str, value: Value| {
        let mut offer = good.clone();
        offer[field] = value;
        offer
    };
    let past = "2020-01-01T00:00:00Z";
    let cases = [
        (json!({}), set(&["code", "description"])),
        (json!([]), set(&["body"])),
        (json!({"code": 1, "description": {}}), set(&["code", "description"])),
        (json!({"code": "", "description": "  "}), set(&["code", "description"])),
        (with("code", "x".repeat(65).into()), set(&["code"])),
        (with("code", "two\nlines".into()), set(&["code"])),
        (with("description", "x".repeat(10_001).into()), set(&["description"])),
        (with("description", "bell \u{7}".into()), set(&["description"])),
        (with("description", "Dear {{ name }}".into()), set(&["description"])),
        (with("subject", "x".repeat(201).into()), set(&["subject"])),
        (with("subject", "a\r\nBcc: spy@example.net".into()), set(&["subject"])),
        (with("subject", "{% if x %}".into()), set(&["subject"])),
        (with("prize", 1.into()), set(&["prize"])),
        (with("channels", json!(["pigeon"])), set(&["channels[0]"])),
        (with("channels", json!([])), set(&["channels"])),
        (with("channels", "email".into()), set(&["channels"])),
        (with("validUntil", past.into()), set(&["validUntil"])),
        (with("validFrom", "tomorrow".into()), set(&["validFrom"])),
        (
            json!({"code": "A", "description": "B", "validFrom": bank.in_seconds(600), "validUntil": bank.in_seconds(300)}),
            set(&["validUntil"]),
        ),
        (with("eligibility", 5.into()), set(&["eligibility"])),
        (with("eligibility", "account.open".into()), set(&["eligibility"])),
        (with("eligibility", "now() > 1".into()), set(&["eligibility"])),
        (with("eligibility", "customer.a.all(x, customer.b.all(y, true))".into()), set(&["eligibility"])),
        (with("eligibility", format!("customer.a == '{}'", "x".repeat(2_000)).into()), set(&["eligibility"])),
        (
            json!({"code": "", "subject": "\n", "eligibility": "(", "channels": [1]}),
            set(&["code", "description", "subject", "eligibility", "channels[0]"]),
        ),
    ];
    for (offer, expected) in cases {
        for path in ["/offers", "/offer/create"] {
            assert_eq!(faults(&bank, "POST", path, offer.to_string().as_bytes()).await, expected, "{offer}");
        }
    }
    assert_eq!(faults(&bank, "POST", "/offers", b"{\"code\": ").await, set(&["body"]));
    assert_eq!(faults(&bank, "POST", "/offers", b"").await, set(&["body"]));

    let listed = bank.get("/offers?limit=100").await;
    let stored = listed["offers"]
        .as_array()
        .unwrap()
        .iter()
        .any(|offer| offer["code"] == bank.name || offer["description"] == bank.name);
    assert!(!stored, "nothing is stored");
}

#[tokio::test]
async fn rule_syntax_error_names_line_and_column() {
    let bank = Bank::open();
    let offer =
        json!({"code": "A", "description": "B", "eligibility": "customer.tier == 'gold' &&\n  customer.spend >= >= 5"});
    let response = bank.call("POST", "/offers", &offer).await;
    let problem = response.json();
    let detail = problem["errors"][0]["detail"].as_str().unwrap();
    assert!(detail.contains("line 2, column 21"), "{detail}");
}

#[tokio::test]
async fn invalid_customer_is_rejected_with_every_fault() {
    let bank = Bank::open();
    let path = format!("/customers/{}", bank.id("bad"));
    let bad =
        json!({"name": "", "email": "nobody", "mobile": "0123", "channels": ["pigeon"], "nick": "x", "attributes": []});
    let expected = set(&["name", "email", "mobile", "channels[0]", "nick", "attributes"]);
    assert_eq!(faults(&bank, "PUT", &path, bad.to_string().as_bytes()).await, expected);
    assert_eq!(bank.call_with("GET", &path, &[], b"").await.status, 404, "nothing is stored");

    // In a list, each customer is rejected individually.
    let many = json!([
        bank.customer("good", &json!({})),
        bank.customer("worse", &json!({"email": "x"})),
        bank.customer("good", &json!({})),
        "x"
    ]);
    let response = bank.call("POST", "/customers", &many).await;
    assert_eq!(response.status, 200, "{}", response.text);
    let results = response.json();
    let status: Vec<_> = (0..4).map(|i| results["results"][i]["status"].as_str().unwrap().to_owned()).collect();
    assert_eq!(status, ["stored", "invalid", "invalid", "invalid"]);
    assert_eq!(results["results"][1]["errors"][0]["field"], "email");
    let too_many: Vec<_> = (0..101).map(|i| bank.customer(&format!("m{i}"), &json!({}))).collect();
    assert_eq!(faults(&bank, "POST", "/customers", json!(too_many).to_string().as_bytes()).await, set(&["body"]));
    assert_eq!(faults(&bank, "POST", "/customers", b"{}").await, set(&["body"]));
}

#[tokio::test]
async fn values_that_would_not_arrive_as_meant_are_rejected_by_name() {
    let bank = Bank::open();
    let path = format!("/customers/{}", bank.id("odd"));
    for (field, value) in [
        ("email", r#""email@123.123.123.123""#),
        ("email", r#""x@dom_ain.com""#),
        ("email", r#""x@exam|ple.com""#),
        ("email", r#""x@xn---something.com""#),
        ("mobile", r#""+351211234567""#),
        ("timeZone", r#""Europe/Lisbonn""#),
        ("timeZone", r#""GMT+25""#),
        ("timeZone", r#""US/Pacific-New""#),
        ("locale", r#""x""#),
        ("name", r#""\u3164""#),
        ("name", r#""a\u202eb""#),
        ("attributes.fee", r#"{"fee": 12345678901234567890123}"#),
        ("attributes.fee", r#"{"fee": 1e400}"#),
        ("attributes.fee", r#"{"fee": 1, "fee": 2}"#),
        ("attributes.fee", r#"{"fee": "\ufffe"}"#),
    ] {
        let name = field.split('.').next().unwrap();
        let asha = if name == "name" { "" } else { r#""name": "Asha", "# };
        let body = format!(r#"{{{asha}"channels": [], "{name}": {value}}}"#);
        assert_eq!(faults(&bank, "PUT", &path, body.as_bytes()).await, set(&[field]), "{body}");
    }
    for (written, stored) in [
        (json!({"email": "japanese-info@例え.テスト"}), json!({"email": "japanese-info@xn--r8jz45g.xn--zckzah"})),
        (json!({"email": "info@firma.vermögensberatung"}), json!({"email": "info@firma.xn--vermgensberatung-pwb"})),
        (json!({"timeZone": "America/Sao_Paulo"}), json!({"timeZone": "America/Sao_Paulo"})),
        (json!({"locale": "en_US"}), json!({"locale": "en-US"})),
        (json!({"attributes": {"fee": 2.50}}), json!({"attributes": {"fee": 2.5}})),
    ] {
        let response = bank.call("PUT", &path, &bank.customer("odd", &written)).await;
        assert!(response.status < 300, "{written} {}", response.text);
        let read = bank.get(&path).await;
        for (field, value) in stored.as_object().unwrap() {
            let is_stored = match value {
                Value::Object(attributes) => attributes.iter().all(|(name, value)| &read[field][name] == value),
                _ => &read[field] == value,
            };
            assert!(is_stored, "{read}");
        }
    }
    let forbidden = json!({"code": "A", "description": "B\u{ffff}", "subject": "\u{2800}", "validFrom": "2099-01-01"});
    let expected = set(&["description", "subject", "validFrom"]);
    assert_eq!(faults(&bank, "POST", "/offers", forbidden.to_string().as_bytes()).await, expected);
    let junk: serde_json::Map<_, _> = (0..5_000).map(|i| (format!("f{i}"), json!(i))).collect();
    assert_eq!(faults(&bank, "POST", "/offers", json!(junk).to_string().as_bytes()).await.len(), 100);
}

#[tokio::test]
async fn customer_can_be_created_read_replaced_and_deleted() {
    let bank = Bank::open();
    let path = format!("/customers/{}", bank.id("asha"));
    let asha = json!({"name": "Asha", "email": bank.address("asha"), "mobile": "+351912345678", "channels": ["email", "sms"],
        "locale": "en-IN", "timeZone": "Asia/Kolkata", "attributes": {"tier": "gold", "spend": 12.5, "cards": ["visa"], "vip": true}});
    assert_eq!(bank.call("PUT", &path, &asha).await.status, 201);
    let mut read = bank.get(&path).await;
    assert_eq!(read["id"], bank.id("asha"));
    // The representation that was read can be put back.
    assert_eq!(bank.call("PUT", &path, &read).await.status, 200);
    read.as_object_mut().unwrap().remove("id");
    assert_eq!(read, asha);
    assert_eq!(bank.call_with("DELETE", &path, &[], b"").await.status, 204);
    assert_eq!(bank.call_with("GET", &path, &[], b"").await.status, 404);
    assert_eq!(bank.call_with("DELETE", &path, &[], b"").await.status, 204, "deleting is idempotent");
}

#[tokio::test]
async fn oversized_body_is_rejected_with_413() {
    let bank = Bank::open();
    let body = json!({"code": "A", "description": "x".repeat(300 * 1024)}).to_string();
    let response = bank.call_with("POST", "/offers", &[], body.as_bytes()).await;
    assert_eq!(response.status, 413, "{}", response.text);
    assert_eq!(response.headers["content-type"], "application/problem+json");
}

#[tokio::test]
async fn unknown_resources_return_404() {
    let bank = Bank::open();
    let nowhere = "01980000-0000-7000-8000-00000000ffff";
    for path in [
        format!("/offers/{nowhere}"),
        "/offers/no-id".to_owned(),
        format!("/offers/{nowhere}/pushes/1"),
        format!("/offers/{nowhere}/deliveries"),
        "/customers/nobody".to_owned(),
        "/customers/no.id/deliveries".to_owned(),
    ] {
        let response = bank.call_with("GET", &path, &[], b"").await;
        assert_eq!(response.status, 404, "{path}: {}", response.text);
        assert_eq!(response.json()["status"], 404);
    }
    let offer = bank.post_offer(&json!({"code": "A", "description": "B"})).await;
    let response = bank.call_with("GET", &format!("/offers/{}/pushes/2", id_of(&offer)), &[], b"").await;
    assert_eq!(response.status, 404);
}

mod enforced_roles {
    use super::*;

    #[tokio::test]
    async fn calls_without_a_valid_signature_are_rejected() {
        let bank = Bank::open();
        let url = |path: &str| format!("{}{path}", bank.stack.api_url);
        let unsigned = reqwest::get(url("/offers")).await.unwrap();
        assert_eq!(unsigned.status(), 403);
        let forged = Api::new(&Stack { secret_access_key: "wrong".to_owned(), ..bank.stack.clone() });
        let response = forged.call("GET", "/offers", &[], b"").await.unwrap();
        assert_eq!(response.status, 403, "{}", response.text);
        let health = reqwest::get(url("/health")).await.unwrap();
        assert_eq!(health.status(), 200);
        assert_eq!(health.json::<Value>().await.unwrap(), json!({"status": "ok"}));
    }
}

#[tokio::test]
async fn repeated_idempotency_key_returns_the_same_offer() {
    let bank = Bank::open();
    bank.put_customers(&[bank.customer("asha", &json!({}))]).await;
    let offer = json!({"code": "ONCE", "description": "Hello", "eligibility": bank.rule("")});
    let post =
        async |body: &str| bank.call_with("POST", "/offers", &[("Idempotency-Key", &bank.name)], body.as_bytes()).await;
    let first = post(&offer.to_string()).await;
    assert_eq!(first.status, 201);
    assert!(!first.headers.contains_key("idempotent-replayed"));
    // Field order and white space do not make a different body.
    let reordered = format!(r#"{{ "eligibility": {}, "description": "Hello", "code": "ONCE" }}"#, offer["eligibility"]);
    for body in [offer.to_string(), reordered] {
        let again = post(&body).await;
        assert_eq!((again.status, again.json()), (201, first.json()));
        assert_eq!(again.headers["idempotent-replayed"], "true");
    }
    let other = post(&json!({"code": "OTHER", "description": "Hello"}).to_string()).await;
    assert_eq!(other.status, 422, "{}", other.text);
    let bad = bank.call_with("POST", "/offers", &[("Idempotency-Key", "")], offer.to_string().as_bytes()).await;
    assert_eq!(bad.status, 400, "{}", bad.text);

    bank.wait_until_completed(&first.json()).await;
    assert_eq!(bank.mail().await.len(), 1);
}

#[tokio::test]
async fn concurrent_requests_with_one_idempotency_key_create_one_offer() {
    let bank = Bank::open();
    bank.put_customers(&[bank.customer("asha", &json!({}))]).await;
    let body = json!({"code": "RACE", "description": "Hello", "eligibility": bank.rule("")}).to_string();
    let headers = [("Idempotency-Key", bank.name.as_str())];
    let responses = join_all((0..20).map(|_| bank.call_with("POST", "/offers", &headers, body.as_bytes()))).await;
    let taken: Vec<_> = responses.iter().filter(|response| response.status == 201).collect();
    assert!(responses.iter().all(|response| [201, 409].contains(&response.status)), "{responses:?}");
    let fresh = taken.iter().filter(|response| !response.headers.contains_key("idempotent-replayed")).count();
    let ids: BTreeSet<_> = taken.iter().map(|response| id_of(&response.json()).to_owned()).collect();
    assert_eq!((fresh, ids.len()), (1, 1), "{responses:?}");

    bank.wait_until_completed(&taken[0].json()).await;
    assert_eq!(bank.mail().await.len(), 1);
}

#[tokio::test]
async fn lists_are_paginated_without_gaps_or_duplicates() {
    let bank = Bank::open();
    let mut posted = BTreeSet::new();
    for i in 0..5 {
        let offer = bank.post_offer(&json!({"code": format!("PAGE{i}"), "description": "Hello"})).await;
        posted.insert(id_of(&offer).to_owned());
    }
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = bank.get(&format!("/offers?limit=2{cursor}")).await;
        let offers = page["offers"].as_array().unwrap();
        assert!(offers.len() <= 2);
        seen.extend(offers.iter().map(|offer| id_of(offer).to_owned()));
        if posted.iter().all(|id| seen.contains(id)) {
            break;
        }
        cursor = format!("&cursor={}", page["cursor"].as_str().expect("there are more"));
    }
    let distinct: BTreeSet<_> = seen.iter().collect();
    assert_eq!(distinct.len(), seen.len(), "no duplicates");
    assert!(seen.is_sorted_by(|a, b| a > b), "newest first");
    for query in ["limit=0", "limit=x", "cursor=x", "cursor=W10", "colour=red"] {
        let response = bank.call_with("GET", &format!("/offers?{query}"), &[], b"").await;
        assert_eq!(response.status, 400, "{query}: {}", response.text);
    }
}

#[tokio::test]
async fn test_messages_of_previews_have_a_daily_number() {
    let bank = Bank::open();
    let many = 1_000_000;
    bank.tables().add_test_messages(many).await;
    let tried = json!({
        "code": bank.name, "description": "Hello", "testRecipients": [bank.address("a"), bank.address("b")],
    });
    let refused = bank.call("POST", "/offers/preview", &tried).await;
    let without = bank.call("POST", "/offers/preview", &json!({"code": bank.name, "description": "Hello"})).await;
    bank.tables().add_test_messages(-many).await;
    assert_eq!((refused.status, without.status), (429, 200), "{}", refused.text);
    assert_eq!(refused.headers["content-type"], "application/problem+json");
    let retry_after: u32 = refused.headers["retry-after"].parse().unwrap();
    assert!((1..=86_400).contains(&retry_after), "{retry_after}");
    assert!(refused.json()["detail"].as_str().unwrap().contains("TestMessagesPerDay"), "{}", refused.text);
    assert!(bank.mail().await.is_empty());
}

#[tokio::test]
async fn direct_message_from_a_foreign_sender_is_refused() {
    let bank = Bank::open();
    let message = json!({
        "recipient": bank.address("asha"), "emailFromAddress": "CEO <ceo@other-bank.example>",
        "emailReplyToAddress": "service@bank.example", "subject": "Hello", "content": "Hello",
    });
    let refused = bank.invoke("email", &message).await.unwrap_err().to_string();
    assert!(
        refused.contains("emailFromAddress must be an allowed sender") && refused.contains("AllowedSenders"),
        "{refused}"
    );
    assert!(bank.mail().await.is_empty());
}
