//! `bench`: what the functions cost on this machine, in the tables that `docs/performance.md` shows.
//!
//! | to change | open |
//! |---|---|
//! | what is built before | `build` |
//! | how long functions take to start, and how that is shown | `start` |
//! | which functions, and which empty ones beside them | `handlers` |
//! | pushes to ever more customers | `pushes` |
//! | the SMTP server that discards, and sending to it alone | `sink` |
//! | what the system says of processes and of the machine | `system` |
//! | tables and figures | `table` |

mod build;
mod handlers;
mod pushes;
mod sink;
mod start;
mod system;
mod table;

use anyhow::{Result, ensure};
use clap::ValueEnum;

use crate::emulator::Emulator;
use crate::options::Options;
use crate::shutdown::ShutdownSignal;
use crate::stack_dir::StackDir;
use crate::up::{prepare, stop};
use build::{build, release};

/// What can be measured by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Each function's size, start and memory, beside empty ones.
    Functions,
    /// Pushes to 1,000, 10,000 and 45,211 customers.
    Pushes,
    /// E-mails a second.
    Smtp,
}

/// Measures, on a stack of its own, and prints.
pub(crate) async fn bench(parts: &[Part]) -> Result<()> {
    ensure!(
        cfg!(target_os = "linux"),
        "the figures need Linux: they come from /proc, and AWS's runtime emulator is for it"
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
        // Built before anything is measured, so that what is measured has the machine to itself.
        let smtp_benchmark = if wanted(Part::Smtp) { sink::SmtpBenchmark::build(&dir).await? } else { None };
        if wanted(Part::Functions) || wanted(Part::Pushes) {
            on_stack(&dir, &wanted, &mut figures).await?;
        }
        stop(&dir)?;
        if let Some(smtp_benchmark) = smtp_benchmark {
            figures.add("E-mails a second", &smtp_benchmark.measure(&dir).await?);
        } else if wanted(Part::Smtp) {
            figures.add("E-mails a second", sink::MISSING);
        }
        Ok(figures)
    };
    let figures = tokio::select! {
        figures = figures => figures,
        () = shutdown.wait() => Err(anyhow::anyhow!("stopped")),
    };
    stop(&dir)?;
    println!("\n{}\n{}", system::machine(), figures?.0);
    Ok(())
}

async fn on_stack(dir: &StackDir, wanted: &impl Fn(Part) -> bool, figures: &mut Figures) -> Result<()> {
    let sink = sink::Sink::start(dir)?;
    let smtp = sink.as_ref().map(sink::Sink::url);
    let options = Options { stack: Some(Emulator::default()), smtp, set: Vec::new() };
    let stack = prepare(dir, &options).await?;
    // First, while the stack has little to do and its tables are small.
    if wanted(Part::Functions) {
        figures.add("Functions", &start::measure(dir, &stack).await?);
    }
    if wanted(Part::Pushes) {
        figures.add("Pushes", &pushes::measure(&stack, sink.is_some()).await?);
    }
    Ok(())
}

/// What was measured, as it is printed.
#[derive(Default)]
struct Figures(String);

impl Figures {
    fn add(&mut self, heading: &str, text: &str) {
        self.0 += &format!("\n{heading}\n\n{}\n", text.trim_end());
    }
}
