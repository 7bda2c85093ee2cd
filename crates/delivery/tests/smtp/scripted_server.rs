//! A server that follows a script, and a transport to it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use delivery::compose::mime::InvalidEmail;
use delivery::transport::smtp::ServerSettings;
use delivery::{Email, SendError, SmtpTransport, Transport};
use futures::FutureExt;
use jiff::Timestamp;
use lettre::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A step of a connection: wait until the client has sent a text that ends with this, then do that.
pub(crate) type Step = (&'static str, Do);

#[derive(Clone, Copy)]
pub(crate) enum Do {
    Say(&'static str),
    SayAfter(Duration, &'static str),
    Close,
    /// Say something, read no more, and break the connection some time later.
    SayAndBreak(&'static str),
}

use Do::{Close, Say, SayAfter, SayAndBreak};

pub(crate) const HELLO: Step = ("EHLO bank.example\r\n", Say("250 mx.example\r\n"));
pub(crate) const MAIL: Step = ("MAIL FROM:<offers@bank.example>\r\n", Say("250 ok\r\n"));
pub(crate) const RCPT: Step = ("RCPT TO:<asha@example.com>\r\n", Say("250 ok\r\n"));
pub(crate) const DATA: Step = ("DATA\r\n", Say("354 go\r\n"));
pub(crate) const DOT: Step = ("\r\n.\r\n", Say("250 queued\r\n"));

/// A server with a script for each connection, and a transport to it.
pub(crate) struct Server {
    pub(crate) url: String,
    /// What each connection has sent.
    pub(crate) received: Arc<Mutex<Vec<String>>>,
    pub(crate) transport: SmtpTransport,
}

impl Server {
    pub(crate) async fn start(scripts: &[&[Step]]) -> Self {
        Self::at("smtp", scripts).await
    }

    pub(crate) async fn at(scheme: &str, scripts: &[&[Step]]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("{scheme}://{}", listener.local_addr().unwrap());
        let received = Arc::new(Mutex::new(Vec::new()));
        let mut scripts: VecDeque<Vec<Step>> = scripts.iter().map(|script| script.to_vec()).collect();
        let log = received.clone();
        tokio::spawn(async move {
            while let Some(script) = scripts.pop_front() {
                let (stream, _) = listener.accept().await.unwrap();
                log.lock().unwrap().push(String::new());
                let number = log.lock().unwrap().len() - 1;
                tokio::spawn(follow(stream, script, log.clone(), number).map(drop));
            }
        });
        let url_of_server = url.clone();
        let transport = SmtpTransport::new(
            Box::new(move || std::future::ready(Ok(ServerSettings::of(&url_of_server))).boxed()),
            "bank.example".parse().unwrap(),
            runtime::sources::system(),
        );
        Self { url, received, transport }
    }

    pub(crate) async fn send(&self) -> Result<(), SendError> {
        self.send_until("Hello", Timestamp::MAX).await
    }

    pub(crate) async fn send_until(&self, body: &str, until: Timestamp) -> Result<(), SendError> {
        self.transport.send(&email(body).unwrap(), until).await.map(drop)
    }

    /// What each connection has sent, once the server has read all of it.
    pub(crate) async fn received(&self) -> Vec<String> {
        tokio::time::sleep(Duration::from_millis(50)).await;
        self.received.lock().unwrap().clone()
    }
}

pub(crate) fn email(body: &str) -> Result<Email, InvalidEmail> {
    let message = Message::builder()
        .from("offers@bank.example".parse().unwrap())
        .to("asha@example.com".parse().unwrap())
        .subject("Hello")
        .body(body.to_owned())
        .unwrap();
    Email::new(&message)
}

/// Follows a script and then reads until the client closes the connection.
async fn follow(
    mut stream: TcpStream,
    script: Vec<Step>,
    log: Arc<Mutex<Vec<String>>>,
    number: usize,
) -> std::io::Result<()> {
    stream.write_all(b"220 mx.example\r\n").await?;
    let mut unseen = String::new();
    let mut script = script.into_iter().peekable();
    loop {
        if let Some((_, action)) = script.next_if(|(wait, _)| unseen.ends_with(wait)) {
            unseen.clear();
            match action {
                Say(text) => stream.write_all(text.as_bytes()).await?,
                SayAfter(wait, text) => {
                    tokio::time::sleep(wait).await;
                    stream.write_all(text.as_bytes()).await?;
                }
                Close => return Ok(()),
                SayAndBreak(text) => {
                    stream.write_all(text.as_bytes()).await?;
                    tokio::time::sleep(Duration::from_millis(300)).await;
                    return Ok(());
                }
            }
            continue;
        }
        let mut bytes = [0; 4096];
        let count = stream.read(&mut bytes).await?;
        if count == 0 {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
        unseen.push_str(&text);
        log.lock().unwrap()[number].push_str(&text);
    }
}
