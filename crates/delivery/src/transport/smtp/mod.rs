//! SMTP: one attempt for each message, over pooled connections. The crate `smtp` holds the conversation.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | an attempt, its time, and what its failures mean | this file |
//! | what a refusing reply means | `classify` |
//! | the URL of the server, and connecting to it | `server` |
//! | when its settings are read again | `settings` |
//! | reuse of connections | `pool` |
//! | our name in `EHLO` | `hello` |
//! | which certificates are trusted | [`tls`] |

use std::sync::{Arc, Mutex};
use std::time::Duration;

use deadpool::managed::{self, Object, QueueMode};
use domain::{Sources, TransportId};
use jiff::Timestamp;
use runtime::settings::SettingError;
use smtp::{ErrorKind, Message, Reply, Stage};
use tokio::time::{Instant, timeout_at};

use self::classify::{Verdict, classify};
use self::pool::{Connection, Connections};
use self::server::{CONNECT_TIMEOUT, InvalidSmtpUrl, Server, redacted};
use self::settings::CurrentServer;
use crate::compose::mime::Email;
use crate::transport::{Accepted, RefusalKind, SendError, Transport};

pub use self::hello::{HelloName, InvalidHelloName};
pub use self::server::{Connect, Stream};
pub use self::settings::{ServerSettings, SettingsError, SettingsSource};

mod classify;
mod hello;
mod pool;
mod server;
mod settings;
pub mod tls;

/// Connections of one function instance.
const MAX_CONNECTIONS: usize = 10;
/// The timeout of the reply to a message, which the server may be scanning or forwarding. RFC 5321, 4.5.3.2.6, says
/// ten minutes, which a function does not have. Giving up early risks a second copy.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(60);
/// The timeout of all that comes before the message, together: a pooled connection and its check, a new one, and the
/// replies to the commands. RFC 5321, 4.5.3.2, says two to five minutes for each reply, which a function does not have.
const HANDOVER_TIMEOUT: Duration = Duration::from_secs(29);
/// The timeout of the first reply on a connection that was used before: after that it counts as gone, as one does that
/// a firewall has forgotten.
const STALE_TIMEOUT: Duration = Duration::from_secs(8);
/// A slow reply of ten seconds can still be waited for after a connection that is gone and a slow new one.
const _: () = assert!(HANDOVER_TIMEOUT.as_secs() >= STALE_TIMEOUT.as_secs() + CONNECT_TIMEOUT.as_secs() + 10);
/// What two timers with the same deadline may be apart.
const TIMER_SLACK: Duration = Duration::from_millis(100);
/// The timeout of taking leave, which waits for no reply.
const QUIT_TIMEOUT: Duration = Duration::from_secs(1);

/// Sends e-mail through one SMTP server.
pub struct SmtpTransport {
    pool: managed::Pool<Connections>,
    sources: Sources,
}

/// Why a message was not handed over.
enum Failure {
    /// The attempt ends.
    Final(SendError),
    /// A connection that was used before does not work any more: another one may.
    ConnectionGone,
}

impl SmtpTransport {
    /// Uses the server that `settings` returns, at `smtps://user:password@host:465`, `smtp+starttls://host:587` or
    /// `smtp://host:25`. Credentials are sent unencrypted to this machine only. The settings are read for the first
    /// message, again after a minute, and after the server could not be used. `hello` is our name in `EHLO`.
    pub fn new(settings: SettingsSource, hello: HelloName, sources: Sources) -> Self {
        Self::over(settings, hello, sources, server::tcp())
    }

    /// As [`SmtpTransport::new`], over connections that `connect` opens: for a network that is simulated.
    pub fn over(settings: SettingsSource, hello: HelloName, sources: Sources, connect: Connect) -> Self {
        let connections = Connections {
            server: CurrentServer::new(settings, sources.clone()),
            hello,
            connect,
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

    /// Checks what no message should have to find out: that the port is not one that AWS closes, and the authority is a
    /// certificate. What cannot be read now is read for the first message, and with any other mistake in the URL, messages
    /// wait until the secret is right.
    ///
    /// # Errors
    /// If a parameter cannot be used.
    pub async fn check(&self) -> Result<(), SettingError> {
        match self.pool.manager().server.read_in_time().await {
            Ok(settings) => match Server::of(&settings) {
                Err(error @ InvalidSmtpUrl::Port25) => Err(SettingError::parameter("SmtpUrl", error)),
                _ => Ok(()),
            },
            Err(SettingsError::Invalid(error)) => Err(error),
            Err(SettingsError::Unavailable(_)) => Ok(()),
        }
    }

    /// The longest attempt: until the server is ready, the message, and leave after a refusal.
    const MAX_DURATION: Duration = HANDOVER_TIMEOUT.saturating_add(MESSAGE_TIMEOUT).saturating_add(QUIT_TIMEOUT);

    /// A connection on which the server waits for this message.
    async fn ready_connection(&self, message: &Message, deadline: Instant) -> Result<Object<Connections>, SendError> {
        let mut is_first = true;
        loop {
            let mut connection = self.pool.get().await.map_err(|error| match error {
                managed::PoolError::Backend(error) => error,
                other => SendError::Unreachable(other.to_string()),
            })?;
            let reused = connection.reused;
            let first_reply = if reused { Instant::now() + STALE_TIMEOUT } else { deadline };
            let Err(error) = connection.session.open_message(message, first_reply, deadline).await else {
                return Ok(connection);
            };
            match failure_before_message(&error, reused && is_first) {
                // Nothing was handed over, so another connection may be used.
                Failure::ConnectionGone => {
                    is_first = false;
                    self.pool.manager().note_closed(&connection);
                    discard(connection).await;
                }
                Failure::Final(error) => {
                    self.after_failure(connection, &error).await;
                    return Err(error);
                }
            }
        }
    }

    /// Keeps the connection after a failure if it can be used for another message.
    async fn after_failure(&self, mut connection: Object<Connections>, error: &SendError) {
        if let SendError::Unreachable(_) = error {
            // The server refuses us. The password in the URL may have changed, so all connections that used the same one are
            // replaced.
            let refused = connection.server.clone();
            self.pool.manager().server.suspect(&refused);
            self.pool.retain(|pooled, _| !Arc::ptr_eq(&pooled.server, &refused));
            discard(connection).await;
        } else if connection.session.is_usable() {
            self.exchange_completed(&mut connection);
        } else {
            discard(connection).await;
        }
    }

    fn exchange_completed(&self, connection: &mut Connection) {
        connection.used_at = self.sources.now();
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
        let message = message_of(email)?;
        let deadline = Instant::now() + HANDOVER_TIMEOUT;
        // A reply that is missing at the deadline has ended the attempt by then, as its step says. What else takes that
        // long is no recipient's fault: reading the URL, or waiting for a connection.
        let Ok(ready) = timeout_at(deadline + TIMER_SLACK, self.ready_connection(&message, deadline)).await else {
            return Err(SendError::Unreachable("no connection was ready for the message in time".to_owned()));
        };
        let mut connection = ready?;
        // The commands took time, and the process may have been frozen meanwhile. Without the end of the message the
        // server discards it.
        if self.sources.now() >= until {
            discard(connection).await;
            return Err(SendError::TooLate);
        }
        match connection.session.finish_message(&message, Instant::now() + MESSAGE_TIMEOUT).await {
            Ok(_) => {
                self.exchange_completed(&mut connection);
                Ok(Accepted { message_id: email.message_id().to_owned() })
            }
            Err(error) => {
                let error = failure_of_message(&error);
                self.after_failure(connection, &error).await;
                Err(error)
            }
        }
    }
}

/// The message as the conversation takes it, with the e-mail's own return path if it has one.
fn message_of(email: &Email) -> Result<Message, SendError> {
    let from: &str = email.return_path.as_ref().unwrap_or(email.sender()).as_ref();
    Message::new(from, email.recipient().as_ref(), email.bytes()).map_err(|error| {
        let is_ours = Message::new(from, "", b"").is_err();
        let text = error.to_string();
        if is_ours { SendError::Unreachable(text) } else { SendError::refused(RefusalKind::Recipient, text) }
    })
}

/// Removes a connection from the pool and closes it. If the server waits for a message, it gets none.
async fn discard(connection: Object<Connections>) {
    Object::take(connection).session.quit(Instant::now() + QUIT_TIMEOUT).await;
}

/// What a failure before the message was handed over means. `may_be_gone` is whether the connection had carried a
/// message before, and another one may be tried.
fn failure_before_message(error: &smtp::Error, may_be_gone: bool) -> Failure {
    let stage = error.stage;
    let is_gone = match &error.kind {
        // Servers end a session after a number of messages or a time of their choice.
        ErrorKind::Refused(reply) => reply.is_closing() || stage == Stage::Reset,
        // Where the sender was answered, the server is still there.
        ErrorKind::Timeout => matches!(stage, Stage::Reset | Stage::Mail),
        ErrorKind::TooLarge { .. } | ErrorKind::NotOffered(_) => false,
        ErrorKind::Closed
        | ErrorKind::NotUsable
        | ErrorKind::Io(_)
        | ErrorKind::Malformed
        | ErrorKind::TooLong
        | ErrorKind::Unexpected => true,
    };
    if may_be_gone && is_gone { Failure::ConnectionGone } else { Failure::Final(not_handed_over(error)) }
}

/// What a failure means that ends an attempt before the message was handed over.
fn not_handed_over(error: &smtp::Error) -> SendError {
    let (stage, text) = (error.stage, redacted(error));
    match &error.kind {
        ErrorKind::Refused(reply) => refusal(stage, reply, text),
        ErrorKind::TooLarge { .. } => SendError::refused(RefusalKind::Message, text),
        // The recipient's address has letters that this server cannot forward to. At MAIL FROM it is ours.
        ErrorKind::NotOffered(_) if stage == Stage::Rcpt => SendError::refused(RefusalKind::Recipient, text),
        // The server replied to the sender, so it is reachable: checking this recipient or message takes it too long.
        ErrorKind::Timeout if matches!(stage, Stage::Rcpt | Stage::Data) => {
            SendError::refused(RefusalKind::Temporary, text)
        }
        _ => SendError::Unreachable(text),
    }
}

/// What a failure means after the server was ready for the message.
fn failure_of_message(error: &smtp::Error) -> SendError {
    let text = redacted(error);
    match &error.kind {
        // The connection ended before the end of the message was sent.
        _ if error.stage != Stage::Message => not_handed_over(error),
        ErrorKind::Refused(reply) => refusal(Stage::Message, reply, text),
        // The end of the message may have arrived.
        _ => SendError::Unanswered(text),
    }
}

/// What a refusing reply means. `text` is that of the error.
fn refusal(stage: Stage, reply: &Reply, text: String) -> SendError {
    match classify(stage, reply.code, reply.enhanced) {
        Verdict::Unreachable => SendError::Unreachable(text),
        Verdict::Unanswered => SendError::Unanswered(text),
        Verdict::Refused(kind) => SendError::refused(kind, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_that_ends_between_354_and_the_message_is_an_outage() {
        let mut replies = smtp::Replies::default();
        replies.push(b"421 4.3.2 shutting down\r\n");
        let closing = replies.next_reply().ok().flatten().expect("it is whole");
        let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        for kind in [ErrorKind::Refused(closing), ErrorKind::Closed, ErrorKind::Io(reset), ErrorKind::Unexpected] {
            let error = failure_of_message(&smtp::Error { stage: Stage::Data, kind });
            assert!(matches!(error, SendError::Unreachable(_)), "{error:?}");
        }
    }
}
