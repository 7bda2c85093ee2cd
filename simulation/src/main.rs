//! The command behind `cargo xtask simulate`.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | the options | this file |
//! | running many seeds at a time, and the progress of it | `seeds` |
//! | what is printed of them | `report` |
//! | how long recovery takes | `recovery_report` |
//! | what pushes of different sizes take | `size_report` |

mod recovery_report;
mod report;
mod seeds;
mod size_report;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use simulation::promises;
use simulation::run::run;
use simulation::scenario::{Options, Scenario};
use simulation::size::work::Work;

use crate::seeds::{Budget, Seeds};

/// A fifth of the time went into allocating. With this, all is a tenth faster.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How many seeds are run unless something else is said.
const SEEDS: u64 = 500;
/// So many seeds must strike each side of each call.
const COVERED_BY: u64 = 10_000;

/// Runs the whole pipeline on virtual time under seeded faults, and checks every promise of docs/guarantees.md.
#[derive(Debug, Parser)]
#[command(name = "simulate", version)]
struct Arguments {
    /// How many seeds to run. By default 500, or as many as the minutes allow.
    #[arg(long, conflicts_with_all = ["seed", "replay"])]
    seeds: Option<u64>,
    /// The first of the seeds.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Begin at a seed that no earlier run had, drawn from the time of day.
    #[arg(long, conflicts_with = "from")]
    fresh: bool,
    /// Run this seed only, and print its history.
    #[arg(long)]
    seed: Option<u64>,
    /// Run a scenario that was saved, and print its history.
    #[arg(long, value_name = "FILE", conflicts_with = "seed")]
    replay: Option<PathBuf>,
    /// Stop after so many minutes, whatever the number of seeds.
    #[arg(long)]
    minutes: Option<u64>,
    /// How many customers each bank has. By default the seed decides.
    #[arg(long)]
    customers: Option<u32>,
    /// How many seeds run at a time. By default one for each processor.
    #[arg(long)]
    threads: Option<usize>,
    /// Stop at so many seeds that break a promise.
    #[arg(long, default_value_t = 3)]
    enough: usize,
    /// Leave a scenario that breaks a promise as it is.
    #[arg(long)]
    no_shrink: bool,
    /// Print how often each call was struck. Of 10,000 seeds or more, fail if a side of one was struck less than ten times.
    #[arg(long)]
    coverage: bool,
    /// Measure instead how long a killed invocation delays what it held: of each function one in each seed, and a frozen one in
    /// each fifth. Fail if that is ever more than a minute.
    #[arg(long, conflicts_with_all = ["seed", "replay", "coverage"])]
    recovery: bool,
    /// Measure instead what pushes to 1,000 up to 100,000 customers (or `--customers`) take of AWS, and with a model what larger
    /// ones do; and a day in which SES refuses all. Takes five minutes, and with a million customers three quarters of an hour.
    #[arg(long, conflicts_with_all = ["seed", "replay", "coverage", "recovery"])]
    size: bool,
    /// Do only this, so that its instructions can be counted, and print nothing.
    #[arg(long, conflicts_with_all = ["seed", "replay", "coverage", "recovery", "size"])]
    work: Option<Work>,
    /// With `--size`: write the tables into docs/operations.md.
    #[arg(long, requires = "size")]
    write: bool,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    // The functions' metrics are lines of the standard output.
    runtime::metrics::redirect(promises::metrics::look);
    if let Some(work) = arguments.work {
        work.run();
        return Ok(ExitCode::SUCCESS);
    }
    if arguments.size {
        size_report::print(arguments.customers, arguments.write)?;
        return Ok(ExitCode::SUCCESS);
    }
    let options = Options { customers: arguments.customers };
    if let Some(path) = &arguments.replay {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let scenario = serde_json::from_str(&text).with_context(|| format!("{} is no scenario", path.display()))?;
        return Ok(one(&scenario));
    }
    if let Some(seed) = arguments.seed {
        return Ok(one(&Scenario::draw(seed, options)));
    }
    let from = if arguments.fresh { seeds::fresh() } else { arguments.from };
    let budget = Budget {
        broken: arguments.enough,
        seeds: arguments.seeds.or_else(|| arguments.minutes.is_none().then_some(SEEDS)),
        time: arguments.minutes.map(|minutes| Duration::from_secs(minutes * 60)),
    };
    let threads = arguments.threads.or_else(|| std::thread::available_parallelism().ok().map(Into::into)).unwrap_or(1);
    if arguments.recovery {
        let seeds = from..from + budget.seeds.unwrap_or(SEEDS);
        return Ok(if recovery_report::print(seeds, threads) { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let seeds = Seeds::run(from, &budget, threads, &options);
    report::summary(&seeds);
    let gaps = if arguments.coverage { report::coverage(&seeds) } else { Vec::new() };
    if let Some((seed, violations)) = seeds.broken.first_key_value() {
        report::failure(&Scenario::draw(*seed, options), violations, !arguments.no_shrink)?;
        return Ok(ExitCode::FAILURE);
    }
    // Fewer seeds need not strike all.
    let is_covered = gaps.is_empty() || seeds.ran < COVERED_BY;
    Ok(if is_covered { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs one scenario and prints its history.
fn one(scenario: &Scenario) -> ExitCode {
    let outcome = run(scenario, true);
    report::history(&outcome);
    if outcome.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
