//! SMTP: one attempt for each message, over pooled connections.
//!
//! lettre implements the protocol. Its own pool is not used: it never sets `TCP_NODELAY`, so that each message waits 40
//! ms for a delayed acknowledgement, and it hides at which command a message was refused, which is what distinguishes
//! an error of the recipient from one of the server. For the same reasons connections and TLS are opened here.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | the commands of an attempt | this file |
//! | what a refusing reply means | `classify` |
//! | the URL of the server, and connecting to it | `server` |
//! | reuse of connections | `pool` |
//! | which certificates are trusted | [`tls`] |

use std::sync::Mutex;
use std::time::Duration;

use deadpool::managed::{self, Object, QueueMode};
use domain::{Sources, TransportId};
use jiff::Timestamp;
use lettre::address::Envelope;
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::commands::{Data, Mail, Rcpt, Rset};
use lettre::transport::smtp::response::Response;
use tokio::time::timeout;

use self::pool::{COMMAND_TIMEOUT, Connection, Connections};
use self::server::{CONNECT_TIMEOUT, redacted, unreachable};
use self::tls::Authority;
use crate::compose::mime::Email;
use crate::transport::{Accepted, RefusalKind, SendError, Transport};

pub use self::pool::UrlSource;

#[cfg_attr(not(test), expect(dead_code, reason = "the client that asks comes with the crate smtp"))]
mod classify;
mod pool;
mod server;
pub mod tls;

/// Connections of one function instance.
const MAX_CONNECTIONS: usize = 10;
/// The timeout of the reply to a message, which the server may be scanning or forwarding. RFC 5321, 4.5.3.2.6, says
/// ten minutes, which a function does not have. Giving up early risks a second copy.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(60);

/// The timeout of all that comes before the message: a pooled connection and its check, a new one, three commands, and
/// the same again if the connection turns out to be gone.
const HANDOVER_TIMEOUT: Duration = Duration::from_secs(25);
const _: () = assert!(HANDOVER_TIMEOUT.as_secs() >= 4 * COMMAND_TIMEOUT.as_secs() + CONNECT_TIMEOUT.as_secs());

/// Sends e-mail through one SMTP server.
pub struct SmtpTransport {
    pool: managed::Pool<Connections>,
    sources: Sources,
}

/// Why a message was not handed over.
enum Failure {
    /// The server refused. The connection may be usable.
    Refused(SendError),
    /// The connection broke, or no reply came.
    Broken(SendError),
    /// The server had closed the connection, as this text says: another one may work.
    ConnectionGone(String),
}

impl SmtpTransport {
    /// Uses the server at the URL that `url` returns: `smtps://user:password@host:465`, `smtp+starttls://host:587` or
    /// `smtp://host:25`. A password is sent unencrypted to this machine only. The URL is read for the first message,
    /// and again after the server could not be used. The server's certificate must be issued by a public authority or
    /// by `authority`.
    pub fn new(url: UrlSource, authority: Option<Authority>, sources: Sources) -> Self {
        let connections = Connections {
            url,
            authority,
            server: Mutex::default(),
            sources: sources.clone(),
            closed_until: Mutex::default(),
        };
        let pool = managed::Pool::builder(connections)
            .max_size(MAX_CONNECTIONS)
            // The one that was used last first: if the server has closed it, it has closed all others as well.
            .queue_mode(QueueMode::Lifo)
            .build()
            .expect("a pool without timeouts needs no runtime");
        Self { pool, sources }
    }

    /// The longest attempt: until the server is ready, the message, and a reset after a refusal.
    const MAX_DURATION: Duration = HANDOVER_TIMEOUT.saturating_add(MESSAGE_TIMEOUT).saturating_add(COMMAND_TIMEOUT);

    /// A connection on which the server has agreed to take a message to this envelope.
    async fn ready_connection(&self, envelope: &Envelope) -> Result<Object<Connections>, SendError> {
        let mut is_first = true;
        loop {
            let mut connection = self.pool.get().await.map_err(|error| match error {
                managed::PoolError::Backend(error) => error,
                other => SendError::Unreachable(other.to_string()),
            })?;
            match open_message(&mut connection, envelope).await {
                Ok(()) => return Ok(connection),
                // Nothing was handed over, so another connection may be used.
                Err(Failure::ConnectionGone(_)) if is_first => {
                    is_first = false;
                    self.pool.manager().note_closed(&connection);
                    discard(connection);
                }
                Err(Failure::ConnectionGone(reason)) => {
                    discard(connection);
                    return Err(SendError::refused(RefusalKind::Temporary, reason));
                }
                Err(Failure::Broken(error)) => {
                    discard(connection);
                    return Err(error);
                }
                Err(Failure::Refused(error)) => {
                    self.after_refusal(connection, &error).await;
                    return Err(error);
                }
            }
        }
    }

    /// Keeps the connection after a refusal if it can be used for another message.
    async fn after_refusal(&self, mut connection: Object<Connections>, error: &SendError) {
        if let SendError::Unreachable(_) = error {
            // The server refuses us. The password in the URL may have changed, so all connections, which used the same
            // one, are replaced.
            self.pool.manager().forget_server();
            self.pool.retain(|_, _| false);
            discard(connection);
        } else if reply_within(COMMAND_TIMEOUT, connection.smtp.command(Rset)).await.is_ok() {
            self.exchange_completed(&mut connection);
        } else {
            discard(connection);
        }
    }

    fn exchange_completed(&self, connection: &mut Connection) {
        connection.awaiting_reply = false;
        connection.used_at = self.sources.now();
    }
}

/// Announces a message, up to the reply that asks for it.
async fn open_message(connection: &mut Connection, envelope: &Envelope) -> Result<(), Failure> {
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
    if go_ahead.has_code(354) {
        Ok(())
    } else {
        let code = go_ahead.code();
        Err(Failure::Broken(SendError::Unreachable(format!("the reply to DATA is {code}, not 354"))))
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
        let envelope = envelope_of(email);
        let Ok(ready) = timeout(HANDOVER_TIMEOUT, self.ready_connection(&envelope)).await else {
            return Err(SendError::refused(
                RefusalKind::Temporary,
                "the server was not ready for the message in time".to_owned(),
            ));
        };
        let mut connection = ready?;
        // The commands took time, and the process may have been frozen meanwhile. Without the end of the message the
        // server discards it.
        if self.sources.now() >= until {
            discard(connection);
            return Err(SendError::TooLate);
        }
        match reply_within(MESSAGE_TIMEOUT, connection.smtp.message(&raw)).await {
            Ok(_) => {
                self.exchange_completed(&mut connection);
                let id = message.headers().get::<lettre::message::header::MessageId>();
                Ok(Accepted { message_id: id.map(|id| id.as_ref().to_owned()).unwrap_or_default() })
            }
            Err(Some(error)) if error.status().is_some() => {
                let refusal = if error.is_permanent() {
                    SendError::refused(RefusalKind::Recipient, redacted("message", &error))
                } else {
                    classify_refusal("message", &error)
                };
                self.after_refusal(connection, &refusal).await;
                Err(refusal)
            }
            Err(error) => {
                discard(connection);
                let why =
                    error.map_or_else(|| "message: no reply in time".to_owned(), |error| redacted("message", &error));
                Err(SendError::Unanswered(why))
            }
        }
    }
}

/// The envelope, with the e-mail's own return path if it has one.
fn envelope_of(email: &Email) -> Envelope {
    let envelope = email.message.envelope();
    match &email.return_path {
        Some(path) => {
            let recipients = envelope.to().to_vec();
            Envelope::new(Some(path.clone()), recipients).expect("a message has a recipient")
        }
        None => envelope.clone(),
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
            Failure::Refused(SendError::refused(RefusalKind::Recipient, redacted(stage, &error)))
        }
        // Servers end a session after a number of messages or a time of their choice.
        Some(error) if reused && is_closing(&error) => Failure::ConnectionGone(redacted(stage, &error)),
        Some(error) if error.status().is_some() => Failure::Refused(classify_refusal(stage, &error)),
        Some(error) if reused => Failure::ConnectionGone(redacted(stage, &error)),
        Some(error) => Failure::Broken(unreachable(stage, &error)),
        // The server replied to the sender, so it is reachable: checking this recipient or message takes it too long.
        None if stage != "MAIL FROM" => {
            Failure::Broken(SendError::refused(RefusalKind::Temporary, format!("{stage}: no reply in time")))
        }
        None => Failure::Broken(SendError::Unreachable(format!("{stage}: no reply in time"))),
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
    if refuses_all {
        unreachable(stage, error)
    } else {
        SendError::refused(RefusalKind::Temporary, redacted(stage, error))
    }
}

/// Whether the server ends the session, or is about to close down (RFC 5321, 3.8).
fn is_closing(error: &SmtpError) -> bool {
    error.status().is_some_and(|code| code.to_string() == "421")
}
