//! A push: its states and its counts.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | states, and counters of outcomes and of a scan | this file |
//! | outcomes with their reasons | [`tally`] |
//! | what a push waits for | [`waiting`] |
//! | when its batches come to be sent | [`backlog`] |

pub mod backlog;
pub mod tally;
pub mod waiting;

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

use crate::notification::Outcome;
use crate::wire_enum;

pub use self::tally::{CountedReason, ReasonCounts, Tally};

wire_enum! {
    /// The state of a push.
    pub enum PushState {
        /// It waits for the offer's `validFrom`.
        Scheduled = "scheduled",
        /// Its slices are being scanned or its batches delivered.
        Running = "running",
        /// Every notification has its outcome.
        Completed = "completed",
        /// A caller cancelled it. It sends nothing more; a later push may.
        Cancelled = "cancelled",
    }
}

impl PushState {
    /// Whether anything may still be sent.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Scheduled | Self::Running)
    }
}

/// The outcomes of the notifications of a batch, a slice or a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OutcomeCounts {
    /// Accepted by the transport.
    pub sent: u64,
    /// Rejected, or the message could not be composed.
    pub failed: u64,
    /// The address is suppressed.
    pub suppressed: u64,
    /// The customer opted out, was deleted, or has no address any longer.
    pub opted_out: u64,
    /// The offer had expired.
    pub expired: u64,
    /// The push was cancelled.
    pub cancelled: u64,
    /// Sent by another push of the same offer.
    pub already_served: u64,
}

impl OutcomeCounts {
    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Counts one notification whose outcome this push recorded.
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

    /// How many have this outcome.
    pub const fn of(&self, outcome: Outcome) -> u64 {
        match outcome {
            Outcome::Sent => self.sent,
            Outcome::Failed => self.failed,
            Outcome::Suppressed => self.suppressed,
            Outcome::OptedOut => self.opted_out,
            Outcome::Expired => self.expired,
            Outcome::Cancelled => self.cancelled,
        }
    }

    /// Every counter by its name on the wire: in JSON, in tables, in logs. The only list of them.
    pub const fn named(&self) -> [(&'static str, u64); 7] {
        let Self { sent, failed, suppressed, opted_out, expired, cancelled, already_served } = *self;
        [
            ("sent", sent),
            ("failed", failed),
            ("suppressed", suppressed),
            ("optedOut", opted_out),
            ("expired", expired),
            ("cancelled", cancelled),
            ("alreadyServed", already_served),
        ]
    }

    /// All notifications counted.
    pub fn total(&self) -> u64 {
        self.named().into_iter().map(|(_, count)| count).sum()
    }

    /// Whether more of so many notifications failed than those with wrong addresses: over 5 %, at least ten or all.
    pub const fn has_many_failures(&self, notifications: u64) -> bool {
        /// One in so many may fail.
        const MAY_FAIL: u64 = 20;
        /// Fewer are not many, unless they are all.
        const FEW: u64 = 10;
        self.failed * MAY_FAIL > notifications && (self.failed >= FEW || self.failed == notifications)
    }
}

impl AddAssign for OutcomeCounts {
    fn add_assign(&mut self, other: Self) {
        let Self { sent, failed, suppressed, opted_out, expired, cancelled, already_served } = other;
        self.sent += sent;
        self.failed += failed;
        self.suppressed += suppressed;
        self.opted_out += opted_out;
        self.expired += expired;
        self.cancelled += cancelled;
        self.already_served += already_served;
    }
}

/// What the scan of the customers found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ScanCounts {
    pub customers_read: u64,
    /// Customers for whom the rule holds.
    pub customers_eligible: u64,
    /// Customers for whom the rule could not be evaluated, or whose items could not be read.
    pub customers_unevaluable: u64,
    /// Notifications: one for each channel that reaches an eligible customer.
    pub notifications: u64,
}

impl ScanCounts {
    /// Every counter by its name in tables. The only list of them.
    pub const fn named(&self) -> [(&'static str, u64); 4] {
        let Self { customers_read, customers_eligible, customers_unevaluable, notifications } = *self;
        [
            ("customersRead", customers_read),
            ("customersEligible", customers_eligible),
            ("customersUnevaluable", customers_unevaluable),
            ("notifications", notifications),
        ]
    }
}

impl AddAssign for ScanCounts {
    fn add_assign(&mut self, other: Self) {
        let Self { customers_read, customers_eligible, customers_unevaluable, notifications } = other;
        self.customers_read += customers_read;
        self.customers_eligible += customers_eligible;
        self.customers_unevaluable += customers_unevaluable;
        self.notifications += notifications;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// What `named` lists must be what serde writes: stores add by these names and read through serde.
    #[test]
    fn counters_have_one_name_each() {
        let outcomes = OutcomeCounts {
            sent: 1,
            failed: 2,
            suppressed: 3,
            opted_out: 4,
            expired: 5,
            cancelled: 6,
            already_served: 7,
        };
        let named =
            |list: &[(&str, u64)]| -> Value { list.iter().map(|(name, count)| (*name, json!(count))).collect() };
        assert_eq!(json!(outcomes), named(&outcomes.named()));
        assert_eq!(outcomes.total(), 28);
        let scan = ScanCounts { customers_read: 1, customers_eligible: 2, customers_unevaluable: 3, notifications: 4 };
        assert_eq!(json!(scan), named(&scan.named()));
    }

    #[test]
    fn each_outcome_has_its_counter() {
        for outcome in Outcome::ALL {
            let mut counts = OutcomeCounts::default();
            counts.count(outcome);
            assert!(counts.named().contains(&(outcome.as_str(), 1)), "{outcome}");
            assert_eq!((counts.total(), counts.of(outcome)), (1, 1));
        }
    }
}
