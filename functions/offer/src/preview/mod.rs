//! Previews an offer before it is posted: how many customers it would reach, and what its messages would look like.
//! Nothing is stored, and only the named test recipients receive a message.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | the steps of a preview, and its time limit | this file |
//! | how the audience is counted and estimated | [`audience`] |
//! | how the sample messages are composed | [`sample`] |
//! | how test messages are sent | [`test_send`] |
//! | the JSON | [`view`] |

mod audience;
pub(crate) mod sample;
pub(crate) mod test_send;
mod view;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::{Body, Caller, Problem};
use axum::Json;
use axum::extract::State;
use domain::offer::Posted;
use domain::{Audience, Faults, Offer, OfferId};
use futures::future::join_all;
use serde_json::{Value, json};
use tokio::time::Instant;

use test_send::{TEST_TIMEOUT, test_recipients};
use view::PreviewView;

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
const COUNTING_LIMIT: Duration = Duration::from_secs(18);
const _: () = assert!(COUNTING_LIMIT.as_millis() + TEST_TIMEOUT.as_millis() <= TIME_LIMIT.as_millis());

/// `POST /offers/preview`.
pub(crate) async fn preview(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    Body(mut body): Body,
) -> Result<Json<Value>, Problem> {
    let started = Instant::now();
    let recipients = body.as_object_mut().and_then(|body| body.remove("testRecipients"));
    let posted =
        Posted { id: OfferId::generate(&app.sources), at: app.sources.now(), by: &caller, policy: &app.policy };
    let (offer, recipients) = match (Offer::parse(body, &posted), test_recipients(recipients)) {
        (Ok(offer), Ok(recipients)) => (offer, recipients),
        (offer, recipients) => return Err(all_faults(offer.err(), recipients.err()).into()),
    };

    // `Offer::parse` has accepted the rule, so only a parser that does not start fails here.
    let audience = Audience::of(&offer).map_err(|error| Faults::one("eligibility", error.to_string()))?;

    let until = started + if recipients.is_empty() { TIME_LIMIT } else { COUNTING_LIMIT };
    let count = audience::count(&app.customers, &audience, until).await?;
    let samples: BTreeMap<_, _> = offer
        .channels
        .iter()
        .map(|channel| (*channel, app.sample_composer.compose(*channel, &offer, count.samples.get(channel))))
        .collect();
    // Last, because a caller retries after an error, and a retry would send the test messages again. From here on, nothing
    // fails, and nothing takes longer than `TEST_TIMEOUT`.
    let tests =
        join_all(recipients.iter().map(|recipient| app.test_sender.send(recipient, samples.get(&recipient.channel()))))
            .await;
    tracing::info!(
        offer.code = offer.code,
        customers = count.scan.customers_eligible,
        read = count.scan.customers_read,
        tests = tests.len(),
        "offer previewed"
    );
    let messages = samples.iter().map(|(channel, sample)| (*channel, sample.into())).collect();
    Ok(Json(json!(PreviewView { audience: count.view(&offer.channels), messages, tests })))
}

fn all_faults(offer: Option<Faults>, recipients: Option<Faults>) -> Faults {
    let mut all = Faults::default();
    for faults in offer.into_iter().chain(recipients) {
        all.append(faults);
    }
    all
}
