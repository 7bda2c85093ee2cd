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
use crate::place::Place;
use crate::shutdown::Stopped;
use crate::up::{end, prepare};
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
