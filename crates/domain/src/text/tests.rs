//! Texts with placeholders.

use language::{Formats, Language};
use serde_json::json;

use super::*;
use crate::Customer;

impl Text {
    /// In English.
    fn render_for(&self, customer: &Customer, limit: usize) -> Result<String, RenderError> {
        let formats = Formats::new(&Language::english(), customer.locale.as_deref());
        self.render(&Values::new(customer, &formats), limit)
    }
}

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
    assert_eq!(text.render_for(&asha(), 100).unwrap(), "c-1: gold, 5000 🎉");
}

#[test]
fn placeholder_in_a_value_is_not_replaced() {
    let text = Text::parse("Dear {{ customer.name }}").unwrap();
    assert_eq!(text.render_for(&asha(), 100).unwrap(), "Dear Asha {{ customer.tier }}");
}

#[test]
fn any_other_brace_is_refused_with_its_position() {
    for (source, place) in [
        ("é {name}", 3),
        ("{{ name }}", 1),
        ("{% if x %}", 1),
        ("a }} b", 3),
        ("{{ customer.tier", 1),
        ("{{ customer.a.b }}", 1),
        ("{{{ customer.tier }}}", 1),
    ] {
        assert_eq!(Text::parse(source), Err(InvalidText { place, fault: TextFault::Brace }), "{source}");
    }
}

#[test]
fn rendered_text_has_a_limit_in_characters() {
    let text = Text::parse("é{{ customer.tier }}").unwrap();
    assert_eq!(text.render_for(&asha(), 5).unwrap(), "égold");
    assert_eq!(text.render_for(&asha(), 4), Err(RenderError::TooLong { limit: 4 }));
}

#[test]
fn missing_and_unrenderable_attributes_are_distinguished() {
    let render = |source: &str| Text::parse(source).unwrap().render_for(&asha(), 100);
    assert!(matches!(render("{{ customer.city }}"), Err(RenderError::Missing { .. })));
    assert!(matches!(render("{{ customer.cards }}"), Err(RenderError::NotText { .. })));
}

#[test]
fn stored_text_that_no_longer_parses_is_read_but_not_rendered() {
    let text: Text = serde_json::from_value(json!("Dear {{ name }}")).unwrap();
    assert_eq!(serde_json::to_value(&text).unwrap(), json!("Dear {{ name }}"));
    let error = text.render_for(&asha(), 100).unwrap_err();
    assert_eq!(error, RenderError::Invalid(InvalidText { place: 6, fault: TextFault::Brace }));
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
        let error = Text::parse("{{ customer.city }}").unwrap().render_for(&customer, 100).unwrap_err();
        let message = error.to_string();
        assert!(message.starts_with("the customer's city contains") && !message.contains("Lis"), "{message}");
        assert!(matches!(error, RenderError::ForbiddenValue { field, .. } if field == "city"));
        customer.name = forbidden.to_owned();
        assert!(Text::parse("{{ customer.name }}").unwrap().render_for(&customer, 100).is_err());
    }
}

#[test]
fn forbidden_character_in_a_stored_text_is_not_sent() {
    for forbidden in ['\u{202E}', '\u{2066}', '\u{FFFE}', '\u{FFFF}', '\u{1B}', '\u{FEFF}'] {
        let text: Text = serde_json::from_value(json!(format!("{{{{ customer.tier }}}}{forbidden}5%"))).unwrap();
        let error = text.render_for(&asha(), 100).unwrap_err();
        assert!(matches!(error, RenderError::Forbidden(_)), "{error}");
        let place = format!("(character 20, U+{:04X})", u32::from(forbidden));
        assert!(error.to_string().contains(&place), "{error}");
    }
    let text: Text = serde_json::from_value(json!("one\ttwo\nthree")).unwrap();
    assert_eq!(text.render_for(&asha(), 100).unwrap(), "one\ttwo\nthree");
}

#[test]
fn every_line_break_is_one_newline_in_the_rendered_text() {
    let mut customer = asha();
    customer.attributes.insert("address".to_owned(), json!("1 High Street\r\nSpringfield\rUSA\n\t."));
    let text: Text = serde_json::from_value(json!("Dear\r{{ customer.address }}\r\n")).unwrap();
    assert_eq!(text.render_for(&customer, 100).unwrap(), "Dear\n1 High Street\nSpringfield\nUSA\n\t.\n");
}

fn spender(attributes: serde_json::Value, locale: &str) -> Customer {
    let customer = json!({"name": "Asha", "channels": [], "locale": locale, "timeZone": "America/New_York", "attributes": attributes});
    Customer::parse("c-1", customer).unwrap()
}

#[test]
fn filters_write_values_as_the_language_does() {
    let attributes = json!({
        "spend": 1_234_567.5, "points": "98765", "renewal": "2026-08-31", "at": "2026-09-01T02:30:00Z", "empty": " ",
        "flag": true, "list": [], "padded": "0005", "zero": "-0", "huge": "1e30000"
    });
    let customer = spender(attributes, "en-US");
    for (text, expected) in [
        ("{{ customer.spend | number }}", "1,234,567.5"),
        ("{{customer.points|number}}", "98,765"),
        (r#"{{ customer.spend | money: "EUR" }}"#, "€1,234,567.50"),
        (r#"{{ customer.spend|money:"JPY" }}"#, "¥1,234,568"),
        (r#"{{ customer.renewal | date: "long" }}"#, "August 31, 2026"),
        (r#"{{ customer.renewal | date: "medium" }}"#, "Aug 31, 2026"),
        (r#"{{ customer.renewal | date: "short" }}"#, "8/31/26"),
        // Where the customer is, it is still August.
        (r#"{{ customer.at | date: "long" }}"#, "August 31, 2026"),
        (r#"{{ customer.padded | money: "EUR" }}"#, "€5.00"),
        ("{{ customer.zero | number }}", "0"),
        (r#"{{ customer.none | default: "customer" }}"#, "customer"),
        (r#"{{ customer.empty | default: "a / b" }}"#, "a / b"),
        (r#"{{ customer.name | default: "customer" }}"#, "Asha"),
        (r#"{{ customer.none | default: "a lot" | money: "EUR" }}"#, "a lot"),
        (r#"{{ customer.spend | number | default: "a lot" }}"#, "1,234,567.5"),
        (r#"{{ customer.none | default: "" }}x"#, "x"),
        (r#"{{ customer.none | default: "a | b" }}"#, "a | b"),
    ] {
        assert_eq!(Text::parse(text).unwrap().render_for(&customer, 100).as_deref(), Ok(expected), "{text}");
    }
    for (text, expected) in [
        ("{{ customer.flag | number }}", "the customer's flag is not a number, which the text's filter needs"),
        (r#"{{ customer.name | money: "EUR" | default: "x" }}"#, "the customer's name is not a number"),
        (r#"{{ customer.name | date: "long" }}"#, "the customer's name is not a date such as 2026-12-24"),
        (r#"{{ customer.list | default: "x" }}"#, "the customer's list is a list"),
        ("{{ customer.huge | number }}", "the customer's huge is not a number"),
        ("{{ customer.none | number }}", "the customer has no none"),
    ] {
        let error = Text::parse(text).unwrap().render_for(&customer, 100).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{text}: {error}");
    }
}

#[test]
fn wrong_filter_is_refused_with_its_place() {
    use TextFault::{Brace, Date, Default, Money, Number, Repeated, UnknownFilter};
    for (text, place, fault) in [
        ("é {{ customer.tier | upper }}", 22, UnknownFilter),
        ("{{ customer.tier | }}", 20, UnknownFilter),
        ("{{ customer.tier || number }}", 19, UnknownFilter),
        ("{{ customer.tier | Number }}", 20, UnknownFilter),
        ("{{ customer.tier | numbers }}", 20, UnknownFilter),
        ("{{ customer.tier | default }}", 20, Default),
        ("{{ customer.tier | default: customer }}", 20, Default),
        (r#"{{ customer.tier | default: "a }}"#, 20, Default),
        ("{{ customer.tier | default: “a” }}", 20, Default),
        (r#"{{ customer.tier | default: "a" b }}"#, 20, Default),
        (r#"{{ customer.tier | number: "2" }}"#, 20, Number),
        ("{{ customer.tier | money }}", 20, Money),
        (r#"{{ customer.tier | money: "eur" }}"#, 20, Money),
        (r#"{{ customer.tier | money: "EUX" }}"#, 20, Money),
        ("{{ customer.tier | money: EUR }}", 20, Money),
        ("{{ customer.tier | date }}", 20, Date),
        (r#"{{ customer.tier | date: "full" }}"#, 20, Date),
        (r#"{{ customer.tier | date: "%Y" }}"#, 20, Date),
        (r#"{{ customer.tier | number | date: "long" }}"#, 29, Repeated),
        (r#"{{ customer.tier | default: "a" | default: "b" }}"#, 35, Repeated),
        (r#"{{ customer.tier | default: "}}" }}"#, 20, Default),
        ("{{ tier | number }}", 1, Brace),
    ] {
        assert_eq!(Text::parse(text), Err(InvalidText { place, fault }), "{text}");
    }
    let error = Text::parse(r#"{{ customer.limit | money: "eur" }}"#).unwrap_err().to_string();
    let expected =
        "has a filter money without a currency at character 21; write a code of ISO 4217 in capitals, as in ";
    assert_eq!(error, expected.to_owned() + r#"{{ customer.limit | money: "EUR" }}"#);
}

#[test]
fn value_is_filled_in_with_plain_spaces() {
    let customer = spender(json!({"spend": 1_234_567.5, "city": "Le\u{A0}Mans\u{202F}!"}), "fr-FR");
    let formats = Formats::new(&"fr".parse().unwrap(), customer.locale.as_deref());
    let text = Text::parse(r#"{{ customer.spend | money: "EUR" }} {{ customer.city }}"#).unwrap();
    assert_eq!(text.render(&Values::new(&customer, &formats), 100).unwrap(), "1 234 567,50 € Le Mans !");
}

#[test]
fn text_without_values_is_what_it_says_itself() {
    for (source, plain) in [
        ("Save now", "Save now"),
        ("{{ customer.name }}", ""),
        ("For {{ customer.name | default: \"you\" }}, {{customer.limit|money:\"EUR\"}}!", "For , !"),
    ] {
        assert_eq!(Text::parse(source).unwrap().without_values(), plain);
    }
    let stored: Text = serde_json::from_value(json!("Save {now}")).unwrap();
    assert_eq!(stored.without_values(), "Save {now}");
}
