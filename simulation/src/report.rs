//! What is printed of runs.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use simulation::fault::Moment;
use simulation::promises::Violation;
use simulation::run::{Outcome, run};
use simulation::scenario::points::{POINTS, SETTLING, is_call};
use simulation::scenario::{Scenario, shrink};
use testing::clock::START;

use crate::seeds::Seeds;

/// Where a scenario that broke a promise is saved.
const SAVED: &str = "target/scenarios";
/// How often a scenario is run to make it smaller.
const SHRINKING_RUNS: u32 = 400;
/// How often each side of a call is to be struck.
const ENOUGH: u64 = 10;

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
    let faults: u64 = seeds.struck.values().sum();
    let sides = POINTS.iter().filter(|point| is_call(point.name)).count() * 2;
    let enough = sides - gaps(seeds).iter().filter(|gap| matches!(gap, Gap::Seldom { .. })).count();
    println!("{faults} faults; {enough} of {sides} sides of calls were struck {ENOUGH} times or more.");
}

/// What of the coverage is missing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Gap {
    /// A side of a call that was struck so seldom.
    Seldom { point: &'static str, moment: Moment, times: u64 },
    /// A call at which no fault is ever drawn.
    Unknown { point: String },
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Seldom { point, moment: Moment::Before, times } => write!(f, "{point}: struck {times} times before"),
            Self::Seldom { point, moment: Moment::After, times } => write!(f, "{point}: struck {times} times after"),
            Self::Unknown { point } => write!(f, "{point}: no fault is drawn for it"),
        }
    }
}

/// The sides of calls that were struck too seldom, and the calls that have no fault.
fn gaps(seeds: &Seeds) -> Vec<Gap> {
    let calls = POINTS.iter().map(|point| point.name).filter(|point| is_call(point));
    let seldom = calls.flat_map(|point| {
        [Moment::Before, Moment::After].into_iter().filter_map(move |moment| {
            let times = seeds.struck.get(&(point.to_owned(), moment)).copied().unwrap_or_default();
            (times < ENOUGH).then_some(Gap::Seldom { point, moment, times })
        })
    });
    let is_known = |point: &str| POINTS.iter().any(|known| known.name == point) || SETTLING.contains(&point);
    let unknown = seeds.passed.keys().filter(|point| is_call(point) && !is_known(point));
    seldom.chain(unknown.map(|point| Gap::Unknown { point: point.clone() })).collect()
}

/// How often each point was struck before and after its effect. Returns what is missing.
pub(crate) fn coverage(seeds: &Seeds) -> Vec<Gap> {
    println!("\n{:<56} {:>10} {:>8} {:>8}", "", "passed", "before", "after");
    for (point, passed) in &seeds.passed {
        let struck = |moment| seeds.struck.get(&(point.clone(), moment)).copied().unwrap_or_default();
        println!("{point:<56} {passed:>10} {:>8} {:>8}", struck(Moment::Before), struck(Moment::After));
    }
    let gaps = gaps(seeds);
    if !gaps.is_empty() {
        println!("\nNot covered:");
    }
    for gap in &gaps {
        println!("  {gap}");
    }
    gaps
}

/// A scenario that broke a promise: made as small as it goes, saved, and its history.
pub(crate) fn failure(scenario: &Scenario, violations: &[Violation], shrinks: bool) -> Result<()> {
    println!("\nSeed {} breaks a promise:", scenario.seed);
    for violation in violations {
        println!("  {}: {}", violation.promise, violation.what);
    }
    let broken = kind(&violations[0]);
    let fails = |scenario: &Scenario| run(scenario, false).violations.iter().any(|found| kind(found) == broken);
    let smallest = if shrinks { shrink::shrink(scenario, SHRINKING_RUNS, fails) } else { scenario.clone() };
    let path = save(&smallest)?;
    let which = if shrinks { "The smallest scenario found" } else { "The scenario" };
    println!(
        "\n{which} that breaks it ({} customers, {} actions, {} outages, {} faults) is in {}.\n\
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

/// Saves a scenario, to be run again.
pub(crate) fn save(scenario: &Scenario) -> Result<PathBuf> {
    let path = Path::new(SAVED).join(format!("seed-{}.json", scenario.seed));
    fs::create_dir_all(SAVED)?;
    fs::write(&path, serde_json::to_string_pretty(scenario)?)?;
    Ok(path)
}

/// What a violation has in common with others of the same defect: its promise, and its text without numbers.
fn kind(violation: &Violation) -> (&'static str, String) {
    (violation.promise, violation.what.chars().filter(|c| !c.is_ascii_digit()).collect())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_side_of_a_call_that_is_struck_seldom_or_never_is_named() {
        let mut seeds = Seeds::default();
        let calls: Vec<_> = POINTS.iter().map(|point| point.name).filter(|point| is_call(point)).collect();
        for point in &calls {
            for moment in [Moment::Before, Moment::After] {
                seeds.struck.insert(((*point).to_owned(), moment), ENOUGH);
            }
        }
        seeds.passed.insert("record Offers".to_owned(), 1);
        assert_eq!(gaps(&seeds), []);
        seeds.struck.insert((calls[3].to_owned(), Moment::After), ENOUGH - 1);
        seeds.struck.remove(&(calls[5].to_owned(), Moment::Before));
        seeds.passed.insert("email DynamoDB.Scan Pacing".to_owned(), 1);
        let seldom = |point, moment, times| Gap::Seldom { point, moment, times };
        let expected = [
            seldom(calls[3], Moment::After, ENOUGH - 1),
            seldom(calls[5], Moment::Before, 0),
            Gap::Unknown { point: "email DynamoDB.Scan Pacing".to_owned() },
        ];
        assert_eq!(gaps(&seeds), expected);
    }
}
