//! The client's side of an SMTP conversation (RFC 5321), over any stream.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | the status codes of replies | [`status`] |

pub mod status;

pub use status::EnhancedStatus;

/// The step of a conversation that a reply belongs to, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// The server's first reply.
    Greeting,
    /// `EHLO` or `HELO`.
    Hello,
    /// `STARTTLS`.
    StartTls,
    /// `AUTH`.
    Auth,
    /// `MAIL FROM`.
    Mail,
    /// `RCPT TO`.
    Rcpt,
    /// `DATA`, before the message.
    Data,
    /// The end of the message.
    Message,
    /// `RSET`, after a refusal.
    Reset,
}

impl Stage {
    /// The command, as error texts name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Greeting => "greeting",
            Self::Hello => "EHLO",
            Self::StartTls => "STARTTLS",
            Self::Auth => "AUTH",
            Self::Mail => "MAIL FROM",
            Self::Rcpt => "RCPT TO",
            Self::Data => "DATA",
            Self::Message => "message",
            Self::Reset => "RSET",
        }
    }
}
