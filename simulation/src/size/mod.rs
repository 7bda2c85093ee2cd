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
//! | how long pushes take beside each other, in tests | `fair` |
//! | what it costs, and what larger pushes take | [`model`] |
//! | the work whose instructions are counted | [`work`] |

mod bank;
#[cfg(test)]
mod fair;
pub mod meter;
pub mod model;
pub mod work;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
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
    let refuses_until = i64::try_from(size.refuses_for.as_secs()).unwrap_or(i64::MAX);
    let counting = Meter::new(Bank { customers: size.customers }, refuses_until);
    let posts = vec![TimedAction { at_ms: POSTED_AT_MS, action: Action::PostOffer(post("OFFER-1", None)) }];
    let refuses_for = size.refuses_for;
    run(scenario(size, posts), counting, |world| {
        let push = pushes(world).into_iter().next().unwrap_or_default();
        let elapsed = Duration::from_millis(world.elapsed_ms());
        let is_over = if refuses_for.is_zero() { push["state"]["S"] == "completed" } else { elapsed >= refuses_for };
        if !is_over {
            progress(meter(world).counts().sent);
            return None;
        }
        let took = took(&push).filter(|_| refuses_for.is_zero()).unwrap_or(refuses_for);
        let slices = number(&push, "slices").expect("a push was requested");
        Some(Measured { size, took, slices, counts: meter(world).counts() })
    })
}

/// Runs a scenario until `look`, which is asked now and then, has something to return.
fn run<T>(scenario: Scenario, counting: Meter, mut look: impl FnMut(&Arc<World>) -> Option<T>) -> T {
    fastrand::seed(scenario.seed);
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime without I/O can be built");
    LocalSet::new().block_on(&runtime, async {
        let world = World::measuring(scenario, counting);
        world.queues.keep_nothing();
        // Nothing is left of what releases before keyed hashes stored, as in any stack after its first hours.
        let migrated = json!({"TableName": "Suppressions", "Item": {"pk": {"S": "migration#keyedHashes"}}});
        world.dynamo.execute("PutItem", migrated);
        mapping::start(&world);
        schedule::start(&world);
        people::start(&world);
        let found = loop {
            sleep(LOOK_EVERY).await;
            if let Some(found) = look(&world) {
                break found;
            }
        };
        world.lambda.shut_down();
        found
    })
}

/// The items of all pushes, in the order in which they were requested.
fn pushes(world: &World) -> Vec<Value> {
    let scan = json!({
        "TableName": "Pushes", "FilterExpression": "sk = :push",
        "ExpressionAttributeValues": {":push": {"S": "push"}},
    });
    let mut pushes = world.dynamo.execute("Scan", scan).body["Items"].as_array().cloned().unwrap_or_default();
    pushes.sort_by_key(|push| number(push, "requestedAt"));
    pushes
}

fn number(push: &Value, field: &str) -> Option<u64> {
    push[field]["N"].as_str()?.parse().ok()
}

/// From the request to the end of a push that is completed.
fn took(push: &Value) -> Option<Duration> {
    Some(Duration::from_millis(number(push, "completedAt")? - number(push, "requestedAt")?))
}

fn meter(world: &Arc<World>) -> &Meter {
    world.meter.as_ref().expect("a world that is measured has one")
}

fn scenario(size: Size, actions: Vec<TimedAction>) -> Scenario {
    Scenario {
        seed: size.customers,
        settings: Settings {
            email_rate: size.rate,
            email_concurrency: size.concurrency,
            audience_concurrency: 10,
            ..Settings::plain()
        },
        customers: Vec::new(),
        actions,
        outages: Vec::new(),
        faults: Vec::new(),
        calm_after_ms: 0,
    }
}

fn post(code: &str, rule: Option<&str>) -> Post {
    Post {
        code: code.to_owned(),
        channels: [domain::Channel::Email].into_iter().collect(),
        eligibility: rule.map(str::to_owned),
        starts_after_ms: None,
        valid_for_ms: None,
        names_tier: false,
    }
}
