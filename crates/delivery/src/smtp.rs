//! SMTP: one attempt for each message, over connections that are kept.
//!
//! lettre speaks the protocol. Its own pool is not used: it never sets `TCP_NODELAY`, so that each message waits 40 ms for
//! a delayed acknowledgement, and it hides at which command a message was refused, which is what tells a customer's fault
//! from the server's. For the same reason connections are opened here, TLS and all.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use deadpool::managed::{self, Metrics, Object, RecycleError, RecycleResult};
use domain::TransportId;
use domain::clock::now;
use futures::future::BoxFuture;
use jiff::Timestamp;
use lettre::Message;
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, AsyncTokioStream};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt, Rset};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::response::Response;
use tokio::net::TcpStream;
use tokio::time::timeout;
use url::Url;

use crate::email::Email;
use crate::tls::{self, Authority};
use crate::transport::{self, Accepted, SendError, Transport};

/// Connections of one function at a time.
const CONNECTIONS: usize = 10;
/// To a connection that is greeted, encrypted and authenticated.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For the answer to one command.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(5);
/// For the answer to a message, which the server may be scanning or forwarding. RFC 5321, 4.5.3.2.6, would wait for ten
/// minutes; a function cannot, and an answer that is not waited for costs a second copy.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(60);
/// A connection unused for this long is asked whether it is still there.
const FRESH: Duration = Duration::from_secs(5);

/// Tells the server's URL, password and all, or why it cannot.
pub type UrlSource = Box<dyn Fn() -> BoxFuture<'static, Result<String, String>> + Send + Sync>;

/// Where the server is and how to speak to it.
#[derive(Clone)]
struct Server {
    host: String,
    port: u16,
    security: Security,
    credentials: Option<Credentials>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Security {
    /// `smtp://`: nothing is encrypted. For a server on this machine or network.
    None,
    /// `smtp+starttls://`: encrypted after the greeting, or not at all spoken to.
    StartTls,
    /// `smtps://`: encrypted from the first byte.
    Implicit,
}

/// Why a URL names no SMTP server. Does not repeat the URL, which may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the SMTP URL {0}; expected smtps://user:password@host:465, smtp+starttls://host:587 or smtp://host:25")]
struct InvalidSmtpUrl(String);

impl Server {
    fn parse(url: &str) -> Result<Self, InvalidSmtpUrl> {
        let fault = |what: &str| InvalidSmtpUrl(what.to_owned());
        let url = Url::parse(url).map_err(|error| InvalidSmtpUrl(format!("is no URL ({error})")))?;
        let (security, default_port) = match url.scheme() {
            "smtp" => (Security::None, 25),
            "smtp+starttls" => (Security::StartTls, 587),
            "smtps" => (Security::Implicit, 465),
            _ => return Err(fault("has an unknown scheme")),
        };
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| fault("has no host"))?;
        let decoded = |part: &str| {
            percent_encoding::percent_decode_str(part)
                .decode_utf8()
                .map(std::borrow::Cow::into_owned)
                .map_err(|_| fault("has a user or password that is not UTF-8"))
        };
        let credentials = match (url.username(), url.password()) {
            ("", None) => None,
            (_, Some(_)) if security == Security::None && !is_loopback(host) => {
                return Err(fault("would send a password unencrypted"));
            }
            (user, password) => Some(Credentials::new(decoded(user)?, decoded(password.unwrap_or_default())?)),
        };
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: url.port().unwrap_or(default_port),
            security,
            credentials,
        })
    }

    async fn connect(&self, authority: Option<&Authority>) -> Result<AsyncSmtpConnection, SendError> {
        match timeout(CONNECT_TIMEOUT, self.try_connect(authority)).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(SendError::Unreachable("no connection within 5 s".to_owned())),
        }
    }

    async fn try_connect(&self, authority: Option<&Authority>) -> Result<AsyncSmtpConnection, SendError> {
        let hello = ClientId::default();
        let no_connection = |error: std::io::Error| SendError::Unreachable(format!("no connection: {error}"));
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(no_connection)?;
        stream.set_nodelay(true).map_err(no_connection)?;
        let stream: Box<dyn AsyncTokioStream> = if self.security == Security::Implicit {
            Box::new(tls::connect(stream, &self.host, authority).await.map_err(SendError::Unreachable)?)
        } else {
            Box::new(stream)
        };
        let greeted = AsyncSmtpConnection::connect_with_transport(stream, &hello).await;
        let mut connection = greeted.map_err(|error| unreachable("greeting", &error))?;
        if self.security == Security::StartTls {
            let parameters = tls::parameters(&self.host, authority).map_err(SendError::Unreachable)?;
            connection.starttls(parameters, &hello).await.map_err(|error| unreachable("STARTTLS", &error))?;
        }
        if let Some(credentials) = &self.credentials {
            connection.auth(DEFAULT_MECHANISMS, credentials).await.map_err(|error| unreachable("AUTH", &error))?;
        }
        Ok(connection)
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// A connection and when it was last used.
struct Connection {
    smtp: AsyncSmtpConnection,
    used_at: Instant,
    /// Whether it carried a message before: then the server may have closed it since.
    reused: bool,
    /// Whether a command may still be without its answer. The next command would take that answer for its own, and a
    /// message could be taken for accepted that never was: such a connection is never used again.
    amid: bool,
}

struct Connections {
    url: UrlSource,
    authority: Option<Authority>,
    /// As the URL said when it was last read; read again once the server could not be used.
    server: Mutex<Option<Server>>,
}

impl Connections {
    async fn server(&self) -> Result<Server, SendError> {
        let known = self.server.lock().expect("nothing panics while it holds this").clone();
        if let Some(server) = known {
            return Ok(server);
        }
        // Nobody's fault but ours: what cannot be sent now waits until somebody has put it right.
        let url = (self.url)().await.map_err(|error| SendError::Unreachable(format!("no SMTP URL: {error}")))?;
        let server = Server::parse(&url).map_err(|error| SendError::Unreachable(error.to_string()))?;
        *self.server.lock().expect("nothing panics while it holds this") = Some(server.clone());
        Ok(server)
    }

    /// The password, or the server, may have changed.
    fn forget_server(&self) {
        *self.server.lock().expect("nothing panics while it holds this") = None;
    }
}

impl managed::Manager for Connections {
    type Type = Connection;
    type Error = SendError;

    async fn create(&self) -> Result<Connection, SendError> {
        let smtp = self.server().await?.connect(self.authority.as_ref()).await.inspect_err(|_| self.forget_server())?;
        Ok(Connection { smtp, used_at: Instant::now(), reused: false, amid: false })
    }

    async fn recycle(&self, connection: &mut Connection, _: &Metrics) -> RecycleResult<SendError> {
        let stale = || RecycleError::message("the connection is gone");
        if connection.amid || connection.smtp.has_broken() {
            return Err(stale());
        }
        if connection.used_at.elapsed() > FRESH {
            connection.amid = true;
            let alive = timeout(COMMAND_TIMEOUT, connection.smtp.test_connected()).await;
            if !matches!(alive, Ok(true)) {
                return Err(stale());
            }
            connection.amid = false;
        }
        connection.reused = true;
        Ok(())
    }
}

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
            .max_size(CONNECTIONS)
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
        connection.amid = true;
        let smtp = &mut connection.smtp;
        let before = |stage: &'static str| {
            move |error: Option<SmtpError>| match error {
                Some(error) if stage != "MAIL FROM" && error.is_permanent() => {
                    Failure::Refused(SendError::Rejected(words(stage, &error)))
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
        answered(COMMAND_TIMEOUT, smtp.command(mail)).await.map_err(before("MAIL FROM"))?;
        for recipient in envelope.to() {
            let rcpt = Rcpt::new(recipient.clone(), vec![]);
            answered(COMMAND_TIMEOUT, smtp.command(rcpt)).await.map_err(before("RCPT TO"))?;
        }
        let go_ahead = answered(COMMAND_TIMEOUT, smtp.command(Data)).await.map_err(before("DATA"))?;
        if !go_ahead.has_code(354) {
            return Err(Failure::Before(SendError::Unreachable(format!("DATA was answered with {}", go_ahead.code()))));
        }
        // The conversation took its time, and this process may have been stopped meanwhile. Without its end the server drops
        // the message.
        if now() >= until {
            return Err(Failure::Before(SendError::TooLate));
        }
        let accepted = answered(MESSAGE_TIMEOUT, smtp.message(raw)).await.map_err(|error| match error {
            Some(error) if error.is_permanent() => Failure::Refused(SendError::Rejected(words("message", &error))),
            Some(error) if error.status().is_some() => Failure::Refused(temporary("message", &error)),
            Some(error) => Failure::After(SendError::Unanswered(words("message", &error))),
            None => Failure::After(SendError::Unanswered("message: no answer in time".to_owned())),
        })?;
        connection.amid = false;
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
    if answered(COMMAND_TIMEOUT, connection.smtp.command(Rset)).await.is_ok() {
        connection.amid = false;
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
async fn answered(
    limit: Duration,
    answer: impl Future<Output = Result<Response, SmtpError>>,
) -> Result<Response, Option<SmtpError>> {
    timeout(limit, answer).await.map_err(|_| None)?.map_err(Some)
}

fn unreachable(stage: &str, error: &SmtpError) -> SendError {
    SendError::Unreachable(words(stage, error))
}

/// A refusal for now. 5xx means that the server refuses the sender.
fn temporary(stage: &str, error: &SmtpError) -> SendError {
    let is_ours = is_closing(error) || error.is_permanent();
    if is_ours { unreachable(stage, error) } else { SendError::Throttled(words(stage, error)) }
}

/// Whether the server ends the session, or is about to close down (RFC 5321, 3.8).
fn is_closing(error: &SmtpError) -> bool {
    error.status().is_some_and(|code| code.to_string() == "421")
}

/// The server's words, cleared of addresses: many servers repeat the recipient's.
fn words(stage: &str, error: &SmtpError) -> String {
    let mut words = format!("{stage}: {error}");
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        words = format!("{words}: {cause}");
        source = cause.source();
    }
    transport::words(&words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_how_to_speak_to_the_server() {
        let server = Server::parse("smtps://user:p%40ss@mail.bank.example").unwrap();
        assert_eq!(
            (server.host.as_str(), server.port, server.security),
            ("mail.bank.example", 465, Security::Implicit)
        );
        assert!(server.credentials.is_some());
        let server = Server::parse("smtp://127.0.0.1:1025").unwrap();
        assert_eq!((server.host.as_str(), server.port, server.security), ("127.0.0.1", 1025, Security::None));
        assert!(Server::parse("smtp://user:pass@127.0.0.1:1025").is_ok());
    }

    #[test]
    fn a_wrong_url_is_told_without_repeating_it() {
        for url in ["", "mail.bank.example", "http://secret@host", "smtp://user:secret@mail.bank.example", "smtps://"] {
            let error = Server::parse(url).map(|_| ()).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
