//! Transports: how messages reach a provider, and what its responses mean for the customer.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | what the result of an attempt can be | this file |
//! | which e-mail transport the settings select | [`email`] |
//! | how SES is called, and how its errors are classified | [`ses`] |
//! | the same for SNS | [`sns`] |
//! | errors that are the same for all AWS services | [`aws_error`] |
//! | how an SMTP server is spoken to | [`smtp`] |
//! | what is removed from providers' texts | `redact` |

use std::future::Future;
use std::time::Duration;

use domain::TransportId;
use domain::notification::ReasonCode;
pub use domain::notification::Suspect;
use jiff::Timestamp;

mod aws_error;
pub mod email;
mod redact;
pub mod ses;
pub mod smtp;
pub mod sns;

/// Sends messages through a provider. Each call is one attempt; retrying is the pipeline's responsibility.
pub trait Transport: Send + Sync {
    /// The message that it sends.
    type Message: Send + Sync;

    /// The id that its circuit breaker and rate limit are stored under.
    fn id(&self) -> TransportId;

    /// The longest that [`Transport::send`] takes.
    fn max_duration(&self) -> Duration;

    /// Hands one message over, before `until` (the end of the lease) or not at all: after that another invocation may
    /// send it.
    fn send(
        &self,
        message: &Self::Message,
        until: Timestamp,
    ) -> impl Future<Output = Result<Accepted, SendError>> + Send;
}

/// The provider accepted the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The provider's id of the message, or our own where the provider has none.
    pub message_id: String,
}

/// The provider did not accept the message. One variant for each consequence for the customer.
///
/// The texts are the provider's, redacted, because they are stored and logged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The provider refuses this message.
    #[error(transparent)]
    Refused(Refusal),
    /// The recipient has opted out with the provider. Nothing was handed over.
    #[error("opted out: {0}")]
    OptedOut(String),
    /// The message was handed over, but no response came: the customer may or may not have it.
    #[error("handed over without a response: {0}")]
    Unanswered(String),
    /// The time for this attempt (the lease, or the deadline of a direct invocation) ended before the message was
    /// handed over.
    #[error("not handed over in time")]
    TooLate,
    /// The provider accepts no messages of ours at all: no connection, no greeting, no TLS, wrong credentials, account
    /// paused.
    #[error("unreachable: {0}")]
    Unreachable(String),
}

impl SendError {
    /// A refusal of this kind.
    pub fn refused(kind: RefusalKind, text: impl Into<String>) -> Self {
        Self::Refused(Refusal { kind, text: text.into() })
    }
}

/// A refusal of one message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {text}", .kind.verb())]
pub struct Refusal {
    /// Whose fault it is, as far as is known.
    pub kind: RefusalKind,
    /// What the provider says, redacted.
    pub text: String,
}

/// Whose fault a refusal is, and so what follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefusalKind {
    /// The recipient's: the address does not exist.
    UnknownAddress,
    /// The recipient's, for another reason. It will not change by itself.
    Recipient,
    /// The message's: its size or its content.
    Message,
    /// Not known, but it may pass: a busy server, a full mailbox, too many messages at a time.
    Temporary,
    /// The recipient's, or one of the whole conversation, as `suspect` says. Only the other recipients show which.
    Ambiguous(Suspect),
}

impl RefusalKind {
    /// The stable code of an outcome for this reason.
    pub const fn code(self) -> ReasonCode {
        match self {
            Self::UnknownAddress => ReasonCode::AddressUnknown,
            Self::Recipient => ReasonCode::RecipientRefused,
            Self::Message => ReasonCode::MessageRefused,
            Self::Temporary => ReasonCode::RefusedForNow,
            Self::Ambiguous(_) => ReasonCode::Refused,
        }
    }

    const fn verb(self) -> &'static str {
        match self {
            Self::UnknownAddress | Self::Recipient | Self::Message => "rejected",
            Self::Temporary => "not accepted for now",
            Self::Ambiguous(_) => "refused",
        }
    }
}
