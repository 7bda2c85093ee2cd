//! Passwords (RFC 4954), in the two ways that servers offer over TLS.

use std::fmt;

use data_encoding::BASE64;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use crate::error::{At, Error, ErrorKind};
use crate::{EnhancedStatus, Reply, Session, Stage};

/// The longest command, in octets with its line end (RFC 5321, 4.5.3.1.4).
const MAX_COMMAND: usize = 512;

/// A user and their password.
#[derive(Clone)]
pub struct Credentials {
    user: String,
    password: String,
}

impl Credentials {
    /// These credentials.
    pub const fn new(user: String, password: String) -> Self {
        Self { user, password }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(..)")
    }
}

/// A way to send a password, in the order in which they are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mechanism {
    /// User and password at once (RFC 4616).
    Plain,
    /// One after the other: an expired draft that many servers implement.
    Login,
}

impl Mechanism {
    /// The mechanism of this name, in upper case.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "PLAIN" => Some(Self::Plain),
            "LOGIN" => Some(Self::Login),
            _ => None,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Session<S> {
    /// Sends a user and password, in each way that the server offers until it knows one.
    ///
    /// # Errors
    /// If the server refuses the password, or offers no way that we know. A refusal is without its text, which may
    /// repeat what was sent.
    pub async fn authenticate(&mut self, credentials: &Credentials, deadline: Instant) -> Result<(), Error> {
        self.try_mechanisms(credentials, deadline).await.map_err(|mut error| {
            if let ErrorKind::Refused(reply) = &mut error.kind {
                reply.text.clear();
            }
            error
        })
    }

    async fn try_mechanisms(&mut self, credentials: &Credentials, deadline: Instant) -> Result<(), Error> {
        let mut refusal = ErrorKind::NotOffered("AUTH PLAIN or LOGIN");
        for mechanism in self.capabilities().mechanisms.clone() {
            let reply = match mechanism {
                Mechanism::Plain => self.plain(credentials, deadline).await?,
                Mechanism::Login => self.login(credentials, deadline).await?,
            };
            if reply.is_positive() {
                return Ok(());
            }
            let is_known = !is_unsupported(&reply);
            refusal = ErrorKind::Refused(reply);
            if is_known {
                break;
            }
        }
        Err(refusal).at(Stage::Auth)
    }

    async fn plain(&mut self, credentials: &Credentials, deadline: Instant) -> Result<Reply, Error> {
        let response = BASE64.encode(format!("\0{}\0{}", credentials.user, credentials.password).as_bytes());
        let command = format!("AUTH PLAIN {response}");
        let is_short = command.len() + 2 <= MAX_COMMAND;
        let first = if is_short { &command } else { "AUTH PLAIN" };
        let reply = self.command(Stage::Auth, first, deadline).await?;
        // Some servers ask for what they were sent.
        if reply.is_intermediate() { self.command(Stage::Auth, &response, deadline).await } else { Ok(reply) }
    }

    async fn login(&mut self, credentials: &Credentials, deadline: Instant) -> Result<Reply, Error> {
        let mut reply = self.command(Stage::Auth, "AUTH LOGIN", deadline).await?;
        for part in [&credentials.user, &credentials.password] {
            if !reply.is_intermediate() {
                break;
            }
            reply = self.command(Stage::Auth, &BASE64.encode(part.as_bytes()), deadline).await?;
        }
        Ok(reply)
    }
}

/// Whether the server does not know the mechanism, or does not want it (RFC 4954, 4 and 6), rather than the password.
fn is_unsupported(reply: &Reply) -> bool {
    matches!(reply.code, 500..=504 | 534) || reply.enhanced == Some(EnhancedStatus::new(5, 5, 4))
}
