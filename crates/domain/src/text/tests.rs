//! Texts with placeholders.

use serde_json::json;

use super::*;

fn asha() -> Customer {
    Customer::parse(
        "c-1",
        json!({"name": "Asha {{ customer.tier }}", "channels": [], "attributes": {"tier": "gold", "spend": 5000, "cards": []}}),
    )
    .unwrap()
}

#[test]
fn placeholders_are_replaced_by_the_customers_values() {
    let text = Text::parse("{{customer.id}}: {{ customer.tier }}, {{ customer.spend }} 🎉").unwrap();
    assert_eq!(text.render(&asha(), 100).unwrap(), "c-1: gold, 5000 🎉");
}

#[test]
fn placeholder_in_a_value_is_not_replaced() {
    let text = Text::parse("Dear {{ customer.name }}").unwrap();
    assert_eq!(text.render(&asha(), 100).unwrap(), "Dear Asha {{ customer.tier }}");
}

#[test]
fn any_other_brace_is_refused_with_its_position() {
    for (source, place) in [
        ("é {name}", 3),
        ("{{ name }}", 1),
        ("{{ customer.tier | upper }}", 1),
        ("{% if x %}", 1),
        ("a }} b", 3),
        ("{{ customer.tier", 1),
        ("{{ customer.a.b }}", 1),
        ("{{{ customer.tier }}}", 1),
    ] {
        assert_eq!(Text::parse(source), Err(InvalidText { place }), "{source}");
    }
}

#[test]
fn rendered_text_has_a_limit_in_characters() {
    let text = Text::parse("é{{ customer.tier }}").unwrap();
    assert_eq!(text.render(&asha(), 5).unwrap(), "égold");
    assert_eq!(text.render(&asha(), 4), Err(RenderError::TooLong { limit: 4 }));
}

#[test]
fn missing_and_unrenderable_attributes_are_distinguished() {
    let render = |source: &str| Text::parse(source).unwrap().render(&asha(), 100);
    assert!(matches!(render("{{ customer.city }}"), Err(RenderError::Missing { .. })));
    assert!(matches!(render("{{ customer.cards }}"), Err(RenderError::NotText { .. })));
}

#[test]
fn stored_text_that_no_longer_parses_is_read_but_not_rendered() {
    let text: Text = serde_json::from_value(json!("Dear {{ name }}")).unwrap();
    assert_eq!(serde_json::to_value(&text).unwrap(), json!("Dear {{ name }}"));
    let error = text.render(&asha(), 100).unwrap_err();
    assert_eq!(error, RenderError::Invalid(InvalidText { place: 6 }));
    assert_eq!(
        error.to_string(),
        "the text has a brace at character 6 that is not part of {{ customer.<attribute> }}; post the offer again \
         with a corrected text"
    );
}

#[test]
fn forbidden_character_in_a_stored_value_is_not_sent() {
    for forbidden in ["\u{202E}", "\u{FFFE}", "\u{1B}", "\u{FEFF}"] {
        let mut customer = asha();
        customer.attributes.insert("city".to_owned(), json!(format!("Lis{forbidden}bon")));
        let error = Text::parse("{{ customer.city }}").unwrap().render(&customer, 100).unwrap_err();
        let message = error.to_string();
        assert!(message.starts_with("the customer's city contains") && !message.contains("Lis"), "{message}");
        assert!(matches!(error, RenderError::ForbiddenValue { field, .. } if field == "city"));
        customer.name = forbidden.to_owned();
        assert!(Text::parse("{{ customer.name }}").unwrap().render(&customer, 100).is_err());
    }
}

#[test]
fn forbidden_character_in_a_stored_text_is_not_sent() {
    for forbidden in ['\u{202E}', '\u{2066}', '\u{FFFE}', '\u{FFFF}', '\u{1B}', '\u{FEFF}'] {
        let text: Text = serde_json::from_value(json!(format!("{{{{ customer.tier }}}}{forbidden}5%"))).unwrap();
        let error = text.render(&asha(), 100).unwrap_err();
        assert!(matches!(error, RenderError::Forbidden(_)), "{error}");
        let place = format!("(character 20, U+{:04X})", u32::from(forbidden));
        assert!(error.to_string().contains(&place), "{error}");
    }
    let text: Text = serde_json::from_value(json!("one\ttwo\nthree")).unwrap();
    assert_eq!(text.render(&asha(), 100).unwrap(), "one\ttwo\nthree");
}

#[test]
fn every_line_break_is_one_newline_in_the_rendered_text() {
    let mut customer = asha();
    customer.attributes.insert("address".to_owned(), json!("1 High Street\r\nSpringfield\rUSA\n\t."));
    let text: Text = serde_json::from_value(json!("Dear\r{{ customer.address }}\r\n")).unwrap();
    assert_eq!(text.render(&customer, 100).unwrap(), "Dear\n1 High Street\nSpringfield\nUSA\n\t.\n");
}
