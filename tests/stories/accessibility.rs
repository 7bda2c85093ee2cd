//! axe-core finds no barrier in e-mails and pages: at the widths of a phone and of a wide screen, in the light and in the dark,
//! from left to right and from right to left.

mod in_a_browser {
    mod with_axe {
        use end_to_end::Bank;
        use end_to_end::browser::Browser;
        use fantoccini::Locator;
        use serde_json::json;

        /// The widths of a phone's and of a wide screen, in CSS pixels.
        const WIDTHS: [u32; 2] = [360, 1000];

        #[tokio::test]
        async fn emails_and_their_pages_have_no_barriers() {
            let bank = Bank::open();
            bank.put_customers(&[
                bank.customer("asha", &json!({"locale": "en-GB"})),
                bank.customer("layla", &json!({"locale": "ar-EG"})),
            ])
            .await;
            let offer = json!({
                "code": "A11Y", "subject": "5% cashback", "preheader": "Nothing to activate",
                "description": "Dear {{ customer.name }},\n\n# In shops\n\n- **5%** back\n- *once*\n\n> [Ask us](https://bank.example/ask)",
                "link": {"url": "https://bank.example/offer", "label": "See the offer"},
                "image": {"url": "https://bank.example/card.png", "alt": "A card"}, "terms": "[Terms](https://bank.example/terms)",
                "translations": {"ar": {
                    "subject": "استرداد 5%", "preheader": "لا حاجة إلى التفعيل", "terms": "[الشروط](https://bank.example/terms)",
                    "description": "مرحبًا،\n\n# في المتاجر\n\n- **5%**\n- مرة\n\n> [اسألنا](https://bank.example/ask)",
                    "link": {"label": "اطّلع على العرض"}, "image": {"alt": "بطاقة"}
                }}
            });
            let offer = bank.post_offer(&offer).await;
            bank.wait_until_completed(&offer).await;
            let mails = bank.mail().await;
            assert_eq!(mails.len(), 2);

            for width in WIDTHS {
                let browser = Browser::start((width, 900)).await;
                for scheme in ["light", "dark"] {
                    browser.set_colour_scheme(scheme).await;
                    for mail in &mails {
                        let language = mail.header("Content-Language");
                        browser.show(&mail.html).await;
                        assert_eq!(browser.barriers().await, [""; 0], "e-mail in {language}, {scheme}, {width}");
                        assert_eq!(browser.overflow().await, 0, "e-mail in {language}, {scheme}, {width}");
                        browser.keep_screenshot(&format!("email-{language}-{scheme}-{width}")).await;
                        browser.page.goto(mail.unsubscribe_link()).await.unwrap();
                        assert_eq!(browser.barriers().await, [""; 0], "page in {language}, {scheme}, {width}");
                        assert_eq!(browser.overflow().await, 0, "page in {language}, {scheme}, {width}");
                        browser.keep_screenshot(&format!("unsubscribe-{language}-{scheme}-{width}")).await;
                    }
                    browser.page.goto(&format!("{}x", mails[0].unsubscribe_link())).await.unwrap();
                    assert_eq!(browser.barriers().await, [""; 0], "page of a wrong link, {scheme}, {width}");
                    browser.page.goto(&bank.stack.inbox_url).await.unwrap();
                    browser.page.wait().for_element(Locator::Css("#list a")).await.unwrap().click().await.unwrap();
                    assert_eq!(browser.barriers().await, [""; 0], "inbox, {scheme}, {width}");
                }
                browser.end().await;
            }
        }
    }
}
