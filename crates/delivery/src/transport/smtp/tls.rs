//! TLS to mail servers, and the authorities that are trusted.

use std::str::FromStr;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

/// A certificate authority of the bank, trusted in addition to the public ones.
#[derive(Debug, Clone, PartialEq, Eq)]
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

/// Opens TLS on a connection. The certificate must be valid for `host`.
pub(super) async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    host: &str,
    authority: Option<&Authority>,
) -> Result<TlsStream<S>, String> {
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
    connected.map_err(|error| format!("TLS: {error}"))
}
