//! What a transport is, and what its answers mean.

use std::future::Future;

use domain::TransportId;
use jiff::Timestamp;

pub mod aws_error;
pub mod email;
mod redact;
pub mod ses;
pub mod smtp;
pub mod sns;

/// Carries messages to a provider. Each call is one attempt: trying again is the pipeline's business.
pub trait Transport: Send + Sync {
    /// What it carries.
    type Message: Send + Sync;

    /// Its name, under which it is blocked when it is out of reach.
    fn id(&self) -> TransportId;

    /// Hands one message over, before `until` or not at all: afterwards somebody else may send it.
    fn send(
        &self,
        message: &Self::Message,
        until: Timestamp,
    ) -> impl Future<Output = Result<Accepted, SendError>> + Send;
}

/// The provider took the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The provider's id of the message, or ours where it gives none.
    pub message_id: String,
}

/// The provider did not take the message, sorted by what that means for the customer.
///
/// The texts are the provider's, cleared of addresses: they are stored and logged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// It refuses this recipient or this message, whenever asked.
    #[error("refused: {0}")]
    Rejected(String),
    /// The recipient has told the provider that she wants no messages: nothing was handed over.
    #[error("not wanted: {0}")]
    OptedOut(String),
    /// The message was handed over, but the answer was lost: the customer may or may not have it.
    #[error("handed over, but the answer was lost: {0}")]
    Unanswered(String),
    /// The provider is there, but does not take this message now: too many at once, a mailbox that is busy.
    #[error("not taken for now: {0}")]
    Throttled(String),
    /// The time was over before the message was handed over.
    #[error("not handed over in time")]
    TooLate,
    /// The provider takes no messages at all: no connection, no greeting, no TLS, wrong credentials, account paused.
    #[error("out of reach: {0}")]
    Unreachable(String),
}
