//! Offers as callers post them.

use serde_json::json;

use super::*;
use crate::markup::{Block, Span};

fn post(body: Value) -> Result<Offer, Vec<String>> {
    let posted = Posted {
        id: "01980000-0000-7000-8000-000000000001".parse().unwrap(),
        at: "2026-06-01T12:00:00Z".parse().unwrap(),
        by: "bank",
        policy: &tests_policy(),
    };
    Offer::parse(body, &posted).map_err(|faults| faults.into_vec().into_iter().map(|f| f.field).collect())
}

#[test]
fn code_and_description_are_sufficient() {
    let offer = post(json!({"code": "CASHBK", "description": "Get 5% cashback on 5000 spent"})).unwrap();
    assert_eq!(offer.announcement.subject.source(), "Save Cash On Transactions");
    assert_eq!(offer.channels.len(), 2);
    assert_eq!(offer.eligibility, None);
}

#[test]
fn every_fault_is_reported() {
    let faults = post(json!({
        "code": "", "subject": "two\nlines", "description": "{name}", "eligibility": "customer.tier ==",
        "channels": ["pigeon"], "validFrom": "2026-07-01", "validUntil": "2020-01-01T00:00:00Z", "prize": 1
    }))
    .unwrap_err();
    assert_eq!(
        faults,
        ["code", "description", "subject", "eligibility", "channels[0]", "validFrom", "validUntil", "prize"]
    );
}

#[test]
fn limits_are_exact_in_characters() {
    let of = |code: usize, subject: usize, description: usize| {
        post(json!({"code": "é".repeat(code), "subject": "é".repeat(subject), "description": "é".repeat(description)}))
    };
    assert!(of(CODE_LIMIT, SUBJECT_LIMIT, DESCRIPTION_LIMIT).is_ok());
    assert_eq!(
        of(CODE_LIMIT + 1, SUBJECT_LIMIT + 1, DESCRIPTION_LIMIT + 1).unwrap_err(),
        ["code", "description", "subject"]
    );
}

#[test]
fn valid_until_must_be_after_valid_from() {
    let faults = post(json!({
        "code": "A", "description": "B", "validFrom": "2026-07-02T00:00:00Z", "validUntil": "2026-07-01T00:00:00+01:00"
    }))
    .unwrap_err();
    assert_eq!(faults, ["validUntil"]);
}

#[test]
fn validity_is_within_a_hundred_years_and_last_push_date_follows_valid_from() {
    let far = "9999-12-15T00:00:00Z";
    let offer = json!({"code": "A", "description": "B", "validFrom": far, "validUntil": far});
    assert_eq!(post(offer).unwrap_err(), ["validFrom", "validUntil", "validUntil"]);
    let offer = post(json!({"code": "A", "description": "B", "validFrom": "2027-06-01T00:00:00Z"})).unwrap();
    assert_eq!(offer.last_push_date().to_string(), "2027-08-30T00:00:00Z");
}

#[test]
fn wrong_types_are_reported_by_field() {
    let faults = post(json!({"code": 1, "description": ["x"], "channels": "email"})).unwrap_err();
    assert_eq!(faults, ["code", "description", "channels"]);
    assert_eq!(post(json!(["not", "an", "object"])).unwrap_err(), ["body"]);
}

#[test]
fn text_that_shows_nothing_with_the_customers_values_is_not_sent() {
    let attributes = json!({"empty": "", "filler": "\u{3164}\u{200B}", "breaks": "\r\n\t", "tier": "gold"});
    let customer = json!({"name": "Asha", "channels": [], "attributes": attributes});
    let customer = Customer::parse("c-1", customer).unwrap();
    let blank = |field| Err(format!("{field}: with the customer's values, the text shows nothing"));
    for (subject, description, rendered) in [
        ("{{ customer.empty }}", "A", blank("subject")),
        ("A", "{{ customer.empty }}", blank("description")),
        ("{{ customer.filler }}", "A", blank("subject")),
        ("A", "{{ customer.filler }} {{customer.breaks}}", blank("description")),
        ("A{{ customer.empty }}", "{{ customer.filler }}{{ customer.tier }}", Ok(("A", "\u{3164}\u{200B}gold"))),
    ] {
        let offer = post(json!({"code": "A", "subject": subject, "description": description})).unwrap();
        let rendered =
            rendered.map(|(subject, description): (&str, &str)| (subject.to_owned(), description.to_owned()));
        let got = offer
            .render(&customer, Channel::Email, &Language::english())
            .map(|r| (r.subject, one_paragraph(r.description)));
        assert_eq!(got, rendered, "{subject:?} {description:?}");
    }
}

#[test]
fn forbidden_character_of_a_stored_offer_is_found_in_each_text() {
    let offer = post(json!({"code": "A", "subject": "B", "description": "C\n\t", "eligibility": "true"})).unwrap();
    assert_eq!(offer.check_characters(), Ok(()));
    for field in ["code", "subject", "description", "eligibility"] {
        let mut stored = serde_json::to_value(&offer).unwrap();
        stored[field] = json!("true\u{FFFE}");
        let stored: Offer = serde_json::from_value(stored).unwrap();
        assert_eq!(stored.check_characters().unwrap_err().0, field);
    }
}

#[test]
fn text_that_would_not_arrive_as_it_was_meant_is_refused() {
    for forbidden in ["\u{FFFE}", "\u{FFFF}", "\u{202E}", "\u{2066}", "\u{FEFF}", "\u{E0041}", "\u{85}"] {
        let text = format!("a{forbidden}");
        let rule = format!("customer.tier == '{forbidden}'");
        let offer = json!({"code": text, "subject": text, "description": text, "eligibility": rule});
        assert_eq!(post(offer).unwrap_err(), ["code", "description", "subject", "eligibility"], "{text:?}");
    }
    for blank in ["", " ", "\u{200B}\u{3164}", "\u{2800}"] {
        let offer = json!({"code": blank, "subject": blank, "description": blank});
        assert_eq!(post(offer).unwrap_err(), ["code", "description", "subject"], "{blank:?}");
    }
    let offer = post(json!({"code": "A", "description": "one\r\ntwo\rthree 🏴\u{200D}☠️"})).unwrap();
    assert_eq!(offer.announcement.description.source(), "one\ntwo\nthree 🏴\u{200D}☠️");
}

/// The text of a description of one paragraph.
fn one_paragraph(body: Body) -> String {
    match body {
        Body::Plain(text) => text,
        Body::Formatted(blocks) => {
            let [Block::Paragraph(content)] = &blocks[..] else { panic!("not one paragraph: {blocks:?}") };
            content.iter().map(plain).collect()
        }
    }
}

fn plain(span: &Span) -> String {
    match span {
        Span::Text(text) => text.clone(),
        Span::Strong(content) => content.iter().map(plain).collect(),
        other => panic!("neither text nor strong text: {other:?}"),
    }
}

/// With every field.
fn whole() -> Value {
    json!({
        "code": "SUMMER", "subject": "Summer, {{ customer.name }}", "description": "Get **5 %** until autumn",
        "link": {"url": "https://bank.example/offer?c={{ customer.id }}", "label": "See the offer"},
        "preheader": "5 % back", "terms": r#"Up to {{ customer.limit | money: "EUR" }}"#,
        "image": {"url": "https://bank.example/beach.png", "alt": "A beach"},
        "language": "en", "validUntil": "2026-09-01T00:00:00+01:00",
        "sms": {"cut": false, "dltEntityId": "1101234567890123456", "dltTemplateId": "1107123456789012345"},
        "translations": {
            "de": {"subject": "Sommer, {{ customer.name }}", "description": "Holen Sie **5 %**", "preheader": "5 % zurück",
                   "terms": r#"Bis {{ customer.limit | money: "EUR" }}"#, "link": {"label": "Zum Angebot"},
                   "image": {"alt": "Ein Strand"}},
            "pt-pt": {"subject": "Verão", "link": {"url": "https://bank.example/pt", "label": "Ver a oferta"}}
        }
    })
}

fn customer(locale: Option<&str>) -> Customer {
    let customer = json!({"name": "Asha", "channels": [], "locale": locale, "timeZone": "Europe/Lisbon", "attributes": {"limit": 1200}});
    Customer::parse("c-1", customer).unwrap()
}

#[test]
fn customer_gets_the_offer_in_their_language() {
    const URL: &str = "https://bank.example/offer?c=c-1";
    let offer = post(whole()).unwrap();
    let seen = |locale| {
        let rendered = offer.render(&customer(locale), Channel::Email, &Language::english()).unwrap();
        let terms = one_paragraph(rendered.terms.unwrap());
        let link = rendered.link.unwrap();
        [rendered.language.to_string(), rendered.subject, terms, link.url, link.label, rendered.valid_until.unwrap()]
    };
    for locale in [None, Some("en"), Some("en-US"), Some("ja"), Some("pt")] {
        let english = ["en", "Summer, Asha", "Up to €1,200.00", URL, "See the offer", "August 31, 2026"];
        assert_eq!(seen(locale), english, "{locale:?}");
    }
    let in_the_region = ["en", "Summer, Asha", "Up to 1 200,00 €", URL, "See the offer", "31 August 2026"];
    assert_eq!(seen(Some("sv-SE")), in_the_region);
    let german = ["de", "Sommer, Asha", "Bis 1.200,00 €", URL, "Zum Angebot", "31. August 2026"];
    assert_eq!(seen(Some("de-DE")), german);
    let austrian = ["de", "Sommer, Asha", "Bis € 1 200,00", URL, "Zum Angebot", "31. August 2026"];
    assert_eq!(seen(Some("de-AT")), austrian);
    // What the translation lacks is as in the offer's own language, with the formats of the translation.
    let portuguese =
        ["pt-PT", "Verão", "Up to 1200,00 €", "https://bank.example/pt", "Ver a oferta", "31 de agosto de 2026"];
    assert_eq!(seen(Some("pt-PT")), portuguese);
    assert_eq!(seen(Some("pt-AO"))[0], "pt-PT");
}

/// A text message has neither preheader, image, small print nor button.
#[test]
fn text_message_is_not_kept_by_what_it_does_not_have() {
    let mut body = whole();
    let nick = "{{ customer.nick }}";
    (body["preheader"], body["terms"], body["image"]["alt"]) = (json!(nick), json!(nick), json!(nick));
    body["link"]["label"] = json!(nick);
    let offer = post(body).unwrap();
    let render = |channel| offer.render(&customer(None), channel, &Language::english());
    assert_eq!(render(Channel::Sms).unwrap().subject, "Summer, Asha");
    let error = render(Channel::Email).unwrap_err();
    assert_eq!(error, "preheader: the customer has no nick, which the text uses");
}

#[test]
fn stored_offer_is_read_as_it_was_posted() {
    let offer = post(whole()).unwrap();
    let stored = serde_json::to_value(&offer).unwrap();
    assert_eq!(stored["markup"], "commonmark");
    assert_eq!(serde_json::from_value::<Offer>(stored).unwrap(), offer);
    let short = serde_json::to_value(post(json!({"code": "A", "description": "B"})).unwrap()).unwrap();
    let mut fields: Vec<_> = short.as_object().unwrap().keys().collect();
    fields.sort();
    assert_eq!(
        fields,
        ["channels", "code", "createdAt", "createdBy", "description", "id", "language", "markup", "subject"]
    );
}

#[test]
fn offer_of_an_earlier_release_is_sent_as_the_plain_text_that_it_was() {
    let mut stored = serde_json::to_value(post(json!({"code": "A", "description": "B"})).unwrap()).unwrap();
    for new in ["markup", "language"] {
        stored.as_object_mut().unwrap().remove(new);
    }
    stored["description"] = json!("Get *5 %* <b>now</b>\n\n\n# {{ customer.name }}\n1) https://bank.example");
    let offer: Offer = serde_json::from_value(stored).unwrap();
    let rendered = offer.render(&customer(Some("de")), Channel::Email, &"pt".parse().unwrap()).unwrap();
    let text = "Get *5 %* <b>now</b>\n\n\n# Asha\n1) https://bank.example";
    assert_eq!(rendered.description, Body::Plain(text.to_owned()));
    assert_eq!(rendered.language.to_string(), "pt");
}

#[test]
fn every_fault_of_the_fields_within_fields_is_reported() {
    let mut offer = whole();
    offer["language"] = json!("tlh");
    offer["link"] = json!({"url": "http://bank.example", "labels": "x"});
    offer["image"] = json!({"url": "https://evil.example/", "alt": ""});
    offer["preheader"] = json!("two\nlines");
    offer["terms"] = json!("<b>bold</b>");
    offer["sms"] = json!({"cut": "no", "dltEntityId": "a-b"});
    let mut faults = post(offer).unwrap_err();
    faults.sort();
    assert_eq!(
        faults,
        [
            "image.alt",
            "image.url",
            "language",
            "link.label",
            "link.labels",
            "link.url",
            "preheader",
            "sms.cut",
            "sms.dltEntityId",
            "terms",
        ]
    );
    let translations = json!({
        "english": {}, "tlh": {"subject": "x"}, "en-US": {}, "de": [], "fr": {"subject": "", "links": 1, "link": {"url": "x"}},
        "pt-BR": {}, "pt": {}
    });
    let mut faults = post(json!({"code": "A", "description": "B", "translations": translations})).unwrap_err();
    faults.sort();
    assert_eq!(
        faults,
        [
            "translations.de",
            "translations.en-US",
            "translations.english",
            "translations.fr.link",
            "translations.fr.link.url",
            "translations.fr.links",
            "translations.fr.subject",
            "translations.pt-BR",
            "translations.tlh"
        ]
    );
    let many: serde_json::Map<_, _> = (0..=TRANSLATIONS_LIMIT).map(|i| (format!("x{i}"), json!({}))).collect();
    assert_eq!(post(json!({"code": "A", "description": "B", "translations": many})).unwrap_err(), ["translations"]);
}

#[test]
fn what_an_offer_says_fits_into_an_event() {
    let description = "ü".repeat(DESCRIPTION_LIMIT);
    let mut offer = json!({"code": "A", "description": description, "translations": {}});
    for language in ["de", "fr", "es", "it", "nl"] {
        offer["translations"][language] = json!({"description": description});
    }
    assert!(post(offer.clone()).is_ok());
    offer["translations"]["pl"] = json!({"description": description});
    assert_eq!(post(offer).unwrap_err(), ["body"]);
}

#[test]
fn forbidden_character_of_a_stored_translation_is_found() {
    let mut stored = serde_json::to_value(post(whole()).unwrap()).unwrap();
    stored["translations"]["pt-PT"]["link"]["label"] = json!("a\u{FFFE}");
    let stored: Offer = serde_json::from_value(stored).unwrap();
    assert_eq!(stored.check_characters().unwrap_err().0, "translations.pt-PT.link.label");
}
