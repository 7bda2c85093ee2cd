//! The page in Chromium, with messages of its own. It needs no stack. `cargo xtask test` skips it where chromedriver is not
//! installed.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod in_a_browser {
    use std::collections::HashMap;
    use std::net::Ipv4Addr;
    use std::process::Stdio;
    use std::time::Duration;

    use axum::extract::Query;
    use axum::routing::get;
    use axum::{Json, Router};
    use fantoccini::wd::Capabilities;
    use fantoccini::{Client, ClientBuilder, Locator};
    use inbox::{Faults, Messages, Texts, Transcript, web};
    use serde_json::{Value, json};
    use tokio::net::TcpListener;
    use tokio::process::{Child, Command};

    /// Screens, in CSS pixels.
    const DESK: (u32, u32) = (1280, 860);
    const PHONE: (u32, u32) = (360, 740);

    #[tokio::test]
    async fn a_message_is_shown_at_the_chosen_width_in_the_chosen_colours() {
        let inbox = serve(&[mail("Hello")]).await;
        for screen in [DESK, PHONE] {
            let (page, _driver) = browse(screen).await;
            page.goto(&format!("{inbox}#1")).await.unwrap();
            for (width, pixels) in [("phone", 360), ("desktop", 640)] {
                for (scheme, is_dark) in [("light", false), ("dark", true)] {
                    choose(&page, width).await;
                    choose(&page, scheme).await;
                    wait_until_message_sees(&page, &json!([pixels, is_dark])).await;
                    let too_wide = "return document.documentElement.scrollWidth - innerWidth";
                    assert_eq!(page.execute(too_wide, vec![]).await.unwrap(), json!(0), "nothing is cut off");
                }
            }
            page.close().await.unwrap();
        }
    }

    #[tokio::test]
    async fn text_headers_source_and_conversation_are_one_key_away_and_a_reload_keeps_the_choice() {
        let inbox = serve(&[mail("Hello")]).await;
        let (page, _driver) = browse(DESK).await;
        page.goto(&format!("{inbox}#1")).await.unwrap();
        choose(&page, "phone").await;
        for (view, wanted) in [
            ("text", "In plain text"),
            ("headers", "<offers.bank.example>"),
            ("source", "=3D"),
            ("conversation", "S: 220 ready"),
        ] {
            // The right arrow key, in the group of the choice so far.
            let group = page.find(Locator::Css("[name=view]:checked")).await.unwrap();
            group.send_keys("\u{e014}").await.unwrap();
            wait_for_text(&page, view, wanted).await;
            page.refresh().await.unwrap();
            wait_for_text(&page, view, wanted).await;
        }
        choose(&page, "message").await;
        wait_until_message_sees(&page, &json!([360, false])).await;
        page.close().await.unwrap();
    }

    #[tokio::test]
    async fn a_list_of_2000_messages_loads_in_pages_and_is_searched() {
        let mails: Vec<_> = (1..=2_000).map(|n| mail(&format!("Number {n}"))).collect();
        let inbox = serve(&mails).await;
        let (page, _driver) = browse(DESK).await;
        page.goto(&inbox).await.unwrap();
        wait_for_text(&page, "subject", "Number 2000").await;
        assert_eq!(page.find_all(Locator::Css("#list li")).await.unwrap().len(), 50);
        page.find(Locator::Id("older")).await.unwrap().click().await.unwrap();
        page.wait().for_element(Locator::Css("#list li:nth-child(100)")).await.unwrap();
        page.find(Locator::Id("find")).await.unwrap().send_keys("number 7").await.unwrap();
        page.wait().for_element(Locator::Css("#list a[href='#799']")).await.unwrap().click().await.unwrap();
        wait_for_text(&page, "subject", "Number 799").await;
        page.close().await.unwrap();
    }

    #[tokio::test]
    async fn text_messages_are_listed_and_searched_beside_the_mails() {
        let sent = |to: &str, text: &str| json!({"PhoneNumber": to, "Message": text});
        let recorded = json!({"sms_messages": {
            "+447700900001": [sent("+447700900001", "5% cashback this month"), sent("+447700900001", "Last day")],
            "+447700900002": [sent("+447700900002", "5% cashback this month")],
        }});
        let list = async move |Query(asked): Query<HashMap<String, String>>| {
            assert_eq!(asked["region"], "eu-west-1");
            Json(recorded.clone())
        };
        let emulator = listen(Router::new().route("/_ministack/sns/sms-messages", get(list))).await;
        let texts = Texts::new(Some((emulator.trim_end_matches('/').to_owned(), "eu-west-1".to_owned())));
        let inbox = serve_with(&[mail("Hello")], texts).await;
        for screen in [DESK, PHONE] {
            let (page, _driver) = browse(screen).await;
            page.goto(&inbox).await.unwrap();
            page.find(Locator::Id("show-texts")).await.unwrap().click().await.unwrap();
            wait_for_text(&page, "texts", "Last day").await;
            assert_eq!(page.find_all(Locator::Css("#texts li")).await.unwrap().len(), 3);
            let too_wide = "return document.documentElement.scrollWidth - innerWidth";
            assert_eq!(page.execute(too_wide, vec![]).await.unwrap(), json!(0), "nothing is cut off");
            page.find(Locator::Id("find")).await.unwrap().send_keys("LAST").await.unwrap();
            page.wait().for_element(Locator::XPath("//*[@id='texts']/ul[count(li)=1]")).await.unwrap();
            page.find(Locator::Id("find")).await.unwrap().send_keys("x").await.unwrap();
            wait_for_text(&page, "texts", "No text message matches").await;
            page.find(Locator::Id("find")).await.unwrap().clear().await.unwrap();
            page.find(Locator::Id("show-mails")).await.unwrap().click().await.unwrap();
            page.wait().for_element(Locator::Css("#list a[href='#1']")).await.unwrap();
            page.close().await.unwrap();
        }
    }

    /// A message with dark styles, a text part and headers.
    fn mail(subject: &str) -> String {
        format!(
            "From: Bank <offers@bank.example>\r\nSubject: {subject}\r\nList-Id: Offers <offers.bank.example>\r\n\
             MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n\
             --b\r\nContent-Type: text/plain\r\n\r\nIn plain text\r\n\
             --b\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
             <!doctype html><html><head><meta name=3D\"color-scheme\" content=3D\"light dark\">\r\n\
             <style>p {{ color: #111 }} @media (prefers-color-scheme: dark) {{ p {{ color: #eee }} }}</style></head>\r\n\
             <body><p>In HTML</p></body></html>\r\n--b--\r\n"
        )
    }

    /// Serves an inbox with these messages. Returns its URL.
    async fn serve(mails: &[String]) -> String {
        serve_with(mails, Texts::default()).await
    }

    async fn serve_with(mails: &[String], texts: Texts) -> String {
        let messages = Messages::default();
        for mail in mails {
            let to = ["ana@customers.example".to_owned()];
            messages.store("offers@bank.example", &to, mail.clone().into_bytes(), Transcript::of("S: 220 ready"));
        }
        listen(web::router(messages, Faults::default(), texts)).await
    }

    /// Serves these routes. Returns their URL.
    async fn listen(routes: Router) -> String {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        url
    }

    /// Starts a browser with a screen of this size. It ends when the driver is dropped.
    async fn browse((width, height): (u32, u32)) -> (Client, Child) {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut driver = Command::new("chromedriver");
        driver.arg(format!("--port={port}")).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let driver = driver.spawn().unwrap();
        let options = json!({
            "args": ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                     "--disable-background-networking", "--disable-component-update", "--disable-sync"],
            "mobileEmulation": {"deviceMetrics": {"width": width, "height": height, "pixelRatio": 1.0, "touch": false}},
        });
        let wanted = Capabilities::from_iter([("goog:chromeOptions".to_owned(), options)]);
        let mut builder = ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new());
        builder.capabilities(wanted);
        for _ in 0..600 {
            if let Ok(page) = builder.connect(&format!("http://127.0.0.1:{port}")).await {
                return (page, driver);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("the browser does not start");
    }

    /// Chooses how the message is shown, once the message is there and with it the choices.
    async fn choose(page: &Client, value: &str) {
        let choice = format!("//label[input[@value='{value}']][not(ancestor::*[@hidden])]");
        page.wait().for_element(Locator::XPath(&choice)).await.unwrap().click().await.unwrap();
    }

    /// Waits until an element is shown and contains this text.
    async fn wait_for_text(page: &Client, id: &str, wanted: &str) {
        let element = format!("//*[@id='{id}'][not(@hidden)][contains(., '{wanted}')]");
        page.wait().for_element(Locator::XPath(&element)).await.unwrap();
    }

    /// Waits until the message's frame is so many CSS pixels wide, and its dark styles apply or not.
    async fn wait_until_message_sees(page: &Client, wanted: &Value) {
        let ask = "return [innerWidth, getComputedStyle(document.querySelector('p')).color === 'rgb(238, 238, 238)']";
        let mut seen = Value::Null;
        for _ in 0..100 {
            page.wait().for_element(Locator::Css("iframe")).await.unwrap();
            page.enter_frame(0).await.unwrap();
            page.wait().for_element(Locator::Css("p")).await.unwrap();
            seen = page.execute(ask, vec![]).await.unwrap();
            page.enter_parent_frame().await.unwrap();
            if seen == *wanted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("the message sees {seen}, not {wanted}");
    }
}
