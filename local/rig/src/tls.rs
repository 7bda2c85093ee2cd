//! TLS in front of the fast AWS, as AWS has it.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::{env, fs, process};

use anyhow::Result;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::rustls::{ServerConfig, crypto};

/// A port that takes TLS and hands all on, decrypted.
pub(crate) struct Tls {
    pub(crate) url: String,
    /// The certificate of the authority that its clients must trust, in PEM. Deleted when this is dropped.
    authority: PathBuf,
}

impl Tls {
    /// Starts it in front of an address such as `127.0.0.1:8000`.
    pub(crate) async fn start(plain: String) -> Result<Self> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // OpenSSL takes a certificate whose issuer has its own name for self-signed.
        params.distinguished_name.push(DnType::CommonName, "The rig's authority");
        let authority_key = KeyPair::generate()?;
        let authority = env::temp_dir().join(format!("rig-{}.pem", process::id()));
        fs::write(&authority, params.self_signed(&authority_key)?.pem())?;
        let key = KeyPair::generate()?;
        let issuer = Issuer::new(params, &authority_key);
        let certificate = CertificateParams::new(["localhost".to_owned()])?.signed_by(&key, &issuer)?;
        let config = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.into()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let url = format!("https://localhost:{}", listener.local_addr()?.port());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, plain) = (acceptor.clone(), plain.clone());
                tokio::spawn(async move {
                    // Ends when a client leaves.
                    let _ = decrypt(stream, &acceptor, &plain).await;
                });
            }
        });
        Ok(Self { url, authority })
    }

    /// The variables with which functions and peers trust its authority.
    pub(crate) fn environment(&self) -> [(&'static str, PathBuf); 2] {
        ["AWS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"].map(|variable| (variable, self.authority.clone()))
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.authority);
    }
}

async fn decrypt(stream: TcpStream, acceptor: &TlsAcceptor, plain: &str) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut client = acceptor.accept(stream).await?;
    let mut server = TcpStream::connect(plain).await?;
    server.set_nodelay(true)?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}
