//! What pushes of different sizes take: the tables of docs/operations.md.

use std::fs;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use simulation::size::model::{Model, Takes, usual};
use simulation::size::{Measured, Size, measure};

const GUIDE: &str = "docs/operations.md";
const BEGIN: &str =
    "<!-- The lines up to the end of the tables are written by `cargo xtask simulate --size --write`. -->\n";
const END: &str = "<!-- The end of the tables. -->\n";
/// The sizes that decide the model.
const MEASURED: [u64; 3] = [1_000, 10_000, 45_000];
/// The size that checks it, unless something else is said.
const LARGEST: u64 = 100_000;
/// Sizes that only the model knows, with their slices (functions/push/src/start.rs).
const MODELLED: [(u64, u64); 3] = [(10_000_000, 2_000), (20_000_000, 4_000), (100_000_000, 10_000)];
/// By how much the model may be wrong.
const MOST_WRONG: f64 = 0.03;
/// Of an outage: the measured part of the backlog, and the backlog that the table is for, in batches.
const OUTAGE: (u64, u64) = (100, 20_000);
const CUSTOMERS_PER_BATCH: u64 = 50;
const DAY: Duration = Duration::from_secs(86_400);

/// Measures and prints, up to `largest` customers. With `write`, the tables of the guide are written. Fails if the model is wrong.
pub(crate) fn print(largest: Option<u32>, write: bool) -> Result<()> {
    let checked = largest.map_or(LARGEST, u64::from);
    let measured: Vec<_> = MEASURED.into_iter().chain([checked]).map(|customers| one(usual(customers))).collect();
    let model = Model::of([&measured[0], &measured[1], &measured[2]]).context("the sizes do not decide a model")?;
    let largest = &measured[3];
    let wrong = model.takes(checked, largest.slices).difference(&largest.takes());
    let outage = one(Size { refuses_for: DAY, ..usual(OUTAGE.0 * CUSTOMERS_PER_BATCH) });
    let tables = tables(&measured, &model, wrong) + &outage_table(&outage);
    println!("\n{tables}");
    ensure!(wrong < MOST_WRONG, "the model is wrong by {:.1} % for {checked} customers", wrong * 100.0);
    if write { store(&tables) } else { Ok(()) }
}

fn one(size: Size) -> Measured {
    let began = Instant::now();
    let is_seen = std::io::stderr().is_terminal();
    let show = |sent: u64| {
        if is_seen {
            eprint!("\r{} of {} e-mails, {:.0} s ", sent, size.customers, began.elapsed().as_secs_f64());
            let _ = std::io::stderr().flush();
        }
    };
    let measured = measure(size, show);
    println!(
        "{} customers: {:.0} s of virtual time in {:.0} s; {} slices; {} MB of memory at most so far",
        size.customers,
        measured.took.as_secs_f64(),
        began.elapsed().as_secs_f64(),
        measured.slices,
        peak_memory_mb()
    );
    measured
}

/// The most memory that this process has had (proc(5), `VmHWM`). 0 if it is unknown.
fn peak_memory_mb() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or_default() / 1_024
}

/// A line of the table of sizes: its name, and its number.
type Line = (&'static str, fn(&Takes) -> String);

const LINES: [Line; 9] = [
    ("time", |takes| time(takes.seconds)),
    ("calls of AWS", |takes| round(takes.calls)),
    ("DynamoDB, write units", |takes| round(takes.writes)),
    ("DynamoDB, read units", |takes| round(takes.reads)),
    ("SQS, requests", |takes| round(takes.queue_requests)),
    ("Lambda, invocations", |takes| round(takes.invocations)),
    ("Lambda, GB-seconds", |takes| round(takes.gb_seconds)),
    ("**without SES, USD**", |takes| dollars(takes.without_ses())),
    ("**with SES, USD**", |takes| dollars(takes.bill())),
];

fn tables(measured: &[Measured], model: &Model, wrong: f64) -> String {
    let mut columns: Vec<_> = measured.iter().map(|one| (one.size.customers, one.slices, one.takes())).collect();
    columns.extend(MODELLED.map(|(customers, slices)| (customers, slices, model.takes(customers, slices))));
    let head: Vec<_> = columns.iter().map(|(customers, ..)| grouped(*customers)).collect();
    let slices: Vec<_> = columns.iter().map(|(_, slices, _)| grouped(*slices)).collect();
    let mut text = format!("| a push to | {} |\n|---|{}\n", head.join(" | "), "---|".repeat(columns.len()));
    text += &format!("| slices | {} |\n", slices.join(" | "));
    for (name, show) in LINES {
        let cells: Vec<_> = columns.iter().map(|(_, _, takes)| show(takes)).collect();
        text += &format!("| {name} | {} |\n", cells.join(" | "));
    }
    let checked = measured.last().map(|one| one.size.customers).unwrap_or_default();
    let hottest = measured.last().map(|one| &one.counts.hottest).into_iter().flatten();
    let hottest: Vec<_> = hottest.map(|(table, units)| format!("{table} {units:.0}")).collect();
    text + &format!(
        "\nUp to {} customers it is measured; above that it is a model, which was wrong by at most {:.1} % for those. The most \
         units that one key took in a second, of the push to {}: {}; a key takes 1,000 write and 3,000 read units.\n",
        grouped(checked),
        wrong * 100.0,
        grouped(checked),
        hottest.join(", ")
    )
}

/// A batch's rounds in a day without the provider, before batches waited as long as the outage lasted: one for each block of a
/// minute, and one to two seconds more.
const ROUNDS_BEFORE: f64 = 86_400.0 / 61.5;

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn outage_table(outage: &Measured) -> String {
    let (measured, of) = (OUTAGE.0 as f64, OUTAGE.1 as f64);
    let takes = outage.takes();
    let rounds = outage.counts.received as f64 / measured;
    let scale = |value: f64| round(value * of / measured);
    let before = ROUNDS_BEFORE / rounds;
    let row = |name: &str, value: f64| format!("| {name} | {} | {} |\n", scale(value), scale(value * before));
    format!(
        "\n| a day in which SES refuses all, with {} batches that wait | now | if each came once a minute |\n|---|---|---|\n\
         {}{}{}{}| USD | {} | {} |\n\nMeasured with {} batches, and scaled up: the one that probes counts so often as well. SES was asked {} times.\n",
        grouped(OUTAGE.1),
        row("messages received from the queue", outage.counts.received as f64),
        row("calls of AWS", takes.calls),
        row("DynamoDB, read units", takes.reads),
        row("Lambda, GB-seconds", takes.gb_seconds),
        dollars(takes.without_ses() * of / measured),
        dollars(takes.without_ses() * of / measured * before),
        grouped(OUTAGE.0),
        grouped(outage.counts.refused),
    )
}

/// Writes the tables into the guide.
fn store(tables: &str) -> Result<()> {
    let path = Path::new(GUIDE);
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {GUIDE}"))?;
    let (before, rest) = text.split_once(BEGIN).with_context(|| format!("{GUIDE} has no line `{}`", BEGIN.trim()))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("{GUIDE} has no line `{}`", END.trim()))?;
    fs::write(path, format!("{before}{BEGIN}{tables}{END}{after}"))?;
    println!("Written to {GUIDE}.");
    Ok(())
}

fn time(seconds: f64) -> String {
    if seconds < 120.0 {
        format!("{seconds:.0} s")
    } else if seconds < 7_200.0 {
        format!("{:.0} min", seconds / 60.0)
    } else {
        format!("{:.1} h", seconds / 3_600.0)
    }
}

fn dollars(value: f64) -> String {
    if value < 100.0 { format!("{value:.2}") } else { round(value) }
}

fn round(value: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts are far below 2^52")]
    let whole = value.round() as u64;
    grouped(whole)
}

/// With commas between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(|group| String::from_utf8_lossy(group)).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([12.345, 1_234.5].map(dollars), ["12.35", "1,235"]);
        assert_eq!([59.0, 119.0, 600.0, 7_300.0].map(time), ["59 s", "119 s", "10 min", "2.0 h"]);
    }

    /// What a push takes changes the tables: they are then to be written again.
    #[test]
    fn the_guide_has_what_a_push_takes() {
        let guide = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(GUIDE)).unwrap();
        let customers = MEASURED[0];
        let takes = measure(usual(customers), |_| {}).takes();
        for (name, show) in LINES {
            let line = guide.lines().find(|line| line.starts_with(&format!("| {name} | ")));
            let cell = line.and_then(|line| line.split(" | ").nth(1)).unwrap_or("nothing");
            assert_eq!(cell, show(&takes), "{name}: run `cargo xtask simulate --size --write`");
        }
    }
}
