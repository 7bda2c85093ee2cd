//! What happened in a run: a line for each event, for people, and a hash of all events, which two runs of one seed share.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use testing::Clock;

use crate::chance::{FNV_BASIS, fnv1a};

/// The events of a run, in order.
#[derive(Debug)]
pub struct History {
    clock: Clock,
    /// Whether the lines are kept. Without them a run is faster.
    keeps_lines: bool,
    /// Whether nothing at all is noted.
    is_silent: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    lines: Vec<(Timestamp, String)>,
    events: u64,
    hash: u64,
}

impl History {
    pub fn new(clock: Clock, keeps_lines: bool) -> Self {
        let state = State { lines: Vec::new(), events: 0, hash: FNV_BASIS };
        Self { clock, keeps_lines, is_silent: false, state: Mutex::new(state) }
    }

    /// One of a measurement, which notes nothing.
    pub fn silent(clock: Clock) -> Self {
        Self { is_silent: true, ..Self::new(clock, false) }
    }

    /// Notes an event. The text must be the same in every run of the seed: no body of a call, whose maps have no order.
    pub fn note(&self, event: fmt::Arguments<'_>) {
        if self.is_silent {
            return;
        }
        let text = event.to_string();
        let at = self.clock.now();
        let mut state = self.state();
        state.events += 1;
        let bytes = at.as_nanosecond().to_le_bytes().into_iter().chain(text.bytes());
        state.hash = fnv1a(state.hash, bytes);
        if self.keeps_lines {
            state.lines.push((at, text));
        }
    }

    /// Adds a line for people only, such as one of a function's log.
    pub fn remark(&self, text: impl FnOnce() -> String) {
        if self.keeps_lines {
            let line = (self.clock.now(), text());
            self.state().lines.push(line);
        }
    }

    /// The hash of all events so far.
    pub fn hash(&self) -> u64 {
        self.state().hash
    }

    /// The number of events so far.
    pub fn events(&self) -> u64 {
        self.state().events
    }

    /// The lines, each with its time.
    pub fn lines(&self) -> Vec<(Timestamp, String)> {
        self.state().lines.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
