//! Lambda: execution environments, and invocations of functions in them.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use lambda_runtime::Context;
use runtime::Invocation;
use serde_json::Value;
use testing::Clock;
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::aws::activity::Activity;
use crate::aws::template;
use crate::chance::Chance;
use crate::fault::Fault;
use crate::functions::App;
use crate::process::Process;
use crate::scenario::Scenario;
use crate::world::World;

/// A function of the template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Function {
    Offer,
    Customer,
    Preferences,
    Push,
    Audience,
    Email,
    Sms,
    Feedback,
}

impl Function {
    pub const ALL: [Self; 8] = [
        Self::Offer,
        Self::Customer,
        Self::Preferences,
        Self::Push,
        Self::Audience,
        Self::Email,
        Self::Sms,
        Self::Feedback,
    ];
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Offer => "offer",
            Self::Customer => "customer",
            Self::Preferences => "preferences",
            Self::Push => "push",
            Self::Audience => "audience",
            Self::Email => "email",
            Self::Sms => "sms",
            Self::Feedback => "feedback",
        })
    }
}

/// The result of an invocation.
#[derive(Debug, Clone, PartialEq)]
pub enum Invoked {
    /// The function returned this.
    Returned(Value),
    /// The function returned an error.
    Failed(String),
    /// It was stopped at its time-out, or its process ended.
    Ended,
    /// There was no capacity for it: nothing ran.
    Throttled,
}

/// A process that waits for invocations, with the function that it started.
struct Environment {
    process: Process,
    app: App,
    /// The deployment that it started under.
    deployment: u32,
}

/// Lambda, with the execution environments of all functions.
pub struct Lambda {
    clock: Clock,
    chance: Chance,
    max_skew: SignedDuration,
    processes: AtomicU32,
    idle: Mutex<BTreeMap<Function, Vec<Environment>>>,
    /// Processes that go on although their invocations have ended.
    outlived: Activity,
}

/// Environments are replaced after hours, whatever they do (Lambda guide, "Understanding the Lambda execution
/// environment lifecycle").
const REPLACED_AFTER_INVOCATION: f64 = 0.01;
/// How long starting an environment takes: the function's own part of it is mostly a few calls.
const START: (Duration, Duration) = (Duration::from_millis(80), Duration::from_millis(400));
/// For how long at most a process goes on that was frozen at its time-out. Lambda documents no such thing, nor that it cannot
/// be: leases are for a worker of which Lambda has lost track.
const OUTLIVES: Duration = Duration::from_secs(5);

impl Lambda {
    pub fn new(scenario: &Scenario, clock: Clock) -> Self {
        let millis = i64::try_from(scenario.settings.max_skew_ms).unwrap_or(i64::MAX);
        Self {
            clock,
            chance: Chance::of(scenario.seed, "lambda"),
            max_skew: SignedDuration::from_millis(millis),
            processes: AtomicU32::new(0),
            idle: Mutex::default(),
            outlived: Activity::default(),
        }
    }

    /// Whether no process goes on whose invocation has ended.
    pub fn is_idle(&self) -> bool {
        self.outlived.is_idle()
    }

    /// Invokes a function with an event, in an environment that is idle or a new one. How many run at a time is the
    /// caller's concern.
    ///
    /// It passes the point `invoke <function>`, where there may be no capacity for it: the account's concurrency is used up
    /// (Lambda guide, "Understanding Lambda function scaling").
    pub async fn invoke(&self, world: &Arc<World>, function: Function, payload: Value) -> Invoked {
        let point = format!("invoke {function}");
        let struck = world.faults.pass(&point);
        match struck.before {
            None => {}
            Some(Fault::Throttle) => {
                world.history.note(format_args!("{point} #{}: throttled", struck.nth));
                return Invoked::Throttled;
            }
            Some(other) => panic!("an invocation cannot be {other:?}"),
        }
        let present = world.people.switches.deployment();
        let idle = self.idle().get_mut(&function).and_then(|idle| {
            // Processes of earlier deployments are given no invocation any more.
            idle.retain(|environment| environment.deployment == present);
            idle.pop()
        });
        let environment = match idle {
            Some(environment) => environment,
            None => match self.start(world, function).await {
                Some(environment) => environment,
                None => return Invoked::Ended,
            },
        };
        let Environment { process, app, deployment } = environment;
        let time = template::timeout(function);
        let invocation = self.invocation(time);
        world.history.note(format_args!("{process} invoked"));
        let worker = process.clone();
        let mut work = Box::pin(async move {
            let result = worker.run(app.handle(payload, invocation)).await;
            (result, app)
        });
        let began = Instant::now();
        let ended = timeout(time, &mut work).await;
        if let Some(meter) = &world.meter {
            meter.invoked(function, began.elapsed());
        }
        match ended {
            Ok((Some(result), app)) => {
                world.history.note(format_args!("{process} {}", if result.is_ok() { "returned" } else { "failed" }));
                if self.chance.happens(REPLACED_AFTER_INVOCATION) {
                    world.history.note(format_args!("{process} is replaced"));
                } else {
                    self.idle().entry(function).or_default().push(Environment { process, app, deployment });
                }
                match result {
                    Ok(value) => Invoked::Returned(value),
                    Err(error) => Invoked::Failed(error),
                }
            }
            Ok((None, _)) => Invoked::Ended,
            Err(_) => {
                world.history.note(format_args!("{process} timed out"));
                world.evidence.timed_out(&process, self.clock.now());
                if has_leases(function) && process.thaws_at().is_some() {
                    let more = self.chance.between(Duration::ZERO, OUTLIVES);
                    spawn_local(outlive(Arc::clone(world), process, work, more));
                } else {
                    // Lambda resets the environment (Lambda guide, "Configure Lambda function timeout").
                    process.kill();
                }
                Invoked::Ended
            }
        }
    }

    /// Ends all idle processes. They hold the world, and the world them.
    pub fn shut_down(&self) {
        self.idle().clear();
    }

    /// Starts an environment. `None` if its process ends meanwhile.
    async fn start(&self, world: &Arc<World>, function: Function) -> Option<Environment> {
        let number = self.processes.fetch_add(1, Ordering::Relaxed) + 1;
        let process = Process::new(number, function, self.clock.clone(), self.skew());
        world.history.note(format_args!("{process} starts"));
        sleep(self.chance.between(START.0, START.1)).await;
        let deployment = world.people.switches.deployment();
        let app = process.run(App::start(world, &process)).await?;
        Some(Environment { process, app, deployment })
    }

    fn skew(&self) -> SignedDuration {
        let most = self.max_skew.unsigned_abs();
        let skew = SignedDuration::try_from(self.chance.between(Duration::ZERO, most)).unwrap_or_default();
        if self.chance.happens(0.5) { -skew } else { skew }
    }

    /// What the function is told of the invocation. The deadline is by Lambda's clock.
    fn invocation(&self, time: Duration) -> Invocation {
        let mut context = Context::default();
        let deadline: Timestamp = self.clock.now() + time;
        context.deadline = u64::try_from(deadline.as_millisecond()).expect("it is after 1970");
        Invocation::of(&context)
    }

    fn idle(&self) -> MutexGuard<'_, BTreeMap<Function, Vec<Environment>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A function that others may take the work of. What the API's functions are asked is asked once more by their callers, who
/// cannot know of one that goes on.
fn has_leases(function: Function) -> bool {
    !matches!(function, Function::Offer | Function::Customer | Function::Preferences)
}

/// A process that was frozen at its time-out goes on once it is thawed, for so much longer.
async fn outlive<T>(world: Arc<World>, process: Process, work: impl Future<Output = T>, more: Duration) {
    let busy = world.lambda.outlived.begin();
    world.history.note(format_args!("{process} is frozen, and not ended"));
    let end = async {
        while let Some(thaw) = process.thaws_at() {
            sleep_until(thaw).await;
        }
        sleep(more).await;
    };
    let (work, end) = (pin!(work), pin!(end));
    tokio::select! {
        biased;
        _ = work => {}
        () = end => {}
    }
    world.history.note(format_args!("{process} ends"));
    process.kill();
    drop(busy);
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.function(), self.number())
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::LocalSet;

    use super::*;
    use crate::aws::schedule;
    use crate::aws::testing::{planned, world};
    use crate::fault::Moment;

    /// The history of push by its schedule alone, within so many minutes, and whether none outlives its time-out then.
    async fn history(fault: (&str, u32, Moment, Fault), minutes: u64) -> (String, bool) {
        let world = world(planned(&[fault]));
        let local = LocalSet::new();
        let minutes = Duration::from_secs(minutes * 60);
        let run = async {
            schedule::start(&world);
            sleep(minutes).await;
        };
        local.run_until(run).await;
        let lines: Vec<_> = world.history.lines().into_iter().map(|(_, line)| line).collect();
        (lines.join("\n"), world.lambda.is_idle())
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_is_frozen_at_its_time_out_goes_on_for_a_while() {
        let freeze = ("push DynamoDB.Query Pushes", 1, Moment::Before, Fault::Freeze(20 * 60_000));
        let (lines, is_idle) = history(freeze, 10).await;
        assert!(lines.contains("push[1] is frozen, and not ended") && !lines.contains("push[1] ends"), "{lines}");
        assert!(!is_idle);
        let (lines, is_idle) = history(freeze, 25).await;
        assert!(lines.contains("push[1] ends"), "{lines}");
        let calls = lines.matches("push[1] push DynamoDB.Query Pushes #1: 200").count();
        assert_eq!(calls, 1, "what it was about to call takes effect: {lines}");
        assert!(is_idle && lines.contains("push[2] returned"));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_runs_without_capacity() {
        let (lines, _) = history(("invoke push", 1, Moment::Before, Fault::Throttle), 3).await;
        let (before, after) = lines.split_once("invoke push #1: throttled").unwrap();
        assert!(!before.contains("push[1] invoked") && after.contains("push[1] invoked"), "{lines}");
    }
}
