//! Why a step of a conversation failed.

use std::io;

use crate::{Reply, Stage};

/// A step of a conversation failed.
#[derive(Debug, thiserror::Error)]
#[error("{stage}: {kind}")]
pub struct Error {
    /// The step.
    pub stage: Stage,
    /// The failure.
    pub kind: ErrorKind,
}

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum ErrorKind {
    /// A reply that the step cannot continue with, refusal or not. At [`Stage::Auth`] without its text.
    #[error("{0}")]
    Refused(Reply),
    /// No reply before the deadline.
    #[error("no reply in time")]
    Timeout,
    /// The server closed the connection.
    #[error("the server closed the connection")]
    Closed,
    /// The session can no longer be used: an earlier exchange did not end.
    #[error("the session can no longer be used")]
    NotUsable,
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Io(io::Error),
    /// What came does not start with three digits.
    #[error("what the server sent is not a reply")]
    Malformed,
    /// The reply did not end within [`crate::reply::MAX_REPLY`].
    #[error("the reply has no end")]
    TooLong,
    /// The server sent something that no command asked for.
    #[error("the server sent a reply too many")]
    Unexpected,
    /// The server does not have what this step needs.
    #[error("the server does not offer {0}")]
    NotOffered(&'static str),
    /// The server's limit (RFC 1870) is below the size of the message. It was not offered.
    #[error("the message has {size} octets, the server accepts {limit}")]
    TooLarge {
        /// The size of the message, in octets.
        size: u64,
        /// The server's limit, in octets.
        limit: u64,
    },
}

impl Error {
    pub(crate) const fn new(stage: Stage, kind: ErrorKind) -> Self {
        Self { stage, kind }
    }

    /// The reply, if the server gave one.
    pub const fn reply(&self) -> Option<&Reply> {
        match &self.kind {
            ErrorKind::Refused(reply) => Some(reply),
            _ => None,
        }
    }
}

/// Adds the step to a failure.
pub(crate) trait At<T> {
    fn at(self, stage: Stage) -> Result<T, Error>;
}

impl<T> At<T> for Result<T, ErrorKind> {
    fn at(self, stage: Stage) -> Result<T, Error> {
        self.map_err(|kind| Error::new(stage, kind))
    }
}
