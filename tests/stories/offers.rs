//! From a posted offer to the customer's inbox.

use std::collections::BTreeMap;

use anyhow::bail;
use end_to_end::{Bank, counts, email_batch, sqs_event, wait_for};
use serde_json::{Value, json};

#[tokio::test]
async fn only_eligible_customers_get_the_offer() {
    let bank = Bank::open();
    let tiers = ["basic", "silver", "gold", "platinum"];
    let customers: Vec<Value> = (0..2_000_usize)
        .map(|i| {
            let spend = i * 37 % 9_000;
            let mut attributes = json!({"tier": tiers[i % 4], "monthly_spend": spend});
            // DynamoDB stores 5000 and 5000.0 as the same number. Some customers have no tier at all.
            if i % 3 == 0 {
                attributes["monthly_spend"] = json!(f64::from(u16::try_from(spend).unwrap()));
            }
            if i % 50 == 1 {
                attributes.as_object_mut().unwrap().remove("tier");
            }
            let channels = if i % 5 == 0 { json!([]) } else { json!(["email"]) };
            bank.customer(&format!("c{i}"), &json!({"channels": channels, "attributes": attributes}))
        })
        .collect();
    bank.put_customers(&customers).await;
    let eligible: Vec<&Value> = customers
        .iter()
        .filter(|c| {
            let attributes = &c["attributes"];
            matches!(attributes["tier"].as_str(), Some("gold" | "platinum"))
                && attributes["monthly_spend"].as_f64().unwrap() * 1.5 >= 7_500.0
        })
        .collect();
    let expected: BTreeMap<String, usize> = eligible
        .iter()
        .filter(|c| c["channels"] == json!(["email"]))
        .map(|c| (c["name"].as_str().unwrap().to_owned(), 1))
        .collect();
    assert!(expected.len() > 300, "enough customers are eligible");

    let offer = bank
        .post_offer(&json!({
            "code": "GOLD", "description": "For those who spend",
            "eligibility": "customer.tier in ['gold', 'platinum'] && customer.monthly_spend * 1.5 >= 7500",
        }))
        .await;
    let push = bank.wait_until_completed(&offer).await;

    assert_eq!(bank.mail_count().await, expected);
    assert_eq!(push["sent"], expected.len());
    assert_eq!(push["eligible"], expected.len());
    assert_eq!(push["customersEligible"], eligible.len());
    assert_eq!(push["slicesDone"], push["slices"]);
    assert_eq!(bank.deliveries(&offer, "state=sent&limit=100").await.len(), expected.len());
    bank.close().await;
}

#[tokio::test]
async fn attributes_fill_placeholders_and_a_missing_one_fails_with_a_reason() {
    let bank = Bank::open();
    bank.put_customers(&[
        bank.customer("asha", &json!({"name": "Asha Rao", "attributes": {"tier": "gold", "spend": 5000.5}})),
        bank.customer("tom", &json!({"name": "Tom Baker", "attributes": {"tier": "basic"}})),
    ])
    .await;
    let offer = bank
        .post_offer(&json!({
            "code": "TIER", "subject": "{{ customer.name }}, this is for {{customer.tier}}",
            "description": "You spent {{ customer.spend }}.",
        }))
        .await;
    let push = bank.wait_until_completed(&offer).await;

    let mail = bank.mail().await;
    assert_eq!(mail.len(), 1);
    assert_eq!(mail[0].subject, "Asha Rao, this is for gold");
    assert_eq!(mail[0].body_lines(), ["You spent 5000.5."]);
    assert_eq!((&push["sent"], &push["failed"]), (&json!(1), &json!(1)));
    let deliveries = bank.deliveries(&offer, &format!("customer={}", bank.id("tom"))).await;
    assert_eq!(deliveries[0]["state"], "failed");
    assert!(deliveries[0]["reason"].as_str().unwrap().contains("spend"), "{deliveries:?}");
}

#[tokio::test]
async fn any_name_and_text_arrive_unchanged() {
    let bank = Bank::open();
    let names = ["🎉 Ünï \"quoted\" O'Hara, Jr.", "شيماء", "Evil <evil@example.net>, x"];
    let customers: Vec<_> =
        names.iter().enumerate().map(|(i, name)| bank.customer(&format!("c{i}"), &json!({"name": name}))).collect();
    bank.put_customers(&customers).await;
    let text = format!("عرض 🎁 for \"{{{{ customer.name }}}}\"\n.\nA word: {}\n5 < 6 & more", "w".repeat(3_000));
    let offer =
        bank.post_offer(&json!({"code": "ANY", "subject": "🎁 {{ customer.name }}", "description": text})).await;
    bank.wait_until_completed(&offer).await;

    let mail = bank.mail().await;
    assert_eq!(mail.len(), names.len());
    for name in names {
        let mail = mail.iter().find(|mail| mail.subject == format!("🎁 {name}")).expect("each name has its mail");
        let expected = text.replace("{{ customer.name }}", name);
        assert_eq!(mail.body_lines(), expected.lines().collect::<Vec<_>>());
        assert!(mail.html.contains("5 &lt; 6 &amp; more"), "{}", mail.html);
    }
}

#[tokio::test]
async fn push_waits_for_valid_from() {
    let bank = Bank::open();
    bank.put_customers(&[bank.customer("asha", &json!({}))]).await;
    // Late enough that a busy machine reads the push before.
    let soon = bank.in_seconds(40);
    let offer = bank.post_offer(&json!({"code": "SOON", "description": "Wait for it", "validFrom": soon})).await;
    assert_eq!(bank.push(&offer).await["state"], "scheduled");
    assert_eq!(bank.push(&offer).await["waitingFor"], "validFrom");
    let open = wait_for("the push to be listed as open", async || {
        let open = bank.get("/pushes?state=open&limit=100").await;
        let found = open["pushes"].as_array().unwrap().iter().find(|push| push["offer"] == offer["id"]).cloned();
        found.ok_or_else(|| anyhow::anyhow!("{open}"))
    })
    .await;
    assert_eq!(open["state"], "scheduled");

    // The schedule runs each minute. Here it runs with each attempt.
    let minute = json!({"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}});
    wait_for("the schedule to start it", async || {
        assert_eq!(bank.mail().await.len(), 0, "nothing is sent before its time");
        bank.invoke("push", &minute).await?;
        let push = bank.push(&offer).await;
        if push["state"] == "scheduled" { bail!("{push}") } else { Ok(()) }
    })
    .await;
    let push = bank.wait_until_completed(&offer).await;
    assert!(push["startedAt"].as_str().unwrap() >= soon.as_str(), "{push}");
    assert_eq!(bank.mail_count().await, counts(&["asha"]));
}

#[tokio::test]
async fn customers_deleted_after_queueing_get_nothing() {
    let bank = Bank::open();
    bank.put_customers(&[bank.customer("asha", &json!({})), bank.customer("left", &json!({"channels": []}))]).await;
    let offer = bank.post_offer(&json!({"code": "GONE", "description": "Hello"})).await;
    bank.wait_until_completed(&offer).await;
    // A batch for customers of whom one gave up their consent and one does not exist, as if it was queued before.
    bank.tables().await_batch(&offer, 1, 3).await;
    let batch = email_batch(&offer, 1, &[bank.id("left"), bank.id("never-there"), bank.id("asha")]);
    let response = bank.invoke("email", &sqs_event(&[batch])).await.unwrap();
    assert_eq!(response["batchItemFailures"], json!([]));

    assert_eq!(bank.mail_count().await, counts(&["asha"]), "the customer already served is not served again");
    for who in ["left", "never-there"] {
        let deliveries = bank.deliveries(&offer, &format!("customer={}", bank.id(who))).await;
        assert_eq!(deliveries[0]["state"], "optedOut", "{deliveries:?}");
    }
}

#[tokio::test]
async fn bad_record_does_not_fail_other_records() {
    let bank = Bank::open();
    bank.put_customers(&[bank.customer("asha", &json!({}))]).await;
    let offer = bank.post_offer(&json!({"code": "BAD", "description": "Hello", "eligibility": "false"})).await;
    bank.wait_until_completed(&offer).await;
    bank.tables().await_batch(&offer, 0, 1).await;
    let batch = email_batch(&offer, 0, &[bank.id("asha")]);
    let event = sqs_event(&["not json".to_owned(), batch, r#"{"type":"batch.v9"}"#.to_owned()]);
    let response = bank.invoke("email", &event).await.unwrap();
    assert_eq!(
        response["batchItemFailures"],
        json!([{"itemIdentifier": "message-0"}, {"itemIdentifier": "message-2"}])
    );
    assert_eq!(bank.mail_count().await, counts(&["asha"]));
}
