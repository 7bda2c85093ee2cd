//! What a push takes, measured: the whole pipeline sends an offer to many customers by e-mail, and what it calls is counted.
//!
//! Nothing goes wrong, or SES refuses all messages for a time. No promise is checked, so that nothing is kept but counts. Time is
//! virtual: calls take as long as elsewhere in the simulation, and computing takes none.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | what is measured | this file |
//! | what is counted | [`meter`] |
//! | the customers | `bank` |
//! | what it costs, and what larger pushes take | [`model`] |

mod bank;
pub mod meter;
pub mod model;

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::runtime::Builder;
use tokio::task::LocalSet;
use tokio::time::sleep;

use self::bank::Bank;
use self::meter::{Counts, Meter};
use crate::aws::{mapping, schedule};
use crate::people::{self, Action, Post};
use crate::scenario::{Scenario, Settings, TimedAction};
use crate::world::World;

/// When the offer is posted.
const POSTED_AT_MS: u64 = 1_000;
/// How often the end is looked for, and progress is reported.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// What to measure.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    pub customers: u64,
    /// E-mails a second.
    pub rate: u32,
    /// `EmailConcurrency`.
    pub concurrency: u32,
    /// For how long SES refuses every message. If that is more than none, the measurement ends then.
    pub refuses_for: Duration,
}

/// What was measured.
#[derive(Debug, Clone)]
pub struct Measured {
    pub size: Size,
    /// From the request to the end of the push, or of the measurement.
    pub took: Duration,
    pub slices: u64,
    pub counts: Counts,
}

/// Measures a push. `progress` is called now and then with the number of e-mails sent so far.
///
/// # Panics
/// If the push does not start.
pub fn measure(size: Size, progress: impl Fn(u64)) -> Measured {
    fastrand::seed(size.customers);
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime without I/O can be built");
    LocalSet::new().block_on(&runtime, async {
        let refuses_until = i64::try_from(size.refuses_for.as_secs()).unwrap_or(i64::MAX);
        let counting = Meter::new(Bank { customers: size.customers }, refuses_until);
        let world = World::measuring(scenario(size), counting);
        world.queues.keep_nothing();
        // Nothing is left of what releases before keyed hashes stored, as in any stack after its first hours.
        let migrated = json!({"TableName": "Suppressions", "Item": {"pk": {"S": "migration#keyedHashes"}}});
        world.dynamo.execute("PutItem", migrated);
        mapping::start(&world);
        schedule::start(&world);
        people::start(&world);
        let refuses_for = size.refuses_for;
        let push = loop {
            sleep(LOOK_EVERY).await;
            let push = world.dynamo.execute("Scan", only_push()).body["Items"][0].clone();
            let elapsed = Duration::from_millis(world.elapsed_ms());
            let is_over =
                if refuses_for.is_zero() { push["state"]["S"] == "completed" } else { elapsed >= refuses_for };
            if is_over {
                break push;
            }
            progress(meter(&world).counts().sent);
        };
        world.lambda.shut_down();
        let number = |field: &str| push[field]["N"].as_str().and_then(|number| number.parse::<u64>().ok());
        let began = number("requestedAt").expect("a push was requested");
        let took = match number("completedAt") {
            Some(ended) if refuses_for.is_zero() => Duration::from_millis(ended - began),
            _ => refuses_for,
        };
        Measured { size, took, slices: number("slices").unwrap_or_default(), counts: meter(&world).counts() }
    })
}

fn meter(world: &Arc<World>) -> &Meter {
    world.meter.as_ref().expect("a world that is measured has one")
}

fn scenario(size: Size) -> Scenario {
    let post = Post {
        code: "OFFER-1".to_owned(),
        channels: [domain::Channel::Email].into_iter().collect(),
        eligibility: None,
        starts_after_ms: None,
        valid_for_ms: None,
        names_tier: false,
    };
    Scenario {
        seed: size.customers,
        settings: Settings {
            email_rate: size.rate,
            email_concurrency: size.concurrency,
            audience_concurrency: 10,
            ..Settings::plain()
        },
        customers: Vec::new(),
        actions: vec![TimedAction { at_ms: POSTED_AT_MS, action: Action::PostOffer(post) }],
        outages: Vec::new(),
        faults: Vec::new(),
        calm_after_ms: 0,
    }
}

/// The request for the only push of a measurement. It finds nothing before the push is created.
fn only_push() -> serde_json::Value {
    json!({
        "TableName": "Pushes", "FilterExpression": "sk = :push",
        "ExpressionAttributeValues": {":push": {"S": "push"}},
    })
}
