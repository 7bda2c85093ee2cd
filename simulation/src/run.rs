//! A run of one scenario, from its beginning to its end.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Once};
use std::time::Duration;

use jiff::Timestamp;
use tokio::runtime::Builder;
use tokio::task::LocalSet;
use tokio::time::sleep;

use crate::aws::activity::Activity;
use crate::aws::{mapping, schedule};
use crate::fault::Moment;
use crate::people::person::is_unknown;
use crate::people::{self, Action, Change};
use crate::promises::{self, Violation, logs};
use crate::scenario::Scenario;
use crate::world::World;

/// How often the end of a run is looked for.
const LOOK_EVERY: Duration = Duration::from_secs(20);
/// How long all pushes may take to end once nothing goes wrong any more. A message whose functions were killed comes again
/// after 15 minutes, up to four times; the sweep restarts a scan after 45; waits between attempts are up to 15.
const PATIENCE: Duration = Duration::from_hours(6);

/// What a run showed.
#[derive(Debug, Default)]
pub struct Outcome {
    pub violations: Vec<Violation>,
    /// Two runs of one scenario have the same.
    pub hash: u64,
    pub events: u64,
    /// How much virtual time passed.
    pub elapsed: Duration,
    /// How often each point was passed, and struck by a fault.
    pub passed: BTreeMap<String, u32>,
    pub struck: BTreeMap<(String, Moment), u32>,
    /// The history, if it was kept.
    pub lines: Vec<(Timestamp, String)>,
}

thread_local! {
    /// The panics of the present run. Those in tasks would else be seen by nobody.
    static PANICS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Runs a scenario. With `keeps_lines`, the outcome has the history as text. A panic of the run is a violation, with which the
/// outcome has nothing else.
pub fn run(scenario: &Scenario, keeps_lines: bool) -> Outcome {
    record_panics();
    PANICS.take();
    let mut outcome = catch_unwind(AssertUnwindSafe(|| run_once(scenario, keeps_lines))).unwrap_or_default();
    let panics = PANICS.take().into_iter();
    outcome.violations.extend(panics.map(|what| Violation { promise: "nothing panics", what }));
    outcome
}

fn run_once(scenario: &Scenario, keeps_lines: bool) -> Outcome {
    // The SDK's clients take their random pauses from here.
    fastrand::seed(scenario.seed);
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime without I/O can be built");
    // The tasks of people and of models need not be able to move to other threads.
    LocalSet::new().block_on(&runtime, async {
        let world = World::new(scenario.clone(), keeps_lines);
        let _guard = logs::listen(&world);
        live(&world).await;
        world.lambda.shut_down();
        Outcome {
            violations: promises::check_all(&world),
            hash: world.history.hash(),
            events: world.history.events(),
            elapsed: Duration::from_millis(world.elapsed_ms()),
            passed: world.faults.passed(),
            struck: world.faults.struck(),
            lines: world.history.lines(),
        }
    })
}

async fn live(world: &Arc<World>) {
    people::settle_in(world).await;
    let at_work = [mapping::start(world), schedule::start(world)];
    people::start(world);
    sleep(Duration::from_millis(world.scenario.end_ms())).await;
    world.calm();
    people::tidy_up(world);
    world.history.note(format_args!("from now on nothing goes wrong"));
    let mut waited = Duration::ZERO;
    while waited < patience(&world.scenario) && !has_ended(world, &at_work) {
        sleep(LOOK_EVERY).await;
        waited += LOOK_EVERY;
    }
}

/// A refusal of an address that does not exist may be about us, while nothing else is accepted: it is tried for `RetryHours`.
fn patience(scenario: &Scenario) -> Duration {
    let newcomers = scenario.actions.iter().filter_map(|timed| match &timed.action {
        Action::PutCustomer { change: Change::New(person), .. } => Some(person),
        _ => None,
    });
    let mut people = scenario.customers.iter().chain(newcomers);
    let refuses = people.any(|person| person.email.as_deref().is_some_and(is_unknown));
    if refuses { PATIENCE + Duration::from_hours(scenario.settings.retry_hours.into()) } else { PATIENCE }
}

/// Whether nothing is left to do, waits in a queue or runs.
fn has_ended(world: &World, at_work: &[Activity]) -> bool {
    let is_idle = world.lambda.is_idle() && at_work.iter().all(Activity::is_idle);
    is_idle && world.queues.is_empty() && promises::is_finished(world)
}

fn record_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            PANICS.with_borrow_mut(|panics| panics.push(info.to_string()));
            if std::env::var_os("RUST_BACKTRACE").is_some() {
                before(info);
            }
        }));
    });
}
