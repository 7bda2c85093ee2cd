//! The circuit breaker of a transport: closed (it may be called), open (it may not), half-open (one caller probes).
//!
//! Its state is stored, so that one failure protects all functions.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use domain::{PushId, TransportId};
use jiff::Timestamp;
use runtime::metrics::{self, Unit};
use store::StoreError;
use store::limits::{BreakerState, Checked, Evidence, Line, OpenResult, Probe, Scope};

use super::deliverer::{Deliverer, RateLimited};
use crate::compose::Compose;
use crate::transport::{Accepted, SendError, Transport};

/// This many messages in a row without a response are no coincidence: the provider counts as unreachable.
const UNANSWERED_STREAK: u32 = 3;

/// How long one caller alone may probe: for long enough to hand a message over, which takes less than 43 seconds with what
/// comes before. A response may take longer. It still counts; and the transport of a caller that has died is probed again
/// within a minute.
const PROBE_LEASE: Duration = Duration::from_secs(45);

/// What an attempt says of the transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Signal {
    /// The provider responded, whatever it said of the message.
    Reached,
    /// It did not respond to a message.
    NoResponse(String),
    /// It accepts no messages at all.
    Unreachable(String),
    /// Nothing: there was no attempt.
    Unknown,
}

impl Signal {
    /// What the result of sending says.
    pub(super) fn of(sent: &Result<Accepted, SendError>) -> Self {
        match sent {
            Ok(_) | Err(SendError::Refused(_) | SendError::OptedOut(_)) => Self::Reached,
            Err(SendError::Unanswered(reason)) => Self::NoResponse(reason.clone()),
            Err(SendError::Unreachable(reason)) => Self::Unreachable(reason.clone()),
            Err(SendError::TooLate) => Self::Unknown,
        }
    }
}

/// What to do with the breaker.
#[derive(Debug, PartialEq, Eq)]
enum Action<'s> {
    /// Open it, for this reason.
    Open(&'s str),
    /// Close it: the probe reached the transport.
    Close,
    /// Nothing.
    Leave,
}

/// What a signal means for the breaker. `streak` is how many messages in a row had no response, including this one.
fn action(signal: &Signal, is_probe: bool, streak: u32) -> Action<'_> {
    match signal {
        Signal::Unreachable(reason) => Action::Open(reason),
        // A probe without a response has not shown that the transport works.
        Signal::NoResponse(reason) if is_probe || streak >= UNANSWERED_STREAK => Action::Open(reason),
        Signal::Reached if is_probe => Action::Close,
        Signal::Reached | Signal::NoResponse(_) | Signal::Unknown => Action::Leave,
    }
}

/// When a batch comes again whose round found the transport unreachable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Return {
    /// In a second.
    Soon,
    /// When the block ends that it has caused: it probes then, so that all other batches can wait for longer.
    ToProbe(Timestamp),
}

/// The result of selecting a transport.
#[expect(clippy::large_enum_variant, reason = "one is made for each batch")]
pub(super) enum Selected<'d, T> {
    /// This one may be called.
    Transport(SelectedTransport<'d, T>),
    /// All breakers are open, or the push is held.
    AllOpen {
        /// When the first of them may be probed.
        until: Timestamp,
        /// When the batch comes again at the latest: when the right to probe ends that another caller has.
        at_most: Timestamp,
        /// Since when none may be called.
        since: Timestamp,
        /// Whether the push is held, on a transport that may be called.
        is_held: bool,
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
    pub(super) reported: AtomicBool,
    /// The same for the hold of the push.
    pub(super) hold_probe: Option<Probe>,
    pub(super) hold_reported: AtomicBool,
    /// How the messages of the transport, and of the push, had fared.
    pub(super) of_transport: Evidence,
    pub(super) of_push: Evidence,
    /// The slots of the transport that were reserved when it was selected.
    pub(super) line: Line,
    /// Set if the push is held: nothing is sent, but outcomes that need no sending are recorded.
    pub(super) held_until: Option<Timestamp>,
}

impl<T> SelectedTransport<'_, T> {
    /// Whether messages are sent to find out whether they can be.
    pub(super) const fn is_probing(&self) -> bool {
        self.probe.is_some() || self.hold_probe.is_some()
    }
}

impl<C, T> Deliverer<C, T>
where
    C: Compose,
    T: Transport<Message = C::Message>,
{
    /// Selects the first transport that may be called: its breaker is closed or half-open, and the push, if there is
    /// one, is not held on it.
    pub(super) async fn select_transport(&self, push: Option<PushId>) -> Result<Selected<'_, T>, StoreError> {
        let (mut earliest, mut latest, mut at_most) = (Timestamp::MAX, Timestamp::MIN, Timestamp::MAX);
        let mut is_held = false;
        for limited in std::iter::once(&self.primary).chain(&self.fallback) {
            let id = limited.transport.id();
            let mut selected = self.without_probe(limited);
            let Checked { state, evidence, line } = self.limits.check_breaker(id, PROBE_LEASE).await?;
            selected.of_transport = evidence;
            selected.line = line;
            match state {
                BreakerState::Closed => {}
                BreakerState::HalfOpen(probe) => selected.probe = Some(probe),
                BreakerState::Open { until, since, probed_until } => {
                    earliest = earliest.min(until);
                    latest = latest.max(since);
                    at_most = at_most.min(probed_until.unwrap_or(Timestamp::MAX));
                    continue;
                }
            }
            let Some(push) = push else { return Ok(Selected::Transport(selected)) };
            let Checked { state, evidence, .. } = self.limits.check_hold(push, id, &evidence, PROBE_LEASE).await?;
            selected.of_push = evidence;
            match state {
                BreakerState::Closed => return Ok(Selected::Transport(selected)),
                BreakerState::HalfOpen(probe) => {
                    selected.hold_probe = Some(probe);
                    return Ok(Selected::Transport(selected));
                }
                // The transport must be probed, and this message may as well be the one.
                BreakerState::Open { .. } if selected.probe.is_some() => return Ok(Selected::Transport(selected)),
                BreakerState::Open { until, .. } => {
                    earliest = earliest.min(until);
                    is_held = true;
                }
            }
        }
        Ok(Selected::AllOpen { until: earliest, at_most, since: latest, is_held })
    }

    pub(super) fn without_probe<'d>(&'d self, limited: &'d RateLimited<T>) -> SelectedTransport<'d, T> {
        let id = limited.transport.id();
        let mut ids = std::iter::once(&self.primary).chain(&self.fallback).map(|limited| limited.transport.id());
        let other = ids.find(|other| *other != id);
        SelectedTransport {
            limited,
            id,
            other,
            probe: None,
            reported: AtomicBool::new(false),
            hold_probe: None,
            hold_reported: AtomicBool::new(false),
            of_transport: Evidence::default(),
            of_push: Evidence::default(),
            line: Line::default(),
            held_until: None,
        }
    }

    /// Releases a probe that has no result, so that the next caller can probe. Best effort: what was sent is sent, and
    /// the lease of the probe ends anyway.
    pub(super) async fn release_probe(&self, selected: &SelectedTransport<'_, T>, push: Option<PushId>) {
        let unreported =
            |probe: &Option<Probe>, reported: &AtomicBool| probe.clone().filter(|_| !reported.load(Ordering::Relaxed));
        let probe = unreported(&selected.probe, &selected.reported).map(|probe| (Scope::Transport(selected.id), probe));
        let hold = unreported(&selected.hold_probe, &selected.hold_reported);
        let hold = push.zip(hold).map(|(push, probe)| (Scope::Push(push, selected.id), probe));
        for (scope, probe) in probe.into_iter().chain(hold) {
            if let Err(error) = self.limits.release_probe(scope, &probe).await {
                tracing::warn!(
                    transport = %selected.id, error = %error,
                    "failed to release the probe of the half-open circuit breaker; its lease will end"
                );
            }
        }
    }

    /// Opens the breaker if the transport is unreachable, and closes it if a probe reached the transport; one report
    /// for each selection. Returns when the batch comes again if the transport is unreachable. Best effort: the outcome of
    /// the message is recorded, and the next attempt reports again.
    pub(super) async fn report_to_breaker(
        &self,
        selected: &SelectedTransport<'_, T>,
        signal: &Signal,
        streak: u32,
    ) -> Option<Return> {
        let action = action(signal, selected.probe.is_some(), streak);
        let soon = matches!(action, Action::Open(_)).then_some(Return::Soon);
        if action == Action::Leave || selected.reported.swap(true, Ordering::Relaxed) {
            return soon;
        }
        let reported = match (&action, &selected.probe) {
            (Action::Open(reason), probe) => self.open_breaker(selected, probe.as_ref(), reason).await.map(Some),
            (Action::Close, Some(probe)) => self.close_breaker(selected.id, probe).await.map(|()| None),
            (Action::Close, None) | (Action::Leave, _) => Ok(None),
        };
        reported.unwrap_or_else(|error| {
            selected.reported.store(false, Ordering::Relaxed);
            tracing::warn!(
                transport = %selected.id, error = %error,
                "failed to report to the circuit breaker; the next attempt reports again"
            );
            soon
        })
    }

    async fn open_breaker(
        &self,
        selected: &SelectedTransport<'_, T>,
        probe: Option<&Probe>,
        reason: &str,
    ) -> Result<Return, StoreError> {
        let id = selected.id;
        // The other transport may serve the batch at once.
        let other_serves = match selected.other {
            Some(other) => !self.limits.is_blocked(other).await?,
            None => false,
        };
        let OpenResult::Opened { until } = self.limits.open_breaker(id, probe, reason).await? else {
            return Ok(Return::Soon);
        };
        tracing::warn!(
            transport = %id, %until, error = reason, "circuit breaker open: the transport is unreachable"
        );
        emit_breaker_state(id, true);
        Ok(if other_serves { Return::Soon } else { Return::ToProbe(until) })
    }

    async fn close_breaker(&self, id: TransportId, probe: &Probe) -> Result<(), StoreError> {
        if self.limits.close_breaker(id, probe).await? {
            tracing::info!(transport = %id, "circuit breaker closed: the probe reached the transport");
            emit_breaker_state(id, false);
        }
        Ok(())
    }
}

/// Emits the metric `BreakerOpen`: on each change, and by each batch that is deferred because every breaker is open, so
/// that the metric shows an outage for as long as it lasts.
pub(super) fn emit_breaker_state(transport: TransportId, is_open: bool) {
    metrics::emit(&[("transport", transport.as_str())], &[("BreakerOpen", Unit::Count, u64::from(is_open))]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::RefusalKind;

    fn why() -> String {
        "why".to_owned()
    }

    #[test]
    fn each_result_of_sending_is_a_signal() {
        for (sent, expected) in [
            (Ok(Accepted { message_id: "m-1".to_owned() }), Signal::Reached),
            (Err(SendError::refused(RefusalKind::Recipient, why())), Signal::Reached),
            (Err(SendError::OptedOut(why())), Signal::Reached),
            (Err(SendError::refused(RefusalKind::Temporary, why())), Signal::Reached),
            (Err(SendError::Unanswered(why())), Signal::NoResponse(why())),
            (Err(SendError::Unreachable(why())), Signal::Unreachable(why())),
            (Err(SendError::TooLate), Signal::Unknown),
        ] {
            assert_eq!(Signal::of(&sent), expected, "{sent:?}");
        }
    }

    #[test]
    fn signal_opens_or_closes_the_breaker() {
        let unreachable = Signal::Unreachable(why());
        let no_response = Signal::NoResponse(why());
        for (signal, is_probe, streak, expected) in [
            (&unreachable, false, 0, Action::Open("why")),
            (&unreachable, true, 0, Action::Open("why")),
            (&no_response, false, 1, Action::Leave),
            (&no_response, false, 2, Action::Leave),
            (&no_response, false, 3, Action::Open("why")),
            (&no_response, false, 4, Action::Open("why")),
            (&no_response, true, 1, Action::Open("why")),
            (&Signal::Reached, false, 0, Action::Leave),
            (&Signal::Reached, true, 0, Action::Close),
            (&Signal::Unknown, false, 3, Action::Leave),
            (&Signal::Unknown, true, 0, Action::Leave),
        ] {
            assert_eq!(action(signal, is_probe, streak), expected, "{signal:?}, probe: {is_probe}, {streak} in a row");
        }
    }
}
