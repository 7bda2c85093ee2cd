//! The client's side of an SMTP conversation (RFC 5321), over any stream.
//!
//! A reply that is misread is a second copy of a message, or a message counted as sent that never was. So a reply is
//! read as bytes, in any form that servers send, and any code after the end of a message is an answer.
//!
//! The caller brings the stream, the deadlines and, for STARTTLS, the encryption:
//! [`Session::start`], [`Session::hello`], then for each message [`Session::open_message`] and
//! [`Session::finish_message`]. Between the two the server waits for the message and the caller can still give up: a
//! session that is dropped there sends no end of the message, so the server discards it (RFC 5321, 4.1.1.4).
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | the commands, and which replies they accept | [`session`] |
//! | a server's URL | `server_url` |
//! | how a password is sent | `auth` |
//! | what a server says it can do | [`capabilities`] |
//! | how a reply is read from bytes | [`reply`] |
//! | the status codes of replies | [`status`] |
//! | what a message looks like on the wire | [`message`] |
//! | what can go wrong | [`error`] |

mod auth;
pub mod capabilities;
pub mod error;
pub mod message;
pub mod reply;
mod server_url;
pub mod session;
pub mod status;

pub use auth::Credentials;
pub use capabilities::Capabilities;
pub use error::{Error, ErrorKind};
pub use message::{InvalidAddress, Message};
pub use reply::{Replies, Reply};
pub use server_url::{InvalidServerUrl, Security, ServerUrl};
pub use session::Session;
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
    /// `RSET`, after a refusal or a pause.
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

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
