//! Previews with test recipients, on the tables in process. No function is there to send anything.

use aws_sdk_lambda::config::{BehaviorVersion, Region};
use axum::response::IntoResponse;
use domain::Sources;
use store::{Customers, Deliveries, Offers, Pushes, TransportLimits};
use testing::{Clock, Dynamo, Fault};

use super::sample::tests::composer;
use super::test_send::TestSender;
use super::*;
use crate::pushes::diagnosis::Diagnosis;

fn app(dynamo: &Dynamo, sources: Sources) -> Arc<App> {
    let client = || dynamo.client();
    let sqs = aws_sdk_sqs::Config::builder().behavior_version(aws_sdk_sqs::config::BehaviorVersion::v2026_01_12());
    let sqs = aws_sdk_sqs::Client::from_conf(sqs.build());
    let queue = || runtime::Queue::new(sqs.clone(), "https://sqs.invalid/queue");
    let lambda = aws_sdk_lambda::Config::builder().behavior_version(BehaviorVersion::latest());
    Arc::new(App {
        offers: Offers::new(client(), "Offers", sources.clone()),
        pushes: Pushes::new(client(), "Pushes", sources.clone()),
        deliveries: Deliveries::new(client(), "Deliveries", sources.clone()),
        customers: Customers::new(client(), "Customers", sources.clone()),
        diagnosis: Diagnosis {
            sources: sources.clone(),
            limits: TransportLimits::new(client(), "Pacing", sources.clone()),
            transports: [].into(),
            dead_letters: [("audience", queue()), ("email", queue()), ("sms", queue())],
        },
        sample_composer: composer(),
        test_sender: TestSender {
            // Without credentials, no call leaves it.
            lambda: aws_sdk_lambda::Client::from_conf(lambda.region(Region::from_static("eu-west-1")).build()),
            email_function: "email".to_owned(),
            sms_function: "sms".to_owned(),
            from: "offers@bank.example".to_owned(),
            reply_to: "offers@bank.example".to_owned(),
            allowed: "bank.example".parse().unwrap(),
            per_day: 3,
        },
        policy: testing::policy(),
        sources,
    })
}

fn body() -> Body {
    Body(json!({
        "code": "A", "description": "B", "eligibility": "customer.tier == 'gold'", "testRecipients": ["a@bank.example"],
    }))
}

async fn status(app: &Arc<App>) -> u16 {
    match preview(State(app.clone()), Caller("bank".to_owned()), body()).await {
        Ok(_) => 200,
        Err(problem) => problem.into_response().status().as_u16(),
    }
}

#[tokio::test(start_paused = true)]
async fn preview_that_cannot_count_the_audience_uses_up_no_test_message() {
    let dynamo = Dynamo::new();
    let app = app(&dynamo, Clock::new().sources());
    dynamo.inject_always("Scan", "Customers", Fault::Throttle);
    assert_eq!((status(&app).await, dynamo.items("Offers")), (503, Vec::new()));
    dynamo.clear_faults();
    assert_eq!((status(&app).await, dynamo.items("Offers").len()), (200, 2), "the day's number and the record");
}

#[tokio::test(start_paused = true)]
async fn preview_ends_in_time_although_test_messages_cannot_be_recorded() {
    let dynamo = Dynamo::new();
    let app = app(&dynamo, Clock::new().sources());
    for (operation, table, limit) in
        [("TransactWriteItems", "Offers", RESERVE_TIMEOUT), ("Scan", "Customers", COUNTING_LIMIT)]
    {
        dynamo.inject_always(operation, table, Fault::Hang);
        let began = Instant::now();
        assert_eq!(status(&app).await, 503);
        assert!(began.elapsed() <= limit + Duration::from_millis(10), "{:?} without {operation}", began.elapsed());
    }
    assert_eq!(dynamo.items("Offers"), Vec::<Value>::new());
}
