use domain::offer::SUBJECT_LIMIT;
use serde_json::json;

use super::*;

fn text(subject: &str, description: &str, segments: usize) -> Result<String, String> {
    let composer = SmsComposer::new("A Bank", "Reply STOP to opt out", segments).unwrap();
    let offer = json!({"code": "X", "subject": subject, "description": description});
    let customer = json!({"name": "Asha", "mobile": "+351912345678", "channels": ["sms"]});
    let customer = Customer::parse("c-1", customer).unwrap();
    composer.compose(&(), &testing::offer(offer), &customer, &testing::address_hash(Channel::Sms, "+351912345678")).map(
        |message| {
            assert_eq!(message.to, "+351912345678");
            assert!(!format!("{message:?}").contains("351"));
            message.text
        },
    )
}

#[test]
fn text_has_brand_offer_and_opt_out_wording() {
    let text = text("Save", "Dear {{ customer.name }}, get 5%", 1).unwrap();
    assert_eq!(text, "A Bank: Save\nDear Asha, get 5%\nReply STOP to opt out");
}

#[test]
fn long_offer_is_cut_but_its_opt_out_wording_is_not() {
    let text = text("Save", &"Get 5% cashback. ".repeat(40), 2).unwrap();
    assert!(text.ends_with("...\nReply STOP to opt out"), "{text}");
    assert_eq!(crate::compose::segments::count(&text), 2);
}

#[test]
fn opt_out_wording_must_leave_room_for_an_offer() {
    for (brand_name, opt_out, segments, has_room) in [
        ("A Bank", "Reply STOP to opt out", 1, true),
        ("A Bank", &"x".repeat(60), 1, true),
        (&"x".repeat(100), &"x".repeat(60), 1, false),
        (&"x".repeat(100), &"x".repeat(60), 2, true),
        // One character that is not in the GSM alphabet leaves 70.
        ("A Bank", "Responda PARE para não receber mais", 1, true),
        ("A Bank", "Responda PARE para não receber mais ofertas", 1, false),
        // A typographic apostrophe is replaced.
        ("A Bank", "Don’t want this? Reply STOP to get no more of these offers", 1, true),
    ] {
        let composer = SmsComposer::new(brand_name, opt_out, segments);
        assert_eq!(composer.is_ok(), has_room, "{brand_name}, {opt_out}, {segments}");
    }
    let error = SmsComposer::new("A Bank", &"🎁".repeat(60), 2).unwrap_err().to_string();
    assert!(error.contains("SmsOptOutText") && error.contains("3 segments") && error.contains("allows 2"), "{error}");
}

#[test]
fn text_without_anything_of_the_offer_is_not_composed() {
    let customer = json!({"name": "Asha", "mobile": "+351912345678", "channels": ["sms"]});
    let customer = Customer::parse("c-1", customer).unwrap();
    let arabic = "احصل على استرداد نقدي بنسبة خمسة بالمئة على كل مشترياتك هذا الشهر";
    // A message in UCS-2 holds 70 units. Head, ellipsis and foot take 27 more than the brand name.
    for (brand, description, kept) in [
        (23, arabic, Some(23)), // with the ellipsis
        (24, arabic, None),
        (60, arabic, None),
        (60, "Get five per cent cashback on all you spend this month, and on what you saved", Some(20)),
        (23, "🎁", Some(3)),
    ] {
        let composer = SmsComposer::new(&"B".repeat(brand), "Reply STOP to opt out", 1).unwrap();
        let offer = testing::offer(json!({"code": "X", "subject": "%", "description": description}));
        let text = composer.text(&offer, &customer);
        let Some(kept) = kept else {
            let error = text.unwrap_err();
            assert!(error.contains("SmsOptOutText") && error.contains("SmsSegments"), "{error}");
            continue;
        };
        let text = text.unwrap();
        let body = text.strip_suffix("\nReply STOP to opt out").unwrap().strip_prefix(&"B".repeat(brand)).unwrap();
        assert!(body.strip_prefix(": ").unwrap().chars().count() >= kept, "{text}");
        assert_eq!(crate::compose::segments::count(&text), 1);
    }
}

#[test]
fn text_message_with_too_long_values_is_not_composed() {
    let long = "{{ customer.name }}".repeat(SUBJECT_LIMIT / 19);
    let offer = json!({"code": "X", "subject": long, "description": "A"});
    let customer = json!({"name": "x".repeat(200), "mobile": "+351912345678", "channels": ["sms"]});
    let customer = Customer::parse("c-1", customer).unwrap();
    let composer = SmsComposer::new("A Bank", "STOP", 2).unwrap();
    let error = composer.text(&testing::offer(offer), &customer).unwrap_err();
    assert_eq!(error, "subject: with the customer's values, the text has more than 400 characters");
}

#[test]
fn missing_attribute_is_an_error_that_names_it() {
    assert!(text("Save", "{{ customer.city }}", 1).unwrap_err().contains("no city"));
}
