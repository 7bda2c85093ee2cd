//! A conversation with a server: commands, and the replies that they need.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, timeout_at};

use crate::error::{At, Error, ErrorKind};
use crate::message::END;
use crate::reply::{RawReply, Replies};
use crate::{Capabilities, Message, Reply, Stage};

/// The wait for what follows a refusal, which is not worth more.
const AFTER_REFUSAL: Duration = Duration::from_secs(2);

/// A conversation with a server.
///
/// A session whose future was dropped, or whose last reply is missing, is not usable again: the next command would take
/// the late reply for its own, and a message could count as accepted that never was.
#[derive(Debug)]
pub struct Session<S> {
    stream: S,
    replies: Replies,
    capabilities: Capabilities,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The server waits for a command.
    Idle,
    /// The same, but it may remember parts of a message that it refused.
    NeedsReset,
    /// The server waits for a message.
    Open,
    /// A reply may be outstanding, or there is no connection any more.
    Unusable,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Session<S> {
    /// Waits for the server's greeting.
    ///
    /// # Errors
    /// If the server refuses us, or sends no greeting.
    pub async fn start(stream: S, deadline: Instant) -> Result<Self, Error> {
        let mut session = Self::encrypted(stream);
        session.state = State::Unusable;
        let greeting = session.read(Stage::Greeting, deadline).await?.reply();
        session.settle(&greeting, State::Idle);
        session.expect(Stage::Greeting, greeting, Reply::is_positive)?;
        Ok(session)
    }

    /// Continues on a stream that was encrypted after [`Session::start_tls`]. What the server said before is forgotten
    /// (RFC 3207, 4.2).
    pub fn encrypted(stream: S) -> Self {
        Self { stream, replies: Replies::default(), capabilities: Capabilities::default(), state: State::Idle }
    }

    /// Says who we are, with `HELO` if the server does not know `EHLO`. `name` is a domain or an address literal.
    ///
    /// # Errors
    /// If the server refuses us.
    pub async fn hello(&mut self, name: &str, deadline: Instant) -> Result<(), Error> {
        let raw = self.ask(Stage::Hello, &format!("EHLO {name}"), deadline).await?;
        let reply = raw.reply();
        self.capabilities = Capabilities::default();
        if reply.is_positive() {
            self.capabilities = Capabilities::of(raw.lines());
            return Ok(());
        }
        if reply.class() != 5 || !self.is_usable() {
            return Err(ErrorKind::Refused(reply)).at(Stage::Hello);
        }
        match self.command(Stage::Hello, &format!("HELO {name}"), deadline).await {
            Ok(old) => self.expect(Stage::Hello, old, Reply::is_positive).map(drop),
            Err(_) => Err(ErrorKind::Refused(reply)).at(Stage::Hello),
        }
    }

    /// What the server said in its reply to `EHLO`.
    pub const fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// Asks the server to continue encrypted, and returns the stream for that. Go on with [`Session::encrypted`].
    ///
    /// # Errors
    /// If the server does not offer it or refuses, or has sent more than its reply: somebody between us may have added
    /// that, for us to read as if it were encrypted (CVE-2011-0411).
    pub async fn start_tls(mut self, deadline: Instant) -> Result<S, Error> {
        if !self.capabilities.start_tls {
            return Err(ErrorKind::NotOffered("STARTTLS")).at(Stage::StartTls);
        }
        let reply = self.command(Stage::StartTls, "STARTTLS", deadline).await?;
        self.expect(Stage::StartTls, reply, Reply::is_positive)?;
        if !self.replies.is_empty() {
            return Err(ErrorKind::Unexpected).at(Stage::StartTls);
        }
        Ok(self.stream)
    }

    /// Announces a message, up to the reply that asks for it: in one round trip with a server that can (RFC 2920).
    /// `first_reply` is the deadline of the first reply, which shows that the server is still there.
    ///
    /// # Errors
    /// If the server refuses, with the first refusal. Nothing of the message was handed over. A server that asks for
    /// the message nevertheless does not get it: the session is not usable any more, and is to be dropped.
    pub async fn open_message(
        &mut self,
        message: &Message,
        first_reply: Instant,
        deadline: Instant,
    ) -> Result<(), Error> {
        let mail = self.mail_command(message)?;
        let mut commands = Vec::with_capacity(4);
        if self.state == State::NeedsReset {
            commands.push((Stage::Reset, "RSET\r\n".to_owned()));
        }
        commands.push((Stage::Mail, mail));
        commands.push((Stage::Rcpt, format!("RCPT TO:<{}>\r\n", message.to)));
        commands.push((Stage::Data, "DATA\r\n".to_owned()));
        let first = commands[0].0;
        self.begin().at(first)?;
        let is_pipelined = self.capabilities.pipelining;
        if is_pipelined {
            let all: String = commands.iter().map(|(_, command)| command.as_str()).collect();
            self.write(first, all.as_bytes(), deadline).await?;
        }
        let mut refusal = None;
        let mut previous = first;
        for (stage, command) in commands {
            if !is_pipelined {
                // What came before the command is no reply to it, but to the step before.
                self.check_idle().at(previous)?;
                previous = stage;
                self.write(stage, command.as_bytes(), deadline).await?;
            }
            let wait = match &refusal {
                Some(_) => deadline.min(Instant::now() + AFTER_REFUSAL),
                None if stage == first => deadline.min(first_reply),
                None => deadline,
            };
            let reply = match (self.read(stage, wait).await, refusal.take()) {
                (Ok(reply), None) => reply.reply(),
                (Ok(reply), Some(earlier)) if is_refusal(&reply.reply()) => {
                    refusal = Some(earlier);
                    continue;
                }
                // The server asks for the message that it has refused, or nobody knows what it does.
                (_, Some(earlier)) => return Err(earlier),
                (Err(error), None) => return Err(error),
            };
            let is_expected = if stage == Stage::Data { reply.is_intermediate() } else { reply.is_positive() };
            if is_expected {
                continue;
            }
            let ends_here = stage == Stage::Reset || !is_refusal(&reply);
            let error = Error::new(stage, ErrorKind::Refused(reply));
            if ends_here {
                return Err(error);
            }
            refusal = Some(error);
            if !is_pipelined {
                break;
            }
        }
        let is_in_step = !self.replies.has_unread();
        match refusal {
            Some(refusal) => {
                self.state = if is_in_step { State::NeedsReset } else { State::Unusable };
                Err(refusal)
            }
            None if is_in_step => {
                self.state = State::Open;
                Ok(())
            }
            // A reply that is there before the message is must not count as the reply to it.
            None => Err(ErrorKind::Unexpected).at(Stage::Data),
        }
    }

    /// Sends the message that was announced, and returns the server's acceptance.
    ///
    /// # Errors
    /// With [`Stage::Message`] and a reply, the server refuses the message; without a reply, nobody knows what the
    /// server did with it. With [`Stage::Data`], the end of the message was not sent, so the server discards the rest
    /// (RFC 5321, 4.1.1.4).
    pub async fn finish_message(&mut self, message: &Message, deadline: Instant) -> Result<Reply, Error> {
        if self.state != State::Open {
            return Err(ErrorKind::NotUsable).at(Stage::Data);
        }
        self.state = State::Unusable;
        self.check_idle().at(Stage::Data)?;
        let mut taken = 0;
        if let Err(kind) = self.write_counted(&message.encoded, &mut taken, deadline).await {
            // What the stream has not taken is not sent later either, nor encrypted.
            let is_end_taken = taken > message.encoded.len() - END.len();
            let error = Error::new(if is_end_taken { Stage::Message } else { Stage::Data }, kind);
            // A server that has read enough says so before it closes the connection. Any other reply is not one to the
            // whole message.
            let wait = deadline.max(Instant::now()).min(Instant::now() + AFTER_REFUSAL);
            return match self.read(Stage::Message, wait).await.map(|raw| raw.reply()) {
                Ok(reply) if matches!(reply.class(), 4 | 5) => Err(ErrorKind::Refused(reply)).at(Stage::Message),
                _ => Err(error),
            };
        }
        let reply = self.read(Stage::Message, deadline).await?.reply();
        let next = match reply.class() {
            2 => State::Idle,
            4 | 5 => State::NeedsReset,
            _ => State::Unusable,
        };
        self.settle(&reply, next);
        self.expect(Stage::Message, reply, Reply::is_positive)
    }

    /// Makes the server forget a message that it has not accepted. Also shows whether the server is still there.
    ///
    /// # Errors
    /// If it is not.
    pub async fn reset(&mut self, deadline: Instant) -> Result<(), Error> {
        let reply = self.command(Stage::Reset, "RSET", deadline).await?;
        self.expect(Stage::Reset, reply, Reply::is_positive).map(drop)
    }

    /// Takes leave, if the server waits for a command. Does not wait for the reply.
    pub async fn quit(mut self, deadline: Instant) {
        if self.is_usable() {
            // The connection is closed in any case.
            let _ = timeout_at(deadline, async {
                self.stream.write_all(b"QUIT\r\n").await?;
                self.stream.shutdown().await
            })
            .await;
        }
    }

    /// Whether the session can carry another message, as far as is known without asking the server.
    pub fn is_usable(&mut self) -> bool {
        if matches!(self.state, State::Idle | State::NeedsReset) && self.check_idle().is_err() {
            self.state = State::Unusable;
        }
        matches!(self.state, State::Idle | State::NeedsReset)
    }

    /// `MAIL`, with what the server needs to know of the message.
    ///
    /// # Errors
    /// If the server does not take the message, at the step of the address that it does not take.
    fn mail_command(&self, message: &Message) -> Result<String, Error> {
        let offered = &self.capabilities;
        if let Some(limit) = offered.size.filter(|limit| *limit > 0 && message.size > *limit) {
            return Err(ErrorKind::TooLarge { size: message.size, limit }).at(Stage::Mail);
        }
        if !offered.smtp_utf8 {
            for (stage, address) in [(Stage::Mail, &message.from), (Stage::Rcpt, &message.to)] {
                if !address.is_ascii() {
                    return Err(ErrorKind::NotOffered("SMTPUTF8")).at(stage);
                }
            }
        }
        let mut command = format!("MAIL FROM:<{}>", message.from);
        if offered.size.is_some() {
            command.push_str(&format!(" SIZE={}", message.size));
        }
        // Without the extension it is sent all the same: servers that cannot take eight bits are extinct.
        if message.is_8bit && offered.eight_bit_mime {
            command.push_str(" BODY=8BITMIME");
        }
        if (message.has_utf8_address || message.has_utf8_headers) && offered.smtp_utf8 {
            command.push_str(" SMTPUTF8");
        }
        command.push_str("\r\n");
        Ok(command)
    }

    /// One command and its reply.
    pub(crate) async fn command(&mut self, stage: Stage, line: &str, deadline: Instant) -> Result<Reply, Error> {
        self.ask(stage, line, deadline).await.map(|raw| raw.reply())
    }

    async fn ask(&mut self, stage: Stage, line: &str, deadline: Instant) -> Result<RawReply, Error> {
        if line.contains(char::is_control) {
            let invalid = io::Error::new(io::ErrorKind::InvalidInput, "a command is one line");
            return Err(ErrorKind::Io(invalid)).at(stage);
        }
        self.begin().at(stage)?;
        self.write(stage, format!("{line}\r\n").as_bytes(), deadline).await?;
        let raw = self.read(stage, deadline).await?;
        self.settle(&raw.reply(), State::Idle);
        Ok(raw)
    }

    /// Begins an exchange. The session stays unusable if that does not end.
    fn begin(&mut self) -> Result<(), ErrorKind> {
        if !matches!(self.state, State::Idle | State::NeedsReset) {
            return Err(ErrorKind::NotUsable);
        }
        self.state = State::Unusable;
        self.check_idle()
    }

    /// Ends an exchange with its last reply.
    fn settle(&mut self, reply: &Reply, next: State) {
        let is_in_step = reply.is_complete && matches!(reply.class(), 2..=5) && !self.replies.has_unread();
        self.state = if is_in_step && !reply.is_closing() { next } else { State::Unusable };
    }

    fn expect(&mut self, stage: Stage, reply: Reply, is_expected: fn(&Reply) -> bool) -> Result<Reply, Error> {
        if is_expected(&reply) { Ok(reply) } else { Err(ErrorKind::Refused(reply)).at(stage) }
    }

    /// An error if the server has sent something that no command asked for, or closed the connection. Does not wait.
    fn check_idle(&mut self) -> Result<(), ErrorKind> {
        let mut bytes = [0; 512];
        let mut buffer = ReadBuf::new(&mut bytes);
        let polled = Pin::new(&mut self.stream).poll_read(&mut Context::from_waker(Waker::noop()), &mut buffer);
        match polled {
            Poll::Pending => {}
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => return Err(ErrorKind::Closed),
            Poll::Ready(Ok(())) => self.replies.push(buffer.filled()),
            Poll::Ready(Err(error)) => return Err(ErrorKind::Io(error)),
        }
        if !self.replies.has_unread() {
            return Ok(());
        }
        // Servers say why they close a connection (RFC 5321, 3.8).
        match self.replies.next_reply() {
            Ok(Some(reply)) if is_refusal(&reply) || reply.is_closing() => Err(ErrorKind::Refused(reply)),
            _ => Err(ErrorKind::Unexpected),
        }
    }

    async fn write(&mut self, stage: Stage, bytes: &[u8], deadline: Instant) -> Result<(), Error> {
        self.write_counted(bytes, &mut 0, deadline).await.at(stage)
    }

    /// Writes, and counts the bytes that the stream has taken, also if it fails.
    async fn write_counted(&mut self, bytes: &[u8], taken: &mut usize, deadline: Instant) -> Result<(), ErrorKind> {
        let stream = &mut self.stream;
        let written = timeout_at(deadline, async {
            while *taken < bytes.len() {
                match stream.write(&bytes[*taken..]).await? {
                    0 => return Err(io::ErrorKind::WriteZero.into()),
                    count => *taken += count,
                }
            }
            stream.flush().await
        });
        match written.await {
            Ok(written) => written.map_err(ErrorKind::Io),
            Err(_) => Err(ErrorKind::Timeout),
        }
    }

    /// The next reply. One that does not end counts if its code refuses; after the message, whatever its code is.
    async fn read(&mut self, stage: Stage, deadline: Instant) -> Result<RawReply, Error> {
        let counts = |raw: &RawReply| stage == Stage::Message || !matches!(raw.class(), 2 | 3);
        let missing = loop {
            if let Some(raw) = self.replies.next_raw().at(stage)? {
                if raw.is_complete() || counts(&raw) {
                    return Ok(raw);
                }
                return Err(ErrorKind::TooLong).at(stage);
            }
            let mut bytes = [0; 1024];
            match timeout_at(deadline, self.stream.read(&mut bytes)).await {
                Ok(Ok(0)) => break ErrorKind::Closed,
                Ok(Ok(count)) => self.replies.push(&bytes[..count]),
                Ok(Err(error)) => break ErrorKind::Io(error),
                Err(_) => break ErrorKind::Timeout,
            }
        };
        self.replies.cut_short().filter(counts).ok_or(missing).at(stage)
    }
}

/// Whether this refuses a command and leaves the conversation in step.
fn is_refusal(reply: &Reply) -> bool {
    matches!(reply.class(), 4 | 5) && reply.is_complete && !reply.is_closing()
}
