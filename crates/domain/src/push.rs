//! A push: its states and its counts.

use std::fmt;
use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

use crate::notification::Outcome;

/// Where a push stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PushState {
    /// It waits for the offer's `validFrom`.
    Scheduled,
    /// Its slices are being walked or its batches delivered.
    Running,
    /// Every notification has its outcome.
    Completed,
    /// It was called off; what was not sent by then never is.
    Cancelled,
}

impl PushState {
    /// The name used in JSON, in tables and in logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether anything may still be sent.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Scheduled | Self::Running)
    }
}

impl fmt::Display for PushState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What became of the notifications of a batch, a slice or a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OutcomeCounts {
    /// Accepted by the transport.
    pub sent: u64,
    /// Could not reach the customer.
    pub failed: u64,
    /// Address suppressed.
    pub suppressed: u64,
    /// Consent withdrawn, or customer gone.
    pub opted_out: u64,
    /// Offer over.
    pub expired: u64,
    /// Push called off.
    pub cancelled: u64,
    /// Served by an earlier push of the same offer.
    pub already_served: u64,
}

impl OutcomeCounts {
    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Counts one notification that this push brought to its end.
    pub fn count(&mut self, outcome: Outcome) {
        *match outcome {
            Outcome::Sent => &mut self.sent,
            Outcome::Failed => &mut self.failed,
            Outcome::Suppressed => &mut self.suppressed,
            Outcome::OptedOut => &mut self.opted_out,
            Outcome::Expired => &mut self.expired,
            Outcome::Cancelled => &mut self.cancelled,
        } += 1;
    }

    /// All notifications counted.
    pub fn total(&self) -> u64 {
        self.sent + self.failed + self.suppressed + self.opted_out + self.expired + self.cancelled + self.already_served
    }
}

impl AddAssign for OutcomeCounts {
    fn add_assign(&mut self, other: Self) {
        self.sent += other.sent;
        self.failed += other.failed;
        self.suppressed += other.suppressed;
        self.opted_out += other.opted_out;
        self.expired += other.expired;
        self.cancelled += other.cancelled;
        self.already_served += other.already_served;
    }
}

/// What walking customers found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ScanCounts {
    /// Customers read.
    pub customers_read: u64,
    /// Customers for whom the rule holds.
    pub customers_eligible: u64,
    /// Customers who lack what the rule reads, or have it of another type.
    pub customers_unevaluable: u64,
    /// Notifications: one for each channel that reaches an eligible customer.
    pub notifications: u64,
}

impl AddAssign for ScanCounts {
    fn add_assign(&mut self, other: Self) {
        self.customers_read += other.customers_read;
        self.customers_eligible += other.customers_eligible;
        self.customers_unevaluable += other.customers_unevaluable;
        self.notifications += other.notifications;
    }
}
