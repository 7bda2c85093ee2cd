//! The product's own example. An offer without a rule is for every customer of every bank on the stack, so this is a
//! group of its own.

use end_to_end::{Bank, counts, id_of};
use serde_json::json;

#[tokio::test]
async fn offer_reaches_every_consenting_customer_once() {
    let bank = Bank::open();
    bank.put_customers(&[
        bank.customer("asha", &json!({})),
        bank.customer("ines", &json!({"channels": ["email", "sms"], "mobile": bank.mobile("ines")})),
        bank.customer("tom", &json!({"channels": []})),
        bank.customer("mei", &json!({"channels": ["sms"], "mobile": bank.mobile("mei")})),
    ])
    .await;

    let offer = json!({"code": "CASHBK", "description": "Get 5% cashback on 5000 spent"});
    let response = bank.call("POST", "/offer/create", &offer).await;
    assert_eq!(response.status, 201, "{}", response.text);
    let stored = response.json();
    assert!(response.headers["location"].ends_with(&format!("/offers/{}", id_of(&stored))));
    bank.wait_until_completed(&stored).await;

    let texts = bank.texts(&["asha", "ines", "tom", "mei"]).await;
    assert_eq!(texts.keys().collect::<Vec<_>>(), ["ines", "mei"]);
    for texts in texts.values() {
        let [text] = &texts[..] else { panic!("one each: {texts:?}") };
        let said = "Offercast Bank: Save Cash On Transactions\nGet 5% cashback on 5000 spent\nReply STOP to opt out";
        assert_eq!(text.message, said);
    }
    assert_eq!(bank.mail_count().await, counts(&["asha", "ines"]));
    for mail in bank.mail().await {
        assert_eq!(mail.from, "offers@bank.example");
        assert_eq!(mail.header("Reply-To"), "service@bank.example");
        assert_eq!(mail.subject, "Save Cash On Transactions");
        assert_eq!(mail.body_lines(), ["Get 5% cashback on 5000 spent"]);
        assert!(mail.html.contains("Get 5% cashback on 5000 spent"));
        assert!(mail.header("Content-Type").starts_with("multipart/alternative"));
        assert!(mail.header("Message-ID").ends_with("@bank.example>"));
    }
}
