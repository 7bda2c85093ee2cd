//! Offers in each customer's language, from the call that posts them to the page that ends them.

use std::collections::BTreeMap;

use end_to_end::unsubscribe_page::page;
use end_to_end::{Bank, Mail, id_of};
use serde_json::{Value, json};

/// An offer with all that it can say.
fn offer() -> Value {
    json!({
        "code": "SUMMER", "subject": "Summer, {{ customer.name | default: \"you\" }}", "preheader": "Nothing to activate",
        "description": "Get **{{ customer.limit | money: \"EUR\" }}** until {{ customer.renewal | date: \"long\" }}:\n\n- in shops\n- online",
        "link": {"url": "https://bank.example/summer?c={{ customer.id }}", "label": "See the offer"},
        "terms": "Once a year. [Terms](https://bank.example/terms)",
        "image": {"url": "https://bank.example/beach.png", "alt": "A beach"},
        "validUntil": "2031-08-31T18:00:00Z",
        "translations": {
            "pt-PT": {
                "subject": "Verão, {{ customer.name }}", "preheader": "Nada para ativar",
                "description": "Receba **{{ customer.limit | money: \"EUR\" }}** até {{ customer.renewal | date: \"long\" }}",
                "link": {"label": "Ver a oferta"}, "terms": "Uma vez por ano.", "image": {"alt": "Uma praia"}
            },
            "ar": {
                "subject": "عرض الصيف", "preheader": "لا حاجة إلى التفعيل",
                "description": "احصل على **{{ customer.limit | money: \"EUR\" }}**",
                "link": {"label": "اطّلع على العرض"}, "terms": "مرة في السنة.", "image": {"alt": "شاطئ"}
            }
        }
    })
}

fn customer(bank: &Bank, who: &str, locale: Value) -> Value {
    let attributes = json!({"limit": 1200.5, "renewal": "2031-03-01"});
    bank.customer(who, &json!({"locale": locale, "attributes": attributes}))
}

/// What a mail says of its language, and what its reader sees of the offer.
fn seen(mail: &Mail) -> [&str; 3] {
    let root = mail.html.split_once("<html ").and_then(|(_, html)| html.split_once('>')).expect("an HTML element").0;
    [mail.header("Content-Language"), root, &mail.subject]
}

#[tokio::test]
async fn each_customer_gets_the_offer_and_the_page_in_their_language() {
    let bank = Bank::open();
    let locales = [
        ("asha", json!("en-IN")),
        ("ines", json!("pt-PT")),
        ("joao", json!("pt-AO")),
        ("layla", json!("ar-EG")),
        ("sven", json!("sv-SE")),
        ("tom", Value::Null),
    ];
    bank.put_customers(&locales.map(|(who, locale)| customer(&bank, who, locale))).await;
    let offer = bank.post_offer(&offer()).await;
    let push = bank.wait_until_completed(&offer).await;
    assert_eq!(push["sent"], 6, "{push}");

    let mails = bank.mail().await;
    let mails: BTreeMap<_, _> =
        mails.iter().map(|mail| (mail.to.split('@').next().unwrap_or_default(), mail)).collect();
    let said = |who: &str, words: &[&str]| {
        let mail = mails[who];
        let text = mail.text.replace("\r\n", "\n");
        for word in words {
            assert!(text.contains(word) && mail.html.contains(word), "{who}: {word}\n{text}\n{}", mail.html);
        }
    };
    let english = r#"lang="en" dir="ltr""#;
    for (who, expected) in [
        ("asha", ["en", english, "Summer, asha"]),
        ("ines", ["pt-PT", r#"lang="pt-PT" dir="ltr""#, "Verão, ines"]),
        ("joao", ["pt-PT", r#"lang="pt-PT" dir="ltr""#, "Verão, joao"]),
        ("layla", ["ar", r#"lang="ar" dir="rtl""#, "عرض الصيف"]),
        ("sven", ["en", english, "Summer, sven"]),
        ("tom", ["en", english, "Summer, tom"]),
    ] {
        let [language, root, subject] = seen(mails[who]);
        assert_eq!([language, subject], [expected[0], expected[2]], "{who}");
        assert!(root.contains(expected[1]), "{who}: {root}");
    }
    said(
        "asha",
        &["€1,200.50", "1 March 2031", "See the offer", "Valid until 31 August 2031.", "never asks you for your PIN"],
    );
    said(
        "ines",
        &[
            "1200,50 €",
            "1 de março de 2031",
            "Ver a oferta",
            "Oferta válida até 31 de agosto de 2031.",
            "palavra-passe",
        ],
    );
    said("layla", &["١٬٢٠٠٫٥٠ €", "اطّلع على العرض", "صالح حتى ٣١ أغسطس ٢٠٣١"]);
    said("sven", &["1 200,50 €", "1 March 2031", "Valid until 31 August 2031."]);

    let url = format!("https://bank.example/summer?c={}", bank.id("ines"));
    for mail in mails.values() {
        assert_eq!(mail.html.matches("<h1").count(), 1);
        assert!(mail.html.len() < 100_000);
        assert_eq!(mail.header("Auto-Submitted"), "auto-generated");
        assert!(mail.header("List-Id").ends_with("<offers.bank.example>"), "{}", mail.header("List-Id"));
        let feedback = mail.header("Feedback-ID");
        assert!(feedback.contains(offer["id"].as_str().unwrap()) && !feedback.contains(&bank.id("")), "{feedback}");
    }
    assert!(mails["ines"].text.lines().any(|line| line.trim_end().ends_with(&url)), "{}\n{url}", mails["ines"].text);
    assert!(mails["ines"].html.contains(&format!("href=\"{url}\"")), "{}", mails["ines"].html);

    for (who, root, title) in [
        ("asha", english, "No more offers by e\u{2011}mail?"),
        ("ines", r#"lang="pt-PT" dir="ltr""#, "Não quer receber mais ofertas por e-mail?"),
        ("layla", r#"lang="ar" dir="rtl""#, "هل تريد إيقاف العروض عبر البريد الإلكتروني؟"),
    ] {
        let page = page(mails[who].unsubscribe_link()).await;
        assert!(page.contains(root) && page.contains(title), "{who}: {page}");
    }
}

#[tokio::test]
async fn text_message_has_the_link_and_is_in_the_customers_language() {
    let bank = Bank::open();
    let texting = |who: &str, name: &str, locale: &str| {
        bank.customer(who, &json!({"name": name, "channels": ["sms"], "mobile": bank.mobile(who), "locale": locale}))
    };
    bank.put_customers(&[texting("ines", "Inês", "pt-BR"), texting("tom", "Tom", "en-GB")]).await;
    let offer = bank
        .post_offer(&json!({
            "code": "SMS", "subject": "Hello {{ customer.name }}", "description": "Get **5%** back",
            "link": {"url": "https://bank.example/?c={{ customer.name }}", "label": "See"},
            "translations": {"pt": {"subject": "Olá {{ customer.name }}", "description": "Receba **5%** de volta"}}
        }))
        .await;
    bank.wait_until_completed(&offer).await;
    let texts = bank.texts(&["ines", "tom"]).await;
    let english = "Offercast Bank: Hello Tom\nGet 5% back\nhttps://bank.example/?c=Tom\nReply STOP to opt out";
    assert_eq!(texts["tom"][0].message, english);
    let portuguese =
        "Offercast Bank: Ola Ines\nReceba 5% de volta\nhttps://bank.example/?c=In%C3%AAs\nResponda STOP para cancelar";
    assert_eq!(texts["ines"][0].message, portuguese);
}

/// What the release before stored has neither a language nor a mark of its formatting.
#[tokio::test]
async fn offer_that_an_earlier_release_stored_is_sent_as_the_plain_text_that_it_was() {
    let bank = Bank::open();
    let offer = bank.post_offer(&json!({"code": "OLD", "description": "Get 5%"})).await;
    // The first push finds no customer.
    bank.wait_until_completed(&offer).await;
    bank.tables().make_offer_of_earlier_release(&offer, "Get *5 %*\n# now {{ customer.name }}\n\n<b>1</b>").await;
    bank.put_customers(&[customer(&bank, "ines", json!("pt-PT"))]).await;
    let response = bank.call("POST", &format!("/offers/{}/pushes", id_of(&offer)), &json!({})).await;
    assert_eq!(response.status, 202, "{}", response.text);
    let push = bank.wait_until_push_completed(&offer, 2).await;
    assert_eq!(push["sent"], 1, "{push}");
    let mail = &bank.mail().await[0];
    assert_eq!(mail.body_lines(), ["Get *5 %*", "# now ines", "", "<b>1</b>"]);
    assert!(mail.html.contains("Get *5 %*") && !mail.html.contains("<b>1</b>"), "{}", mail.html);
}

#[tokio::test]
async fn what_readers_could_not_read_is_refused_with_its_place() {
    let bank = Bank::open();
    let body = json!({
        "code": "BAD", "description": "Hi <b>you</b> {{ customer.limit | monney: \"EUR\" }}", "terms": "[a](http://bank.example)",
        "link": {"url": "https://{{ customer.host }}/", "label": ""}, "preheader": "{{ customer.limit | money: \"eur\" }}",
        "image": {"url": "https://127.0.0.1/a.png"}, "language": "xx", "translations": {"en-x": {}, "de": {"topic": "x"}}
    });
    let response = bank.call("POST", "/offers", &body).await;
    assert_eq!(response.status, 400, "{}", response.text);
    let errors = response.json()["errors"].clone();
    let error = |field: &str| {
        let found = errors.as_array().unwrap().iter().find(|error| error["field"] == field);
        found.unwrap_or_else(|| panic!("{field}: {errors}"))["detail"].as_str().unwrap().to_owned()
    };
    for (field, detail) in [
        ("description", "has an unknown filter at character 35; the filters are default, number, money and date"),
        ("terms", "has a link that must be an https:// URL, as in https://bank.example/offers (character 1)"),
        ("link.url", "must have placeholders in the query only"),
        ("link.label", "must not be empty"),
        ("preheader", "has a filter money without a currency at character 21"),
        ("image.url", "must have a domain, not an address of numbers"),
        ("image.alt", "is required"),
        ("language", "is a language that has no catalogue"),
        ("translations.en-x", "must be a language tag (BCP 47)"),
        ("translations.de.topic", "is not a known field; expected one of: subject, description"),
    ] {
        assert!(error(field).starts_with(detail), "{field}: {}", error(field));
    }
}
