//! SMTP over TLS, against a real listener: the inbox, behind one that takes the encryption off.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::Arc;

use delivery::transport::smtp::tls::Authority;
use delivery::{Email, SendError, SmtpTransport, Transport};
use futures::FutureExt;
use inbox::{Faults, Messages};
use jiff::Timestamp;
use lettre::Message;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::rustls::{ServerConfig, crypto};

const PASSWORD: &str = "p@ss";

/// An SMTP server that wants TLS and a password.
struct Server {
    messages: Messages,
    implicit: u16,
    start_tls: u16,
    /// Who signed its certificate.
    authority: String,
}

impl Server {
    /// With a certificate for `name`.
    async fn start(name: &str) -> Self {
        let (messages, faults) = (Messages::default(), Faults::default());
        faults.set_password(Some(PASSWORD.to_owned()));
        let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let inbox = plain.local_addr().unwrap().port();
        tokio::spawn(inbox::smtp::serve(plain, messages.clone(), faults));

        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_key = KeyPair::generate().unwrap();
        let authority_pem = authority.self_signed(&authority_key).unwrap().pem();
        let key = KeyPair::generate().unwrap();
        let issuer = Issuer::new(authority, &authority_key);
        let certificate = CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.into()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listen = async |is_implicit: bool| {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    // A client that does not like the certificate goes away.
                    tokio::spawn(decrypt(stream, acceptor.clone(), inbox, is_implicit).map(drop));
                }
            });
            port
        };
        let (implicit, start_tls) = (listen(true).await, listen(false).await);
        Self { messages, implicit, start_tls, authority: authority_pem }
    }

    fn authority(&self) -> Option<Authority> {
        Some(self.authority.parse().unwrap())
    }
}

/// Takes the encryption off, at once or after STARTTLS.
async fn decrypt(mut stream: TcpStream, acceptor: TlsAcceptor, inbox: u16, is_implicit: bool) -> std::io::Result<()> {
    if !is_implicit {
        stream.write_all(b"220 tls ESMTP\r\n").await?;
        let mut lines = BufReader::new(&mut stream);
        let mut line = String::new();
        while !line.starts_with("STARTTLS") {
            line.clear();
            lines.read_line(&mut line).await?;
            let answer = if line.starts_with("EHLO") { "250-tls\r\n250 STARTTLS\r\n" } else { "220 go ahead\r\n" };
            lines.get_mut().write_all(answer.as_bytes()).await?;
        }
    }
    let mut encrypted = acceptor.accept(stream).await?;
    let mut plain = TcpStream::connect(("127.0.0.1", inbox)).await?;
    if !is_implicit {
        // The greeting has been given.
        while plain.read_u8().await? != b'\n' {}
    }
    copy_bidirectional(&mut encrypted, &mut plain).await?;
    Ok(())
}

async fn send(url: String, authority: Option<Authority>) -> Result<(), SendError> {
    let message = Message::builder()
        .from("offers@bank.example".parse().unwrap())
        .to("asha@example.com".parse().unwrap())
        .subject("Hello")
        .body("Hello".to_owned())
        .unwrap();
    let transport = SmtpTransport::new(Box::new(move || std::future::ready(Ok(url.clone())).boxed()), authority);
    transport.send(&Email { message, tags: Vec::new() }, Timestamp::MAX).await.map(drop)
}

/// The password's `@`, in a URL.
fn signed_in(scheme: &str, host: &str, port: u16) -> String {
    format!("{scheme}://bank:p%40ss@{host}:{port}")
}

#[tokio::test]
async fn a_server_of_a_trusted_authority_is_spoken_to_in_either_way() {
    let server = Server::start("localhost").await;
    for (scheme, port) in [("smtps", server.implicit), ("smtp+starttls", server.start_tls)] {
        send(signed_in(scheme, "localhost", port), server.authority()).await.unwrap();
    }
    let mail = server.messages.all();
    assert_eq!(mail.len(), 2);
    assert!(mail.iter().all(|mail| mail.to == "asha@example.com"));
}

#[tokio::test]
async fn a_wrong_password_is_no_customers_fault() {
    let server = Server::start("localhost").await;
    for (scheme, port) in [("smtps", server.implicit), ("smtp+starttls", server.start_tls)] {
        for wrong in [format!("{scheme}://bank:wrong@localhost:{port}"), format!("{scheme}://localhost:{port}")] {
            let error = send(wrong, server.authority()).await.unwrap_err();
            assert!(matches!(error, SendError::Unreachable(_)), "{error:?}");
            assert!(!error.to_string().contains("wrong"), "{error}");
        }
    }
    assert!(server.messages.all().is_empty());
}

#[tokio::test]
async fn a_certificate_that_does_not_verify_is_refused_before_anything_is_told() {
    let (server, other) = (Server::start("localhost").await, Server::start("mail.bank.example").await);
    for (scheme, port, elsewhere) in
        [("smtps", server.implicit, other.implicit), ("smtp+starttls", server.start_tls, other.start_tls)]
    {
        // Signed by nobody we know; by the right one, for another host.
        let unknown = send(signed_in(scheme, "localhost", port), None).await.unwrap_err();
        let misnamed = send(signed_in(scheme, "localhost", elsewhere), other.authority()).await.unwrap_err();
        for error in [unknown, misnamed] {
            assert!(matches!(&error, SendError::Unreachable(said) if said.contains("certificate")), "{error:?}");
        }
    }
    assert!(server.messages.all().is_empty() && other.messages.all().is_empty());
}

#[test]
fn what_is_no_certificate_is_told() {
    for pem in ["", "x", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let error = pem.parse::<Authority>().unwrap_err().to_string();
        assert!(error.contains("PEM"), "{error}");
    }
}
