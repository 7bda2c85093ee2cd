//! `bench`: measures the functions on this machine and prints tables. `docs/performance.md` has the results of one run.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | release builds | `build` |
//! | size, start-up time and memory of functions | `cold_start` |
//! | the functions to start, and the empty ones to compare with | `handlers` |
//! | one process of each function by itself, and the peers | `rig` |
//! | pushes to 1,000 to 45,211 customers | `pushes` |
//! | the SMTP server that discards e-mail, and the SMTP benchmark | `sink` |
//! | facts about processes and the machine | `system` |
//! | tables and number formats | `table` |

mod build;
mod cold_start;
mod handlers;
mod pushes;
mod rig;
mod sink;
mod system;
mod table;

use anyhow::{Result, ensure};
use commands::Part;

use crate::emulator::Emulator;
use crate::options::Options;
use crate::shutdown::{Interrupted, ShutdownSignal};
use crate::stack_dir::StackDir;
use crate::up::{prepare, stop};
use build::{build, release};

/// Runs the benchmarks on a separate stack and prints the results.
pub(crate) async fn bench(parts: &[Part]) -> Result<()> {
    ensure!(
        cfg!(target_os = "linux"),
        "the benchmarks need Linux: they read /proc and run AWS's runtime interface emulator"
    );
    let wanted = |part| parts.is_empty() || parts.contains(&part);
    let shutdown = ShutdownSignal::listen()?;
    let dir = StackDir::in_workspace("bench-stack")?;
    let release = release(&dir)?;
    let dir = dir.with_functions_in(release);
    stop(&dir)?;
    let figures = async {
        let mut figures = Figures::default();
        build(&dir).await?;
        // Build everything first, so that nothing else uses the machine during a measurement.
        let smtp_benchmark = if wanted(Part::Smtp) { sink::SmtpBenchmark::build(&dir).await? } else { None };
        let rig = if wanted(Part::Process) { Some(rig::Rig::build(&dir).await?) } else { None };
        if wanted(Part::Functions) || wanted(Part::Pushes) {
            on_stack(&dir, &wanted, &mut figures).await?;
        }
        stop(&dir)?;
        if let Some(rig) = rig {
            figures.add("One process", &rig.measure(&dir).await?);
        }
        if let Some(smtp_benchmark) = smtp_benchmark {
            figures.add("E-mails per second", &smtp_benchmark.measure(&dir).await?);
        } else if wanted(Part::Smtp) {
            figures.add("E-mails per second", sink::MISSING);
        }
        Ok(figures)
    };
    let figures: Result<Figures> = tokio::select! {
        figures = figures => figures,
        () = shutdown.wait() => Err(Interrupted.into()),
    };
    stop(&dir)?;
    println!("\n{}\n{}", system::machine(), figures?.0);
    Ok(())
}

async fn on_stack(dir: &StackDir, wanted: &impl Fn(Part) -> bool, figures: &mut Figures) -> Result<()> {
    let sink = sink::Sink::start(dir)?;
    let smtp = sink.as_ref().map(sink::Sink::url);
    let options = Options { stack: Some(Emulator::default()), smtp, set: Vec::new() };
    let stack = prepare(dir, &options, None).await?;
    // First, while the stack is idle and its tables are small.
    if wanted(Part::Functions) {
        figures.add("Functions", &cold_start::measure(dir, &stack).await?);
    }
    if wanted(Part::Pushes) {
        figures.add("Pushes", &pushes::measure(&stack, sink.is_some()).await?);
    }
    Ok(())
}

/// The results, as they are printed.
#[derive(Default)]
struct Figures(String);

impl Figures {
    fn add(&mut self, heading: &str, text: &str) {
        self.0 += &format!("\n{heading}\n\n{}\n", text.trim_end());
    }
}
