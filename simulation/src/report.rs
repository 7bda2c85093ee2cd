//! What is printed of runs.

use std::fs;
use std::path::Path;

use anyhow::Result;
use simulation::fault::Moment;
use simulation::promises::Violation;
use simulation::run::{Outcome, run};
use simulation::scenario::{Scenario, shrink};
use testing::clock::START;

use crate::seeds::Seeds;

/// Where a scenario that broke a promise is saved.
const SAVED: &str = "target/scenarios";
/// How often a scenario is run to make it smaller.
const SHRINKING_RUNS: u32 = 400;

/// The numbers of all seeds.
pub(crate) fn summary(seeds: &Seeds) {
    let last = seeds.from + seeds.ran.saturating_sub(1);
    println!(
        "\nSeeds {} to {last}: {} in {:.0} s, {:.1} a second; {:.0} days of virtual time, {} events; {} broke a promise.",
        seeds.from,
        seeds.ran,
        seeds.took.as_secs_f64(),
        Seeds::per_second(seeds.ran, seeds.took),
        seeds.virtual_time.as_secs_f64() / 86_400.0,
        seeds.events,
        seeds.broken.len()
    );
    let pairs = seeds.passed.keys().filter(|point| is_call(point)).count() * 2;
    let enough = seeds.struck.iter().filter(|((point, _), times)| is_call(point) && **times >= 10).count();
    let faults: u64 = seeds.struck.values().sum();
    println!("{faults} faults; {enough} of {pairs} sides of calls were struck ten times or more.");
}

fn is_call(point: &str) -> bool {
    ["message ", "record ", "schedule ", "event "].iter().all(|kind| !point.starts_with(kind))
}

/// How often each point was struck before and after its effect.
pub(crate) fn coverage(seeds: &Seeds) {
    println!("\n{:<56} {:>10} {:>8} {:>8}", "", "passed", "before", "after");
    for (point, passed) in &seeds.passed {
        let struck = |moment| seeds.struck.get(&(point.clone(), moment)).copied().unwrap_or_default();
        println!("{point:<56} {passed:>10} {:>8} {:>8}", struck(Moment::Before), struck(Moment::After));
    }
}

/// A scenario that broke a promise: made as small as it goes, saved, and its history.
pub(crate) fn failure(scenario: &Scenario, violations: &[Violation], shrinks: bool) -> Result<()> {
    println!("\nSeed {} breaks a promise:", scenario.seed);
    for violation in violations {
        println!("  {}: {}", violation.promise, violation.what);
    }
    let promise = violations[0].promise;
    let fails = |scenario: &Scenario| run(scenario, false).violations.iter().any(|found| found.promise == promise);
    let smallest = if shrinks { shrink::shrink(scenario, SHRINKING_RUNS, fails) } else { scenario.clone() };
    let path = Path::new(SAVED).join(format!("seed-{}.json", scenario.seed));
    fs::create_dir_all(SAVED)?;
    fs::write(&path, serde_json::to_string_pretty(&smallest)?)?;
    println!(
        "\nThe smallest scenario found that breaks it ({} customers, {} actions, {} outages, {} faults) is in {}.\n\
         To run it again: cargo xtask simulate --replay {}\n",
        smallest.customers.len(),
        smallest.actions.len(),
        smallest.outages.len(),
        smallest.faults.len(),
        path.display(),
        path.display(),
    );
    history(&run(&smallest, true));
    Ok(())
}

/// The history of a run, and what it broke.
pub(crate) fn history(outcome: &Outcome) {
    for (at, line) in &outcome.lines {
        let seconds = at.duration_since(START).as_secs_f64();
        println!("{seconds:>12.3} s  {line}");
    }
    println!(
        "\n{} events, {:.0} s of virtual time, history {:016x}",
        outcome.events,
        outcome.elapsed.as_secs_f64(),
        outcome.hash
    );
    for violation in &outcome.violations {
        println!("BROKEN  {}: {}", violation.promise, violation.what);
    }
}
