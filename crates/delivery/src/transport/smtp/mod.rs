//! SMTP: one attempt for each message, over connections that are kept.
//!
//! lettre speaks the protocol. Its own pool is not used: it never sets `TCP_NODELAY`, so that each message waits 40 ms for
//! a delayed acknowledgement, and it hides at which command a message was refused, which is what tells a customer's fault
//! from the server's. For the same reason connections are opened here, TLS and all.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use deadpool::managed::{self, Object};
use domain::TransportId;
use domain::clock::now;
use jiff::Timestamp;
use lettre::Message;
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::commands::{Data, Mail, Rcpt, Rset};
use lettre::transport::smtp::response::Response;
use tokio::time::timeout;

use self::pool::{COMMAND_TIMEOUT, Connection, Connections};
use self::server::{redacted, unreachable};
use self::tls::Authority;
use crate::compose::mime::Email;
use crate::transport::{Accepted, SendError, Transport};

pub use self::pool::UrlSource;

mod pool;
mod server;
pub mod tls;

/// Connections of one function at a time.
const MAX_CONNECTIONS: usize = 10;
/// For the answer to a message, which the server may be scanning or forwarding. RFC 5321, 4.5.3.2.6, would wait for ten
/// minutes; a function cannot, and an answer that is not waited for costs a second copy.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(60);

/// Carries e-mail to one SMTP server.
pub struct SmtpTransport {
    pool: managed::Pool<Connections>,
}

/// How far an attempt came before it failed.
enum Failure {
    /// The server said no; the connection is as good as before.
    Refused(SendError),
    /// Broken, or without an answer, before the message was handed over.
    Before(SendError),
    /// As `Before`, because the connection was gone: another one may do.
    ConnectionGone,
    /// Broken afterwards.
    After(SendError),
}

impl SmtpTransport {
    /// To the server at the URL that `url` tells: `smtps://user:password@host:465`, `smtp+starttls://host:587` or
    /// `smtp://host:25`; a password goes unencrypted to this machine alone. Asks for it when the first message is sent,
    /// and again after the server could not be used. Its certificate must come from a public authority, or from `authority`.
    pub fn new(url: UrlSource, authority: Option<Authority>) -> Self {
        let pool = managed::Pool::builder(Connections { url, authority, server: Mutex::new(None) })
            .max_size(MAX_CONNECTIONS)
            .build()
            .expect("a pool without time-outs needs no runtime");
        Self { pool }
    }

    async fn connection(&self) -> Result<Object<Connections>, SendError> {
        self.pool.get().await.map_err(|error| match error {
            managed::PoolError::Backend(error) => error,
            other => SendError::Unreachable(other.to_string()),
        })
    }

    async fn attempt(
        connection: &mut Connection,
        message: &Message,
        raw: &[u8],
        until: Timestamp,
    ) -> Result<Response, Failure> {
        let envelope = message.envelope();
        let reused = connection.reused;
        // Until the exchange is complete; so also if this future is dropped, or panics, in the middle.
        connection.awaiting_reply = true;
        let smtp = &mut connection.smtp;
        let before = |stage: &'static str| {
            move |error: Option<SmtpError>| match error {
                Some(error) if stage != "MAIL FROM" && error.is_permanent() => {
                    Failure::Refused(SendError::Rejected(redacted(stage, &error)))
                }
                // A server ends a session when it likes, after so many messages or so long.
                Some(error) if reused && is_closing(&error) => Failure::ConnectionGone,
                Some(error) if error.status().is_some() => Failure::Refused(temporary(stage, &error)),
                Some(_) if reused => Failure::ConnectionGone,
                Some(error) => Failure::Before(unreachable(stage, &error)),
                // It answered the sender, so it is there: looking at this recipient or message takes it long.
                None if stage != "MAIL FROM" => {
                    Failure::Before(SendError::Throttled(format!("{stage}: no answer in time")))
                }
                None => Failure::Before(SendError::Unreachable(format!("{stage}: no answer in time"))),
            }
        };
        let mail = Mail::new(envelope.from().cloned(), vec![]);
        replied(COMMAND_TIMEOUT, smtp.command(mail)).await.map_err(before("MAIL FROM"))?;
        for recipient in envelope.to() {
            let rcpt = Rcpt::new(recipient.clone(), vec![]);
            replied(COMMAND_TIMEOUT, smtp.command(rcpt)).await.map_err(before("RCPT TO"))?;
        }
        let go_ahead = replied(COMMAND_TIMEOUT, smtp.command(Data)).await.map_err(before("DATA"))?;
        if !go_ahead.has_code(354) {
            return Err(Failure::Before(SendError::Unreachable(format!("DATA was answered with {}", go_ahead.code()))));
        }
        // The conversation took its time, and this process may have been stopped meanwhile. Without its end the server drops
        // the message.
        if now() >= until {
            return Err(Failure::Before(SendError::TooLate));
        }
        let accepted = replied(MESSAGE_TIMEOUT, smtp.message(raw)).await.map_err(|error| match error {
            Some(error) if error.is_permanent() => Failure::Refused(SendError::Rejected(redacted("message", &error))),
            Some(error) if error.status().is_some() => Failure::Refused(temporary("message", &error)),
            Some(error) => Failure::After(SendError::Unanswered(redacted("message", &error))),
            None => Failure::After(SendError::Unanswered("message: no answer in time".to_owned())),
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

    async fn send(&self, email: &Email, until: Timestamp) -> Result<Accepted, SendError> {
        let message = &email.message;
        let raw = message.formatted();
        loop {
            let mut connection = self.connection().await?;
            match Self::attempt(&mut connection, message, &raw, until).await {
                Ok(_) => {
                    connection.used_at = Instant::now();
                    let id = message.headers().get::<lettre::message::header::MessageId>();
                    return Ok(Accepted { message_id: id.map(|id| id.as_ref().to_owned()).unwrap_or_default() });
                }
                // A server closes idle connections when it likes. Nothing was handed over: a fresh one may be used.
                Err(Failure::ConnectionGone) => discard(connection),
                Err(Failure::Refused(error)) => {
                    if let SendError::Unreachable(_) = error {
                        // It refuses us: signing in anew, as the URL says by now, may change its mind. The other
                        // connections are signed in as this one was.
                        self.pool.manager().forget_server();
                        self.pool.retain(|_, _| false);
                        discard(connection);
                    } else {
                        keep_or_discard(connection).await;
                    }
                    return Err(error);
                }
                Err(Failure::Before(error) | Failure::After(error)) => {
                    discard(connection);
                    return Err(error);
                }
            }
        }
    }
}

/// After a refusal the connection is as good as before, if the server agrees.
async fn keep_or_discard(mut connection: Object<Connections>) {
    if replied(COMMAND_TIMEOUT, connection.smtp.command(Rset)).await.is_ok() {
        connection.awaiting_reply = false;
        connection.used_at = Instant::now();
    } else {
        discard(connection);
    }
}

/// Takes a connection out of the pool and closes it.
fn discard(connection: Object<Connections>) {
    drop(Object::take(connection));
}

/// The answer, or the error; `None` if there was neither in time.
async fn replied(
    limit: Duration,
    answer: impl Future<Output = Result<Response, SmtpError>>,
) -> Result<Response, Option<SmtpError>> {
    timeout(limit, answer).await.map_err(|_| None)?.map_err(Some)
}

/// A refusal for now. 5xx means that the server refuses the sender.
fn temporary(stage: &str, error: &SmtpError) -> SendError {
    let is_ours = is_closing(error) || error.is_permanent();
    if is_ours { unreachable(stage, error) } else { SendError::Throttled(redacted(stage, error)) }
}

/// Whether the server ends the session, or is about to close down (RFC 5321, 3.8).
fn is_closing(error: &SmtpError) -> bool {
    error.status().is_some_and(|code| code.to_string() == "421")
}
