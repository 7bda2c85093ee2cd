//! One message on its own, for a direct invocation: no claim, no record, no retry.

use std::time::Duration;

use jiff::Timestamp;
use store::StoreError;
use store::limits::Sender;

use super::breaker::{Selected, SelectedTransport, Signal};
use super::deliverer::Deliverer;
use super::rate::{Patience, SendTime};
use super::round::min_time_to_start;
use crate::compose::Compose;
use crate::transport::{Accepted, SendError, Transport};

/// Why a message on its own was not sent.
#[derive(Debug, thiserror::Error)]
pub enum SendOneError {
    /// The circuit breakers of all transports are open.
    #[error("the circuit breaker of every provider is open until {until}; nothing was sent")]
    BreakerOpen {
        /// When one of them may be tried again.
        until: Timestamp,
    },
    /// Other invocations use the whole rate of the transport.
    #[error("the rate limit is used up; nothing was sent, try again in a few seconds")]
    Busy,
    /// The transport did not send it.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The store is unavailable or holds something unreadable.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl<C, T> Deliverer<C, T>
where
    C: Compose,
    T: Transport<Message = C::Message>,
{
    /// Sends one message. It waits for a slot of the rate limit for as long as there is time.
    ///
    /// # Errors
    /// Only after [`SendError::Unanswered`] may the message have been sent.
    pub async fn send_one(&self, message: &C::Message, deadline: Timestamp) -> Result<Accepted, SendOneError> {
        let selected = match self.select_transport(None).await? {
            Selected::Transport(selected) => selected,
            Selected::AllOpen { until, .. } => return Err(SendOneError::BreakerOpen { until }),
        };
        let sent = self.send_through(&selected, message, deadline).await;
        self.release_probe(&selected, None).await;
        sent
    }

    async fn send_through(
        &self,
        selected: &SelectedTransport<'_, T>,
        message: &C::Message,
        deadline: Timestamp,
    ) -> Result<Accepted, SendOneError> {
        let until = deadline - min_time_to_start(&selected.limited.transport);
        let patience = Patience { until, for_turn: Duration::MAX };
        match self.reserve(selected.limited, Sender::Direct, &mut None, 1, patience).await? {
            SendTime::At(at) => self.sleep_until(at).await,
            SendTime::RateFull { .. } => return Err(SendOneError::Busy),
        }
        let sent = selected.limited.transport.send(message, deadline).await;
        // The provider may refuse just this caller's sender: that opens the breaker for no other.
        if !matches!(sent, Err(SendError::Unreachable(_))) {
            self.report_to_breaker(selected, &Signal::of(&sent), 0).await;
        }
        sent.map_err(SendOneError::Send)
    }
}
