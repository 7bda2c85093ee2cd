//! The SMTP server. `mailin` implements the protocol; this module does the I/O.

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mailin::{Action, AuthMechanism, Handler, Response, SessionBuilder, response};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::faults::{self, Faults, Point};
use crate::message::Messages;
use crate::transcript::{Recorder, Transcript};

/// Maximum line length in bytes. Far above RFC 5321's limit, so that overlong lines are stored and can be inspected.
const LINE_LIMIT: usize = 1 << 20;

/// Serves until the future is dropped.
///
/// # Errors
/// If the listener fails.
pub async fn serve(listener: TcpListener, messages: Messages, faults: Faults) -> io::Result<()> {
    loop {
        let (stream, peer) = listener.accept().await?;
        faults.count_connection();
        let receiver = Receiver { messages: messages.clone(), faults: faults.clone(), ..Receiver::default() };
        tokio::spawn(async move {
            // A client may disconnect at any time.
            let _ = converse(stream, peer.ip(), receiver).await;
        });
    }
}

async fn converse(stream: TcpStream, peer: IpAddr, receiver: Receiver) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let faults = receiver.faults.clone();
    let next_step = receiver.next_step.clone();
    let transcript = receiver.transcript.clone();
    let mut recorder = Recorder::default();
    let mut session = SessionBuilder::new("inbox");
    let password_version = faults.password_version();
    if faults.needs_password() {
        session.enable_auth(AuthMechanism::Plain).insecure_enable_plaintext_auth();
    }
    let mut session = session.build(peer, receiver);
    if let Some(action) = faults.next_action(Point::Connection, "") {
        if let faults::Action::Reply(reply) = action {
            writer.write_all(format!("{reply}\r\n").as_bytes()).await?;
        }
        return Ok(());
    }
    let greeting = session.greeting().buffer()?;
    recorder.reply(&greeting);
    writer.write_all(&greeting).await?;
    let mut line = Vec::with_capacity(1024);
    let mut in_data = false;
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line).await? == 0 || line.len() > LINE_LIMIT {
            return Ok(());
        }
        // A page in the browser can send this, with the commands of a message in the body.
        if !in_data && is_http(&line) {
            return Ok(());
        }
        let is_outdated = || faults.password_version() != password_version;
        if !in_data && (is_outdated() || faults.next_action(Point::Connection, "").is_some()) {
            return Ok(());
        }
        if !in_data {
            recorder.command(&line);
        }
        *transcript.lock().expect("no code panics while holding this lock") = recorder.current();
        let response = session.process(&line);
        // 354 starts the message; there is no further reply until its end.
        let was_in_data = in_data;
        in_data = response.code == 354 || (in_data && response.action == Action::NoReply);
        if was_in_data {
            recorder.data(&line, !in_data);
        }
        let next = std::mem::take(&mut *next_step.lock().expect("no code panics while holding this lock"));
        match next {
            NextStep::Continue => {}
            NextStep::Close => {
                recorder.note("the connection is closed");
                return Ok(());
            }
            NextStep::Hang => {
                recorder.note("no reply");
                std::future::pending::<()>().await;
            }
            NextStep::Wait(wait) => {
                recorder.note(&format!("{} ms later", wait.as_millis()));
                tokio::time::sleep(wait).await;
            }
            NextStep::Reply(reply) => {
                recorder.reply(reply.as_bytes());
                writer.write_all(format!("{reply}\r\n").as_bytes()).await?;
                continue;
            }
        }
        if matches!(response.action, Action::Reply | Action::Close) {
            let reply = response.buffer()?;
            recorder.reply(&reply);
            writer.write_all(&reply).await?;
        }
        if response.action == Action::Close {
            return Ok(());
        }
    }
}

/// What to do after the session has processed a line.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
enum NextStep {
    #[default]
    Continue,
    Close,
    Hang,
    Wait(Duration),
    Reply(String),
}

/// Receives the messages of one connection.
#[derive(Default)]
struct Receiver {
    messages: Messages,
    faults: Faults,
    /// A step that the session's response cannot express.
    next_step: Arc<Mutex<NextStep>>,
    /// The conversation of the present message.
    transcript: Arc<Mutex<Transcript>>,
    sender: String,
    recipients: Vec<String>,
    data: Vec<u8>,
}

impl Receiver {
    /// The response at a point: a fault's, or OK.
    fn respond(&mut self, point: Point) -> Response {
        let to = self.recipients.last().map(String::as_str).unwrap_or_default();
        let Some(action) = self.faults.next_action(point, to) else {
            if point == Point::Message {
                self.store();
            }
            return response::OK;
        };
        let next_step = match action {
            // The session would treat a message without a final OK as unfinished.
            faults::Action::Reply(reply) if point == Point::Message => NextStep::Reply(reply),
            faults::Action::Reply(reply) => return custom(&reply),
            faults::Action::Close => NextStep::Close,
            faults::Action::KeepAndClose => {
                self.store();
                NextStep::Close
            }
            faults::Action::KeepAndHang => {
                self.store();
                NextStep::Hang
            }
            faults::Action::Wait(millis) => {
                if point == Point::Message {
                    self.store();
                }
                NextStep::Wait(Duration::from_millis(millis))
            }
        };
        *self.next_step.lock().expect("no code panics while holding this lock") = next_step;
        response::OK
    }

    fn store(&mut self) {
        let transcript = self.transcript.lock().expect("no code panics while holding this lock").clone();
        self.messages.store(&self.sender, &self.recipients, std::mem::take(&mut self.data), transcript);
    }
}

/// Converts `550 no such user` to a response.
fn custom(reply: &str) -> Response {
    let (code, text) = reply.split_once(' ').unwrap_or((reply, ""));
    Response::custom(code.parse().unwrap_or(451), text.to_owned())
}

impl Handler for Receiver {
    fn mail(&mut self, _: IpAddr, _: &str, from: &str) -> Response {
        from.clone_into(&mut self.sender);
        self.recipients.clear();
        self.respond(Point::Mail)
    }

    fn rcpt(&mut self, to: &str) -> Response {
        self.recipients.push(to.to_owned());
        self.respond(Point::Rcpt)
    }

    fn auth_plain(&mut self, _: &str, _: &str, password: &str) -> Response {
        if self.faults.accepts_password(password) { response::AUTH_OK } else { response::INVALID_CREDENTIALS }
    }

    fn data_start(&mut self, _: &str, _: &str, _: bool, _: &[String]) -> Response {
        self.data.clear();
        self.respond(Point::Data)
    }

    fn data(&mut self, buf: &[u8]) -> io::Result<()> {
        self.data.extend_from_slice(buf);
        Ok(())
    }

    fn data_end(&mut self) -> Response {
        self.respond(Point::Message)
    }
}

/// Whether a line is the first one of an HTTP request, and no command of SMTP.
fn is_http(line: &[u8]) -> bool {
    const METHODS: [&str; 10] = ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PRI", "PUT", "TRACE"];
    let method = line.split(|byte| *byte == b' ').next().unwrap_or_default();
    METHODS.iter().any(|http| method.eq_ignore_ascii_case(http.as_bytes()))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::io::AsyncReadExt;

    use super::*;

    /// What the server replies to these bytes, and the messages that it stores.
    async fn converse_with(sent: &str) -> (String, Messages) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let messages = Messages::default();
        let server = tokio::spawn(serve(listener, messages.clone(), Faults::default()));
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(sent.as_bytes()).await.unwrap();
        let mut replies = Vec::new();
        // The server may close the connection with bytes unread.
        let _ = client.read_to_end(&mut replies).await;
        server.abort();
        (String::from_utf8_lossy(&replies).into_owned(), messages)
    }

    #[tokio::test]
    async fn a_page_cannot_deliver_mail() {
        let mail = "HELO here\r\nMAIL FROM:<a@bank.example>\r\nRCPT TO:<b@bank.example>\r\nDATA\r\nSubject: a\r\n\r\nb\r\n.\r\nQUIT\r\n";
        let (replies, stored) = converse_with(mail).await;
        assert_eq!(stored.all().len(), 1, "{replies}");
        let transcript = stored.all()[0].entry.transcript.text();
        let said = [
            "C: RCPT TO:<b@bank.example>\nS: 250 OK\nC: DATA\nS: 354 ",
            "C: … the message, 17 octets …\nC: .\nS: 250 OK\n",
        ];
        assert!(
            transcript.starts_with("S: 220 ")
                && !transcript.contains("QUIT")
                && said.iter().all(|part| transcript.contains(part)),
            "{transcript}"
        );
        for request in
            ["POST / HTTP/1.1", "POST / HTTP/1.1 ", "post / HTTP/1.0", "GET /", "PRI * HTTP/2.0", "OPTIONS *"]
        {
            let (replies, stored) = converse_with(&format!("{request}\r\nHost: 127.0.0.1:1025\r\n\r\n{mail}")).await;
            assert!(stored.all().is_empty() && !replies.contains("354"), "{request}: {replies}");
        }
    }
}
