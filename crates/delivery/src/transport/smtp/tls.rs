//! TLS to mail servers: trusted authorities, and an encrypted stream that lettre can use.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::task::{Context, Poll};

use lettre::transport::smtp::client::{AsyncTokioStream, Certificate, TlsParameters};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

/// A certificate authority of the bank, trusted in addition to the public ones.
#[derive(Debug, Clone)]
pub struct Authority(CertificateDer<'static>);

/// Why a text is not a certificate.
#[derive(Debug, Clone, thiserror::Error)]
#[error("is not a certificate: {0}; expected PEM, starting with -----BEGIN CERTIFICATE-----")]
pub struct InvalidAuthority(String);

impl FromStr for Authority {
    type Err = InvalidAuthority;

    fn from_str(pem: &str) -> Result<Self, Self::Err> {
        let der = CertificateDer::from_pem_slice(pem.as_bytes());
        let der = der.map_err(|error| InvalidAuthority(error.to_string()))?;
        // PEM may contain anything: this checks that it is a certificate.
        RootCertStore::empty().add(der.clone()).map_err(|error| InvalidAuthority(error.to_string()))?;
        Ok(Self(der))
    }
}

/// Opens TLS from the first byte. The certificate must be valid for `host`.
pub(crate) async fn connect(stream: TcpStream, host: &str, authority: Option<&Authority>) -> Result<Encrypted, String> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(Authority(certificate)) = authority {
        roots.add(certificate.clone()).map_err(|error| format!("TLS: {error}"))?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring supports TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).map_err(|error| format!("TLS: {error}"))?;
    let connected = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    connected.map(Encrypted).map_err(|error| format!("TLS: {error}"))
}

/// The parameters of lettre's STARTTLS, with the same trusted authorities.
pub(crate) fn parameters(host: &str, authority: Option<&Authority>) -> Result<TlsParameters, String> {
    let mut parameters = TlsParameters::builder(host.to_owned());
    if let Some(Authority(certificate)) = authority {
        let certificate = Certificate::from_der(certificate.to_vec()).map_err(|error| format!("TLS: {error}"))?;
        parameters = parameters.add_root_certificate(certificate);
    }
    parameters.build().map_err(|error| format!("TLS: {error}"))
}

/// An encrypted stream.
#[derive(Debug)]
pub(crate) struct Encrypted(TlsStream<TcpStream>);

impl AsyncTokioStream for Encrypted {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.get_ref().0.peer_addr()
    }
}

impl AsyncRead for Encrypted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Encrypted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
