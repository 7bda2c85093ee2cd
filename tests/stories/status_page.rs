//! What operators see: the status page, and the same in the terminal.

use end_to_end::{Bank, wait_for};
use serde_json::{Value, json};

#[tokio::test]
async fn status_shows_resources_and_what_each_push_waits_for() {
    let bank = Bank::open();
    bank.put_many(3).await;
    let served = bank.post_offer(&json!({"code": "SERVED", "description": "Hello"})).await;
    let counts = bank.wait_until_completed(&served).await;
    let waits = json!({"code": "WAITS", "description": "Hello", "validFrom": bank.in_seconds(3600)});
    let waiting = bank.post_offer(&waits).await;
    let status = wait_for("the scheduled push to be listed", async || {
        let status: Value = serde_json::from_str(&bank.xtask(&["status", "--json"]))?;
        anyhow::ensure!(of(&status["pushes"], "offer", &waiting["id"]).is_some(), "{status}");
        Ok(status)
    })
    .await;
    assert_eq!(status["faults"], json!([]));

    let push = of(&status["pushes"], "offer", &served["id"]).unwrap();
    for count in ["eligible", "sent", "failed", "pending", "state", "completedAt"] {
        assert_eq!(push[count], counts[count], "{count}");
    }
    assert_eq!(push["percent"], 100);
    let push = of(&status["pushes"], "offer", &waiting["id"]).unwrap();
    assert_eq!(
        (&push["state"], &push["waitingFor"], &push["percent"]),
        (&json!("scheduled"), &json!("validFrom"), &json!(0))
    );

    let names = |list: &Value| -> Vec<String> {
        list.as_array().unwrap().iter().map(|entry| entry["name"].as_str().unwrap().to_owned()).collect()
    };
    assert!(bank.stack.functions.keys().eq(names(&status["functions"]).iter()));
    assert!(bank.stack.tables.keys().eq(names(&status["tables"]).iter()));
    let mut queues = names(&status["queues"]);
    queues.sort();
    assert!(bank.stack.queues.keys().eq(queues.iter()));
    let email = of(&status["functions"], "name", &json!("email")).unwrap();
    assert!(email["state"] == "Active" && email["invocations"].as_u64().unwrap() > 0, "{email}");
    let customers = of(&status["tables"], "name", &json!("customers")).unwrap();
    assert!(!customers["first"].as_array().unwrap().is_empty());

    let printed = bank.xtask(&["status"]);
    let line = printed.lines().find(|line| line.contains("SERVED")).unwrap();
    assert!(line.contains("100 %  3 of 3, 3 sent"), "{line}");
    assert!(printed.contains("waits for the offer to be valid"), "{printed}");
}

#[tokio::test]
async fn status_shows_dead_letters_with_their_age() {
    let bank = Bank::open();
    bank.queues().send("feedbackDeadLetters", "{}").await;
    let status: Value = serde_json::from_str(&bank.xtask(&["status", "--json"])).unwrap();
    let queue = of(&status["queues"], "name", &json!("feedbackDeadLetters")).unwrap();
    assert_eq!((&queue["waiting"], &queue["isDeadLetters"]), (&json!(1), &json!(true)));
    assert!(queue["oldest"].as_u64().is_some_and(|age| age < 600), "{queue}");
    let printed = bank.xtask(&["status"]);
    let mut lines = printed.lines().skip_while(|line| !line.contains("1 dead letter of feedback, the oldest"));
    assert_eq!(
        lines.nth(1).map(str::trim),
        Some("cargo xtask redrive"),
        "first what is wrong, and what to do: {printed}"
    );
    bank.queues().purge("feedbackDeadLetters").await;
}

#[tokio::test]
async fn status_on_aws_shows_no_customer_data() {
    let bank = Bank::open();
    bank.put_many(1).await;
    let name = "offercast";
    let status: Value = serde_json::from_str(&bank.xtask(&["status", "--json", "--on-aws", name])).unwrap();
    assert_eq!(status["faults"], json!([]));
    assert_eq!((&status["onAws"], &status["inbox"]), (&json!(name), &Value::Null));
    let tables = status["tables"].as_array().unwrap();
    assert!(tables.len() == bank.stack.tables.len() && tables.iter().all(|table| table["first"] == json!([])));
    assert!(!status.to_string().contains(".example"), "no address is shown");
}

#[tokio::test]
async fn status_page_rejects_foreign_host_names() {
    let bank = Bank::open();
    let url = format!("{}api/status", bank.stack.status_url.as_deref().unwrap());
    let ask = async |host: &str| {
        let response = reqwest::Client::new().get(&url).header("host", host).send().await.unwrap();
        response.status().as_u16()
    };
    assert_eq!(ask("rebound.example:8030").await, 421);
    assert_eq!(ask("localhost:8030").await, 200);
}

/// The entry of a list in which a field has this value.
fn of<'a>(list: &'a Value, name: &str, wanted: &Value) -> Option<&'a Value> {
    list.as_array().unwrap().iter().find(|entry| entry[name] == *wanted)
}

mod in_a_browser {
    use std::collections::BTreeSet;

    use end_to_end::browser::Browser;
    use end_to_end::{Bank, id_of, wait_for};
    use fantoccini::Locator;
    use serde_json::json;

    /// Screens, in CSS pixels.
    const DESK: (u32, u32) = (1280, 1060);
    const PHONE: (u32, u32) = (390, 844);

    #[tokio::test]
    async fn status_page_leads_with_what_is_wrong_and_a_push_opens_to_its_reasons() {
        let bank = Bank::open();
        bank.put_many(3).await;
        let browser = Browser::start(DESK).await;
        let page = &browser.page;
        page.goto(bank.stack.status_url.as_deref().unwrap()).await.unwrap();
        let misspelt = json!({"code": "MISSPELT", "description": "Hello {{ customer.nickname }}"});
        let offer = bank.post_offer(&misspelt).await;
        assert_eq!(bank.wait_until_completed(&offer).await["failed"], 3);

        wait_for("the line that the alarm push-failed is about", async || {
            let lines = bank.log_of("push").await.concat();
            let is_it = |line: &str| line.contains("over 5 % of the push failed") && line.contains(id_of(&offer));
            anyhow::ensure!(lines.lines().any(is_it), "{lines}");
            Ok(())
        })
        .await;
        let concern = Locator::XPath("//li[contains(@class, 'bad')][contains(., 'MISSPELT #1 failed')]");
        let said = page.wait().for_element(concern).await.unwrap().text().await.unwrap();
        assert!(said.starts_with("3 of the 3 notifications") && said.contains("cargo xtask deliveries"), "{said}");
        page.find(Locator::Css("#live.bad")).await.expect("the dot is red");
        page.find(Locator::Css("[aria-label='Details of push 1 of MISSPELT']")).await.unwrap().click().await.unwrap();
        let reason =
            Locator::XPath("//div[@class='push'][span[text()='MISSPELT']]//td[contains(., 'has no nickname')]");
        page.wait().for_element(reason).await.unwrap();
        assert_eq!(browser.overflow().await, 0, "nothing is cut off");
        browser.keep_screenshot("status-failed").await;

        // No other story has an offer with this code, which the page may still show.
        let later = json!({"code": "CALLED-OFF", "description": "Hello", "validFrom": bank.in_seconds(3600)});
        let later = bank.post_offer(&later).await;
        let details = Locator::Css("[aria-label='Details of push 1 of CALLED-OFF']");
        page.wait().for_element(details).await.unwrap().click().await.unwrap();
        let cancel =
            Locator::XPath("//div[@class='push'][span[text()='CALLED-OFF']]//button[text()='Cancel this push']");
        let cancel = page.wait().for_element(cancel).await.unwrap();
        cancel.click().await.unwrap();
        page.dismiss_alert().await.unwrap();
        assert_eq!(bank.push(&later).await["state"], "scheduled", "it asks first");
        cancel.click().await.unwrap();
        page.accept_alert().await.unwrap();
        wait_for("the push to be cancelled", async || {
            let push = bank.push(&later).await;
            anyhow::ensure!(push["state"] == "cancelled", "{push}");
            Ok(())
        })
        .await;
        browser.end().await;
    }

    #[tokio::test]
    async fn status_page_follows_a_push() {
        let bank = Bank::open();
        let nothing = json!({});
        let customers: Vec<_> = (0..1_000)
            .map(|i| {
                let who = format!("c{i}");
                let both = json!({"mobile": bank.mobile(&who), "channels": ["email", "sms"]});
                bank.customer(&who, if i % 5 == 0 { &both } else { &nothing })
            })
            .collect();
        bank.put_customers(&customers).await;
        // Slow enough to be watched, on a quick machine too.
        bank.smtp_faults(json!([{"at": "message", "do": {"wait": 500}}])).await;

        let browser = Browser::start(DESK).await;
        let page = &browser.page;
        page.goto(bank.stack.status_url.as_deref().unwrap()).await.unwrap();
        page.wait().for_element(Locator::XPath("//*[@id='functions']//td[text()='email']")).await.unwrap();
        let offer = bank.post_offer(&json!({"code": "WATCHED", "description": "Hello {{ customer.name }}"})).await;
        let push =
            page.wait().for_element(Locator::XPath("//div[@class='push'][span[text()='WATCHED']]")).await.unwrap();
        let bar = push.find(Locator::Css("[role=progressbar]")).await.unwrap();

        let mut seen = BTreeSet::new();
        wait_for("the bar to reach its end", async || {
            let percent: u8 = bar.attr("aria-valuenow").await?.unwrap_or_default().parse()?;
            seen.insert(percent);
            // No function reaches the rate of this stack: the mail server is what is slow.
            assert_ne!(bank.push(&offer).await["waitingFor"], "rate");
            if (40..70).contains(&percent) {
                browser.keep_screenshot("status").await;
            }
            anyhow::ensure!(percent == 100, "{seen:?}");
            Ok(())
        })
        .await;
        bank.smtp_faults(json!([])).await;
        println!("the bar was at {seen:?}");
        assert!(seen.range(1..100).count() >= 3, "it moves: {seen:?}");

        let counts = bank.wait_until_completed(&offer).await;
        assert_eq!((&counts["eligible"], &counts["sent"]), (&json!(1_200), &json!(1_200)));
        let said = push.find(Locator::Css(".counts")).await.unwrap().text().await.unwrap();
        assert!(said.starts_with("1,200 notifications: 1,200 sent"), "{said}");
        page.find(Locator::Css("[aria-label='Details of push 1 of WATCHED']")).await.expect("it opens");
        assert_eq!(browser.overflow().await, 0, "nothing is cut off");
        page.find(Locator::XPath("//summary[span[text()='customers']]")).await.unwrap().click().await.unwrap();
        let items = page.find(Locator::XPath("//details[@open]/pre")).await.unwrap().text().await.unwrap();
        assert!(items.contains("\"channels\""), "{items}");
        browser.end().await;

        let phone = Browser::start(PHONE).await;
        phone.page.goto(bank.stack.status_url.as_deref().unwrap()).await.unwrap();
        phone.page.wait().for_element(Locator::Css(".push")).await.unwrap();
        assert_eq!(phone.overflow().await, 0, "nothing is cut off");
        phone.keep_screenshot("status-phone").await;
        phone.end().await;
        bank.close().await;
    }
}
