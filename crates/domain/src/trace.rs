//! The trace id that all log lines of an offer share, from the call that posted it to the last message sent.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::sources::Sources;

/// A trace's id: 32 lower-case hexadecimal digits, not all zero (W3C Trace Context, 3.2.2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TraceId(u128);

impl TraceId {
    /// A new id, for a call without one.
    pub fn generate(sources: &Sources) -> Self {
        Self(sources.uuid().as_u128())
    }

    /// The trace id of a `traceparent` header: `00-<trace id>-<parent id>-<flags>` (W3C Trace Context, 3.2).
    ///
    /// # Errors
    /// If the header has none.
    pub fn from_traceparent(header: &str) -> Result<Self, InvalidTraceId> {
        header.split('-').nth(1).ok_or(InvalidTraceId)?.parse()
    }

    /// The root of an `X-Amzn-Trace-Id` header: `Root=1-<8 digits>-<24 digits>;…` (AWS X-Ray developer guide, tracing
    /// header). Without its hyphens it is a valid trace id.
    ///
    /// # Errors
    /// If the header has none.
    pub fn from_xray(header: &str) -> Result<Self, InvalidTraceId> {
        let root = header.split(';').find_map(|part| part.trim().strip_prefix("Root=1-")).ok_or(InvalidTraceId)?;
        root.replace('-', "").parse()
    }
}

impl FromStr for TraceId {
    type Err = InvalidTraceId;

    fn from_str(string: &str) -> Result<Self, Self::Err> {
        let is_valid = string.len() == 32 && string.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let id = u128::from_str_radix(string, 16).ok().filter(|id| is_valid && *id != 0);
        id.map(Self).ok_or(InvalidTraceId)
    }
}

impl TryFrom<String> for TraceId {
    type Error = InvalidTraceId;

    fn try_from(string: String) -> Result<Self, Self::Error> {
        string.parse()
    }
}

impl From<TraceId> for String {
    fn from(id: TraceId) -> Self {
        id.to_string()
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// The string is not a trace id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 32 lower-case hexadecimal digits, not all zero")]
pub struct InvalidTraceId;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trace_id_is_read_from_either_header() {
        let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let id = TraceId::from_traceparent(traceparent).unwrap();
        assert_eq!(id.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        let xray = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
        assert_eq!(TraceId::from_xray(xray).unwrap().to_string(), "5759e988bd862e3fe1be46a994272793");
    }

    #[test]
    fn invalid_header_is_refused() {
        for header in [
            "",
            "00",
            "00-xyz-1-1",
            "00-00000000000000000000000000000000-1-1",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-1-1",
        ] {
            assert_eq!(TraceId::from_traceparent(header), Err(InvalidTraceId), "{header}");
        }
        assert_eq!(TraceId::from_xray("Self=1-2-3"), Err(InvalidTraceId));
        let fresh = TraceId::generate(&Sources::new(|| jiff::Timestamp::UNIX_EPOCH, || 7));
        assert_eq!(fresh.to_string().parse(), Ok(fresh));
    }
}
