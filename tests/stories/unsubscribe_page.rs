//! The unsubscribe page in a real browser.

mod in_a_browser {
    use end_to_end::Bank;
    use end_to_end::browser::Browser;
    use fantoccini::Locator;
    use serde_json::json;

    /// A phone's screen, in CSS pixels.
    const PHONE: (u32, u32) = (390, 844);

    #[tokio::test]
    async fn unsubscribe_page_works_on_a_phone() {
        let bank = Bank::open();
        bank.put_customers(&[bank.customer("asha", &json!({}))]).await;
        let offer = bank.post_offer(&json!({"code": "PAGE", "description": "Hello"})).await;
        bank.wait_until_completed(&offer).await;
        let link = bank.mail().await[0].unsubscribe_link().to_owned();

        let browser = Browser::start(PHONE).await;
        let page = &browser.page;
        page.goto(&link).await.unwrap();
        let heading = page.find(Locator::Css("h1")).await.unwrap();
        assert_eq!(heading.text().await.unwrap(), "No more offers by e\u{2011}mail?");
        assert!(!page.source().await.unwrap().contains("<script"));
        // The style is applied, so the content security policy has its hash.
        let button = page.find(Locator::Css("button")).await.unwrap();
        assert_eq!(button.text().await.unwrap(), "Unsubscribe");
        assert_eq!(heading.css_value("font-size").await.unwrap(), "25.6px");
        let (x, y, width, height) = button.rectangle().await.unwrap();
        let (wide, high) = (f64::from(PHONE.0), f64::from(PHONE.1));
        assert!(height >= 44.0 && width > wide / 2.0, "a thumb hits it: {width} × {height}");
        assert!(x >= 0.0 && x + width <= wide && y + height <= high, "it is in view");
        assert_eq!(browser.overflow().await, 0, "nothing is cut off");
        browser.keep_screenshot("unsubscribe").await;

        button.click().await.unwrap();
        let heading = page.wait().for_element(Locator::XPath("//h1[text()='You are unsubscribed']")).await.unwrap();
        assert!(heading.is_displayed().await.unwrap());
        browser.keep_screenshot("unsubscribed").await;
        let offer = bank.post_offer(&json!({"code": "GONE", "description": "Hello"})).await;
        assert_eq!(bank.wait_until_completed(&offer).await["optedOut"], 1);

        page.find(Locator::Css("button")).await.unwrap().click().await.unwrap();
        page.wait().for_element(Locator::XPath("//h1[text()='Welcome back']")).await.unwrap();
        let offer = bank.post_offer(&json!({"code": "BACK", "description": "Hello"})).await;
        assert_eq!(bank.wait_until_completed(&offer).await["sent"], 1);

        page.goto(&format!("{link}x")).await.unwrap();
        page.wait().for_element(Locator::XPath("//h1[text()='This link does not work']")).await.unwrap();
        browser.end().await;
    }
}
