//! The circuit breaker of a transport.

use domain::TransportId;
use domain::clock::now;
use jiff::{SignedDuration, Timestamp};

use super::{TransportLimits, kept};
use crate::StoreError;
use crate::attributes::{millis, number, text};

/// The first block, doubled with every probe that fails.
const FIRST_BLOCK: SignedDuration = SignedDuration::from_secs(1);
/// The longest block: how long a provider that is back may stay unused.
const LONGEST_BLOCK: SignedDuration = SignedDuration::from_secs(60);
/// How long a probe may take before somebody else may probe.
const PROBE: SignedDuration = SignedDuration::from_secs(30);

/// Whether a transport may be called now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// It may.
    Closed,
    /// It was out of reach: this caller alone may try, once.
    HalfOpen(Probe),
    /// It is out of reach.
    Open {
        /// Until then nobody calls.
        until: Timestamp,
    },
}

/// The right to try a transport that was out of reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    until: Timestamp,
    level: u32,
}

impl TransportLimits {
    /// Asks whether a transport may be called. Up to two calls.
    ///
    /// # Errors
    /// If the store is out of reach or the item unreadable.
    pub async fn check_breaker(&self, transport: TransportId) -> Result<BreakerState, StoreError> {
        let Some(item) = self.get(transport).await? else {
            return Ok(BreakerState::Closed);
        };
        let Some(seen) = item.blocked_until else {
            return Ok(BreakerState::Closed);
        };
        let now = now();
        if seen > now {
            return Ok(BreakerState::Open { until: seen });
        }
        let until = now + PROBE;
        let won = self
            .update(transport)
            .update_expression("SET blockedUntil = :until")
            .condition_expression("blockedUntil = :seen")
            .expression_attribute_values(":until", millis(until))
            .expression_attribute_values(":seen", millis(seen));
        if self.write(won).await? {
            Ok(BreakerState::HalfOpen(Probe { until, level: item.failures }))
        } else {
            Ok(BreakerState::Open { until })
        }
    }

    /// Blocks a transport that could not be reached; longer after a probe. Answers until when.
    ///
    /// # Errors
    /// If the store is out of reach.
    pub async fn open_breaker(
        &self,
        transport: TransportId,
        probe: Option<Probe>,
        reason: &str,
    ) -> Result<Timestamp, StoreError> {
        let level = probe.map_or(0, |probe| probe.level + 1);
        let now = now();
        let until = now + (FIRST_BLOCK * 2_i32.saturating_pow(level.min(16))).min(LONGEST_BLOCK);
        let call = self
            .update(transport)
            .update_expression("SET blockedUntil = :until, failures = :failures, lastError = :reason")
            .expression_attribute_values(":until", millis(until))
            .expression_attribute_values(":failures", number(level))
            .expression_attribute_values(":reason", text(kept(reason)));
        let call = match probe {
            Some(probe) => call
                .condition_expression("blockedUntil = :probe")
                .expression_attribute_values(":probe", millis(probe.until)),
            // Of many who fail at the same time, the first one blocks.
            None => call.condition_expression("attribute_not_exists(blockedUntil)"),
        };
        self.write(call).await?;
        Ok(until)
    }

    /// Lets everybody call again, after a probe that reached the transport.
    ///
    /// # Errors
    /// If the store is out of reach.
    pub async fn close_breaker(&self, transport: TransportId, probe: Probe) -> Result<(), StoreError> {
        let call = self
            .update(transport)
            .update_expression("REMOVE blockedUntil, failures")
            .condition_expression("blockedUntil = :probe")
            .expression_attribute_values(":probe", millis(probe.until));
        self.write(call).await.map(|_| ())
    }

    /// Gives back the right to probe, unused: whoever asks next may have it.
    ///
    /// # Errors
    /// If the store is out of reach.
    pub async fn release_probe(&self, transport: TransportId, probe: Probe) -> Result<(), StoreError> {
        let call = self
            .update(transport)
            .update_expression("SET blockedUntil = :now")
            .condition_expression("blockedUntil = :probe")
            .expression_attribute_values(":now", millis(now()))
            .expression_attribute_values(":probe", millis(probe.until));
        self.write(call).await.map(|_| ())
    }
}
