//! Schedules, and asynchronous invocations, of which they make one at each tick.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep, sleep_until};

use crate::aws::activity::Activity;
use crate::aws::lambda::{Function, Invoked};
use crate::aws::template::{self, Schedule};
use crate::chance::Chance;
use crate::fault::{Fault, millis};
use crate::world::World;

/// A tick comes some time within its minute (EventBridge guide, "Creating a rule that runs on a schedule").
const JITTER: Duration = Duration::from_secs(2);
/// How long Lambda waits before the first retry of an asynchronous invocation, and before the second (Lambda guide, "How
/// Lambda handles errors and retries with asynchronous invocation").
const RETRY_AFTER: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(120)];

/// Starts all schedules of the template as tasks of the present `LocalSet`. They run until it ends. The activity is idle while
/// no invocation of theirs runs or waits to be tried again.
pub fn start(world: &Arc<World>) -> Activity {
    let activity = Activity::default();
    for schedule in template::schedules() {
        spawn_local(run(Arc::clone(world), schedule, activity.clone()));
    }
    activity
}

async fn run(world: Arc<World>, schedule: &'static Schedule, activity: Activity) {
    let Schedule { function, every, .. } = schedule;
    let point = format!("schedule {function}");
    let chance = Chance::of(world.scenario.seed, &point);
    let mut next = Instant::now() + chance.between(Duration::ZERO, *every);
    loop {
        sleep_until(next + chance.between(Duration::ZERO, JITTER)).await;
        next += *every;
        let struck = world.faults.pass(&point);
        let mut delays = vec![Duration::ZERO];
        for fault in [struck.before, struck.after].into_iter().flatten() {
            match fault {
                Fault::Gone => delays.clear(),
                Fault::Late(time) => delays.iter_mut().for_each(|delay| *delay += millis(time)),
                Fault::Twice(time) => delays.extend(delays.first().map(|first| *first + millis(time))),
                other => panic!("a tick cannot be {other:?}"),
            }
        }
        world.history.note(format_args!("{point} #{}: {} invocations", struck.nth, delays.len()));
        let event = event(&world, schedule);
        for delay in delays {
            let (world, event, busy) = (Arc::clone(&world), event.clone(), activity.begin());
            spawn_local(async move {
                sleep(delay).await;
                invoke_later(&world, *function, event).await;
                drop(busy);
            });
        }
    }
}

/// An asynchronous invocation: tried again if it fails, until it is too old or was tried often enough (Lambda guide, "How
/// Lambda handles errors and retries with asynchronous invocation"). Ends when it succeeded or is given up.
pub async fn invoke_later(world: &Arc<World>, function: Function, event: Value) {
    let limits = template::limits(function);
    let began = Instant::now();
    for retry in 0..=limits.max_retries {
        let invoked = Box::pin(world.lambda.invoke(world, function, event.clone())).await;
        if matches!(invoked, Invoked::Returned(_)) {
            return;
        }
        let place = usize::try_from(retry).unwrap_or(usize::MAX).min(RETRY_AFTER.len() - 1);
        let wait = RETRY_AFTER[place];
        if retry == limits.max_retries || began.elapsed() + wait > limits.max_event_age {
            break;
        }
        sleep(wait).await;
        world.history.note(format_args!("{function} is invoked asynchronously again, retry {}", retry + 1));
    }
    world.history.note(format_args!("an asynchronous invocation of {function} is given up"));
}

/// The event of a schedule, unless the template has another one (EventBridge guide, "Scheduled events").
fn event(world: &World, schedule: &Schedule) -> Value {
    let time = world.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    schedule.input.clone().unwrap_or_else(|| {
        json!({
            "version": "0",
            "id": "00000000-0000-4000-8000-000000000000",
            "detail-type": "Scheduled Event",
            "source": "aws.events",
            "account": "123456789012",
            "time": time,
            "region": "eu-central-1",
            "resources": [format!("arn:aws:events:eu-central-1:123456789012:rule/{}", schedule.function)],
            "detail": {},
        })
    })
}
