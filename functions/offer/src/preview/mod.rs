//! Previews an offer before it is posted: how many customers it would reach, and what its messages would look like.
//! No offer is stored, and only the named test recipients receive a message, of an invented customer unless one is named.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | the steps of a preview, its time limit and its size | this file |
//! | how all customers are read in time, and counts estimated | [`audience`] |
//! | what is counted of each customer | [`tally`] |
//! | which language each customer gets, and what is counted of each | [`languages`] |
//! | the reasons that are most frequent | [`ranking`] |
//! | the length and the alphabet of text messages | [`texts`] |
//! | whose messages are shown | [`sample_customers`], then [`samples`] |
//! | how the sample messages are composed | [`sample`] |
//! | what the rule reads that customers lack | [`lacking`] |
//! | what the author of the offer should know | [`findings`] |
//! | what the caller is warned of who posts an offer | [`warnings`] |
//! | who may get test messages, and of which customer | [`test_request`] |
//! | the values of the invented customer | [`example_customer`] |
//! | how test messages are counted, recorded and sent | [`test_send`] |
//! | the JSON | [`view`] |

mod audience;
mod example_customer;
pub(crate) mod findings;
mod lacking;
mod languages;
mod ranking;
pub(crate) mod sample;
mod sample_customers;
mod samples;
mod tally;
mod test_request;
pub(crate) mod test_send;
mod texts;
mod view;
pub(crate) mod warnings;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::{Body, Caller, Problem};
use axum::Json;
use axum::extract::State;
use domain::offer::Posted;
use domain::{Audience, Faults, Offer, OfferId};
use serde_json::{Value, json};
use tokio::time::Instant;

use findings::{Draft, Finding};
use tally::Survey;
use test_request::TestRequest;
use test_send::{RECORD_TIMEOUT, RESERVE_TIMEOUT, TEST_TIMEOUT, Tests};
use view::{AudienceView, PreviewView, SmsView, fitting, size};

use crate::app::App;

/// API Gateway's limit for a whole response, and the function's own timeout (`template.yaml`).
const RESPONSE_LIMIT: Duration = Duration::from_secs(29);
/// For starting the function, evaluating the rule for the last pages, and composing the samples.
const MARGIN: Duration = Duration::from_secs(3);
/// Time for counting and for test messages together.
const TIME_LIMIT: Duration = Duration::from_secs(26);
const _: () = assert!(TIME_LIMIT.as_millis() + MARGIN.as_millis() <= RESPONSE_LIMIT.as_millis());
/// Time for counting if there are test messages. A preview that takes longer than its caller waits is repeated, and would
/// send them twice.
const COUNTING_LIMIT: Duration = Duration::from_secs(15);
const TESTING_LIMIT: u128 = RESERVE_TIMEOUT.as_millis() + TEST_TIMEOUT.as_millis() + RECORD_TIMEOUT.as_millis();
const _: () = assert!(COUNTING_LIMIT.as_millis() + TESTING_LIMIT <= TIME_LIMIT.as_millis());
/// The part of the time for counting in which messages are also composed, to see whether they can be: one in so many.
const COMPOSING_SHARE: u32 = 2;
/// Maximum size of a response without the results of tests, in octets. Lambda passes 6 MB, API Gateway 10 MB.
const SIZE_LIMIT: usize = 4_000_000;

/// `POST /offers/preview`.
pub(crate) async fn preview(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    Body(mut body): Body,
) -> Result<Json<Value>, Problem> {
    let started = Instant::now();
    let tests = TestRequest::take(&mut body, &app.test_sender.allowed, app.test_sender.per_day);
    let posted =
        Posted { id: OfferId::generate(&app.sources), at: app.sources.now(), by: &caller, policy: &app.policy };
    let (offer, tests) = match (Offer::parse(body, &posted), tests) {
        (Ok(offer), Ok(tests)) => (offer, tests),
        (offer, tests) => return Err(all_faults(offer.err(), tests.err()).into()),
    };

    // `Offer::parse` has accepted the rule, so only a parser that does not start fails here.
    let audience = Audience::of(&offer).map_err(|error| Faults::one("eligibility", error.to_string()))?;

    // First, so that the time it takes is not that of the test messages, and its errors are known at once.
    let tests = Tests::read(&app, tests, &offer).await?;
    let limit = if tests.is_none() { TIME_LIMIT } else { COUNTING_LIMIT };
    let survey = Survey::new(&offer, audience, &app.sample_composer, started + limit / COMPOSING_SHARE);
    let (count, repeated) = tokio::join!(
        audience::count(&app.customers, &survey, started + limit),
        warnings::repeated(&app, &offer, started + limit)
    );
    let count = count?;
    let samples = samples::samples(&offer, &app.sample_composer, &count.tally.sample_customers);
    let main = samples.iter().filter(|sample| sample.is_main);
    let messages: BTreeMap<_, _> = main.map(|main| (main.channel, &main.sample)).collect();
    let draft = Draft { offer: &offer, policy: &app.policy, now: app.sources.now(), count: &count, samples: &samples };
    let mut view = PreviewView {
        audience: AudienceView::new(&count, &offer),
        messages: messages.iter().map(|(channel, sample)| (*channel, (*sample).into())).collect(),
        sms: SmsView::new(&count, &offer),
        samples: Vec::new(),
        samples_omitted: 0,
        findings: findings::of(&draft),
        warnings: Vec::new(),
        tests: Vec::new(),
    };
    view.warnings.extend(Finding::unknown_attribute(&count.tally.lacking));
    view.warnings.extend(findings::warnings(&draft));
    view.warnings.extend(repeated);
    (view.samples, view.samples_omitted) = fitting(&samples, SIZE_LIMIT.saturating_sub(size(&view)));
    // Last, because a caller retries after an error, and a retry would count the test messages or send them again. Once
    // they are reserved, nothing fails. All of it takes no longer than the three timeouts.
    if let Some(tests) = &tests {
        let record = tests.reserve(&app, &offer).await?;
        view.tests = tests.send(&app, &offer, &record).await;
    }
    tracing::info!(
        offer.code = offer.code,
        by = caller,
        customers = count.tally.scan.customers_eligible,
        read = count.tally.scan.customers_read,
        tests = view.tests.len(),
        tests.sent = view.tests.iter().filter(|test| test.message_id().is_some()).count(),
        "offer previewed"
    );
    Ok(Json(json!(view)))
}

fn all_faults(offer: Option<Faults>, recipients: Option<Faults>) -> Faults {
    let mut all = Faults::default();
    for faults in offer.into_iter().chain(recipients) {
        all.append(faults);
    }
    all
}

#[cfg(test)]
mod tests;
