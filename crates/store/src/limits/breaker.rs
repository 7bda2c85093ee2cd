//! The circuit breaker of a transport.
//!
//! When a transport is unavailable, one write blocks it for all callers. Once the block has ended, one conditional
//! write gives a single caller the right to probe, as a lease. That caller closes the breaker, or blocks the transport
//! for longer. If it dies, its lease expires.

use domain::TransportId;
use jiff::{SignedDuration, Timestamp};

use super::{TransportLimits, truncate_reason};
use crate::StoreError;
use crate::attributes::{millis, number, text};

/// The first block. Each failed probe doubles it.
const FIRST_BLOCK: SignedDuration = SignedDuration::from_secs(1);
/// The maximum block. A recovered provider may stay unused this long.
const MAX_BLOCK: SignedDuration = SignedDuration::from_secs(60);
/// How long a probe may take until another caller may probe.
const PROBE_LEASE: SignedDuration = SignedDuration::from_secs(30);

/// Whether a transport may be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// It may.
    Closed,
    /// It was unreachable. Only this caller may send, one message at a time, to find out whether it still is.
    HalfOpen(Probe),
    /// It is unreachable and must not be called.
    Open {
        /// When to check the breaker again.
        until: Timestamp,
    },
}

/// The right to probe a transport that was unreachable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// The end of the lease. It also identifies the probe.
    until: Timestamp,
    /// Probes that failed in a row before this one.
    failures: u32,
}

impl TransportLimits {
    /// Returns whether a transport may be called. Makes up to two calls.
    pub async fn check_breaker(&self, transport: TransportId) -> Result<BreakerState, StoreError> {
        let Some(item) = self.get(transport).await? else {
            return Ok(BreakerState::Closed);
        };
        let Some(seen) = item.blocked_until else {
            return Ok(BreakerState::Closed);
        };
        let now = self.table.now();
        if seen > now {
            return Ok(BreakerState::Open { until: seen });
        }
        let until = now + PROBE_LEASE;
        let acquire = self
            .update(transport)
            .update_expression("SET blockedUntil = :until")
            .condition_expression("blockedUntil = :seen")
            .expression_attribute_values(":until", millis(until))
            .expression_attribute_values(":seen", millis(seen));
        if self.write(acquire).await? {
            Ok(BreakerState::HalfOpen(Probe { until, failures: item.failures }))
        } else {
            Ok(BreakerState::Open { until })
        }
    }

    /// Blocks a transport that is unreachable, for longer after a failed probe. Returns the end of the block that it
    /// tried to set: if another caller's block came first, that one stays, and may end at another time.
    pub async fn open_breaker(
        &self,
        transport: TransportId,
        probe: Option<Probe>,
        reason: &str,
    ) -> Result<Timestamp, StoreError> {
        let failures = probe.map_or(0, |probe| probe.failures + 1);
        let until = self.table.now() + block_after(failures);
        let block = self
            .update(transport)
            .update_expression("SET blockedUntil = :until, failures = :failures, lastError = :reason")
            .expression_attribute_values(":until", millis(until))
            .expression_attribute_values(":failures", number(failures))
            .expression_attribute_values(":reason", text(truncate_reason(reason)));
        let block = match probe {
            Some(probe) => block
                .condition_expression("blockedUntil = :probe")
                .expression_attribute_values(":probe", millis(probe.until)),
            // Of many callers that fail at the same time, only the first one blocks.
            None => block.condition_expression("attribute_not_exists(blockedUntil)"),
        };
        self.write(block).await?;
        Ok(until)
    }

    /// Lets all callers use a transport again, after a successful probe.
    pub async fn close_breaker(&self, transport: TransportId, probe: Probe) -> Result<(), StoreError> {
        let close = self
            .update(transport)
            .update_expression("REMOVE blockedUntil, failures")
            .condition_expression("blockedUntil = :probe")
            .expression_attribute_values(":probe", millis(probe.until));
        self.write(close).await.map(|_| ())
    }

    /// Releases an unused probe lease, so that the next caller can acquire it.
    pub async fn release_probe(&self, transport: TransportId, probe: Probe) -> Result<(), StoreError> {
        let release = self
            .update(transport)
            .update_expression("SET blockedUntil = :now")
            .condition_expression("blockedUntil = :probe")
            .expression_attribute_values(":now", millis(self.table.now()))
            .expression_attribute_values(":probe", millis(probe.until));
        self.write(release).await.map(|_| ())
    }
}

/// How long a transport is blocked after this many failed probes.
fn block_after(failures: u32) -> SignedDuration {
    (FIRST_BLOCK * 2_i32.saturating_pow(failures.min(16))).min(MAX_BLOCK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failed_probe_doubles_the_block_up_to_a_minute() {
        let seconds: Vec<_> = (0..8).map(|failures| block_after(failures).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(block_after(u32::MAX), MAX_BLOCK);
    }
}
