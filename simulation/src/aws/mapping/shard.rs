//! Which records of a stream are delivered next, tried again, or given up (Lambda guide, "Using Lambda with Amazon
//! DynamoDB", "Retain discarded records", "Configuring partial batch response with DynamoDB and Lambda").
//!
//! A stream has one shard here, and a shard is handled by one invocation at a time (`ParallelizationFactor` is 1).

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::report::Report;
use crate::aws::template::StreamMapping;

/// AWS documents an exponential backoff, and no times. Assumed.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);

/// A record that passed the filter.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Record {
    pub(super) value: Value,
    pub(super) arrived: Timestamp,
    /// The shard waits before it until then.
    pub(super) not_before: Timestamp,
    /// It is delivered once more, this long after it was handled.
    pub(super) again: Option<Duration>,
}

/// The records that are delivered together.
#[derive(Debug, Clone, PartialEq)]
struct Batch {
    records: VecDeque<Record>,
    not_before: Timestamp,
    /// How often the function has failed with it.
    failures: u32,
}

/// The records that are not handled yet, in order.
#[derive(Debug)]
pub(super) struct Shard {
    mapping: &'static StreamMapping,
    batches: VecDeque<Batch>,
    /// Those that are in no batch.
    waiting: VecDeque<Record>,
}

/// What comes next.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    Idle,
    Wait(Timestamp),
    /// The function is invoked with these records.
    Invoke(Vec<Record>),
    /// These are given up.
    Discard(Discarded),
}

/// Records that are given up.
#[derive(Debug, PartialEq)]
pub(super) struct Discarded {
    pub(super) records: Vec<Record>,
    /// As in the message to the on-failure queue.
    pub(super) condition: &'static str,
    pub(super) invocations: u32,
}

impl Shard {
    pub(super) fn new(mapping: &'static StreamMapping) -> Self {
        Self { mapping, batches: VecDeque::new(), waiting: VecDeque::new() }
    }

    pub(super) fn add(&mut self, records: impl IntoIterator<Item = Record>) {
        self.waiting.extend(records);
    }

    /// What to do now.
    pub(super) fn next(&mut self, now: Timestamp) -> Step {
        if self.batches.is_empty() && !self.waiting.is_empty() {
            let size = self.waiting.len().min(self.mapping.batch_size);
            let records: VecDeque<_> = self.waiting.drain(..size).collect();
            let not_before = records.iter().map(|record| record.not_before).max().unwrap_or(now);
            self.batches.push_back(Batch { records, not_before, failures: 0 });
        }
        let Some(batch) = self.batches.front_mut() else { return Step::Idle };
        let is_old = |record: &Record| self.mapping.max_age.is_some_and(|age| record.arrived + age <= now);
        let old = batch.records.iter().take_while(|record| is_old(record)).count();
        let is_exhausted = self.mapping.max_retries.is_some_and(|retries| batch.failures > retries);
        let (discarded, condition) = match (old, is_exhausted) {
            (1.., _) => (old, "RecordAgeExceeded"),
            (0, true) => (batch.records.len(), "RetryAttemptsExhausted"),
            (0, false) if batch.not_before > now => return Step::Wait(batch.not_before),
            (0, false) => return Step::Invoke(batch.records.iter().cloned().collect()),
        };
        let records = batch.records.drain(..discarded).collect();
        let invocations = batch.failures;
        self.batches.retain(|batch| !batch.records.is_empty());
        Step::Discard(Discarded { records, condition, invocations })
    }

    /// The function was invoked with the records of [`Step::Invoke`]. Returns those that it has handled.
    pub(super) fn finish(&mut self, report: &Report, now: Timestamp) -> Vec<Record> {
        let mut batch = self.batches.pop_front().expect("the function was invoked with it");
        // The lowest of the failed is the checkpoint. All from there on are delivered again.
        let handled = match report {
            Report::Success => batch.records.len(),
            Report::Partly(failed) => failed.first().copied().expect("at least one has failed"),
            Report::Failure => 0,
        };
        let done: Vec<_> = batch.records.drain(..handled).collect();
        if batch.records.is_empty() {
            return done;
        }
        batch.not_before = now + backoff(batch.failures);
        if *report == Report::Failure && self.mapping.bisects && batch.records.len() > 1 {
            // Splitting does not count as a retry (Lambda API reference, BisectBatchOnFunctionError; Lambda guide).
            let rest = batch.records.split_off(batch.records.len() / 2);
            let rest = Batch { records: rest, ..batch };
            self.batches.push_front(rest);
        } else {
            // AWS does not say whether the count starts again at a new checkpoint. Assumed: it goes on.
            batch.failures += 1;
        }
        self.batches.push_front(batch);
        done
    }
}

fn backoff(failures: u32) -> Duration {
    FIRST_BACKOFF.saturating_mul(1 << failures.min(10)).min(LONGEST_BACKOFF)
}
