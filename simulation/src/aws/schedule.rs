//! Schedules, and asynchronous invocations, of which they make one at each tick.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep, sleep_until};

use crate::aws::activity::Activity;
use crate::aws::lambda::{Function, Invoked};
use crate::aws::mapping::{Invoke, lambda};
use crate::aws::template::{self, Schedule};
use crate::aws::{ACCOUNT, REGION};
use crate::chance::Chance;
use crate::fault::{Fault, millis};
use crate::world::World;

/// A tick comes some time within its minute (EventBridge guide, "Creating a rule that runs on a schedule").
const JITTER: Duration = Duration::from_secs(2);
/// How long Lambda waits before the first retry of an asynchronous invocation, and before the second (Lambda guide, "How
/// Lambda handles errors and retries with asynchronous invocation").
const RETRY_AFTER: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(120)];
/// How long Lambda waits at first, and at most, if it throttles an asynchronous invocation (as above).
const THROTTLED_FOR: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));

/// Starts all schedules of the template as tasks of the present `LocalSet`. They run until it ends. The activity is idle while
/// no invocation of theirs runs or waits to be tried again.
pub fn start(world: &Arc<World>) -> Activity {
    let activity = Activity::default();
    for schedule in template::schedules() {
        let invoke = lambda(world, schedule.function);
        spawn_local(run(Arc::clone(world), schedule, invoke, activity.clone()));
    }
    activity
}

async fn run(world: Arc<World>, schedule: &'static Schedule, invoke: Invoke, activity: Activity) {
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
            let (world, invoke, event, busy) =
                (Arc::clone(&world), Rc::clone(&invoke), event.clone(), activity.begin());
            spawn_local(async move {
                sleep(delay).await;
                retry(&world, *function, &invoke, event).await;
                drop(busy);
            });
        }
    }
}

/// An asynchronous invocation: tried again if it fails, until it is too old or was tried often enough (Lambda guide, "How
/// Lambda handles errors and retries with asynchronous invocation"). Ends when it succeeded or is given up.
pub async fn invoke_later(world: &Arc<World>, function: Function, event: Value) {
    retry(world, function, &lambda(world, function), event).await;
}

async fn retry(world: &World, function: Function, invoke: &Invoke, event: Value) {
    let limits = template::limits(function);
    let (began, mut retries, mut throttled_for) = (Instant::now(), 0, THROTTLED_FOR.0);
    loop {
        let wait = match invoke(event.clone()).await {
            Invoked::Returned(_) => return,
            // It counts as no attempt.
            Invoked::Throttled => {
                let wait = throttled_for;
                throttled_for = (throttled_for * 2).min(THROTTLED_FOR.1);
                wait
            }
            Invoked::Failed(_) | Invoked::Ended if retries == limits.max_retries => break,
            Invoked::Failed(_) | Invoked::Ended => {
                let place = usize::try_from(retries).unwrap_or(usize::MAX).min(RETRY_AFTER.len() - 1);
                retries += 1;
                RETRY_AFTER[place]
            }
        };
        if began.elapsed() + wait > limits.max_event_age {
            break;
        }
        sleep(wait).await;
        world.history.note(format_args!("{function} is invoked asynchronously again, retry {retries}"));
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
            "account": ACCOUNT,
            "time": time,
            "region": REGION,
            "resources": [format!("arn:aws:events:{REGION}:{ACCOUNT}:rule/{}", schedule.function)],
            "detail": {},
        })
    })
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use tokio::task::LocalSet;

    use super::*;
    use crate::aws::testing::{planned, world};
    use crate::fault::{Moment, Planned};

    /// When the function was invoked, in seconds, within this time, by its schedule. It answers with this, ten seconds later.
    async fn invocations(of: Function, faults: Vec<Planned>, answer: Invoked, seconds: u64) -> Vec<u64> {
        let world = world(faults);
        let schedule = template::schedules().iter().find(|schedule| schedule.function == of).unwrap();
        let (began, seen) = (Instant::now(), Rc::new(RefCell::new(Vec::new())));
        let kept = Rc::clone(&seen);
        let invoke: Invoke = Rc::new(move |_| {
            kept.borrow_mut().push(began.elapsed().as_secs());
            let answer = answer.clone();
            Box::pin(async move {
                sleep(Duration::from_secs(10)).await;
                answer
            })
        });
        let local = LocalSet::new();
        local.spawn_local(run(world, schedule, invoke, Activity::default()));
        local.run_until(sleep(Duration::from_secs(seconds))).await;
        seen.take()
    }

    /// The seconds between them, to the nearest ten.
    fn gaps(times: &[u64]) -> Vec<u64> {
        times.windows(2).map(|pair| (pair[1] - pair[0] + 5) / 10 * 10).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_schedule_invokes_at_its_rate_and_as_planned() {
        for (fault, expected) in [
            (None, vec![60, 60, 60]),
            (Some(Fault::Gone), vec![120, 60]),
            (Some(Fault::Twice(20_000)), vec![60, 20, 40, 60]),
            (Some(Fault::Late(20_000)), vec![80, 40, 60]),
        ] {
            let fault = fault.map(|fault| ("schedule push", 2, Moment::Before, fault));
            let times = invocations(Function::Push, planned(fault.as_slice()), Invoked::Ended, 240).await;
            assert_eq!(gaps(&times), expected, "{fault:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_invocation_that_fails_is_tried_again_as_the_template_says() {
        let failed = || Invoked::Failed("error".to_owned());
        // Every five minutes; two retries, 60 and 120 seconds after the ten that each takes.
        let times = invocations(Function::Feedback, vec![], failed(), 550).await;
        assert_eq!(gaps(&times)[..2], [70, 130], "{times:?}");
        let times = invocations(Function::Feedback, vec![], Invoked::Returned(Value::Null), 900).await;
        assert_eq!(gaps(&times), [300, 300]);
        // Without capacity, after 1, 2, 4 and 8 seconds, and however often.
        let times = invocations(Function::Feedback, vec![], Invoked::Throttled, 400).await;
        assert_eq!(gaps(&times)[..4], [10, 10, 10, 20], "{times:?}");
        let times = invocations(Function::Push, vec![], failed(), 240).await;
        assert_eq!(gaps(&times), [60, 60, 60]);
    }
}
