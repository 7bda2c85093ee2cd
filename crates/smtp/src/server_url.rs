//! Where a server is, and how to reach it, in one URL.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use url::Url;

use crate::Credentials;

/// A server's URL, such as `smtps://user:password@mail.bank.example`. User and password are percent-encoded.
#[derive(Debug, Clone)]
pub struct ServerUrl {
    /// A name or an address, without brackets.
    pub host: String,
    /// By default that of the encryption: 25, 587 or 465.
    pub port: u16,
    pub security: Security,
    pub credentials: Option<Credentials>,
}

/// How a connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// `smtp://`: not encrypted. For a server on this machine or network.
    None,
    /// `smtp+starttls://`: encrypted after the greeting, or not used at all.
    StartTls,
    /// `smtps://`: encrypted from the first byte (RFC 8314).
    Implicit,
}

impl Security {
    const ALL: [Self; 3] = [Self::None, Self::StartTls, Self::Implicit];

    const fn scheme(self) -> &'static str {
        match self {
            Self::None => "smtp",
            Self::StartTls => "smtp+starttls",
            Self::Implicit => "smtps",
        }
    }

    const fn usual_port(self) -> u16 {
        match self {
            Self::None => 25,
            Self::StartTls => 587,
            Self::Implicit => 465,
        }
    }
}

/// Why a URL is not that of a server, to follow "the URL". The text does not repeat the URL, which may contain a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidServerUrl {
    #[error("is not a URL ({0})")]
    Malformed(#[from] url::ParseError),
    #[error("has an unknown scheme")]
    UnknownScheme,
    #[error("has no host")]
    NoHost,
    #[error("has a user or password that is not UTF-8")]
    NotUtf8,
    #[error("would send credentials unencrypted")]
    Unencrypted,
}

impl FromStr for ServerUrl {
    type Err = InvalidServerUrl;

    fn from_str(url: &str) -> Result<Self, Self::Err> {
        let url = Url::parse(url)?;
        let security = Security::ALL.into_iter().find(|security| security.scheme() == url.scheme());
        let security = security.ok_or(InvalidServerUrl::UnknownScheme)?;
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(InvalidServerUrl::NoHost)?;
        let mut server = Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: url.port().unwrap_or(security.usual_port()),
            security,
            credentials: None,
        };
        if (url.username(), url.password()) != ("", None) {
            if security == Security::None && !server.is_loopback() {
                return Err(InvalidServerUrl::Unencrypted);
            }
            let [user, password] = [url.username(), url.password().unwrap_or_default()].map(decoded);
            server.credentials = Some(Credentials::new(user?, password?));
        }
        Ok(server)
    }
}

fn decoded(part: &str) -> Result<String, InvalidServerUrl> {
    let decoded = percent_encoding::percent_decode_str(part).decode_utf8();
    decoded.map(std::borrow::Cow::into_owned).map_err(|_| InvalidServerUrl::NotUtf8)
}

impl ServerUrl {
    /// Whether the server is on this machine.
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

/// Without user and password.
impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, security, .. } = self;
        if host.contains(':') {
            write!(f, "{}://[{host}]:{port}", security.scheme())
        } else {
            write!(f, "{}://{host}:{port}", security.scheme())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_host_port_encryption_and_credentials() {
        for (url, shown, has_credentials, is_loopback) in [
            ("smtp://mail.bank.example", "smtp://mail.bank.example:25", false, false),
            ("smtps://user:p%40ss@mail.bank.example/", "smtps://mail.bank.example:465", true, false),
            ("smtp+starttls://u:p@mail.bank.example", "smtp+starttls://mail.bank.example:587", true, false),
            ("smtp+starttls://[2001:db8::1]:25", "smtp+starttls://[2001:db8::1]:25", false, false),
            ("smtp://127.0.0.1:1025", "smtp://127.0.0.1:1025", false, true),
            ("smtp://user:pass@[::1]", "smtp://[::1]:25", true, true),
            ("smtp://localhost", "smtp://localhost:25", false, true),
        ] {
            let server: ServerUrl = url.parse().unwrap();
            assert_eq!(server.to_string(), shown);
            assert_eq!((server.credentials.is_some(), server.is_loopback()), (has_credentials, is_loopback), "{url}");
        }
    }

    #[test]
    fn a_url_that_cannot_be_used_is_refused_and_not_repeated() {
        for (url, expected) in [
            ("", InvalidServerUrl::Malformed(url::ParseError::RelativeUrlWithoutBase)),
            ("mail.bank.example", InvalidServerUrl::Malformed(url::ParseError::RelativeUrlWithoutBase)),
            ("mail.bank.example:25", InvalidServerUrl::UnknownScheme),
            ("https://secret@host", InvalidServerUrl::UnknownScheme),
            ("smtps://", InvalidServerUrl::NoHost),
            ("smtps://%FF:secret@mail.bank.example", InvalidServerUrl::NotUtf8),
            ("smtp://user:secret@mail.bank.example", InvalidServerUrl::Unencrypted),
            ("smtp://secret@mail.bank.example", InvalidServerUrl::Unencrypted),
            ("smtp://secret:@192.0.2.1", InvalidServerUrl::Unencrypted),
        ] {
            let error = url.parse::<ServerUrl>().unwrap_err();
            assert_eq!(error, expected, "{url}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }
}
