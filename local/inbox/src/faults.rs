//! Fault injection: how a test or a person makes the SMTP server fail.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

const SECOND: Duration = Duration::from_secs(1);

/// A fault to inject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fault {
    /// The point of the SMTP conversation.
    pub at: Point,
    /// Matches only recipients whose address ends with this. Default: all recipients. At `connection` and `mail` there
    /// is no recipient yet, so a fault with this filter never matches there.
    #[serde(default)]
    pub to: String,
    /// What to do.
    #[serde(rename = "do")]
    pub action: Action,
    /// Applies only to every n-th match. Default: 1, every match.
    #[serde(default = "one")]
    pub every: u32,
    /// Skips the first n matches.
    #[serde(default)]
    pub after: u32,
    /// How often the fault may still apply. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
    /// Matches only what exceeds this many per second. Simulates a provider's rate limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above: Option<usize>,
    /// What `above` let pass within the last second.
    #[serde(skip)]
    recent: VecDeque<Instant>,
    /// How often the fault matched.
    #[serde(default)]
    pub seen: u32,
}

fn one() -> u32 {
    1
}

/// A point of the SMTP conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Point {
    /// A new connection, or the next command on an existing one.
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

/// The effect of a fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// Replies with this line, such as `550 no such user`.
    Reply(String),
    /// Closes the connection. At the end of a message: without storing it.
    Close,
    /// Stores the message and closes the connection without a reply.
    KeepAndClose,
    /// Stores the message and never replies.
    KeepAndHang,
    /// Waits this many milliseconds and continues normally.
    Wait(u64),
}

impl Fault {
    /// Whether the rate limit `above` is exceeded; always true without one. Refused messages do not count.
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

/// The active faults and their counters. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Faults(Arc<Mutex<State>>);

/// The active faults and the counters.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// The active faults.
    pub faults: Vec<Fault>,
    /// Connections since the faults were set.
    pub connections: u64,
    /// Whether connections must authenticate.
    pub needs_password: bool,
    #[serde(skip)]
    password: Option<String>,
    /// Increases whenever the password is set.
    #[serde(skip)]
    password_version: u32,
}

impl Faults {
    /// Replaces the faults and resets the counters.
    pub fn set(&self, faults: Vec<Fault>) {
        let mut state = self.lock();
        state.faults = faults;
        state.connections = 0;
    }

    /// A copy of the current state.
    pub fn state(&self) -> State {
        self.lock().clone()
    }

    /// Requires this password from now on, or none. Existing connections are closed.
    pub fn set_password(&self, password: Option<String>) {
        let mut state = self.lock();
        state.needs_password = password.is_some();
        state.password = password;
        state.password_version += 1;
    }

    /// Whether connections must authenticate.
    pub(crate) fn needs_password(&self) -> bool {
        self.lock().needs_password
    }

    /// Changes whenever the password is set.
    pub(crate) fn password_version(&self) -> u32 {
        self.lock().password_version
    }

    /// Whether a password is accepted.
    pub(crate) fn accepts_password(&self, password: &str) -> bool {
        self.lock().password.as_deref().is_none_or(|right| right == password)
    }

    /// Counts a connection.
    pub fn count_connection(&self) {
        self.lock().connections += 1;
    }

    /// The fault's action at this point, if one applies. `to` is the recipient, or empty.
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
        self.0.lock().expect("no code panics while holding this lock")
    }
}
