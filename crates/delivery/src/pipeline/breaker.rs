//! The circuit breaker of a transport: closed (it may be called), open (it may not), half-open (one caller probes).
//!
//! Its state is stored, so that one failure protects all functions.

use std::sync::atomic::{AtomicBool, Ordering};

use domain::TransportId;
use jiff::Timestamp;
use runtime::metrics::{self, Unit};
use store::StoreError;
use store::limits::{BreakerState, Probe};

use super::deliverer::{Deliverer, RateLimited};
use crate::compose::Compose;
use crate::transport::{Accepted, SendError, Transport};

/// The result of selecting a transport.
pub(super) enum Selected<'d, T> {
    /// This one may be called.
    Transport(SelectedTransport<'d, T>),
    /// All breakers are open.
    AllOpen {
        /// When the first of them may be probed.
        until: Timestamp,
    },
}

/// The transport that may be called now.
pub(super) struct SelectedTransport<'d, T> {
    pub(super) limited: &'d RateLimited<T>,
    pub(super) id: TransportId,
    /// The other transport, if there is one.
    pub(super) other: Option<TransportId>,
    /// Set while the breaker is half-open: only this caller may send, one message at a time.
    pub(super) probe: Option<Probe>,
    /// Whether a result has been reported to the breaker.
    reported: AtomicBool,
}

impl<C, T> Deliverer<C, T>
where
    C: Compose,
    T: Transport<Message = C::Message>,
{
    /// Selects the first transport whose breaker is closed or half-open.
    pub(super) async fn select_transport(&self) -> Result<Selected<'_, T>, StoreError> {
        let mut earliest = Timestamp::MAX;
        for limited in std::iter::once(&self.primary).chain(&self.fallback) {
            match self.limits.check_breaker(limited.transport.id()).await? {
                BreakerState::Closed => return Ok(Selected::Transport(self.with_probe(limited, None))),
                BreakerState::HalfOpen(probe) => return Ok(Selected::Transport(self.with_probe(limited, Some(probe)))),
                BreakerState::Open { until } => earliest = earliest.min(until),
            }
        }
        Ok(Selected::AllOpen { until: earliest })
    }

    pub(super) fn with_probe<'d>(
        &'d self,
        limited: &'d RateLimited<T>,
        probe: Option<Probe>,
    ) -> SelectedTransport<'d, T> {
        let id = limited.transport.id();
        let mut ids = std::iter::once(&self.primary).chain(&self.fallback).map(|limited| limited.transport.id());
        let other = ids.find(|other| *other != id);
        SelectedTransport { limited, id, other, probe, reported: AtomicBool::new(false) }
    }

    /// Releases a probe that has no result for the breaker, so that the next caller can probe. Best effort: what was
    /// sent is sent, and the lease of the probe ends anyway.
    pub(super) async fn release_probe(&self, selected: &SelectedTransport<'_, T>) {
        let Some(probe) = selected.probe.filter(|_| !selected.reported.load(Ordering::Relaxed)) else {
            return;
        };
        if let Err(error) = self.limits.release_probe(selected.id, probe).await {
            tracing::warn!(
                transport = %selected.id, error = %error,
                "failed to release the probe of the half-open circuit breaker; its lease will end"
            );
        }
    }

    /// Opens the breaker if the transport is unreachable, and closes it if a probe reached the transport; one report
    /// for each selection. Returns whether the transport is unreachable.
    pub(super) async fn report_to_breaker(
        &self,
        selected: &SelectedTransport<'_, T>,
        sent: &Result<Accepted, SendError>,
        is_unanswered_streak: bool,
    ) -> Result<bool, StoreError> {
        let unreachable = match (sent, selected.probe) {
            (Err(SendError::Unreachable(reason)), _) => Some(reason),
            // A probe without a response has not shown that the transport works.
            (Err(SendError::Unanswered(reason)), probe) if is_unanswered_streak || probe.is_some() => Some(reason),
            _ => None,
        };
        match (unreachable, selected.probe) {
            (Some(reason), _) => {
                if !selected.reported.swap(true, Ordering::Relaxed) {
                    let until = self.limits.open_breaker(selected.id, selected.probe, reason).await?;
                    tracing::warn!(
                        transport = %selected.id, %until, error = reason,
                        "circuit breaker open: the transport is unreachable"
                    );
                    emit_breaker_state(selected.id, true);
                }
            }
            (None, Some(probe)) => {
                if !selected.reported.swap(true, Ordering::Relaxed) {
                    self.limits.close_breaker(selected.id, probe).await?;
                    tracing::info!(transport = %selected.id, "circuit breaker closed: the probe reached the transport");
                    emit_breaker_state(selected.id, false);
                }
            }
            (None, None) => {}
        }
        Ok(unreachable.is_some())
    }
}

/// Emits the metric `BreakerOpen`: on each change, and by each batch that is deferred because every breaker is open, so
/// that the metric shows an outage for as long as it lasts.
pub(super) fn emit_breaker_state(transport: TransportId, is_open: bool) {
    metrics::emit(&[("transport", transport.as_str())], &[("BreakerOpen", Unit::Count, u64::from(is_open))]);
}
