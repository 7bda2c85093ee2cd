//! Running many seeds, several at a time.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write, stderr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use simulation::fault::Moment;
use simulation::promises::Violation;
use simulation::run::run;
use simulation::scenario::{Options, Scenario};

/// How much to run.
pub(crate) struct Budget {
    /// `None`: as many as the time allows.
    pub(crate) seeds: Option<u64>,
    pub(crate) time: Option<Duration>,
    /// Stop at so many seeds that broke a promise.
    pub(crate) broken: usize,
}

/// What the seeds showed.
#[derive(Default)]
pub(crate) struct Seeds {
    pub(crate) from: u64,
    pub(crate) ran: u64,
    pub(crate) took: Duration,
    pub(crate) virtual_time: Duration,
    pub(crate) events: u64,
    pub(crate) passed: BTreeMap<String, u64>,
    pub(crate) struck: BTreeMap<(String, Moment), u64>,
    /// The seeds that broke a promise.
    pub(crate) broken: BTreeMap<u64, Vec<Violation>>,
}

const PROGRESS_EVERY: Duration = Duration::from_secs(5);

/// A first seed that no earlier run had.
pub(crate) fn fresh() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    // Seeds below a million are left to the fixed sets.
    1_000_000 + since.as_secs() * 1_000
}

impl Seeds {
    /// Runs seeds from this one on.
    pub(crate) fn run(from: u64, budget: &Budget, threads: usize, options: &Options) -> Self {
        let began = Instant::now();
        let next = AtomicU64::new(from);
        let is_done = AtomicBool::new(false);
        let sum = Mutex::new(Self { from, ..Self::default() });
        let lock = || sum.lock().unwrap_or_else(PoisonError::into_inner);
        let work = || {
            while !is_done.load(Ordering::Relaxed) && budget.time.is_none_or(|time| began.elapsed() < time) {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if budget.seeds.is_some_and(|seeds| seed - from >= seeds) {
                    return;
                }
                let outcome = run(&Scenario::draw(seed, *options), false);
                let mut sum = lock();
                sum.ran += 1;
                sum.virtual_time += outcome.elapsed;
                sum.events += outcome.events;
                for (point, times) in outcome.passed {
                    *sum.passed.entry(point).or_default() += u64::from(times);
                }
                for (point, times) in outcome.struck {
                    *sum.struck.entry(point).or_default() += u64::from(times);
                }
                if let Some(first) = outcome.violations.first() {
                    println!("BROKEN by seed {seed}: {first}");
                    sum.broken.insert(seed, outcome.violations);
                    is_done.fetch_or(sum.broken.len() >= budget.broken, Ordering::Relaxed);
                }
            }
        };
        thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            let mut shown = Instant::now();
            while !workers.iter().all(thread::ScopedJoinHandle::is_finished) {
                thread::sleep(Duration::from_millis(50));
                if shown.elapsed() >= PROGRESS_EVERY {
                    shown = Instant::now();
                    progress(&lock(), budget, began.elapsed());
                }
            }
        });
        let mut sum = sum.into_inner().unwrap_or_else(PoisonError::into_inner);
        sum.took = began.elapsed();
        sum
    }

    /// Seeds a second.
    #[expect(clippy::cast_precision_loss, reason = "no run has so many seeds")]
    pub(crate) fn per_second(ran: u64, took: Duration) -> f64 {
        ran as f64 / took.as_secs_f64().max(0.001)
    }
}

fn progress(sum: &Seeds, budget: &Budget, took: Duration) {
    let of = budget.seeds.map(|seeds| format!(" of {seeds}")).unwrap_or_default();
    let line = format!(
        "{}{of} seeds, {:.1} a second, {} broke a promise",
        sum.ran,
        Seeds::per_second(sum.ran, took),
        sum.broken.len()
    );
    let mut error = stderr();
    // On a terminal the line stays in its place.
    let _ = if error.is_terminal() { write!(error, "\r\x1b[K{line}") } else { writeln!(error, "{line}") };
    let _ = error.flush();
}
