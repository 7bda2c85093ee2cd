//! Offers as callers post them.

use serde_json::json;

use super::*;

fn post(body: Value) -> Result<Offer, Vec<String>> {
    let default_subject = Text::parse("Save Cash On Transactions").unwrap();
    let posted = Posted {
        id: "01980000-0000-7000-8000-000000000001".parse().unwrap(),
        at: "2026-06-01T12:00:00Z".parse().unwrap(),
        by: "bank",
        default_subject: &default_subject,
    };
    Offer::parse(body, &posted).map_err(|faults| faults.into_vec().into_iter().map(|f| f.field).collect())
}

#[test]
fn code_and_description_are_sufficient() {
    let offer = post(json!({"code": "CASHBK", "description": "Get 5% cashback on 5000 spent"})).unwrap();
    assert_eq!(offer.subject.source(), "Save Cash On Transactions");
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
        let got = offer.render(&customer).map(|rendered| (rendered.subject, rendered.description));
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
    assert_eq!(offer.description.source(), "one\ntwo\nthree 🏴\u{200D}☠️");
}
