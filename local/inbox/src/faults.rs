//! Faults on demand: what a test, or somebody curious, wants the SMTP server to do wrong.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

const SECOND: Duration = Duration::from_secs(1);

/// One thing that goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fault {
    /// At which point of the conversation.
    pub at: Point,
    /// For which recipients: the end of their addresses. Everybody if left out. Without meaning before RCPT.
    #[serde(default)]
    pub to: String,
    /// What happens.
    #[serde(rename = "do")]
    pub action: Action,
    /// Every how many times; 1 for always.
    #[serde(default = "one")]
    pub every: u32,
    /// So often all is well first.
    #[serde(default)]
    pub after: u32,
    /// How often it happens before it is over; for ever if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
    /// Only beyond so many in the second before: a provider that takes no more than that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above: Option<usize>,
    /// Those in the second before.
    #[serde(skip)]
    recent: VecDeque<Instant>,
    /// How often its point was come to.
    #[serde(default)]
    pub seen: u32,
}

fn one() -> u32 {
    1
}

/// A point of the conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Point {
    /// A connection comes, or one that is there sends its next command.
    Connection,
    /// `MAIL FROM`.
    Mail,
    /// `RCPT TO`.
    Rcpt,
    /// `DATA`.
    Data,
    /// The end of the message.
    Message,
}

/// What a fault does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// Answers with this line, such as `550 no such user`.
    Reply(String),
    /// Closes the connection. At the end of the message: before keeping it.
    Close,
    /// Keeps the message, and closes the connection without an answer.
    KeepAndClose,
    /// Keeps the message, and never answers.
    KeepAndHang,
    /// Waits this many milliseconds, and goes on as if nothing were.
    Wait(u64),
}

impl Fault {
    /// Whether there were too many in the second before, if that matters. One that is refused does not count.
    fn is_over_limit(&mut self) -> bool {
        let Some(above) = self.above else {
            return true;
        };
        let now = Instant::now();
        while self.recent.front().is_some_and(|taken| now.duration_since(*taken) >= SECOND) {
            self.recent.pop_front();
        }
        if self.recent.len() >= above {
            return true;
        }
        self.recent.push_back(now);
        false
    }
}

/// The faults that are set, and what was counted meanwhile. A handle: clones share them.
#[derive(Debug, Clone, Default)]
pub struct Faults(Arc<Mutex<State>>);

/// What the server does wrong, and what it saw.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// What goes wrong.
    pub faults: Vec<Fault>,
    /// Connections that came since the faults were set.
    pub connections: u64,
    /// Whether every connection must name the password.
    pub needs_password: bool,
    #[serde(skip)]
    password: Option<String>,
    /// How often the password was set.
    #[serde(skip)]
    password_version: u32,
}

impl Faults {
    /// Does from here on what these say, and counts anew.
    pub fn set(&self, faults: Vec<Fault>) {
        let mut state = self.lock();
        state.faults = faults;
        state.connections = 0;
    }

    /// What is set and what was counted.
    pub fn state(&self) -> State {
        self.lock().clone()
    }

    /// Serves, from here on, only connections that name this password; all of them without one. Those that are there
    /// are closed.
    pub fn set_password(&self, password: Option<String>) {
        let mut state = self.lock();
        state.needs_password = password.is_some();
        state.password = password;
        state.password_version += 1;
    }

    /// Whether a connection must name a password.
    pub(crate) fn needs_password(&self) -> bool {
        self.lock().needs_password
    }

    /// Another number whenever the password was set.
    pub(crate) fn password_version(&self) -> u32 {
        self.lock().password_version
    }

    /// Whether a password is the right one.
    pub(crate) fn accepts_password(&self, password: &str) -> bool {
        self.lock().password.as_deref().is_none_or(|right| right == password)
    }

    /// Counts a connection.
    pub fn count_connection(&self) {
        self.lock().connections += 1;
    }

    /// What is to go wrong at this point, if anything. `to` is the recipient, where there is one.
    pub fn next_action(&self, point: Point, to: &str) -> Option<Action> {
        let mut state = self.lock();
        let fault = state
            .faults
            .iter_mut()
            .find(|fault| fault.at == point && to.ends_with(&fault.to) && fault.times != Some(0))?;
        if !fault.is_over_limit() {
            return None;
        }
        fault.seen += 1;
        if fault.seen <= fault.after || !fault.seen.is_multiple_of(fault.every.max(1)) {
            return None;
        }
        fault.times = fault.times.map(|times| times - 1);
        Some(fault.action.clone())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().expect("nothing panics while it holds the faults")
    }
}
