use std::future::pending;

use std::collections::BTreeMap;

use axum::http::StatusCode;
use axum::response::IntoResponse;
use domain::push::ScanCounts;
use domain::{Audience, Customer, Offer};
use futures::stream::BoxStream;
use serde_json::{Value, json};
use testing::{Clock, Dynamo};

use super::super::sample::tests::composer;
use super::super::view::{AudienceView, SmsView};
use super::*;
use crate::SampleComposer;

type Pages = BoxStream<'static, Result<CustomersPage, StoreError>>;

fn offer() -> Offer {
    testing::offer(json!({"code": "A", "description": "B", "eligibility": "customer.tier == 'gold'"}))
}

fn far() -> Instant {
    Instant::now() + Duration::from_secs(600)
}

/// A survey that composes messages for as long as it takes.
fn survey<'o>(offer: &'o Offer, composer: &'o SampleComposer) -> Survey<'o> {
    Survey::new(offer, Audience::of(offer).unwrap(), composer, far())
}

fn customer(id: &str, channels: &Value, attributes: &Value) -> Customer {
    let body = json!({
        "name": "A", "email": "a@b.example", "mobile": "+351912345678", "channels": channels, "attributes": attributes,
    });
    Customer::parse(id, body).unwrap()
}

/// A page of one eligible customer with an e-mail address, and one who is not eligible.
fn page() -> Result<CustomersPage, StoreError> {
    let customer = |id, tier| customer(id, &json!(["email"]), &json!({"tier": tier}));
    Ok(CustomersPage {
        customers: vec![customer("a", "gold"), customer("b", "silver")],
        unreadable: vec![],
        next: None,
    })
}

/// A segment of this many pages, with no response to the request for the next one.
fn stalled_after(pages: usize) -> Pages {
    stream::iter(0..pages).map(|_| page()).chain(stream::pending()).boxed()
}

fn complete() -> Pages {
    stream::iter([page(), page()]).boxed()
}

/// On a clock that stands still while customers are counted, and goes on when all wait.
fn soon() -> Instant {
    Instant::now() + Duration::from_millis(20)
}

#[tokio::test]
async fn count_is_exact_and_does_not_wait_for_the_approximate_one() {
    let offer = offer();
    let composer = composer();
    let survey = survey(&offer, &composer);
    let until = far();
    let count = count_segments([complete(), complete()], pending(), &survey, until).await.unwrap();
    let view = AudienceView::new(&count, &offer);
    assert_eq!((view.customers, view.exact, view.customers_read), (4, true, 8));
    assert_eq!(view.notifications, BTreeMap::from([(Channel::Email, 4), (Channel::Sms, 0)]));
}

#[tokio::test(start_paused = true)]
async fn pages_that_do_not_come_in_time_leave_an_estimate() {
    let offer = offer();
    let composer = composer();
    let survey = survey(&offer, &composer);
    let segments = [complete(), stalled_after(1), stalled_after(0)];
    let count = count_segments(segments, ready(Ok(600)), &survey, soon()).await.unwrap();
    let view = AudienceView::new(&count, &offer);
    assert_eq!((view.customers, view.exact, view.customers_read), (300, false, 6));
    assert_eq!(view.notifications, BTreeMap::from([(Channel::Email, 300), (Channel::Sms, 0)]));
    assert!(count.tally.sample_customers.first(Channel::Email).is_some());
}

#[tokio::test(start_paused = true)]
async fn estimate_is_never_less_than_what_was_counted() {
    let offer = offer();
    let composer = composer();
    let survey = survey(&offer, &composer);
    let count = count_segments([stalled_after(3)], ready(Ok(2)), &survey, soon()).await.unwrap();
    assert_eq!(AudienceView::new(&count, &offer).customers, 3);
}

#[tokio::test(start_paused = true)]
async fn too_little_in_time_is_an_error_that_permits_a_retry() {
    let offer = offer();
    let composer = composer();
    let survey = survey(&offer, &composer);
    for (what, read, estimate) in
        [("no page", 0, Either::Left(ready(Ok(600)))), ("no approximate count", 2, Either::Right(pending()))]
    {
        let started = Instant::now();
        let until = soon();
        let error = count_segments([stalled_after(read)], estimate, &survey, until).await.unwrap_err();
        assert!(matches!(error, CountError::OutOfTime(Slow::Store)), "{what}");
        assert!(started.elapsed() < Duration::from_secs(10), "{what}");
        let response = Problem::from(error).into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn failed_page_is_an_error() {
    let failed = || StoreError::Unreadable { table: "customers".to_owned(), reason: "for a test".to_owned() };
    let segments = [complete(), stream::iter([page(), Err(failed())]).boxed()];
    let offer = offer();
    let composer = composer();
    let survey = survey(&offer, &composer);
    let error = count_segments(segments, pending(), &survey, soon()).await.unwrap_err();
    assert!(matches!(error, CountError::Store(_)));
}

#[test]
fn estimate_is_proportional() {
    assert_eq!(scale(250, 10_000_000, 1_000), 2_500_000);
    assert_eq!(scale(0, 10, 0), 0);
}

#[tokio::test]
async fn pages_add_up_and_each_sample_has_the_smallest_id() {
    let offer = offer();
    let composer = composer();
    let survey = survey(&offer, &composer);
    let gold = json!({"tier": "gold"});
    let until = far();
    let page = async |customers, unreadable| {
        let mut count = AudienceCount::default();
        count.add_page(&survey, &CustomersPage { customers, unreadable: vec![0; unreadable], next: None }, until).await;
        count
    };
    let both = json!(["email", "sms"]);
    let mut count = page(vec![customer("c", &both, &gold), customer("a", &json!([]), &gold)], 2).await;
    let others = vec![
        customer("b", &json!(["email"]), &gold),
        customer("0", &both, &json!({"tier": "silver"})),
        customer("1", &both, &json!({})),
    ];
    count.merge(page(others, 0).await);
    let expected = ScanCounts { customers_read: 7, customers_eligible: 3, customers_unevaluable: 3, notifications: 3 };
    assert_eq!(count.tally.scan, expected);
    let view = AudienceView::new(&count, &offer);
    assert_eq!(view.notifications, BTreeMap::from([(Channel::Email, 2), (Channel::Sms, 1)]));
    let first = Channel::ALL.map(|channel| count.tally.sample_customers.first(channel).unwrap().id.to_string());
    assert_eq!(first, ["b", "c"]);
    assert!(!count.timed_out);
}

/// Customers with a rule that takes long to evaluate.
fn heavy() -> (Offer, Pages) {
    let rule = ["customer.list.exists(x, x < 0)"; 4].join(" || ");
    let offer = testing::offer(json!({"code": "A", "description": "B", "eligibility": rule}));
    let list = json!({"list": vec![1; 1_000]});
    let customers: Vec<_> = (0..400).map(|n| customer(&format!("c-{n}"), &json!(["email"]), &list)).collect();
    let page = CustomersPage { customers, unreadable: vec![], next: None };
    (offer, stream::iter([Ok(page)]).boxed())
}

#[tokio::test]
async fn a_rule_that_takes_long_leaves_an_estimate_while_the_store_responds() {
    let (offer, pages) = heavy();
    let composer = composer();
    let survey = survey(&offer, &composer);
    let until = Instant::now() + Duration::from_millis(250);
    // It responds while the rule is evaluated.
    let estimate = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        Ok(400)
    };
    let began = Instant::now();
    let count = count_segments([pages, complete()], estimate, &survey, until).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    let view = AudienceView::new(&count, &offer);
    assert!(!view.exact && (1..400).contains(&view.customers_read), "{}", view.customers_read);
}

#[tokio::test]
async fn a_rule_that_takes_too_long_is_named_as_the_reason() {
    let (offer, pages) = heavy();
    let composer = composer();
    let survey = survey(&offer, &composer);
    let until = Instant::now() + Duration::from_millis(200);
    let error = count_segments([pages], pending(), &survey, until).await.unwrap_err();
    assert!(matches!(error, CountError::OutOfTime(Slow::Rule)), "{error:?}");
    let problem = format!("{:?}", Problem::from(error));
    assert!(problem.contains("rule takes too long") && !problem.contains("store"), "{problem}");
}

/// Five eligible customers of ten, in two languages. One of the five has no city, and one can be reached by no channel.
fn mixed() -> (Offer, Vec<Customer>) {
    let offer = testing::offer(json!({
        "code": "A", "description": "For {{ customer.city }}", "eligibility": "customer.tier == 'gold'",
        "translations": {"de": {"description": "{{ customer.city }}"}},
    }));
    let gold = |city| json!({"tier": "gold", "city": city});
    let both = json!(["email", "sms"]);
    let mut customers = vec![
        Customer { locale: Some("de-CH".to_owned()), ..customer("e", &both, &gold(json!("Z\u{fc}rich"))) },
        Customer { locale: Some("sv".to_owned()), ..customer("d", &both, &gold(json!("\u{15e}\u{131}rnak"))) },
        customer("c", &both, &gold(json!([]))),
        Customer { locale: Some("fi".to_owned()), ..customer("b", &json!(["email"]), &gold(json!("Oulu"))) },
        customer("a", &json!([]), &gold(json!("Lisbon"))),
    ];
    customers.extend((0..5).map(|number| customer(&format!("s-{number}"), &both, &json!({"tier": "silver"}))));
    (offer, customers)
}

#[tokio::test]
async fn messages_that_cannot_be_composed_are_counted_with_their_reasons() {
    let (offer, customers) = mixed();
    let composer = composer();
    let page = stream::iter([Ok(CustomersPage { customers, unreadable: vec![], next: None })]);
    let count = count_segments([page], pending(), &survey(&offer, &composer), far()).await.unwrap();
    let seen = json!(AudienceView::new(&count, &offer));
    assert_eq!(seen["languages"], json!({"en": 4, "de": 1}));
    assert_eq!(seen["fallback"], json!({"customers": 2, "locales": {"fi": 1, "sv": 1}, "withoutLocale": 2}));
    let reasons = json!([{
        "reason": "description: the customer's city is a list, which cannot be part of a text", "customers": 1,
    }]);
    assert_eq!(seen["unwritable"]["email"], json!({"customers": 1, "reasons": reasons, "composed": 4}));
    assert_eq!(seen["unwritable"]["sms"], json!({"customers": 1, "reasons": reasons, "composed": 3}));
    let sms = json!(SmsView::new(&count, &offer));
    assert_eq!((&sms["shortest"]["customer"], &sms["longest"]["customer"]), (&json!("e"), &json!("d")));
    assert_eq!((&sms["cut"], &sms["ucs2"], &sms["transliterated"]), (&json!(0), &json!(0), &json!(1)));
}

#[tokio::test(start_paused = true)]
async fn counts_of_a_part_are_scaled_alike() {
    let (offer, customers) = mixed();
    let composer = composer();
    let page = CustomersPage { customers, unreadable: vec![], next: None };
    let stalled = stream::iter([Ok(page)]).chain(stream::pending());
    let count = count_segments([stalled], ready(Ok(1_000)), &survey(&offer, &composer), soon()).await.unwrap();
    let seen = json!(AudienceView::new(&count, &offer));
    assert_eq!(seen["languages"], json!({"en": 400, "de": 100}));
    assert_eq!(seen["fallback"], json!({"customers": 200, "locales": {"fi": 100, "sv": 100}, "withoutLocale": 200}));
    let sms = &seen["unwritable"]["sms"];
    assert_eq!(
        (&sms["customers"], &sms["reasons"][0]["customers"], &sms["composed"]),
        (&json!(100), &json!(100), &json!(3))
    );
    assert_eq!(json!(SmsView::new(&count, &offer))["transliterated"], 100);
}

#[tokio::test]
async fn counting_goes_on_when_the_time_for_composing_has_ended() {
    let (offer, customers) = mixed();
    let composer = composer();
    let mut survey = survey(&offer, &composer);
    let page = |customers| CustomersPage { customers, unreadable: vec![], next: None };
    let mut count = AudienceCount::default();
    count.add_page(&survey, &page(customers[2..].to_vec()), far()).await;
    survey.compose_until = Instant::now();
    count.add_page(&survey, &page(customers[..2].to_vec()), far()).await;
    let seen = json!(AudienceView::new(&count, &offer));
    assert_eq!((&seen["customers"], &seen["exact"]), (&json!(5), &json!(true)));
    assert_eq!(seen["notifications"], json!({"email": 4, "sms": 3}));
    // SMS reaches three. One of their messages was composed, and failed.
    let sms = &seen["unwritable"]["sms"];
    assert_eq!((&sms["customers"], &sms["composed"]), (&json!(3), &json!(1)));
    assert_eq!(json!(SmsView::new(&count, &offer)), json!({"cut": 0, "ucs2": 0, "transliterated": 0}));
}

#[test]
fn customers_are_read_with_what_the_rule_and_the_texts_of_all_languages_name() {
    let composer = composer();
    let body = |eligibility: &str| {
        testing::offer(json!({
            "code": "A", "subject": "{{ customer.name }}", "description": "{{ customer.city }}",
            "eligibility": eligibility, "link": {"url": "https://bank.example/?c={{ customer.card }}", "label": "Go"},
            "translations": {"de": {"subject": "Hallo", "description": "{{ customer.stadt | default: \"x\" }}"}},
        }))
    };
    for (rule, expected) in [
        ("customer.tier == 'gold'", ["tier", "city", "card", "stadt"].into_iter().collect()),
        ("customer[customer.key] == 'gold'", Projection::Whole),
    ] {
        assert_eq!(survey(&body(rule), &composer).projection(), expected, "{rule}");
    }
}

/// Items that other software wrote may have any key and any attributes. Each read of a megabyte ends with one of these.
#[tokio::test(start_paused = true)]
async fn foreign_items_are_counted_as_unevaluable_and_stop_no_preview() {
    let dynamo = Dynamo::new();
    let customers = Customers::new(dynamo.client(), "Customers", Clock::new().sources());
    let padding = "x".repeat(390_000);
    let foreign = ["customer 42", "é", "日本", "\u{1f600}", "#", "\u{feff}", "a\u{0}b", "c-0 "];
    for (number, pk) in foreign.into_iter().enumerate() {
        dynamo.put("Customers", json!({"pk": pk, "padding": padding}));
        let gold = json!({"tier": "gold"});
        customers.put(&customer(&format!("c-{number}"), &json!(["email"]), &gold)).await.unwrap();
    }
    let offer = offer();
    let composer = composer();
    let survey = survey(&offer, &composer);
    let count = count(&customers, &survey, Instant::now() + Duration::from_secs(18)).await.unwrap();
    let view = AudienceView::new(&count, &offer);
    assert_eq!((view.customers, view.unevaluable, view.exact), (8, 8, true));
    assert!(dynamo.count("Scan", "Customers") > 4, "{}", dynamo.count("Scan", "Customers"));
}
