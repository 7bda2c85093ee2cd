//! An SMTP server: parsing its URL, and connecting to it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use smtp::{Credentials, Session};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::tls::{self, Authority};
use super::{HelloName, ServerSettings};
use crate::transport::{SendError, redact};

/// The timeout of a new connection, including greeting, TLS and authentication. RFC 5321, 4.5.3.2.1, says five minutes
/// for the greeting alone; servers that make spammers wait for it do so for some seconds.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection, encrypted or not.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Opens a connection to a port of a host, before any encryption.
pub type Connect = Arc<dyn Fn(&str, u16) -> BoxFuture<'static, io::Result<Box<dyn Stream>>> + Send + Sync>;

/// Opens connections over TCP.
pub(super) fn tcp() -> Connect {
    Arc::new(|host, port| {
        let host = host.to_owned();
        async move {
            let stream = TcpStream::connect((host, port)).await?;
            // Else each message waits 40 ms for a delayed acknowledgement.
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        }
        .boxed()
    })
}

/// A conversation with a server.
pub(super) type Conversation = Session<Box<dyn Stream>>;

/// Address, encryption and credentials of a server.
#[derive(Clone)]
pub(super) struct Server {
    host: String,
    port: u16,
    security: Security,
    credentials: Option<Credentials>,
    authority: Option<Authority>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Security {
    /// `smtp://`: not encrypted. For a server on this machine or network.
    None,
    /// `smtp+starttls://`: encrypted after the greeting, or not used at all.
    StartTls,
    /// `smtps://`: encrypted from the first byte.
    Implicit,
}

/// Why a URL is not that of an SMTP server. The text does not repeat the URL, which may contain a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidSmtpUrl {
    #[error(
        "the URL in SmtpUrl {0}; expected smtps://user:password@host:465, smtp+starttls://host:587 or smtp://host:25"
    )]
    Other(String),
    #[error(
        "names port 25, which AWS closes to functions outside a VPC: use smtp+starttls:// with port 587 or smtps:// with \
         465, or a VPC (VpcSubnetIds)"
    )]
    Port25,
}

impl Server {
    pub(super) fn of(settings: &ServerSettings) -> Result<Self, InvalidSmtpUrl> {
        let fault = |what: &str| InvalidSmtpUrl::Other(what.to_owned());
        let url =
            Url::parse(&settings.url).map_err(|error| InvalidSmtpUrl::Other(format!("is not a URL ({error})")))?;
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
            _ if security == Security::None && !is_loopback(host) => {
                return Err(fault("would send credentials unencrypted"));
            }
            (user, password) => Some(Credentials::new(decoded(user)?, decoded(password.unwrap_or_default())?)),
        };
        let port = url.port().unwrap_or(default_port);
        if port == 25 && settings.is_port_25_closed && !is_loopback(host) {
            return Err(InvalidSmtpUrl::Port25);
        }
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port,
            security,
            credentials,
            authority: settings.authority.clone(),
        })
    }

    /// Opens a conversation in which the server waits for messages.
    pub(super) async fn connect(&self, connect: &Connect, hello: &HelloName) -> Result<Conversation, SendError> {
        let deadline = Instant::now() + CONNECT_TIMEOUT;
        match timeout_at(deadline, self.try_connect(connect, hello, deadline)).await {
            Ok(connected) => connected.map_err(SendError::Unreachable),
            Err(_) => {
                let Self { host, port, .. } = self;
                let seconds = CONNECT_TIMEOUT.as_secs();
                Err(SendError::Unreachable(format!("no connection to {host}:{port} within {seconds} s")))
            }
        }
    }

    async fn try_connect(
        &self,
        connect: &Connect,
        hello: &HelloName,
        deadline: Instant,
    ) -> Result<Conversation, String> {
        let authority = self.authority.as_ref();
        let hello = hello.to_string();
        let stream = connect(&self.host, self.port)
            .await
            .map_err(|error| format!("no connection to {}:{}: {error}", self.host, self.port))?;
        let stream: Box<dyn Stream> = match self.security {
            Security::Implicit => Box::new(tls::connect(stream, &self.host, authority).await?),
            Security::None | Security::StartTls => stream,
        };
        let mut session = Session::start(stream, deadline).await.map_err(|error| redacted(&error))?;
        session.hello(&hello, deadline).await.map_err(|error| redacted(&error))?;
        if self.security == Security::StartTls {
            let plain = session.start_tls(deadline).await.map_err(|error| redacted(&error))?;
            session = Session::encrypted(Box::new(tls::connect(plain, &self.host, authority).await?));
            session.hello(&hello, deadline).await.map_err(|error| redacted(&error))?;
        }
        if let Some(credentials) = &self.credentials {
            session.authenticate(credentials, deadline).await.map_err(|error| redacted(&error))?;
        }
        Ok(session)
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// The text of an error, redacted: many servers repeat the recipient's address.
pub(super) fn redacted(error: &smtp::Error) -> String {
    redact::redact(&error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Server, InvalidSmtpUrl> {
        Server::of(&ServerSettings::of(url))
    }

    #[test]
    fn port_25_is_refused_where_it_is_closed() {
        for (url, is_refused) in [
            ("smtp://mail.bank.example", true),
            ("smtp://mail.bank.example:25", true),
            ("smtp+starttls://user:password@mail.bank.example:25", true),
            ("smtps://192.0.2.1:25", true),
            ("smtp+starttls://mail.bank.example", false),
            ("smtp://mail.bank.example:2525", false),
            ("smtp://127.0.0.1:25", false),
            ("smtp://[::1]", false),
            ("smtp://localhost", false),
        ] {
            let in_vpc = ServerSettings::of(url);
            let outside = ServerSettings { is_port_25_closed: true, ..in_vpc.clone() };
            let refusal = Server::of(&outside).err();
            assert_eq!(refusal, is_refused.then_some(InvalidSmtpUrl::Port25), "{url}");
            assert!(Server::of(&in_vpc).is_ok(), "{url}");
        }
    }

    #[test]
    fn url_selects_port_encryption_and_credentials() {
        let server = parse("smtps://user:p%40ss@mail.bank.example").unwrap();
        assert_eq!(
            (server.host.as_str(), server.port, server.security),
            ("mail.bank.example", 465, Security::Implicit)
        );
        assert!(server.credentials.is_some());
        let server = parse("smtp://127.0.0.1:1025").unwrap();
        assert_eq!((server.host.as_str(), server.port, server.security), ("127.0.0.1", 1025, Security::None));
        assert!(parse("smtp://user:pass@127.0.0.1:1025").is_ok());
    }

    #[test]
    fn invalid_url_is_not_repeated_in_the_error() {
        for url in [
            "",
            "mail.bank.example",
            "http://secret@host",
            "smtp://user:secret@mail.bank.example",
            "smtp://secret@mail.bank.example",
            "smtp://secret:@192.0.2.1",
            "smtps://",
        ] {
            let error = parse(url).map(|_| ()).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
