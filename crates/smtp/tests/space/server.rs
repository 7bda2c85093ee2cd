//! A server that does at one step whatever a test says, and is a strict one everywhere else. It shares no code with the
//! client.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::forms::{Form, Then};

/// The steps at which a server replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    Greeting,
    Ehlo,
    Helo,
    StartTls,
    Auth,
    Mail,
    Rcpt,
    Data,
    Message,
    Reset,
}

impl Step {
    pub(crate) const ALL: [Self; 10] = [
        Self::Greeting,
        Self::Ehlo,
        Self::Helo,
        Self::StartTls,
        Self::Auth,
        Self::Mail,
        Self::Rcpt,
        Self::Data,
        Self::Message,
        Self::Reset,
    ];
}

/// How the bytes of the planned reply arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pieces {
    /// As much at once as there is, several replies in one packet among it.
    Together,
    /// One after the other.
    Bytes,
    /// Three at a time.
    Threes,
}

/// What the server does.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// The step at which it replies in this form, the first time.
    pub(crate) step: Step,
    pub(crate) form: Form,
    pub(crate) pieces: Pieces,
    pub(crate) pipelining: bool,
    /// Whether it accepts what follows a refused command: `RCPT` after a refused `MAIL`, `DATA` without recipients.
    pub(crate) is_lax: bool,
    /// A step that it refuses the first time, besides.
    pub(crate) refused: Option<Step>,
}

/// What the server saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Messages that came as a whole, with their end, after all commands had been accepted.
    pub(crate) copies: usize,
    /// Of these, the ones that it accepted with a 2xx.
    pub(crate) accepted: usize,
    /// Ends of messages that it had refused.
    pub(crate) unwanted: usize,
    /// Bytes of replies that were written before the client closed the connection.
    pub(crate) sent: usize,
}

struct Server<S> {
    stream: S,
    /// The message that it expects, with its end.
    message: Vec<u8>,
    plan: Plan,
    is_plan_open: bool,
    is_refusal_open: bool,
    /// What came and is not handled yet.
    buffer: Vec<u8>,
    seen: Seen,
}

/// Why the server says nothing more.
struct Over;

/// Serves one connection, on which this message is expected, in its form on the wire and with its end.
pub(crate) async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, message: Vec<u8>, plan: Plan) -> Seen {
    let is_refusal_open = plan.refused.is_some();
    let (buffer, seen) = (Vec::new(), Seen::default());
    let mut server = Server { stream, message, plan, is_plan_open: true, is_refusal_open, buffer, seen };
    if server.converse().await.is_err() {
        // What the client had sent before it noticed.
        let _ = server.stream.read_to_end(&mut server.buffer).await;
    }
    if server.buffer.ends_with(b"\r\n.\r\n") {
        server.seen.unwanted += 1;
    }
    server.seen
}

impl<S: AsyncRead + AsyncWrite + Unpin> Server<S> {
    async fn converse(&mut self) -> Result<(), Over> {
        let (mut has_sender, mut has_recipient) = (false, false);
        self.reply(Step::Greeting, 220).await?;
        while let Some(line) = self.until(b"\r\n").await {
            let is_lax = self.plan.is_lax;
            let line = String::from_utf8(line).expect("a command is text");
            match line.split([' ', ':', '\r']).next().unwrap_or_default() {
                "EHLO" => _ = self.reply(Step::Ehlo, 250).await?,
                "HELO" => _ = self.reply(Step::Helo, 250).await?,
                "STARTTLS" => _ = self.reply(Step::StartTls, 220).await?,
                "AUTH" => {
                    let code = self.reply(Step::Auth, if line.starts_with("AUTH LOGIN") { 334 } else { 235 }).await?;
                    let mut waits = code / 100 == 3;
                    for code in [if line.starts_with("AUTH LOGIN") { 334 } else { 235 }, 235] {
                        if waits && self.until(b"\r\n").await.is_some() {
                            waits = self.reply(Step::Auth, code).await? / 100 == 3;
                        }
                    }
                }
                "RSET" => {
                    (has_sender, has_recipient) = (false, false);
                    self.reply(Step::Reset, 250).await?;
                }
                "MAIL" => has_sender = self.reply(Step::Mail, if has_sender { 503 } else { 250 }).await? / 100 == 2,
                "RCPT" => {
                    let code = if has_sender || is_lax { 250 } else { 503 };
                    has_recipient = self.reply(Step::Rcpt, code).await? / 100 == 2 && has_sender;
                }
                "DATA" => {
                    let code = if has_recipient || is_lax { 354 } else { 503 };
                    if self.reply(Step::Data, code).await? / 100 == 3 {
                        let Some(body) = self.until(b"\r\n.\r\n").await else { break };
                        if has_recipient && body == self.message {
                            self.seen.copies += 1;
                        } else {
                            self.seen.unwanted += 1;
                        }
                        self.reply(Step::Message, 250).await?;
                        (has_sender, has_recipient) = (false, false);
                    }
                }
                "QUIT" => break,
                other => panic!("not a command: {other}"),
            }
        }
        Ok(())
    }

    /// The bytes up to this end; `None` if the client closes the connection before.
    async fn until(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.buffer.windows(end.len()).position(|window| window == end) {
                let rest = self.buffer.split_off(at + end.len());
                return Some(std::mem::replace(&mut self.buffer, rest));
            }
            // A connection that breaks ends as well.
            if self.stream.read_buf(&mut self.buffer).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    /// Replies as planned, or with `code`. Returns the code that the client is to understand, 0 for none.
    async fn reply(&mut self, step: Step, code: u16) -> Result<u16, Over> {
        if self.plan.step == step && std::mem::take(&mut self.is_plan_open) {
            let Form { bytes, code, then, .. } = self.plan.form.clone();
            // Also if it does not end: the code has come.
            if step == Step::Message && code.is_some_and(|code| code / 100 == 2) {
                self.seen.accepted += 1;
            }
            self.write(&bytes, self.plan.pieces).await?;
            match then {
                Then::Continue => return Ok(code.unwrap_or(0)),
                Then::Close => drop(self.stream.shutdown().await),
                Then::Silence => {}
                Then::Repeat => loop {
                    self.write(&bytes.repeat(1_000 / bytes.len()), Pieces::Together).await?;
                },
            }
            return Err(Over);
        }
        let is_refused = self.plan.refused == Some(step) && std::mem::take(&mut self.is_refusal_open);
        let code = if is_refused { 550 } else { code };
        let mut reply = format!("{code} {step:?}\r\n");
        if step == Step::Ehlo && code == 250 {
            let pipelining = if self.plan.pipelining { "250-PIPELINING\r\n" } else { "" };
            reply = format!("250-mx.example\r\n{pipelining}250-AUTH PLAIN LOGIN\r\n250-STARTTLS\r\n250 SIZE 0\r\n");
        }
        self.seen.accepted += usize::from(step == Step::Message && code == 250);
        self.write(reply.as_bytes(), Pieces::Together).await?;
        Ok(code)
    }

    async fn write(&mut self, bytes: &[u8], pieces: Pieces) -> Result<(), Over> {
        let at_once = match pieces {
            Pieces::Together => bytes.len().max(1),
            // A long reply in single bytes shows no more than a short one.
            Pieces::Bytes => {
                if bytes.len() > 300 {
                    997
                } else {
                    1
                }
            }
            Pieces::Threes => {
                if bytes.len() > 300 {
                    1_024
                } else {
                    3
                }
            }
        };
        for piece in bytes.chunks(at_once) {
            self.stream.write_all(piece).await.map_err(|_| Over)?;
            self.seen.sent += piece.len();
            if at_once < bytes.len() {
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }
}
