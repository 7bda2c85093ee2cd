//! SMTP: one attempt for each message, over pooled connections.
//!
//! lettre implements the protocol. Its own pool is not used: it never sets `TCP_NODELAY`, so that each message waits 40
//! ms for a delayed acknowledgement, and it hides at which command a message was refused, which is what distinguishes
//! an error of the recipient from one of the server. For the same reasons connections and TLS are opened here.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | the commands of an attempt, and what their replies mean | this file |
//! | the URL of the server, and connecting to it | `server` |
//! | reuse of connections | `pool` |
//! | which certificates are trusted | [`tls`] |

use std::sync::Mutex;
use std::time::Duration;

use deadpool::managed::{self, Object};
use domain::{Sources, TransportId};
use jiff::Timestamp;
use lettre::Message;
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::commands::{Data, Mail, Rcpt, Rset};
use lettre::transport::smtp::response::Response;
use tokio::time::timeout;

use self::pool::{COMMAND_TIMEOUT, Connection, Connections};
use self::server::{CONNECT_TIMEOUT, redacted, unreachable};
use self::tls::Authority;
use crate::compose::mime::Email;
use crate::transport::{Accepted, SendError, Transport};

pub use self::pool::UrlSource;

mod pool;
mod server;
pub mod tls;

/// Connections of one function instance.
const MAX_CONNECTIONS: usize = 10;
/// The timeout of the reply to a message, which the server may be scanning or forwarding. RFC 5321, 4.5.3.2.6, says
/// ten minutes, which a function does not have. Giving up early risks a second copy.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(60);

/// The timeout of a connection from the pool: for the check of an idle one, and for a new one if the check fails.
const ACQUIRE_TIMEOUT: Duration = COMMAND_TIMEOUT.saturating_add(CONNECT_TIMEOUT);

/// Sends e-mail through one SMTP server.
pub struct SmtpTransport {
    pool: managed::Pool<Connections>,
    sources: Sources,
}

/// Why an attempt failed, and whether the message was handed over.
enum Failure {
    /// The server refused. The connection may be usable.
    Refused(SendError),
    /// The connection broke, or no reply came, before the message was handed over.
    BeforeHandover(SendError),
    /// As `BeforeHandover`, because the server had closed the connection: another one may work.
    ConnectionGone,
    /// The connection broke, or no reply came, after that.
    AfterHandover(SendError),
}

impl SmtpTransport {
    /// Uses the server at the URL that `url` returns: `smtps://user:password@host:465`, `smtp+starttls://host:587` or
    /// `smtp://host:25`. A password is sent unencrypted to this machine only. The URL is read for the first message,
    /// and again after the server could not be used. The server's certificate must be issued by a public authority or
    /// by `authority`.
    pub fn new(url: UrlSource, authority: Option<Authority>, sources: Sources) -> Self {
        let connections = Connections { url, authority, server: Mutex::new(None), sources: sources.clone() };
        let pool = managed::Pool::builder(connections)
            .max_size(MAX_CONNECTIONS)
            .build()
            .expect("a pool without timeouts needs no runtime");
        Self { pool, sources }
    }

    /// The longest attempt: a pooled connection that turns out to be gone at its first command, a new one, three
    /// commands, the message, and a reset after a refusal.
    const MAX_DURATION: Duration = ACQUIRE_TIMEOUT
        .saturating_add(COMMAND_TIMEOUT)
        .saturating_add(CONNECT_TIMEOUT)
        .saturating_add(COMMAND_TIMEOUT.saturating_mul(3))
        .saturating_add(MESSAGE_TIMEOUT)
        .saturating_add(COMMAND_TIMEOUT);

    async fn connection(&self) -> Result<Object<Connections>, SendError> {
        match timeout(ACQUIRE_TIMEOUT, self.pool.get()).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(managed::PoolError::Backend(error))) => Err(error),
            Ok(Err(other)) => Err(SendError::Unreachable(other.to_string())),
            Err(_) => Err(SendError::Unreachable("no usable connection in time".to_owned())),
        }
    }

    /// Keeps a connection after a refusal if the server accepts a reset.
    async fn keep_or_discard(&self, mut connection: Object<Connections>) {
        if reply_within(COMMAND_TIMEOUT, connection.smtp.command(Rset)).await.is_ok() {
            connection.awaiting_reply = false;
            connection.used_at = self.sources.now();
        } else {
            discard(connection);
        }
    }

    /// Closes all idle connections.
    fn close_idle(&self) {
        self.pool.retain(|_, _| false);
    }

    async fn attempt(
        &self,
        connection: &mut Connection,
        message: &Message,
        raw: &[u8],
        until: Timestamp,
    ) -> Result<Response, Failure> {
        let envelope = message.envelope();
        let reused = connection.reused;
        // Reset once the exchange is complete. It stays set if this future is dropped or panics before.
        connection.awaiting_reply = true;
        let smtp = &mut connection.smtp;
        let before = |stage: &'static str| move |error| classify_before_handover(stage, reused, error);
        let mail = Mail::new(envelope.from().cloned(), vec![]);
        reply_within(COMMAND_TIMEOUT, smtp.command(mail)).await.map_err(before("MAIL FROM"))?;
        for recipient in envelope.to() {
            let rcpt = Rcpt::new(recipient.clone(), vec![]);
            reply_within(COMMAND_TIMEOUT, smtp.command(rcpt)).await.map_err(before("RCPT TO"))?;
        }
        let go_ahead = reply_within(COMMAND_TIMEOUT, smtp.command(Data)).await.map_err(before("DATA"))?;
        if !go_ahead.has_code(354) {
            return Err(Failure::BeforeHandover(SendError::Unreachable(format!(
                "the reply to DATA is {}, not 354",
                go_ahead.code()
            ))));
        }
        // The commands took time, and the process may have been frozen meanwhile. Without the end of the message the
        // server discards it.
        if self.sources.now() >= until {
            return Err(Failure::BeforeHandover(SendError::TooLate));
        }
        let accepted = reply_within(MESSAGE_TIMEOUT, smtp.message(raw)).await.map_err(|error| match error {
            Some(error) if error.is_permanent() => Failure::Refused(SendError::Rejected(redacted("message", &error))),
            Some(error) if error.status().is_some() => Failure::Refused(classify_refusal("message", &error)),
            Some(error) => Failure::AfterHandover(SendError::Unanswered(redacted("message", &error))),
            None => Failure::AfterHandover(SendError::Unanswered("message: no reply in time".to_owned())),
        })?;
        connection.awaiting_reply = false;
        Ok(accepted)
    }
}

impl Transport for SmtpTransport {
    type Message = Email;

    fn id(&self) -> TransportId {
        TransportId::Smtp
    }

    fn max_duration(&self) -> Duration {
        Self::MAX_DURATION
    }

    async fn send(&self, email: &Email, until: Timestamp) -> Result<Accepted, SendError> {
        let message = &email.message;
        let raw = message.formatted();
        let mut is_first = true;
        loop {
            let mut connection = self.connection().await?;
            match self.attempt(&mut connection, message, &raw, until).await {
                Ok(_) => {
                    connection.used_at = self.sources.now();
                    let id = message.headers().get::<lettre::message::header::MessageId>();
                    return Ok(Accepted { message_id: id.map(|id| id.as_ref().to_owned()).unwrap_or_default() });
                }
                // Servers close idle connections. Nothing was handed over, so a new connection may be used.
                Err(Failure::ConnectionGone) if is_first => {
                    is_first = false;
                    discard(connection);
                    // They may be gone as well, and one attempt must not try them all.
                    self.close_idle();
                }
                Err(Failure::ConnectionGone) => {
                    discard(connection);
                    return Err(SendError::Throttled("MAIL FROM: the server closes connections".to_owned()));
                }
                Err(Failure::Refused(error)) => {
                    if let SendError::Unreachable(_) = error {
                        // The server refuses us. The password in the URL may have changed, so all connections, which
                        // used the same one, are replaced.
                        self.pool.manager().forget_server();
                        self.close_idle();
                        discard(connection);
                    } else {
                        self.keep_or_discard(connection).await;
                    }
                    return Err(error);
                }
                Err(Failure::BeforeHandover(error) | Failure::AfterHandover(error)) => {
                    discard(connection);
                    return Err(error);
                }
            }
        }
    }
}

/// Removes a connection from the pool and closes it.
fn discard(connection: Object<Connections>) {
    drop(Object::take(connection));
}

/// What a failure before the message was handed over means. `None` is a timeout; `reused` is whether the connection
/// had carried a message before.
fn classify_before_handover(stage: &'static str, reused: bool, error: Option<SmtpError>) -> Failure {
    match error {
        Some(error) if stage != "MAIL FROM" && error.is_permanent() => {
            Failure::Refused(SendError::Rejected(redacted(stage, &error)))
        }
        // Servers end a session after a number of messages or a time of their choice.
        Some(error) if reused && is_closing(&error) => Failure::ConnectionGone,
        Some(error) if error.status().is_some() => Failure::Refused(classify_refusal(stage, &error)),
        Some(_) if reused => Failure::ConnectionGone,
        Some(error) => Failure::BeforeHandover(unreachable(stage, &error)),
        // The server replied to the sender, so it is reachable: checking this recipient or message takes it too long.
        None if stage != "MAIL FROM" => {
            Failure::BeforeHandover(SendError::Throttled(format!("{stage}: no reply in time")))
        }
        None => Failure::BeforeHandover(SendError::Unreachable(format!("{stage}: no reply in time"))),
    }
}

/// The reply or the error; `Err(None)` after a timeout.
async fn reply_within(
    limit: Duration,
    reply: impl Future<Output = Result<Response, SmtpError>>,
) -> Result<Response, Option<SmtpError>> {
    timeout(limit, reply).await.map_err(|_| None)?.map_err(Some)
}

/// The meaning of a reply that refuses a message, where 5xx does not concern the recipient. 421 and 5xx: the server
/// refuses all our mail. Any other 4xx: only this message, for now.
fn classify_refusal(stage: &str, error: &SmtpError) -> SendError {
    let refuses_all = is_closing(error) || error.is_permanent();
    if refuses_all { unreachable(stage, error) } else { SendError::Throttled(redacted(stage, error)) }
}

/// Whether the server ends the session, or is about to close down (RFC 5321, 3.8).
fn is_closing(error: &SmtpError) -> bool {
    error.status().is_some_and(|code| code.to_string() == "421")
}
