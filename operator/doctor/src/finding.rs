//! What a check found.

/// How a check ended, from good to bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// As it must be.
    Ok,
    /// The stack does not use what is checked.
    Skipped,
    /// It could not be read.
    Unknown,
    /// Pushes work, but not as well as they could.
    Warning,
    /// Messages would not be sent, would be lost, or would be refused.
    Failed,
}

/// What a check found, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The check's name, as in `SES sandbox`.
    pub check: &'static str,
    /// How it ended.
    pub state: State,
    /// What was found.
    pub what: String,
    /// What to do about it; empty if nothing.
    pub remedy: String,
}

impl Finding {
    pub(crate) fn ok(check: &'static str, what: impl Into<String>) -> Self {
        Self { check, state: State::Ok, what: what.into(), remedy: String::new() }
    }

    pub(crate) fn skipped(check: &'static str, what: impl Into<String>) -> Self {
        Self { check, state: State::Skipped, what: what.into(), remedy: String::new() }
    }

    pub(crate) fn warning(check: &'static str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { check, state: State::Warning, what: what.into(), remedy: remedy.into() }
    }

    pub(crate) fn failed(check: &'static str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { check, state: State::Failed, what: what.into(), remedy: remedy.into() }
    }

    pub(crate) fn unknown(check: &'static str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { check, state: State::Unknown, what: what.into(), remedy: remedy.into() }
    }

    /// What a check says about an answer that could not be had.
    pub(crate) fn unread(check: &'static str, unread: &Unread) -> Self {
        match unread {
            Unread::Denied { action } => {
                Self::unknown(check, "these credentials may not read it", format!("allow the action {action}"))
            }
            Unread::Missing => Self::unknown(check, "there is nothing to read", ""),
            Unread::Unavailable { reason } => Self::unknown(check, format!("could not be read: {reason}"), "try again"),
        }
    }
}

/// Why an answer could not be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unread {
    /// The credentials do not allow this action.
    Denied {
        /// The IAM action, as in `ses:GetAccount`.
        action: String,
    },
    /// What was asked for does not exist.
    Missing,
    /// The service is unavailable, or answered with another error.
    Unavailable {
        /// The client's error message.
        reason: String,
    },
}

/// An answer of AWS.
pub(crate) type Answer<T> = Result<T, Unread>;

/// The answer, or what the check says without it.
pub(crate) fn read<'a, T>(check: &'static str, answer: &'a Answer<T>) -> Result<&'a T, Finding> {
    answer.as_ref().map_err(|unread| Finding::unread(check, unread))
}
