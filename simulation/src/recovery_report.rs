//! How long recovery takes, over many seeds.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::report;
use simulation::recovery::{End, FUNCTIONS, Recovery, When, measure};

/// A minute, which docs/guarantees.md promises.
const LONGEST: Duration = Duration::from_secs(60);
/// Every so many seeds an invocation of each function is frozen as well.
const FROZEN_EVERY: u64 = 5;

/// Measures and prints. Returns whether each recovery was short enough and kept every promise.
pub(crate) fn print(seeds: Range<u64>, threads: usize) -> bool {
    let all = measure_all(&seeds, threads);
    println!(
        "{:<10} {:<8} {:<22} {:>6} {:>8} {:>8} {:>8} {:>8}",
        "", "", "", "number", "median", "95 %", "99 %", "longest"
    );
    for function in FUNCTIONS {
        for (end, name) in [(End::Killed, "killed"), (End::Frozen, "frozen")] {
            for (when, at) in [(When::Working, "working"), (When::BeforeItsFirstCall, "before its first call")] {
                let alike = all.iter().filter(|one| one.function == function && one.end == end && one.when == when);
                let mut delays: Vec<_> = alike.map(|one| one.delay.as_secs_f64()).collect();
                delays.sort_by(f64::total_cmp);
                let Some(longest) = delays.last() else { continue };
                let share = |share: usize| delays[(delays.len() - 1) * share / 100];
                println!(
                    "{:<10} {name:<8} {at:<22} {:>6} {:>6.1} s {:>6.1} s {:>6.1} s {longest:>6.1} s",
                    function.to_string(),
                    delays.len(),
                    share(50),
                    share(95),
                    share(99),
                );
            }
        }
    }
    let is_late = |one: &&Recovery| one.when == When::Working && one.delay > LONGEST;
    let failed: Vec<_> = all.iter().filter(|one| is_late(one) || !one.violations.is_empty()).collect();
    for one in &failed {
        let (seed, delay) = (one.scenario.seed, one.delay.as_secs_f64());
        println!("\nBROKEN by seed {seed}: {delay:.1} s after {:?}", one.scenario.faults);
        one.violations.iter().for_each(|violation| println!("  {violation}"));
        match report::save(&one.scenario) {
            Ok(path) => println!("  To run it again: cargo xtask simulate --replay {}", path.display()),
            Err(error) => println!("  It is not saved: {error}"),
        }
    }
    println!(
        "\n{} faults; {} broke a promise or delayed what was held by more than a minute.",
        all.len(),
        failed.len()
    );
    failed.is_empty()
}

fn measure_all(seeds: &Range<u64>, threads: usize) -> Vec<Recovery> {
    let next = AtomicU64::new(seeds.start);
    let found = Mutex::new(BTreeMap::new());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            let ends: &[End] =
                if seed.is_multiple_of(FROZEN_EVERY) { &[End::Killed, End::Frozen] } else { &[End::Killed] };
            let measured = measure(seed, ends);
            let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
            found.insert(seed, measured);
            if found.len().is_multiple_of(50) {
                eprintln!("{} of {} seeds", found.len(), seeds.end - seeds.start);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    found.into_inner().unwrap_or_else(PoisonError::into_inner).into_values().flatten().collect()
}
