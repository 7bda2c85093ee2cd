//! What becomes of one notification.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How a notification ended. Once recorded it never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// The transport accepted it.
    Sent,
    /// It cannot reach this customer; the delivery says why.
    Failed,
    /// Its address must not be written to.
    Suppressed,
    /// The customer no longer wants to hear on this channel, or is gone.
    OptedOut,
    /// The offer ended before it could be sent.
    Expired,
    /// The push was cancelled before it was sent.
    Cancelled,
}

impl Outcome {
    /// Every outcome there is.
    pub const ALL: [Self; 6] =
        [Self::Sent, Self::Failed, Self::Suppressed, Self::OptedOut, Self::Expired, Self::Cancelled];

    /// The name used in JSON, in tables and in logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Suppressed => "suppressed",
            Self::OptedOut => "optedOut",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryState {
    /// Somebody holds it and is sending, or was when the lease ran out.
    Claimed,
    /// It was tried and may be tried again.
    Retry,
    /// It is done.
    Final(Outcome),
}

impl DeliveryState {
    /// The name used in JSON, in tables and in logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Claimed => "claimed",
            Self::Retry => "retry",
            Self::Final(outcome) => outcome.as_str(),
        }
    }
}

impl FromStr for DeliveryState {
    type Err = UnknownDeliveryState;

    fn from_str(string: &str) -> Result<Self, Self::Err> {
        match string {
            "claimed" => Ok(Self::Claimed),
            "retry" => Ok(Self::Retry),
            other => Outcome::ALL
                .into_iter()
                .find(|outcome| outcome.as_str() == other)
                .map(Self::Final)
                .ok_or(UnknownDeliveryState),
        }
    }
}

/// Why a string is no delivery state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a known state; known are claimed, retry, sent, failed, suppressed, optedOut, expired, cancelled")]
pub struct UnknownDeliveryState;
