//! What was measured, and its tables.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::aws::{Aws, Calls};
use crate::function::Function;

/// What was measured of one function.
#[derive(Debug, Default)]
pub(crate) struct Work {
    /// Customers or messages.
    done: u64,
    processor: Duration,
    took: Duration,
    calls: BTreeMap<String, Calls>,
    /// Bytes of the messages that the mail server took.
    message_bytes: u64,
}

/// The results. The work has names; the ratios are to the work whose name their own begins with.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) work: Vec<(&'static str, Work)>,
    pub(crate) starts: Vec<Start>,
}

/// What it takes to start a function, and to have it.
#[derive(Debug)]
pub(crate) struct Start {
    name: &'static str,
    init: Duration,
    init_time: Duration,
    memory: u64,
}

/// Measures a function while it works.
pub(crate) struct Meter {
    began: Instant,
    processor: Duration,
}

impl Meter {
    pub(crate) fn start(function: &Function) -> Result<Self> {
        Ok(Self { began: Instant::now(), processor: function.processor_time()? })
    }

    pub(crate) fn stop(self, function: &Function, done: u64, aws: &Aws) -> Result<Work> {
        let processor = function.processor_time()?.saturating_sub(self.processor);
        Ok(Work { done, processor, took: self.began.elapsed(), calls: aws.take_calls(), message_bytes: 0 })
    }
}

impl Work {
    pub(crate) fn add(&mut self, more: Self) {
        self.done += more.done;
        self.processor += more.processor;
        self.took += more.took;
        self.message_bytes += more.message_bytes;
        for (name, calls) in more.calls {
            let sum = self.calls.entry(name).or_default();
            sum.count += calls.count;
            sum.sent += calls.sent;
            sum.received += calls.received;
        }
    }

    pub(crate) fn with_message_bytes(self, message_bytes: u64) -> Self {
        Self { message_bytes, ..self }
    }

    /// Text messages that were published.
    pub(crate) fn texts(&self) -> u64 {
        self.calls.get("Publish").map_or(0, |calls| calls.count)
    }

    fn each(&self, sum: f64) -> f64 {
        sum / self.done as f64
    }

    fn sum(&self, of: fn(&Calls) -> u64) -> f64 {
        self.each(self.calls.values().map(|calls| of(calls) as f64).sum())
    }

    fn processor_us(&self) -> f64 {
        self.each(self.processor.as_secs_f64() * 1e6)
    }
}

impl Start {
    pub(crate) fn of(name: &'static str, process: &Function) -> Result<Self> {
        let Function { init, init_time, .. } = *process;
        Ok(Self { name, init, init_time, memory: process.peak_memory()? })
    }
}

impl Measured {
    /// The work to compare with: `e-mail` for `e-mail, Python`.
    fn ours(&self, name: &str) -> Option<&Work> {
        let (ours, _) = name.split_once(", ")?;
        self.work.iter().find(|(name, _)| *name == ours).map(|(_, work)| work)
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| | processor time | ÷ ours | a second | calls of AWS | bytes sent | received | of a message |")?;
        writeln!(f, "|---|---:|---:|---:|---:|---:|---:|---:|")?;
        for (name, work) in &self.work {
            let rate = work.done as f64 / work.took.as_secs_f64();
            let (time, calls) = (work.processor_us(), work.sum(|calls| calls.count));
            let (sent, received) = (work.sum(|calls| calls.sent), work.sum(|calls| calls.received));
            let ratio = self.ours(name).map(|ours| format!("{:.1}", time / ours.processor_us())).unwrap_or_default();
            let bytes = Some(work.message_bytes).filter(|bytes| *bytes > 0);
            let bytes = bytes.map(|bytes| format!("{:.0}", work.each(bytes as f64))).unwrap_or_default();
            writeln!(
                f,
                "| {name} | {time:.1} µs | {ratio} | {rate:.0} | {calls:.4} | {sent:.0} | {received:.0} | {bytes} |"
            )?;
        }
        writeln!(f, "\n| | init | processor time of it | memory |")?;
        writeln!(f, "|---|---:|---:|---:|")?;
        for Start { name, init, init_time, memory } in &self.starts {
            let millis = |time: &Duration| time.as_secs_f64() * 1e3;
            let memory = *memory as f64 / f64::from(1 << 20);
            writeln!(f, "| {name} | {:.1} ms | {:.1} ms | {memory:.1} MB |", millis(init), millis(init_time))?;
        }
        let columns: Vec<_> = self.work.iter().map(|(name, _)| *name).collect();
        writeln!(f, "\n| calls of AWS | {} |", columns.join(" | "))?;
        writeln!(f, "|---|{}", "---:|".repeat(columns.len()))?;
        let names: BTreeSet<_> = self.work.iter().flat_map(|(_, work)| work.calls.keys()).collect();
        for name in names {
            let of = |work: &Work| {
                work.calls.get(name).map_or_else(String::new, |calls| format!("{:.4}", work.each(calls.count as f64)))
            };
            let cells: Vec<_> = self.work.iter().map(|(_, work)| of(work)).collect();
            writeln!(f, "| {name} | {} |", cells.join(" | "))?;
        }
        Ok(())
    }
}
