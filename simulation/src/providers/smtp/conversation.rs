//! The server's side of a conversation.

use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64;
use domain::TransportId;
use jiff::Timestamp;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, copy_buf, sink};
use tokio::time::{sleep, timeout};

use super::client::Answers;
use super::passage::{Passage, Way};
use crate::fault::millis;
use crate::people::person::is_unknown;
use crate::process::Process;
use crate::providers::handover::Handover;
use crate::providers::ses::Headers;
use crate::providers::{Mode, Outcome, Refusal, Step, Treatment, Unheard, keep, mode};
use crate::world::World;

/// How long a server waits for a command (RFC 5321, 4.5.3.2.7, says at least five minutes; many wait less). Each
/// connection has its own time.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(300));
/// How many messages a connection carries at least, and at most.
const MESSAGES: (usize, usize) = (10, 60);

/// A conversation with a client that is connected.
pub struct Conversation {
    world: Arc<World>,
    process: Process,
    stream: BufReader<DuplexStream>,
    answers: Answers,
    patience: Duration,
    /// How many more messages the connection carries.
    messages: usize,
    /// Whether the server offers to take several commands at once (RFC 2920).
    pipelines: bool,
    is_known: bool,
    envelope: Envelope,
}

/// What the client has said about the present message.
#[derive(Debug, Default)]
struct Envelope {
    begun: Option<Timestamp>,
    recipient: Option<String>,
}

/// Whether the client may say more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    Yes,
    /// The connection is closed, or about to be.
    No,
}

/// What follows from a command.
#[derive(Debug)]
struct Answer {
    reply: String,
    /// Instead of the reply.
    unheard: Option<Unheard>,
    /// Which message the reply is about.
    handover: Option<usize>,
}

impl Answer {
    fn new(reply: impl Into<String>) -> Self {
        Self { reply: reply.into(), unheard: None, handover: None }
    }
}

impl Conversation {
    pub(super) fn new(world: Arc<World>, process: Process, stream: DuplexStream, answers: Answers) -> Self {
        let chance = &world.smtp.chance;
        let patience = chance.between(PATIENCE.0, PATIENCE.1);
        let messages = MESSAGES.0 + chance.below(MESSAGES.1 - MESSAGES.0);
        let pipelines = chance.happens(0.5);
        let (stream, envelope) = (BufReader::new(stream), Envelope::default());
        Self { world, process, stream, answers, patience, messages, pipelines, is_known: false, envelope }
    }

    /// Serves commands until the connection ends.
    pub(super) async fn go_on(mut self) {
        loop {
            let line = match timeout(self.patience, self.line()).await {
                Ok(Some(line)) => line,
                Ok(None) => return,
                Err(_) => {
                    self.say("421 4.4.2 idle for too long").await;
                    return;
                }
            };
            let line = String::from_utf8(line).expect("a command is text");
            let step = match line.split([' ', ':']).next().unwrap_or_default().trim() {
                "EHLO" | "HELO" => Step::Ehlo,
                "AUTH" => Step::Auth,
                "MAIL" => Step::Mail,
                "RCPT" => Step::Rcpt,
                "DATA" => Step::Data,
                "RSET" => Step::Rset,
                "QUIT" => Step::Quit,
                other => panic!("no model of the command {other}"),
            };
            let Some(reply) = self.step(step, line.as_bytes()).await else { return };
            if step == Step::Data && reply.starts_with("354") {
                let Some(message) = self.message().await else { return };
                if self.step(Step::Message, &message).await.is_none() {
                    return;
                }
            }
        }
    }

    /// A command or a message, with what may go wrong. Returns the reply, or `None` if the conversation has ended.
    async fn step(&mut self, step: Step, said: &[u8]) -> Option<String> {
        let passage = Passage::of(&self.world, &self.process, step);
        if step == Step::Mail {
            self.envelope = Envelope { begun: Some(self.world.clock.now()), recipient: None };
        }
        sleep(self.world.smtp.pause(step)).await;
        let mut answer = match passage.before().await {
            Way::On => self.effect(step, said),
            Way::Reply(reply) => Answer::new(reply),
            Way::Close => return None,
            Way::Hang => return self.hang_up_later().await,
        };
        let present = mode(&self.world, TransportId::Smtp);
        let has_effect = answer.unheard.is_none() && answer.reply.starts_with(['2', '3']);
        match passage.after(has_effect).await {
            Way::On => {}
            Way::Reply(reply) => answer = Answer::new(reply),
            Way::Close => return None,
            Way::Hang => return self.hang_up_later().await,
        }
        sleep(self.world.smtp.pause(step) + millis(present.map_or(0, Mode::delay))).await;
        if answer.unheard.is_some() {
            self.world.evidence.struck_at_server(&self.process, self.world.clock.now());
        }
        match answer.unheard {
            Some(Unheard::Closed) => {
                passage.note("closed");
                return None;
            }
            Some(Unheard::Silence) => {
                passage.note("no reply");
                return self.hang_up_later().await;
            }
            Some(Unheard::Error) | None => passage.note(&answer.reply[..3]),
        }
        if let Some(handover) = answer.handover {
            self.answers.expect(handover);
        }
        (self.say(&answer.reply).await == Heard::Yes).then_some(answer.reply)
    }

    /// What a command or message does, and the answer to it.
    fn effect(&mut self, step: Step, said: &[u8]) -> Answer {
        if step == Step::Rcpt {
            self.envelope.recipient = Some(path(said));
        }
        let mode = mode(&self.world, TransportId::Smtp);
        if let Some(answer) = mode.and_then(|mode| self.obey(mode, step, said)) {
            return answer;
        }
        match step {
            Step::Ehlo => Answer::new(self.greeting()),
            Step::Auth => {
                self.is_known = is_password(said, &self.world);
                let reply = if self.is_known { "235 2.7.0 welcome" } else { "535 5.7.8 wrong password" };
                Answer::new(reply)
            }
            // RFC 4954, 6.
            Step::Mail if !self.is_known => Answer::new("530 5.7.0 authentication required"),
            Step::Mail if self.messages == 0 => Answer::new("421 4.7.0 too many messages in one connection"),
            Step::Mail => Answer::new("250 2.1.0 ok"),
            Step::Rcpt if self.envelope.recipient.as_deref().is_some_and(is_unknown) => {
                self.refuse(step, Refusal::UnknownAddress, said).expect("an unknown address is refused at this step")
            }
            Step::Rcpt => Answer::new("250 2.1.5 ok"),
            Step::Data if self.envelope.recipient.is_none() => Answer::new("503 5.5.1 no recipient"),
            Step::Data => Answer::new("354 go on"),
            Step::Message => {
                self.messages = self.messages.saturating_sub(1);
                let handover = self.keep(Some(said), Outcome::Taken);
                Answer { handover: Some(handover), ..Answer::new(format!("250 2.0.0 queued as smtp-{handover}")) }
            }
            Step::Rset => {
                self.envelope = Envelope::default();
                Answer::new("250 2.0.0 ok")
            }
            Step::Quit => Answer::new("221 2.0.0 bye"),
            Step::Connect => unreachable!("the greeting is no answer to a command"),
        }
    }

    /// What the server does instead, while it is in a mode.
    fn obey(&mut self, mode: Mode, step: Step, said: &[u8]) -> Option<Answer> {
        let unheard = |unheard| Answer { unheard: Some(unheard), ..Answer::new("354 odd") };
        let recipient = self.envelope.recipient.clone().unwrap_or_default();
        match mode.treats(TransportId::Smtp, &recipient) {
            Treatment::Accepted => (mode == Mode::Drops(step)).then(|| unheard(Unheard::Closed)),
            Treatment::Ignored(how) => (how == Unheard::Silence || mode == Mode::Drops(step)).then(|| unheard(how)),
            Treatment::AcceptedUnheard(how) => (step == Step::Message).then(|| {
                self.keep(Some(said), Outcome::Taken);
                unheard(how)
            }),
            Treatment::Refused(refusal) => self.refuse(step, refusal, said),
        }
    }

    /// The reply that refuses, if this is the step at which the server does so.
    fn refuse(&mut self, step: Step, refusal: Refusal, said: &[u8]) -> Option<Answer> {
        let recipient = self.envelope.recipient.clone().unwrap_or_default();
        let (at, reply) = refusal.of_smtp(&recipient);
        let reply = match refusal {
            Refusal::Unavailable => reply,
            Refusal::Login if step == Step::Mail => "530 5.7.0 authentication required",
            _ if at == step => reply,
            _ => return None,
        };
        if step == Step::Rcpt {
            self.envelope.recipient = None;
        }
        let handover = match step {
            Step::Rcpt => Some(self.keep_for(recipient, None, Outcome::Refused(refusal))),
            Step::Message => Some(self.keep_for(recipient, Some(said), Outcome::Refused(refusal))),
            _ => None,
        };
        Some(Answer { handover, ..Answer::new(reply) })
    }

    /// The reply to `EHLO` (RFC 5321, 4.1.1.1).
    fn greeting(&self) -> String {
        let pipelining = if self.pipelines { "250-PIPELINING\r\n" } else { "" };
        format!(
            "250-mail.bank.example\r\n{pipelining}250-SIZE 10485760\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-AUTH PLAIN\r\n250 \
             ENHANCEDSTATUSCODES"
        )
    }

    fn keep(&self, message: Option<&[u8]>, outcome: Outcome) -> usize {
        let recipient = self.envelope.recipient.clone().expect("a message has a recipient");
        self.keep_for(recipient, message, outcome)
    }

    fn keep_for(&self, recipient: String, message: Option<&[u8]>, outcome: Outcome) -> usize {
        let now = self.world.clock.now();
        let headers = message.map(Headers::of);
        let handover = Handover {
            number: 0,
            provider: TransportId::Smtp,
            process: self.process.clone(),
            recipient,
            offer: headers.as_ref().and_then(|headers| headers.offer.clone()),
            customer: headers.and_then(|headers| headers.customer),
            begun: self.envelope.begun.unwrap_or(now),
            taken_at: now,
            outcome,
            answered_at: None,
        };
        keep(&self.world, handover)
    }

    /// Writes a reply. One of 421 or 221 is the last (RFC 5321, 3.8 and 4.1.1.10).
    pub(super) async fn say(&mut self, reply: &str) -> Heard {
        let sent = self.stream.write_all(format!("{reply}\r\n").as_bytes()).await;
        let is_last = reply.starts_with("421") || reply.starts_with("221");
        if sent.is_err() || is_last { Heard::No } else { Heard::Yes }
    }

    /// Says nothing more until the client closes the connection.
    pub(super) async fn hang(mut self) {
        self.drain().await;
    }

    async fn hang_up_later(&mut self) -> Option<String> {
        self.drain().await;
        None
    }

    async fn drain(&mut self) {
        // A connection that breaks has ended as well.
        let _ = copy_buf(&mut self.stream, &mut sink()).await;
    }

    /// The next line, with its end. `None` if the client has closed the connection.
    async fn line(&mut self) -> Option<Vec<u8>> {
        let mut line = Vec::new();
        let read = self.stream.read_until(b'\n', &mut line).await;
        (read.is_ok() && line.ends_with(b"\n")).then_some(line)
    }

    /// The message after `DATA`, without doubled dots (RFC 5321, 4.5.2). `None` if the client closes the connection
    /// before its end: then there is no message (4.1.1.4).
    async fn message(&mut self) -> Option<Vec<u8>> {
        let mut message = Vec::new();
        loop {
            let line = self.line().await?;
            match line.strip_prefix(b".") {
                Some(b"\r\n") => return Some(message),
                Some(rest) => message.extend_from_slice(rest),
                None => message.extend_from_slice(&line),
            }
        }
    }
}

/// The address between the angle brackets of a command.
fn path(command: &[u8]) -> String {
    let command = String::from_utf8_lossy(command);
    let path = command.split_once('<').and_then(|(_, rest)| rest.rsplit_once('>'));
    path.map(|(path, _)| path.to_owned()).expect("the command names an address in angle brackets")
}

/// Whether `AUTH PLAIN` has the user and password of the secret (RFC 4616).
fn is_password(command: &[u8], world: &World) -> bool {
    let command = String::from_utf8_lossy(command);
    let response = command.trim_end().rsplit(' ').next().unwrap_or_default();
    let response = BASE64.decode(response.as_bytes()).expect("the response is in base64");
    let (user, password) = world.secrets.smtp_user();
    response == format!("\0{user}\0{password}").into_bytes()
}
