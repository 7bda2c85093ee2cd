//! Each customer gets the offer in their language, with values as their region writes them.

use std::collections::BTreeMap;

use delivery::Compose;
use delivery::compose::letterhead::Letterhead;
use domain::{Channel, Customer};
use serde_json::{Value, json};

use crate::seen::Seen;
use crate::{composer, read_by_python};

/// A locale; the language that its customers get; an amount and a date, as the charts of CLDR 49 have them.
const LOCALES: [(&str, &str, &str, &str); 30] = [
    ("en-US", "en", "€1,234.50", "March 1, 2031"),
    ("en-GB", "en", "€1,234.50", "1 March 2031"),
    ("en-IN", "en", "€1,234.50", "1 March 2031"),
    ("en-ZA", "en", "€1 234,50", "01 March 2031"),
    ("de-DE", "de", "1.234,50 €", "1. März 2031"),
    ("de-AT", "de", "€ 1 234,50", "1. März 2031"),
    ("de-CH", "de", "€ 1'234.50", "1. März 2031"),
    ("fr-FR", "fr", "1 234,50 €", "1 mars 2031"),
    ("fr-CA", "fr", "1 234,50 €", "1 mars 2031"),
    ("es-ES", "es", "1234,50 €", "1 de marzo de 2031"),
    ("es-MX", "es", "€1,234.50", "1 de marzo de 2031"),
    ("es-AR", "es", "€ 1.234,50", "1 de marzo de 2031"),
    ("pt-BR", "pt", "€ 1.234,50", "1 de março de 2031"),
    ("pt-PT", "pt-PT", "1234,50 €", "1 de março de 2031"),
    ("pt-AO", "pt-PT", "1 234,50 €", "1 de março de 2031"),
    ("it-IT", "it", "1234,50 €", "1 marzo 2031"),
    ("it-CH", "it", "€ 1234.50", "1 marzo 2031"),
    ("nl-NL", "nl", "€ 1.234,50", "1 maart 2031"),
    ("nl-BE", "nl", "€ 1.234,50", "1 maart 2031"),
    ("pl-PL", "pl", "1234,50 €", "1 marca 2031"),
    ("hi-IN", "hi", "€1,234.50", "1 मार्च, 2031"),
    ("ar-EG", "ar", "\u{200f}١٬٢٣٤٫٥٠ €", "١ مارس ٢٠٣١"),
    ("ar-AE", "ar", "\u{200f}1,234.50 €", "1 مارس 2031"),
    ("ar-MA", "ar", "\u{200f}1.234,50 €", "1 مارس 2031"),
    // Without a translation: the offer's own language, in the customer's region.
    ("sv-SE", "en", "1 234,50 €", "1 March 2031"),
    ("ja-JP", "en", "€1,234.50", "March 1, 2031"),
    ("zh-Hant-TW", "en", "€1,234.50", "March 1, 2031"),
    ("el", "en", "€1,234.50", "March 1, 2031"),
    ("sr-Latn-RS", "en", "€1,234.50", "March 1, 2031"),
    ("tlh", "en", "€1,234.50", "March 1, 2031"),
];

/// Names that encoders stumble over.
const NAMES: [&str; 8] =
    ["Asha", "Inês Łucja", "شيماء", "नीता", "O'Hara, Jr.", "王小明", "🎁 Søren", "Evil <a@b.example>"];

/// Customers of each locale. `ARRIVAL_CUSTOMERS` sets another number: with 1,000, the test takes minutes.
fn customers() -> usize {
    std::env::var("ARRIVAL_CUSTOMERS").ok().and_then(|number| number.parse().ok()).unwrap_or(50)
}

/// The offer says its language in each, and the same values.
fn offer() -> Value {
    let texts = |language: &str| {
        json!({
            "subject": format!("{language} {{{{ customer.name }}}}"),
            "description": r#"**{{ customer.limit | money: "EUR" }}** – {{ customer.renewal | date: "long" }}."#
        })
    };
    let mut offer = texts("en");
    offer["code"] = json!("A");
    for language in ["de", "fr", "es", "pt", "pt-PT", "it", "nl", "pl", "hi", "ar"] {
        offer["translations"][language] = texts(language);
    }
    offer
}

#[test]
fn each_customer_of_thirty_locales_gets_their_language_and_formats() {
    let offer = testing::offer(offer());
    let letterhead = Letterhead {
        brand_name: "A Bank".to_owned(),
        postal_address: "1 High Street".to_owned(),
        logo_url: None,
        brand_colours: "#1d4fa8".parse().unwrap(),
    };
    let (composer, ring) = composer("A Bank <offers@bank.example>".parse().unwrap(), letterhead);
    let mut messages = BTreeMap::new();
    for (i, (locale, language, amount, date)) in LOCALES.into_iter().enumerate() {
        for number in 0..customers() {
            let name = format!("{} {number}", NAMES[number % NAMES.len()]);
            let customer = json!({"name": name, "email": "asha@example.com", "channels": ["email"], "locale": locale,
                                  "attributes": {"limit": 1234.5, "renewal": "2031-03-01"}});
            let customer = Customer::parse(&format!("c-{i}-{number}"), customer).unwrap();
            let hash = testing::address_hash(Channel::Email, "asha@example.com");
            let raw = composer.compose(&ring, &offer, &customer, &hash).unwrap().bytes().to_vec();
            assert!(raw.is_ascii() && raw.split(|b| *b == b'\n').all(|line| line.len() <= 999), "{locale} {name}");
            let seen = Seen::of(&raw);
            assert_eq!(seen.content_language, language, "{locale}");
            assert_eq!(seen.subject, format!("{language} {name}"), "{locale}");
            assert!(seen.text.starts_with(&format!("{amount} – {date}.\n")), "{locale}: {}", seen.text);
            assert!(seen.html.contains(&format!("<strong>{}</strong> – {date}.", amount.replace('\'', "&#39;"))));
            assert!(!seen.text.contains(|c| matches!(c, '\u{A0}' | '\u{202F}' | '\u{2066}'..='\u{2069}')), "{locale}");
            messages.insert((i * 1_000_000 + number) as u64, raw);
        }
    }
    for (seed, by_python) in read_by_python("locales", messages.iter()) {
        let expected = Seen::of(&messages[&seed]).with_joined_names();
        by_python.with_plain_breaks().with_joined_names().assert_is(&expected, &format!("{seed}, by Python"));
    }
}
