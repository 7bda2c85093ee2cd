//! `bench`: what the functions cost on this machine, in the tables that `docs/performance.md` shows.
//!
//! | to change | open |
//! |---|---|
//! | how long functions take to start, and beside what | `start` |
//! | pushes to ever more customers | `pushes` |
//! | the SMTP server that discards, and sending to it alone | `sink` |
//! | what the system says of processes and of the machine | `system` |
//! | tables | `table` |

mod pushes;
mod sink;
mod start;
mod system;
mod table;

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use tokio::process::Command;

use crate::emulator::Emulator;
use crate::place::Place;
use crate::up::{Stopped, end, prepare};
use crate::{Options, package, progress};

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
    let stopped = Stopped::listen()?;
    let place = Place::of_workspace("bench-stack")?;
    let release = release(&place)?;
    let place = place.with_functions_in(release);
    end(&place)?;
    let figures = async {
        let mut figures = Figures::default();
        build(&place).await?;
        // Built before anything is measured, so that what is measured has the machine to itself.
        let sending = if wanted(Part::Smtp) { sink::Sending::build(&place).await? } else { None };
        if wanted(Part::Functions) || wanted(Part::Pushes) {
            on_stack(&place, &wanted, &mut figures).await?;
        }
        end(&place)?;
        if let Some(sending) = sending {
            figures.say("E-mails a second", &sending.measure(&place).await?);
        } else if wanted(Part::Smtp) {
            figures.say("E-mails a second", sink::MISSING);
        }
        Ok(figures)
    };
    let figures = tokio::select! {
        figures = figures => figures,
        () = stopped.wait() => Err(anyhow::anyhow!("stopped")),
    };
    end(&place)?;
    println!("\n{}\n{}", system::machine(), figures?.0);
    Ok(())
}

async fn on_stack(place: &Place, wanted: &impl Fn(Part) -> bool, figures: &mut Figures) -> Result<()> {
    let sink = sink::Sink::start(place)?;
    let smtp = sink.as_ref().map(sink::Sink::url);
    let options = Options { stack: Some(Emulator::default()), smtp, set: Vec::new() };
    let stack = prepare(place, &options).await?;
    // First, while the stack has little to do and its tables are small.
    if wanted(Part::Functions) {
        figures.say("Functions", &start::measure(place, &stack).await?);
    }
    if wanted(Part::Pushes) {
        figures.say("Pushes", &pushes::measure(&stack, sink.is_some()).await?);
    }
    Ok(())
}

/// What was measured, as it is printed.
#[derive(Default)]
struct Figures(String);

impl Figures {
    fn say(&mut self, heading: &str, text: &str) {
        self.0 += &format!("\n{heading}\n\n{}\n", text.trim_end());
    }
}

/// Where cargo puts what is built for production: beside the folder that this program is in.
fn release(place: &Place) -> Result<PathBuf> {
    let own = place.program("stack")?;
    let target = own.ancestors().nth(2).context("this program lies in no target folder")?;
    Ok(target.join("release"))
}

/// Builds the functions as they are built for production, but for this machine's processor, and the empty one.
async fn build(place: &Place) -> Result<()> {
    let step = progress::step("Building the functions with the release profile (the first time takes many minutes)");
    let functions = package::functions(place)?;
    let mut cargo = cargo(place.workspace());
    cargo.args(["build", "--release", "--bins", "--package", "empty"]);
    cargo.args(functions.iter().flat_map(|function| ["--package", function]));
    ensure!(cargo.status().await.context("cannot run cargo")?.success(), "the functions do not build");
    step.done("built");
    Ok(())
}

fn cargo(workspace: &Path) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(workspace).kill_on_drop(true);
    cargo
}

/// As Lambda counts memory.
fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / f64::from(1 << 20))
}

/// The middle one; of an even number the upper of the two in the middle.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_one() {
        assert_eq!(median(vec![9.0, 1.0, 5.0]), Some(5.0));
        assert_eq!(median(Vec::new()), None);
    }
}
