//! What befell processes: when they ended, stood still, or were slow.

use jiff::Timestamp;

/// The end of a process in the middle of its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Death {
    pub process: u32,
    pub function: String,
    pub at: Timestamp,
    /// If it timed out: since when it was invoked, at the latest.
    pub timed_out: Option<Timestamp>,
}

/// A time in which a process did nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freeze {
    pub process: u32,
    pub from: Timestamp,
    pub until: Timestamp,
    /// The point at which it froze.
    pub point: String,
}

impl Freeze {
    /// Whether it froze after the last look at the lease, at the call that hands the message over.
    pub fn is_at_handover(&self) -> bool {
        ["SES.", "SNS.", "SMTP.MESSAGE"].iter().any(|step| self.point.contains(step))
    }
}

/// A time in which a process's calls did not go as usual.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hitch {
    pub process: u32,
    pub from: Timestamp,
    pub until: Timestamp,
}
