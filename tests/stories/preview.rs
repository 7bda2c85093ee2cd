//! Previews: the effect of an offer before it is posted.

use std::collections::BTreeMap;

use end_to_end::{Bank, each_once, one_click};
use serde_json::{Value, json};

async fn preview(bank: &Bank, mut offer: Value) -> Value {
    offer["eligibility"] = bank.rule(offer["eligibility"].as_str().unwrap_or_default()).into();
    let response = bank.call("POST", "/offers/preview", &offer).await;
    assert_eq!(response.status, 200, "{}", response.text);
    response.json()
}

#[tokio::test]
async fn preview_shows_audience_and_messages_and_sends_only_to_test_recipients() {
    let bank = Bank::open();
    let customers: Vec<_> = (0..1_500)
        .map(|i| {
            let name = format!("c{i:04}");
            let channels = if i % 3 == 0 { json!(["email", "sms"]) } else { json!(["email"]) };
            let attributes = if i % 100 == 99 { json!({}) } else { json!({"spend": i * 10}) };
            let change = json!({"channels": channels, "mobile": bank.mobile(&name), "attributes": attributes});
            bank.customer(&name, &change)
        })
        .collect();
    bank.put_customers(&customers).await;
    let offer = json!({
        "code": "TRY", "subject": "For {{ customer.name }}", "description": "You spent {{ customer.spend }}",
        "eligibility": "customer.spend >= 5000",
    });
    let mut tried = offer.clone();
    tried["testRecipients"] = json!([bank.address("tester"), bank.mobile("tester")]);
    let seen = preview(&bank, tried).await;

    // Customers from the 500th on, except every hundredth, who lacks the attribute.
    let audience = &seen["audience"];
    assert_eq!((&audience["customers"], &audience["exact"]), (&json!(990), &json!(true)), "{audience}");
    assert!(audience["unevaluable"].as_u64() >= Some(15), "{audience}");
    let with_sms = (500..1_500).filter(|i| i % 100 != 99 && i % 3 == 0).count();
    assert_eq!(audience["notifications"], json!({"email": 990, "sms": with_sms}));
    let email = &seen["messages"]["email"];
    assert_eq!((&email["customer"], &email["subject"]), (&json!(bank.id("c0500")), &json!("For c0500")));
    assert!(email["text"].as_str().unwrap().starts_with("You spent 5000\n\n-- \n"), "{email}");
    assert!(email["html"].as_str().unwrap().contains("You spent 5000"));
    let sms = &seen["messages"]["sms"];
    let said = "Offercast Bank: For c0501\nYou spent 5010\nReply STOP to opt out";
    assert_eq!(*sms, json!({"customer": bank.id("c0501"), "text": said, "segments": 1}));

    // The test recipients got the messages of an invented customer, and no customer got any.
    for test in seen["tests"].as_array().unwrap() {
        assert!(test["messageId"].as_str().is_some_and(|id| !id.is_empty()), "{test}");
    }
    assert_eq!(bank.mail_count().await, BTreeMap::from([("tester".to_owned(), 1)]));
    let mail = &bank.mail().await[0];
    assert_eq!(mail.subject, "For Alex Example");
    let text = mail.text.replace("\r\n", "\n");
    assert_eq!(text, email["text"].as_str().unwrap().replace("5000", "Example spend"));
    assert!(mail.html.contains("You spent Example spend") && !mail.html.contains("c0500"), "{}", mail.html);
    assert_eq!(mail.header("Content-Language"), "en");
    let texts = bank.texts(&["tester", "c0501", "c0504"]).await;
    assert_eq!(texts.keys().collect::<Vec<_>>(), ["tester"]);
    let said = "Offercast Bank: For Alex Example\nYou spent Example spend\nReply STOP to opt out";
    assert_eq!(texts["tester"][0].message, said);
    let stored = bank.get("/offers?limit=100").await;
    let rule = bank.rule("customer.spend >= 5000");
    assert!(stored["offers"].as_array().unwrap().iter().all(|stored| stored["eligibility"] != rule.as_str()));
    // Once posted, the offer does what the preview showed.
    let posted =
        bank.post_offer(&json!({"code": "TRY", "description": "Hello", "eligibility": offer["eligibility"]})).await;
    assert_eq!(bank.wait_until_completed(&posted).await["sent"], 990 + with_sms);
    assert_eq!(bank.mail_count().await.len(), 991);
    bank.close().await;
}

#[tokio::test]
async fn an_offer_that_would_fail_for_many_is_posted_with_a_warning_or_refused() {
    let bank = Bank::open();
    // No offer without translations warns of the languages that it lacks.
    let locale = "sv-SE";
    let tiers =
        |i| if i == 0 { json!({"locale": locale}) } else { json!({"locale": locale, "attributes": {"tier": "gold"}}) };
    let customers: Vec<_> = (0..30).map(|i| bank.customer(&format!("c{i}"), &tiers(i))).collect();
    bank.put_customers(&customers).await;
    let post = async |query: &str, code: &str, description: &str| {
        let offer = json!({"code": code, "description": description, "eligibility": bank.rule("")});
        let path = format!("/offers{query}");
        let previewed = bank.call("POST", "/offers/preview", &offer).await.json();
        let response = bank.call("POST", &path, &offer).await;
        let posted = response.json();
        let codes = |warnings: &Value| -> Vec<String> {
            let warnings = warnings.as_array().into_iter().flatten();
            warnings.map(|warning| warning["code"].as_str().unwrap().to_owned()).collect()
        };
        if response.status == 201 {
            let mut seen = codes(&previewed["warnings"]);
            seen.retain(|code| code != "codeRepeated");
            assert_eq!(seen, codes(&posted["warnings"]), "preview says the same");
        }
        (response.status, codes(&posted["warnings"]), response.text)
    };
    let code = |name: &str| bank.id(name);
    let misspelt = "Dear {{ customer.tire }} customer";
    let (status, _, text) = post("?strict=true", &code("strict"), misspelt).await;
    assert!(status == 422 && text.contains("the customer has no tire"), "{text}");
    let listed = bank.get("/offers?limit=100").await;
    let is_stored = |offer: &Value| offer["code"] == code("strict").as_str();
    assert!(!listed["offers"].as_array().unwrap().iter().any(is_stored), "it is not stored");

    for (name, description, expected) in [
        ("typo", misspelt, &["unwritable"][..]),
        // One in thirty is what banks' records are like.
        ("most", "Dear {{ customer.tier }} customer", &[]),
        ("safe", "Dear {{ customer.tire | default: \"valued\" }} customer", &[]),
        ("name", "Dear {{ customer.name }}", &[]),
        ("name", "Dear {{ customer.name }}, again", &[]),
    ] {
        let (status, warnings, text) = post("", &code(name), description).await;
        assert_eq!(
            (status, &warnings[..]),
            (201, &expected.iter().map(|code| (*code).to_owned()).collect::<Vec<_>>()[..]),
            "{name}: {text}"
        );
    }
    let misspelt_rule = |code: &str| {
        let rule = bank.rule("customer.tire_of_no_customer == 'gold'");
        json!({"code": code, "description": "Hello", "eligibility": rule})
    };
    for (query, status) in [("?strict=true", 422), ("", 201)] {
        let response = bank.call("POST", &format!("/offers{query}"), &misspelt_rule(&code("rule"))).await;
        let (seen, text) = (response.status, response.text);
        assert!(seen == status && text.contains("customer.tire_of_no_customer, which the rule reads"), "{text}");
    }
    let (status, _, text) = post("?strict=true", &code("name"), "Dear {{ customer.name }}, once more").await;
    assert!(status == 422 && text.contains("Another offer with the code"), "{text}");
    assert_eq!(post("?strict=yes", &code("x"), "Hello").await.0, 400);

    // A key under which nothing was stored is free: the corrected offer can be posted with it.
    let key = [("idempotency-key", bank.id("key"))];
    let key = key.each_ref().map(|(name, value)| (*name, value.as_str()));
    for (description, expected) in [(misspelt, 422), ("Dear {{ customer.tier }} customer", 201)] {
        let offer = json!({"code": code("key"), "description": description, "eligibility": bank.rule("")});
        let response = bank.call_with("POST", "/offers?strict=true", &key, offer.to_string().as_bytes()).await;
        assert_eq!(response.status, expected, "{}", response.text);
    }
    let translated = json!({"code": code("languages"), "description": "Hello", "eligibility": bank.rule(""),
                            "translations": {"pt": {"subject": "Ol\u{e1}", "description": "Ol\u{e1}"}}});
    let posted = bank.call("POST", "/offers", &translated).await.json();
    assert_eq!(posted["warnings"][0]["code"], "languageMissing", "{posted}");
}

#[tokio::test]
async fn preview_shows_each_language_and_extreme_and_says_what_to_improve() {
    let bank = Bank::open();
    let customer = |name: &str, locale: Value, shown: &str, attributes: Value| {
        let change = json!({"name": shown, "locale": locale, "attributes": attributes, "channels": ["email", "sms"],
                            "mobile": bank.mobile(name)});
        bank.customer(name, &change)
    };
    let gold = json!({"tier": "gold"});
    bank.put_customers(&[
        customer("a", json!("en-IN"), "Asha", gold.clone()),
        customer("b", json!("pt-PT"), "Maria da Concei\u{e7}\u{e3}o Vasconcelos", gold.clone()),
        customer("c", json!("sv-SE"), "\u{634}\u{64a}\u{645}\u{627}\u{621}", gold),
        customer("d", json!("sv-FI"), "Dan", json!({})),
        customer("e", Value::Null, "Eva", json!({"tier": []})),
    ])
    .await;
    let seen = preview(&bank, json!({
        "code": "WORLD", "subject": "For {{ customer.name }}", "description": "{{ customer.tier }} customers get 5%",
        "translations": {
            "pt-PT": {"subject": "Para {{ customer.name }}", "description": "Os clientes {{ customer.tier }} recebem 5%"},
            "ar": {"subject": "\u{639}\u{631}\u{636}", "description": "\u{639}\u{631}\u{636} {{ customer.tier }}"},
        },
    }))
    .await;
    let audience = &seen["audience"];
    assert_eq!(audience["languages"], json!({"en": 4, "pt-PT": 1}));
    assert_eq!(audience["fallback"], json!({"customers": 2, "locales": {"sv": 2}, "withoutLocale": 1}));
    for channel in ["email", "sms"] {
        let unwritable = &audience["unwritable"][channel];
        assert_eq!((&unwritable["customers"], &unwritable["composed"]), (&json!(2), &json!(5)), "{unwritable}");
        assert!(unwritable["reasons"][0]["reason"].as_str().unwrap().starts_with("description: the customer"));
    }
    let sms = &seen["sms"];
    assert_eq!((&sms["shortest"]["customer"], &sms["ucs2"]), (&json!(bank.id("a")), &json!(1)), "{sms}");
    assert_eq!(sms["longest"]["customer"], bank.id("b"), "{sms}");

    // Each as channel, language, case and customer.
    let samples: Vec<_> = seen["samples"].as_array().unwrap().iter().collect();
    let of = |sample: &Value| ["channel", "language", "case", "customer"].map(|field| sample[field].clone());
    let shown: Vec<_> = samples.iter().map(|sample| of(sample)).filter(|sample| sample[0] == "email").collect();
    let expected = [
        ("en", "typical", Some("a")),
        ("ar", "typical", None),
        ("pt-PT", "typical", Some("b")),
        ("pt-PT", "longestName", Some("b")),
        ("en", "missingValues", Some("d")),
        ("en", "rightToLeft", Some("c")),
    ];
    let expected = expected.map(|(language, case, who)| {
        [json!("email"), json!(language), json!(case), json!(who.map(|who| bank.id(who)))]
    });
    assert_eq!(shown, expected);
    let arabic = samples.iter().find(|sample| sample["language"] == "ar" && sample["channel"] == "email").unwrap();
    assert!(arabic["html"].as_str().unwrap().contains("dir=\"rtl\""), "{arabic}");

    let codes: Vec<_> =
        seen["findings"].as_array().unwrap().iter().map(|found| found["code"].as_str().unwrap()).collect();
    for code in ["unwritable", "languageMissing", "noPreheader", "noLink", "smsUnicode"] {
        assert!(codes.contains(&code), "{code} is not in {codes:?}");
    }
    assert!(bank.mail().await.is_empty());
}

#[tokio::test]
async fn preview_works_without_an_audience_and_explains_message_errors() {
    let bank = Bank::open();
    let seen =
        preview(&bank, json!({"code": "NONE", "description": "Hello {{ customer.name }}", "channels": ["email"]}))
            .await;
    assert_eq!((&seen["audience"]["customers"], &seen["audience"]["notifications"]), (&json!(0), &json!({"email": 0})));
    assert!(seen["messages"]["email"]["text"].as_str().unwrap().starts_with("Hello Customer\n"));
    assert_eq!(seen["messages"].as_object().unwrap().len(), 1);

    bank.put_customers(&[bank.customer("asha", &json!({}))]).await;
    let tried = json!({
        "code": "LACK", "description": "For {{ customer.tier }}", "channels": ["email"], "testCustomer": bank.id("asha"),
        "testRecipients": [bank.address("tester"), bank.mobile("tester")],
    });
    let seen = preview(&bank, tried).await;
    assert!(seen["messages"]["email"]["error"].as_str().unwrap().contains("no tier"), "{seen}");
    let errors: Vec<_> = seen["tests"].as_array().unwrap().iter().map(|test| test["error"].as_str().unwrap()).collect();
    assert!(errors[0].contains("no tier") && errors[1].contains("is not sent on this channel"), "{errors:?}");
    assert!(bank.mail().await.is_empty());
}

#[tokio::test]
async fn invalid_preview_names_every_fault_and_sends_nothing() {
    let bank = Bank::open();
    let tried = json!({"code": "", "eligibility": "(", "description": "x",
                       "testRecipients": [bank.address("tester"), "nobody"]});
    let response = bank.call("POST", "/offers/preview", &tried).await;
    assert_eq!(response.status, 400, "{}", response.text);
    let faults = response.json();
    let fields: Vec<_> =
        faults["errors"].as_array().unwrap().iter().map(|fault| fault["field"].as_str().unwrap()).collect();
    assert_eq!(fields, ["code", "eligibility", "testRecipients[1]"]);
    assert!(bank.mail().await.is_empty());
}

#[tokio::test]
async fn suppressed_test_recipient_gets_nothing() {
    let bank = Bank::open();
    bank.put_many(2).await;
    let offer = bank.post_offer(&json!({"code": "FIRST", "description": "Hello"})).await;
    bank.wait_until_completed(&offer).await;
    let link = bank.mail().await[0].unsubscribe_link().to_owned();
    let to = bank.mail().await[0].to.clone();
    let left = one_click(&link).await;
    assert_eq!(left.status(), 200);
    let seen = preview(&bank, json!({"code": "AGAIN", "description": "Hello", "testRecipients": [to]})).await;
    assert!(seen["tests"][0]["error"].as_str().unwrap().contains("suppressed (optedOut)"), "{seen}");
    assert_eq!(bank.mail_count().await, each_once(2));
}

#[tokio::test]
async fn test_message_of_a_named_customer_has_their_values_and_is_on_record() {
    let bank = Bank::open();
    bank.put_customers(&[bank.customer("asha", &json!({"attributes": {"tier": "gold"}}))]).await;
    let mut tried = json!({
        "code": bank.name, "description": "For {{ customer.name }} ({{ customer.tier }})",
        "testRecipients": [bank.address("tester"), bank.mobile("tester")], "testCustomer": bank.id("asha"),
    });
    let seen = preview(&bank, tried.clone()).await;
    let text = bank.mail().await[0].text.clone();
    assert!(text.starts_with("For asha (gold)"), "{text}");

    let records = bank.tables().test_records(&bank.name).await;
    let [record] = records.as_slice() else { panic!("one preview, and {} records", records.len()) };
    let posted = bank.post_offer(&json!({"code": "OTHER", "description": "Hello", "eligibility": "false"})).await;
    assert_eq!(record["by"].as_s().unwrap(), posted["createdBy"].as_str().unwrap(), "{record:?}");
    let ids: Vec<_> =
        seen["tests"].as_array().unwrap().iter().map(|test| test["messageId"].as_str().unwrap()).collect();
    let recorded: Vec<_> = record["messageIds"].as_l().unwrap().iter().map(|id| id.as_s().unwrap().as_str()).collect();
    assert_eq!(recorded, ids);
    assert_eq!(record["recipients"].as_l().unwrap().len(), 2);
    let shown = format!("{record:?}");
    assert!(!shown.contains(&bank.address("tester")) && !shown.contains(&bank.mobile("tester")), "{shown}");

    tried["testCustomer"] = bank.id("nobody").into();
    let refused = bank.call("POST", "/offers/preview", &tried).await;
    assert_eq!((refused.status, &refused.json()["errors"][0]["field"]), (400, &json!("testCustomer")));
    assert_eq!(bank.mail().await.len(), 1);
}

#[tokio::test]
async fn test_message_to_an_outsider_is_refused_and_nobody_gets_one() {
    let bank = Bank::open();
    let tried = json!({
        "code": bank.name, "description": "Hello",
        "testRecipients": [bank.address("tester"), "outsider@evil.example", "+19005550000", "+4915112345678"],
    });
    let response = bank.call("POST", "/offers/preview", &tried).await;
    assert_eq!(response.status, 400, "{}", response.text);
    let problem = response.json();
    let errors = problem["errors"].as_array().unwrap();
    let fields: Vec<_> = errors.iter().map(|fault| fault["field"].as_str().unwrap()).collect();
    assert_eq!(fields, ["testRecipients[1]", "testRecipients[2]", "testRecipients[3]"]);
    for fault in [&errors[0], &errors[2]] {
        assert!(fault["detail"].as_str().unwrap().contains("AllowedTestRecipients"), "{fault}");
    }
    assert!(bank.mail().await.is_empty());
    assert!(bank.tables().test_records(&bank.name).await.is_empty());
}
