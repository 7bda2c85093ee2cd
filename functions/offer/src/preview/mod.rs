//! What an offer would do, before it is posted: how many it would reach, and how it would read. Nothing is stored, and
//! nobody is told but those who are named as test recipients.

mod audience;
pub(crate) mod sample;
pub(crate) mod test_send;
mod view;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::{Body, Caller, Problem};
use axum::Json;
use axum::extract::State;
use domain::offer::Posted;
use domain::{Faults, Offer};
use futures::future::join_all;
use serde_json::{Value, json};

use test_send::{TEST_TIMEOUT, test_recipients};
use view::PreviewView;

use crate::app::App;

/// For counting and for test messages. API Gateway waits 29 seconds for the whole response.
const RESPONSE_TIME: Duration = Duration::from_secs(26);

/// `POST /offers/preview`.
pub(crate) async fn preview(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    Body(mut body): Body,
) -> Result<Json<Value>, Problem> {
    let recipients = body.as_object_mut().and_then(|body| body.remove("testRecipients"));
    let posted = Posted { at: domain::clock::now(), by: &caller, default_subject: &app.default_subject };
    let (offer, recipients) = match (Offer::parse(body, &posted), test_recipients(recipients)) {
        (Ok(offer), Ok(recipients)) => (offer, recipients),
        (offer, recipients) => return Err(all_faults(offer.err(), recipients.err()).into()),
    };

    let counting_time = if recipients.is_empty() { RESPONSE_TIME } else { RESPONSE_TIME - TEST_TIMEOUT };
    let count = audience::count(&app.customers, &offer, Instant::now() + counting_time).await?;
    let samples: BTreeMap<_, _> = offer
        .channels
        .iter()
        .map(|channel| (*channel, app.sample_composer.compose(*channel, &offer, count.samples.get(channel))))
        .collect();
    let view = audience::estimate(&app.customers, &offer, &count).await?;
    // Last: whoever is told of a failure tries again, and the tests would go out again.
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
    Ok(Json(json!(PreviewView { audience: view, messages, tests })))
}

fn all_faults(offer: Option<Faults>, recipients: Option<Faults>) -> Faults {
    let mut all = Faults::default();
    for fault in offer.into_iter().chain(recipients).flat_map(Faults::into_vec) {
        all.add(fault.field, fault.detail);
    }
    all
}
