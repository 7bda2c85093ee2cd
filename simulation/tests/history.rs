//! A seed has one history, whatever the machine does meanwhile, and what once broke a promise keeps it.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use simulation::promises::metrics;
use simulation::run::run;
use simulation::scenario::{Options, Scenario};

/// Seeds that differ in how much goes wrong.
const SEEDS: [u64; 2] = [2, 5];

fn hash_of(seed: u64) -> u64 {
    runtime::metrics::redirect(metrics::look);
    run(&Scenario::draw(seed, Options::default()), false).hash
}

#[test]
fn a_seed_has_one_history() {
    for seed in SEEDS {
        let first = hash_of(seed);
        // Again; on a machine that is slower, since other threads keep its processors busy; and in another program,
        // where maps have another order.
        assert_eq!(hash_of(seed), first, "seed {seed}, run again");
        let is_done = AtomicBool::new(false);
        let busy = thread::scope(|scope| {
            for _ in 0..thread::available_parallelism().map_or(2, usize::from) {
                scope.spawn(|| {
                    while !is_done.load(Ordering::Relaxed) {
                        std::hint::spin_loop();
                    }
                });
            }
            let hash = hash_of(seed);
            is_done.store(true, Ordering::Relaxed);
            hash
        });
        assert_eq!(busy, first, "seed {seed}, on a busy machine");
        let program =
            Command::new(env!("CARGO_BIN_EXE_simulation")).args(["--seed", &seed.to_string()]).output().unwrap();
        let printed = String::from_utf8(program.stdout).unwrap();
        assert!(printed.contains(&format!("history {first:016x}")), "seed {seed}, in another program");
    }
}

#[test]
fn two_seeds_have_two_histories() {
    assert_ne!(hash_of(SEEDS[0]), hash_of(SEEDS[1]));
}

/// Each file is a scenario in which the product broke a promise once.
#[test]
fn scenarios_that_broke_a_promise_keep_it_now() {
    runtime::metrics::redirect(metrics::look);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "json")) {
        let scenario = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
        let outcome = run(&scenario, false);
        assert!(outcome.violations.is_empty(), "{}: {:?}", file.display(), outcome.violations);
    }
}
