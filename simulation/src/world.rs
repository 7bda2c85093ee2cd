//! All that a run consists of, besides the processes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use testing::Clock;
use testing::clock::START;
use tokio::time::{Instant, sleep_until};

use crate::aws::bus::Bus;
use crate::aws::dynamo::Dynamo;
use crate::aws::lambda::Lambda;
use crate::aws::secrets::Secrets;
use crate::aws::sqs::Queues;
use crate::chance::Chance;
use crate::fault::Faults;
use crate::history::History;
use crate::people::People;
use crate::promises::Evidence;
use crate::providers::{Handovers, Ses, SmtpServer, Sns};
use crate::scenario::{Scenario, Trouble};
use crate::size::meter::Meter;

/// How often one who waits looks whether the world is calm.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// The world of one run.
pub struct World {
    /// No other run of this program has it.
    pub number: u64,
    pub scenario: Scenario,
    /// The true time. Processes' clocks differ a little.
    pub clock: Clock,
    pub faults: Faults,
    pub history: History,
    /// How long calls take.
    pub latency: Chance,
    pub dynamo: Dynamo,
    pub queues: Queues,
    pub bus: Bus,
    pub secrets: Secrets,
    pub lambda: Lambda,
    pub ses: Ses,
    pub sns: Sns,
    pub smtp: SmtpServer,
    /// What the providers accepted and refused.
    pub handovers: Handovers,
    /// What people did, and what they have set.
    pub people: People,
    /// What the promises are checked against.
    pub evidence: Evidence,
    /// Of a measurement: what counts. Then nothing is kept for the promises.
    pub meter: Option<Meter>,
    is_calm: AtomicBool,
}

impl World {
    /// A world at the beginning of its scenario. Call it in the run's runtime, whose time is virtual.
    pub fn new(scenario: Scenario, keeps_lines: bool) -> Arc<Self> {
        Self::with(scenario, |clock| History::new(clock, keeps_lines), None)
    }

    /// The same for a measurement, of which neither a history nor evidence is kept.
    pub fn measuring(scenario: Scenario, meter: Meter) -> Arc<Self> {
        Self::with(scenario, History::silent, Some(meter))
    }

    fn with(scenario: Scenario, history: impl FnOnce(Clock) -> History, meter: Option<Meter>) -> Arc<Self> {
        static RUNS: AtomicU64 = AtomicU64::new(0);
        let clock = Clock::new();
        let seed = scenario.seed;
        Arc::new(Self {
            number: RUNS.fetch_add(1, Ordering::Relaxed),
            faults: Faults::new(&scenario.faults),
            history: history(clock.clone()),
            latency: Chance::of(seed, "latency"),
            dynamo: Dynamo::new(&scenario),
            queues: Queues::new(clock.clone(), Chance::of(seed, "queues")),
            bus: Bus::default(),
            secrets: Secrets::new(&scenario),
            lambda: Lambda::new(&scenario, clock.clone()),
            ses: Ses::new(&scenario),
            sns: Sns::new(&scenario),
            smtp: SmtpServer::new(&scenario),
            handovers: Handovers::default(),
            people: People::new(&scenario),
            evidence: Evidence::new(&scenario),
            meter,
            is_calm: AtomicBool::new(false),
            clock,
            scenario,
        })
    }

    /// Milliseconds since the beginning.
    pub fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.clock.now().duration_since(START).as_millis()).unwrap_or_default()
    }

    /// The second since the beginning.
    pub fn second(&self) -> i64 {
        self.clock.now().duration_since(START).as_secs()
    }

    /// What is wrong at present.
    pub fn troubles(&self) -> impl Iterator<Item = &Trouble> {
        let now = self.elapsed_ms();
        let is_calm = self.is_calm.load(Ordering::Relaxed);
        let lasts = move |from: u64, time: u64| !is_calm && (from..from.saturating_add(time)).contains(&now);
        self.scenario
            .outages
            .iter()
            .filter(move |outage| lasts(outage.from_ms, outage.for_ms))
            .map(|outage| &outage.what)
    }

    /// Ends all that goes wrong, planned or present. Time goes on.
    pub fn calm(&self) {
        self.is_calm.store(true, Ordering::Relaxed);
        self.faults.end();
    }

    /// Waits this long, or until soon after nothing goes wrong any more.
    pub async fn sleep_until_calm(&self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end && !self.is_calm() {
            sleep_until(end.min(Instant::now() + LOOK_EVERY)).await;
        }
    }

    /// Whether everything that goes wrong has ended.
    pub fn is_calm(&self) -> bool {
        self.is_calm.load(Ordering::Relaxed)
    }
}
