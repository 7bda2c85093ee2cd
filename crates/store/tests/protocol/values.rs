//! Any value of any field is either refused with the field's name, or stored and read again as it was meant.

use domain::offer::Posted;
use domain::{Customer, Fault, Faults, Offer, TraceId};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Number, Value, json};

use crate::world::{World, offer_id};

/// Parts of what callers send by mistake or by intent.
const PARTS: [&str; 50] = [
    "a",
    "Z",
    "0",
    "7",
    " ",
    ".",
    "..",
    "@",
    "@example.com",
    "example",
    ".com",
    "-",
    "_",
    "+",
    "+351",
    "912345678",
    "xn--",
    "例え",
    "ü",
    "İ",
    "\u{301}",
    "\n",
    "\r",
    "\r\n",
    "\t",
    "\0",
    "\u{7F}",
    "\u{85}",
    "\u{2028}",
    "\u{200D}",
    "\u{200F}",
    "\u{202E}",
    "\u{2066}",
    "\u{3164}",
    "\u{2800}",
    "\u{FEFF}",
    "\u{FFFD}",
    "\u{FFFE}",
    "\u{FFFF}",
    "\u{10FFFF}",
    "\u{FDD0}",
    "\u{E0067}",
    "🏴\u{E0067}\u{E0062}\u{E0065}\u{E006E}\u{E0067}\u{E007F}",
    "👩‍👩‍👧",
    "{{ customer.name }}",
    "{",
    "}}",
    "en",
    "Europe/Lisbon",
    "2026-12-24T18:00:00Z",
];

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), vec(select(&PARTS[..]), 0..8).prop_map(|parts| parts.concat()), "[ -~]{0,40}"]
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        3 => any_text().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<u64>().prop_map(Value::from),
        1 => any::<f64>().prop_filter_map("finite", |float| Number::from_f64(float).map(Value::Number)),
        1 => (-1e6..1e6).prop_map(|float: f64| json!(float.round())),
        1 => any::<bool>().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((any_text(), inner), 0..4).prop_map(|entries| entries.into_iter().collect::<Map<_, _>>().into()),
        ]
    })
}

/// A text as it was meant: with each line break as one.
fn meant(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n")
}

/// An attribute as it was meant: with plain line breaks, its numbers by value.
fn meant_value(value: &Value) -> Value {
    match value {
        Value::String(text) => meant(text).into(),
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(values) => values.iter().map(meant_value).collect(),
        Value::Object(values) => values.iter().map(|(name, value)| (name.clone(), meant_value(value))).collect(),
        other => other.clone(),
    }
}

fn only_names(faults: Faults, field: &str) -> Result<(), TestCaseError> {
    for Fault { field: named, detail } in faults.into_vec() {
        let is_named = named == field || named.starts_with(&format!("{field}["));
        prop_assert!(is_named || field.starts_with(named.trim_end_matches('…')), "{field}: {named} {detail}");
        prop_assert!(!detail.is_empty());
    }
    Ok(())
}

/// Stores in virtual time.
fn on_tables<T>(run: impl AsyncFnOnce(World) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(run(World::new()))
}

/// Characters that SQS refuses in a message, and that JSON does not escape (SendMessage, message contents).
const OUTSIDE_SQS: [char; 2] = ['\u{FFFE}', '\u{FFFF}'];

const CUSTOMER_TEXTS: [&str; 6] = ["name", "email", "mobile", "locale", "timeZone", "channels"];
const OFFER_TEXTS: [&str; 10] = [
    "code",
    "subject",
    "description",
    "preheader",
    "terms",
    "language",
    "eligibility",
    "channels",
    "validFrom",
    "validUntil",
];

fn with_field(mut body: Value, field: &str, text: &str) -> Value {
    body[field] = if field == "channels" { json!([text]) } else { text.into() };
    body
}

/// What is refused, or read back.
fn round_trip(body: Value) -> Result<Customer, Faults> {
    let customer = Customer::parse("c-1", body)?;
    let read = on_tables(async |world| {
        world.customers().put(&customer).await.unwrap();
        world.customers().get(&customer.id).await.unwrap()
    });
    assert_eq!(read, Some(customer.clone()));
    Ok(customer)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_text_in_a_customer_is_refused_by_name_or_stored_as_meant(field in select(&CUSTOMER_TEXTS[..]), text in any_text()) {
        match round_trip(with_field(json!({"name": "Asha", "channels": []}), field, &text)) {
            Err(faults) => only_names(faults, field)?,
            Ok(customer) => match field {
                "name" => prop_assert_eq!(customer.name, text),
                "email" => {
                    let (email, same) = (customer.email.unwrap(), text.rsplit_once('@').unwrap().0);
                    prop_assert_eq!(email.as_str().rsplit_once('@').unwrap().0, same);
                    prop_assert_eq!(email.as_str().parse(), Ok(email.clone()));
                }
                "mobile" => prop_assert_eq!(customer.mobile.map(|mobile| mobile.as_str().to_owned()), Some(text)),
                "locale" => prop_assert!(customer.locale.unwrap().eq_ignore_ascii_case(&text.replace('_', "-"))),
                "timeZone" => prop_assert!(customer.time_zone.unwrap().eq_ignore_ascii_case(&text)),
                _ => prop_assert!(customer.channels.iter().all(|channel| channel.as_str() == text)),
            },
        }
    }

    #[test]
    fn any_attribute_is_refused_by_name_or_stored_as_meant(name in prop_oneof![Just("tier".to_owned()), any_text()], value in any_value()) {
        match round_trip(json!({"name": "Asha", "channels": [], "attributes": {&name: value}})) {
            Err(faults) => only_names(faults, &format!("attributes.{name}"))?,
            Ok(customer) => prop_assert_eq!(customer.attributes.get(&name).map(meant_value), Some(meant_value(&value))),
        }
    }

    #[test]
    fn any_text_in_an_offer_is_refused_by_name_or_stored_as_meant(field in select(&OFFER_TEXTS[..]), text in any_text()) {
        let body = with_field(json!({"code": "CASHBK", "description": "Cashback"}), field, &text);
        let posted =
            Posted { id: offer_id(), at: World::new().sources.now(), by: "bank", policy: &testing::policy() };
        match Offer::parse(body, &posted) {
            Err(faults) => only_names(faults, field)?,
            Ok(offer) => {
                let (sent, read) = on_tables(async |world| {
                    let trace = TraceId::generate(&world.sources);
                    world.offers().create(&offer, None, trace).await.unwrap();
                    (serde_json::to_string(&offer).unwrap(), world.offers().get(offer.id).await.unwrap().unwrap())
                });
                prop_assert_eq!(&read, &offer);
                prop_assert!(!sent.contains(OUTSIDE_SQS), "{field}");
                prop_assert_eq!(&serde_json::from_str::<Offer>(&sent).unwrap(), &offer);
                match field {
                    "code" => prop_assert_eq!(offer.code, text),
                    "subject" => prop_assert_eq!(offer.announcement.subject.source(), text),
                    "description" => prop_assert_eq!(offer.announcement.description.source(), meant(&text)),
                    "eligibility" => prop_assert_eq!(offer.eligibility.map(|rule| rule.source().to_owned()), Some(text)),
                    _ => {}
                }
            }
        }
    }
}
