//! SMTP over TLS, against a real listener: the inbox, behind a TLS terminator.
#![allow(clippy::unwrap_used, reason = "a test that cannot continue has failed")]

use std::sync::Arc;

use delivery::transport::smtp::ServerSettings;
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

/// An SMTP server that requires TLS and a password.
struct Server {
    messages: Messages,
    implicit: u16,
    start_tls: u16,
    /// The authority of its certificate, in PEM.
    authority: String,
}

impl Server {
    /// Starts a server with a certificate for `name`.
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
                    // Ends early if the client rejects the certificate.
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

/// Terminates TLS, from the first byte or after STARTTLS.
async fn decrypt(mut stream: TcpStream, acceptor: TlsAcceptor, inbox: u16, is_implicit: bool) -> std::io::Result<()> {
    if !is_implicit {
        stream.write_all(b"220 tls ESMTP\r\n").await?;
        let mut lines = BufReader::new(&mut stream);
        let mut line = String::new();
        while !line.starts_with("STARTTLS") {
            line.clear();
            lines.read_line(&mut line).await?;
            let reply = if line.starts_with("EHLO") { "250-tls\r\n250 STARTTLS\r\n" } else { "220 go ahead\r\n" };
            lines.get_mut().write_all(reply.as_bytes()).await?;
        }
    }
    let mut encrypted = acceptor.accept(stream).await?;
    let mut plain = TcpStream::connect(("127.0.0.1", inbox)).await?;
    if !is_implicit {
        // The client has had its greeting: skip the inbox's.
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
    let settings = ServerSettings { authority, ..ServerSettings::of(url) };
    let transport = SmtpTransport::new(
        Box::new(move || std::future::ready(Ok(settings.clone())).boxed()),
        "bank.example".parse().unwrap(),
        runtime::sources::system(),
    );
    transport.send(&Email::new(&message).unwrap(), Timestamp::MAX).await.map(drop)
}

/// A URL with the user and password; the `@` of the password is escaped.
fn with_password(scheme: &str, host: &str, port: u16) -> String {
    format!("{scheme}://bank:p%40ss@{host}:{port}")
}

#[tokio::test]
async fn server_with_a_trusted_certificate_is_used_over_tls_and_starttls() {
    let server = Server::start("localhost").await;
    for (scheme, port) in [("smtps", server.implicit), ("smtp+starttls", server.start_tls)] {
        send(with_password(scheme, "localhost", port), server.authority()).await.unwrap();
    }
    let mail = server.messages.all();
    assert_eq!(mail.len(), 2);
    assert!(mail.iter().all(|mail| mail.entry.to == "asha@example.com"));
}

#[tokio::test]
async fn wrong_password_rejects_no_recipient() {
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
async fn nothing_is_sent_to_a_server_with_an_invalid_certificate() {
    let (server, other) = (Server::start("localhost").await, Server::start("mail.bank.example").await);
    for (scheme, port, elsewhere) in
        [("smtps", server.implicit, other.implicit), ("smtp+starttls", server.start_tls, other.start_tls)]
    {
        // An unknown authority; a trusted one, but for another host.
        let unknown = send(with_password(scheme, "localhost", port), None).await.unwrap_err();
        let misnamed = send(with_password(scheme, "localhost", elsewhere), other.authority()).await.unwrap_err();
        for error in [unknown, misnamed] {
            assert!(matches!(&error, SendError::Unreachable(text) if text.contains("certificate")), "{error:?}");
        }
    }
    assert!(server.messages.all().is_empty() && other.messages.all().is_empty());
}

#[test]
fn invalid_certificate_is_an_error_that_names_the_format() {
    for pem in ["", "x", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let error = pem.parse::<Authority>().unwrap_err().to_string();
        assert!(error.contains("PEM"), "{error}");
    }
}
