//! An SMTP server: parsing its URL, and connecting to it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use smtp::{InvalidServerUrl, Security, ServerUrl, Session};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

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

/// A server, and who may have signed its certificate.
#[derive(Debug, Clone)]
pub(super) struct Server {
    url: ServerUrl,
    authority: Option<Authority>,
}

/// Why `SmtpUrl` is not that of a server that can be used. The text does not repeat the URL, which may contain a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidSmtpUrl {
    #[error(
        "the URL in SmtpUrl {0}; expected smtps://user:password@host:465, smtp+starttls://host:587 or smtp://host:25"
    )]
    Other(#[from] InvalidServerUrl),
    #[error(
        "names port 25, which AWS closes to functions outside a VPC: use smtp+starttls:// with port 587 or smtps:// with \
         465, or a VPC (VpcSubnetIds)"
    )]
    Port25,
}

impl Server {
    pub(super) fn of(settings: &ServerSettings) -> Result<Self, InvalidSmtpUrl> {
        let url: ServerUrl = settings.url.parse()?;
        if url.port == 25 && settings.is_port_25_closed && !url.is_loopback() {
            return Err(InvalidSmtpUrl::Port25);
        }
        Ok(Self { url, authority: settings.authority.clone() })
    }

    /// Opens a conversation in which the server waits for messages.
    pub(super) async fn connect(&self, connect: &Connect, hello: &HelloName) -> Result<Conversation, SendError> {
        let deadline = Instant::now() + CONNECT_TIMEOUT;
        match timeout_at(deadline, self.try_connect(connect, hello, deadline)).await {
            Ok(connected) => connected.map_err(SendError::Unreachable),
            Err(_) => {
                let ServerUrl { host, port, .. } = &self.url;
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
        let Self { url: ServerUrl { host, port, security, credentials }, authority } = self;
        let authority = authority.as_ref();
        let hello = hello.to_string();
        let stream = connect(host, *port).await.map_err(|error| format!("no connection to {host}:{port}: {error}"))?;
        let stream: Box<dyn Stream> = match security {
            Security::Implicit => Box::new(tls::connect(stream, host, authority).await?),
            Security::None | Security::StartTls => stream,
        };
        let mut session = Session::start(stream, deadline).await.map_err(|error| redacted(&error))?;
        session.hello(&hello, deadline).await.map_err(|error| redacted(&error))?;
        if *security == Security::StartTls {
            let plain = session.start_tls(deadline).await.map_err(|error| redacted(&error))?;
            session = Session::encrypted(Box::new(tls::connect(plain, host, authority).await?));
            session.hello(&hello, deadline).await.map_err(|error| redacted(&error))?;
        }
        if let Some(credentials) = credentials {
            session.authenticate(credentials, deadline).await.map_err(|error| redacted(&error))?;
        }
        Ok(session)
    }
}

/// The text of an error, redacted: many servers repeat the recipient's address.
pub(super) fn redacted(error: &smtp::Error) -> String {
    redact::redact(&error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
