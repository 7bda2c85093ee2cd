//! The functions behind the HTTP API.

use std::collections::HashMap;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::Request;

use delivery::{SmsComposer, SmsSettings};
use domain::{AllowedRecipients, TransportId};
use lambda_http::RequestExt;
use language::Language;
use offer::{Diagnosis, SampleComposer, TEST_TIMEOUT, TestSender};
use preferences::Pages;
use runtime::Keys;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::Clients;
use super::pipeline::{FROM, letterhead};

/// No response of these functions is larger (Lambda quotas, "Invocation payload").
const RESPONSE_LIMIT: usize = 6 << 20;

pub(super) fn offer(clients: &Clients) -> Router {
    let settings = &clients.world.scenario.settings;
    let transports =
        std::iter::once(settings.email_transport).chain(settings.fallback_email_transport).chain([TransportId::Sns]);
    offer::router(offer::App {
        sources: clients.sources(),
        offers: clients.table(),
        pushes: clients.table(),
        deliveries: clients.table(),
        customers: clients.table(),
        diagnosis: Diagnosis {
            limits: clients.table(),
            sources: clients.sources(),
            transports: transports.collect(),
            dead_letters: [
                ("audience", clients.queue("AudienceDeadLetters")),
                ("email", clients.queue("EmailDeadLetters")),
                ("sms", clients.queue("SmsDeadLetters")),
            ],
        },
        sample_composer: SampleComposer {
            letterhead: letterhead(),
            sms: sms_composer(),
            default_language: Language::english(),
        },
        test_sender: TestSender {
            lambda: aws_sdk_lambda::Client::new(&clients.aws.one_attempt(TEST_TIMEOUT)),
            email_function: "email:test".to_owned(),
            sms_function: "sms:test".to_owned(),
            from: FROM.to_owned(),
            reply_to: FROM.to_owned(),
            allowed: AllowedRecipients::default(),
            per_day: 0,
        },
        policy: testing::policy(),
    })
}

pub(super) fn sms_composer() -> SmsComposer {
    SmsComposer::new(SmsSettings {
        brand_name: "Bank".to_owned(),
        opt_out: None,
        segments: 2,
        alphabet: "gsm".parse().expect("it is one of the template's values"),
        default_language: Language::english(),
        dlt: delivery::DltIds::default(),
    })
    .expect("the settings leave room for an offer")
}

pub(super) fn customer(clients: &Clients) -> Router {
    customer::router(customer::App {
        sources: clients.sources(),
        customers: clients.table(),
        suppressions: clients.table(),
        hash_keys: clients.hash_keys(),
    })
}

pub(super) fn preferences(clients: &Clients) -> Router {
    preferences::router(preferences::App {
        sources: clients.sources(),
        suppressions: clients.table(),
        keys: Keys::new(clients.aws.clone(), "UnsubscribeKeys".to_owned()),
        hash_keys: clients.hash_keys(),
        pages: Pages::new("Bank".to_owned(), Language::english()),
    })
}

/// Makes the call `{method, path, headers?, pathParameters?, body?}` and returns `{status, body}`. A body that is no JSON object is sent
/// as its text.
pub(super) async fn call(router: Router, payload: &Value) -> Value {
    let text = |name: &str| payload[name].as_str().unwrap_or_else(|| panic!("a call has a {name}"));
    let mut request = Request::builder().method(text("method")).uri(text("path"));
    for (name, value) in payload["headers"].as_object().into_iter().flatten() {
        request = request.header(name, value.as_str().expect("the value of a header is text"));
    }
    let body = match &payload["body"] {
        Value::Null => Body::empty(),
        Value::String(text) => Body::from(text.clone()),
        json => Body::from(json.to_string()),
    };
    let variables = payload["pathParameters"].as_object().into_iter().flatten();
    let variables = variables.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned()));
    let request = request.body(body).expect("the call has a method and a path");
    let request = request.with_path_parameters(variables.collect::<HashMap<_, _>>());
    let Ok(response) = router.oneshot(request).await;
    let status = response.status().as_u16();
    let body = to_bytes(response.into_body(), RESPONSE_LIMIT).await.expect("the response is in memory");
    let text = || Value::String(String::from_utf8_lossy(&body).into_owned());
    json!({"status": status, "body": serde_json::from_slice(&body).unwrap_or_else(|_| text())})
}
