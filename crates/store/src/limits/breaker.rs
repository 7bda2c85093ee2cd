//! The circuit breaker of a transport.
//!
//! When a transport is unavailable, one write blocks it for all callers. Once the block has ended, one conditional
//! write gives a single caller the right to probe, as a lease. That caller closes the breaker, or blocks the transport
//! for longer. If it dies, its lease expires.
//!
//! Block and lease are separate attributes: how long a probe takes does not change when the block ended.

use std::time::Duration;

use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use domain::TransportId;
use jiff::{SignedDuration, Timestamp};

use super::{Checked, LimitsItem, Scope, TransportLimits, truncate_reason};
use crate::StoreError;
use crate::attributes::{millis, number, text};
use crate::table::{Attempts, Conditional, never_own};

/// The first block. Each failed probe doubles it.
const FIRST_BLOCK: SignedDuration = SignedDuration::from_secs(1);
/// The maximum block. A recovered provider may stay unused this long.
const MAX_BLOCK: SignedDuration = SignedDuration::from_secs(60);
/// How long others wait before they look again, while one caller probes. A probe usually takes less than a second.
const PROBE_WAIT: SignedDuration = SignedDuration::from_secs(1);

/// Blocks, and ends the probe that failed.
pub(super) const OPEN: &str = "REMOVE probeUntil, probeToken SET blockedUntil = :until, blockedSince = :since, \
                               openedAt = :now, failures = :failures, lastError = :reason";

/// Whether a transport may be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BreakerState {
    /// It may.
    Closed,
    /// It was unreachable. Only this caller may send, one message at a time, to find out whether it still is.
    HalfOpen(Probe),
    /// It is unreachable and must not be called.
    Open {
        /// When it may be probed: by one caller who checks the breaker then.
        until: Timestamp,
        /// Since when it has been unreachable.
        since: Timestamp,
        /// When the right to probe ends that another caller has, if one has it: should that caller have died, it is to be probed
        /// then.
        probed_until: Option<Timestamp>,
    },
}

/// The right to probe a transport that was unreachable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// Identifies the lease.
    token: String,
    /// The block that had ended. While it is the last one, the result of the probe counts, also after the lease.
    pub(super) block: Timestamp,
    /// When the first block began.
    since: Timestamp,
    /// Probes that failed in a row before this one.
    failures: u32,
}

impl Probe {
    /// When the block ended, after which it may be probed.
    pub const fn block_end(&self) -> Timestamp {
        self.block
    }
}

/// The result of opening a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenResult {
    /// The transport is blocked until then.
    Opened {
        /// The end of the block.
        until: Timestamp,
    },
    /// Another caller has opened or probed it since; its result stays.
    Superseded,
}

/// What the stored state means for a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gate {
    Closed,
    /// The block has ended, and no caller is probing.
    MayProbe {
        block: Timestamp,
    },
    Open {
        until: Timestamp,
    },
}

impl LimitsItem {
    /// Since when it has been unreachable. Releases that do not store that still store when the last block began.
    pub(super) fn since(&self) -> Option<Timestamp> {
        self.blocked_since.or(self.opened_at)
    }

    fn open_until(&self, until: Timestamp, now: Timestamp) -> BreakerState {
        let probed_until = self.probe_until.filter(|probe| *probe > now);
        BreakerState::Open { until, since: self.since().unwrap_or(until), probed_until }
    }

    pub(super) fn gate(&self, now: Timestamp) -> Gate {
        match (self.blocked_until, self.probe_until) {
            (None, _) => Gate::Closed,
            (Some(block), _) if block > now => Gate::Open { until: block },
            (Some(_), Some(probe)) if probe > now => Gate::Open { until: probe.min(now + PROBE_WAIT) },
            (Some(block), _) => Gate::MayProbe { block },
        }
    }
}

impl TransportLimits {
    /// Returns whether a transport may be called. The right to probe is a lease for this long. Makes up to
    /// two calls.
    pub async fn check_breaker(&self, transport: TransportId, probe_lease: Duration) -> Result<Checked, StoreError> {
        let item = self.get(transport).await?.unwrap_or_default();
        let state = self.pass_gate(transport.into(), &item, probe_lease).await?;
        Ok(Checked { state, evidence: item.evidence(), line: item.line })
    }

    /// What the item means for a caller. Acquires the right to probe if it may be had.
    pub(super) async fn pass_gate(
        &self,
        scope: Scope,
        item: &LimitsItem,
        probe_lease: Duration,
    ) -> Result<BreakerState, StoreError> {
        let now = self.table.now();
        let block = match item.gate(now) {
            Gate::Closed => return Ok(BreakerState::Closed),
            Gate::Open { until } => return Ok(item.open_until(until, now)),
            Gate::MayProbe { block } => block,
        };
        let token = self.table.sources().uuid().to_string();
        let acquire = self
            .update(scope)
            .update_expression("SET probeUntil = :until, probeToken = :token")
            .condition_expression("blockedUntil = :block AND (attribute_not_exists(probeUntil) OR probeUntil <= :now)")
            .expression_attribute_values(":until", millis(now + probe_lease))
            .expression_attribute_values(":token", text(&token))
            .expression_attribute_values(":block", millis(block))
            .expression_attribute_values(":now", millis(now));
        let is_own = |item: &LimitsItem, _: &Attempts| item.probe_token.as_ref() == Some(&token);
        Ok(match self.table.update_if(acquire, is_own).await? {
            Conditional::Done(item) => BreakerState::HalfOpen(Probe {
                token,
                block,
                since: item.since().unwrap_or(block),
                failures: item.failures,
            }),
            Conditional::NotMet(item) => {
                let item = item.unwrap_or_default();
                match item.gate(now) {
                    Gate::Closed => BreakerState::Closed,
                    Gate::Open { until } => item.open_until(until, now),
                    // Another caller's probe came and went between the two calls.
                    Gate::MayProbe { .. } => item.open_until(now, now),
                }
            }
        })
    }

    /// Blocks a transport that is unreachable, for longer after a failed probe.
    pub async fn open_breaker(
        &self,
        transport: TransportId,
        probe: Option<&Probe>,
        reason: &str,
    ) -> Result<OpenResult, StoreError> {
        let open = |update: UpdateItemFluentBuilder| update.update_expression(OPEN);
        self.block(transport.into(), probe, reason, open).await
    }

    /// Blocks a transport or a push. `open` sets the expression, which starts with [`OPEN`].
    pub(super) async fn block(
        &self,
        scope: Scope,
        probe: Option<&Probe>,
        reason: &str,
        open: impl FnOnce(UpdateItemFluentBuilder) -> UpdateItemFluentBuilder,
    ) -> Result<OpenResult, StoreError> {
        let failures = probe.map_or(0, |probe| probe.failures.saturating_add(1));
        let now = self.table.now();
        let until = now + block_after(failures);
        let open = open(self.update(scope))
            .expression_attribute_values(":until", millis(until))
            .expression_attribute_values(":since", millis(probe.map_or(now, |probe| probe.since)))
            .expression_attribute_values(":now", millis(now))
            .expression_attribute_values(":failures", number(failures))
            .expression_attribute_values(":reason", text(truncate_reason(reason)));
        let open = match probe {
            Some(probe) => of_block(open, probe),
            // Of many callers that fail at the same time, only the first one blocks.
            None => open.condition_expression("attribute_not_exists(blockedUntil)"),
        };
        let is_own = |item: &LimitsItem, attempts: &Attempts| {
            attempts.is_repeated() && item.blocked_until == Some(until) && item.failures == failures
        };
        Ok(match self.table.write_if(open, is_own).await? {
            Conditional::Done(()) => OpenResult::Opened { until },
            Conditional::NotMet(_) => OpenResult::Superseded,
        })
    }

    /// Lets all callers use a transport again, after a successful probe. Returns whether the breaker is closed now: not
    /// if another probe has failed since.
    pub async fn close_breaker(&self, transport: TransportId, probe: &Probe) -> Result<bool, StoreError> {
        let close = of_block(
            self.update(transport)
                .update_expression("REMOVE blockedUntil, blockedSince, failures, probeUntil, probeToken"),
            probe,
        );
        // Its own repeated write finds the breaker closed.
        Ok(match self.table.write_if(close, never_own::<LimitsItem>).await? {
            Conditional::Done(()) => true,
            Conditional::NotMet(item) => item.is_none_or(|item| item.blocked_until.is_none()),
        })
    }

    /// Whether a transport is blocked, or is to be probed.
    pub async fn is_blocked(&self, transport: TransportId) -> Result<bool, StoreError> {
        Ok(self.get(transport).await?.is_some_and(|item| item.blocked_until.is_some()))
    }

    /// Releases an unused probe lease, so that the next caller can acquire it.
    pub async fn release_probe(&self, scope: impl Into<Scope>, probe: &Probe) -> Result<(), StoreError> {
        let release = self
            .update(scope)
            .update_expression("REMOVE probeUntil, probeToken")
            .condition_expression("probeToken = :token")
            .expression_attribute_values(":token", text(&probe.token));
        self.table.write_if(release, never_own::<LimitsItem>).await.map(|_| ())
    }
}

/// The update under the condition that the block which was probed is still the last one.
fn of_block(update: UpdateItemFluentBuilder, probe: &Probe) -> UpdateItemFluentBuilder {
    update.condition_expression("blockedUntil = :block").expression_attribute_values(":block", millis(probe.block))
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

    #[test]
    fn block_and_probe_decide_who_may_call() {
        let at = |millis| Timestamp::from_millisecond(millis).unwrap();
        let now = at(10_000);
        for (blocked_until, probe_until, expected) in [
            (None, None, Gate::Closed),
            (None, Some(at(99_000)), Gate::Closed),
            (Some(at(10_001)), None, Gate::Open { until: at(10_001) }),
            (Some(at(10_001)), Some(at(9_000)), Gate::Open { until: at(10_001) }),
            (Some(now), None, Gate::MayProbe { block: now }),
            (Some(at(9_000)), None, Gate::MayProbe { block: at(9_000) }),
            // However long a probe may take, others look again soon.
            (Some(at(9_000)), Some(at(99_000)), Gate::Open { until: at(11_000) }),
            (Some(at(9_000)), Some(at(10_001)), Gate::Open { until: at(10_001) }),
            (Some(at(9_000)), Some(now), Gate::MayProbe { block: at(9_000) }),
        ] {
            let item = LimitsItem { blocked_until, probe_until, ..LimitsItem::default() };
            assert_eq!(item.gate(now), expected, "{blocked_until:?}, {probe_until:?}");
        }
    }
}
