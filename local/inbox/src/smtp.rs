//! The SMTP side. `mailin` knows the protocol; this moves the bytes.

use std::io;
use std::net::IpAddr;

use mailin::{Action, Handler, Response, SessionBuilder, response};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::message::Messages;

/// Longest line taken, in bytes: far over what RFC 5321 allows, so that what is wrong can be looked at.
const LINE_LIMIT: usize = 1 << 20;

/// Serves until it is dropped.
///
/// # Errors
/// If the listener fails for good.
pub async fn serve(listener: TcpListener, messages: Messages) -> io::Result<()> {
    loop {
        let (stream, peer) = listener.accept().await?;
        let messages = messages.clone();
        tokio::spawn(async move {
            // A client that goes away in the middle is its own business.
            let _ = converse(stream, peer.ip(), messages).await;
        });
    }
}

async fn converse(stream: TcpStream, peer: IpAddr, messages: Messages) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let mut session = SessionBuilder::new("inbox").build(peer, Receiver { messages, ..Receiver::default() });
    writer.write_all(&session.greeting().buffer()?).await?;
    let mut line = Vec::with_capacity(1024);
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line).await? == 0 || line.len() > LINE_LIMIT {
            return Ok(());
        }
        let response = session.process(&line);
        match response.action {
            Action::Reply => writer.write_all(&response.buffer()?).await?,
            Action::Close => {
                writer.write_all(&response.buffer()?).await?;
                return Ok(());
            }
            Action::NoReply | Action::UpgradeTls => {}
        }
    }
}

/// Gathers one message after the other.
#[derive(Default)]
struct Receiver {
    messages: Messages,
    sender: String,
    recipients: Vec<String>,
    data: Vec<u8>,
}

impl Handler for Receiver {
    fn mail(&mut self, _: IpAddr, _: &str, from: &str) -> Response {
        from.clone_into(&mut self.sender);
        self.recipients.clear();
        response::OK
    }

    fn rcpt(&mut self, to: &str) -> Response {
        self.recipients.push(to.to_owned());
        response::OK
    }

    fn data_start(&mut self, _: &str, _: &str, _: bool, _: &[String]) -> Response {
        self.data.clear();
        response::OK
    }

    fn data(&mut self, buf: &[u8]) -> io::Result<()> {
        self.data.extend_from_slice(buf);
        Ok(())
    }

    fn data_end(&mut self) -> Response {
        self.messages.keep(&self.sender, &self.recipients, std::mem::take(&mut self.data));
        response::OK
    }
}
