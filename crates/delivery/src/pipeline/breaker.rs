//! Which transport may be called, and what is known of it.

use std::sync::atomic::{AtomicBool, Ordering};

use domain::TransportId;
use jiff::Timestamp;
use runtime::metrics::{self, Unit};
use store::StoreError;
use store::limits::{BreakerState, Probe};

use super::deliverer::{Deliverer, RateLimited};
use crate::compose::Compose;
use crate::transport::{Accepted, SendError, Transport};

/// The transport that may be called now.
pub(super) struct SelectedTransport<'d, T> {
    pub(super) limited: &'d RateLimited<T>,
    /// Its name, in the Pacing table and at deliveries.
    pub(super) name: TransportId,
    /// The name of the other one, if there is one.
    pub(super) other: Option<TransportId>,
    /// Set if it was out of reach, and this is the one attempt to find out whether it still is.
    pub(super) probe: Option<Probe>,
    /// Set when somebody has told the gate how it is.
    pub(super) reported: AtomicBool,
}

impl<C, T> Deliverer<C, T>
where
    C: Compose,
    T: Transport<Message = C::Message>,
{
    /// The transport that may be called now; or until when none may.
    pub(super) async fn select_transport(&self) -> Result<Result<SelectedTransport<'_, T>, Timestamp>, StoreError> {
        let mut blocked = Timestamp::MAX;
        for limited in std::iter::once(&self.first).chain(&self.fallback) {
            match self.limits.check_breaker(limited.transport.id()).await? {
                BreakerState::Closed => return Ok(Ok(self.select(limited, None))),
                BreakerState::HalfOpen(probe) => return Ok(Ok(self.select(limited, Some(probe)))),
                BreakerState::Open { until } => blocked = blocked.min(until),
            }
        }
        Ok(Err(blocked))
    }

    pub(super) fn select<'d>(&'d self, limited: &'d RateLimited<T>, probe: Option<Probe>) -> SelectedTransport<'d, T> {
        let name = limited.transport.id();
        let mut names = std::iter::once(&self.first).chain(&self.fallback).map(|limited| limited.transport.id());
        let other = names.find(|other| *other != name);
        SelectedTransport { limited, name, other, probe, reported: AtomicBool::new(false) }
    }

    /// Gives back the right to probe, if nothing was there to probe with: the next caller finds out. What was sent is sent,
    /// whatever becomes of this.
    pub(super) async fn release_probe(&self, selected: &SelectedTransport<'_, T>) {
        let Some(probe) = selected.probe.filter(|_| !selected.reported.load(Ordering::Relaxed)) else {
            return;
        };
        if let Err(error) = self.limits.release_probe(selected.name, probe).await {
            tracing::warn!(transport = %selected.name, error = %error, "the right to probe could not be given back, and runs out");
        }
    }

    /// Blocks the transport for everybody if it is out of reach, and clears the block if a probe reached it. Once. Answers
    /// whether it is out of reach.
    pub(super) async fn report_to_breaker(
        &self,
        selected: &SelectedTransport<'_, T>,
        sent: &Result<Accepted, SendError>,
        is_silent: bool,
    ) -> Result<bool, StoreError> {
        let reason = match (sent, selected.probe) {
            (Err(SendError::Unreachable(reason)), _) => Some(reason),
            // A probe that is not answered reached nobody.
            (Err(SendError::Unanswered(reason)), probe) if is_silent || probe.is_some() => Some(reason),
            _ => None,
        };
        match (reason, selected.probe) {
            (Some(reason), _) => {
                if !selected.reported.swap(true, Ordering::Relaxed) {
                    let until = self.limits.open_breaker(selected.name, selected.probe, reason).await?;
                    tracing::warn!(transport = %selected.name, %until, error = reason, "the transport is out of reach");
                    emit_breaker_state(selected.name, true);
                }
            }
            (None, Some(probe)) => {
                if !selected.reported.swap(true, Ordering::Relaxed) {
                    self.limits.close_breaker(selected.name, probe).await?;
                    tracing::info!(transport = %selected.name, "the transport is within reach again");
                    emit_breaker_state(selected.name, false);
                }
            }
            (None, None) => {}
        }
        Ok(reason.is_some())
    }
}

/// Told whenever somebody finds out, so that an outage shows for as long as it lasts.
pub(super) fn emit_breaker_state(transport: TransportId, is_open: bool) {
    metrics::emit(&[("transport", transport.as_str())], &[("BreakerOpen", Unit::Count, u64::from(is_open))]);
}
