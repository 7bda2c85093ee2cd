//! A mail server (RFC 5321), over streams in memory.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | connecting, and how long things take | this file |
//! | the conversation | [`conversation`] |
//! | what goes wrong with a step | `passage` |
//! | the client's end of a connection | `client` |

use std::io;
use std::sync::Arc;
use std::time::Duration;

use delivery::transport::smtp::{Connect, Stream};
use domain::TransportId;
use futures::FutureExt;
use tokio::io::duplex;
use tokio::sync::oneshot;
use tokio::time::sleep;

use self::client::ClientEnd;
use self::conversation::{Conversation, Heard};
use self::passage::{Passage, Way};
use crate::chance::Chance;
use crate::fault::millis;
use crate::process::Process;
use crate::providers::{Mode, Step, mode};
use crate::scenario::Scenario;
use crate::world::World;

mod client;
pub mod conversation;
mod passage;

/// What a connection holds in each direction before its writer waits, in bytes: as much as a socket does.
const BUFFER: usize = 64 * 1024;

/// The mail server.
#[derive(Debug)]
pub struct SmtpServer {
    chance: Chance,
}

impl SmtpServer {
    pub fn new(scenario: &Scenario) -> Self {
        Self { chance: Chance::of(scenario.seed, "smtp") }
    }

    /// Opens connections of a process to the server, under whatever name.
    pub fn connector(world: &Arc<World>, process: &Process) -> Connect {
        let (world, process) = (world.clone(), process.clone());
        Arc::new(move |_, _| {
            let (world, process) = (world.clone(), process.clone());
            async move { Self::connect(&world, &process).await }.boxed()
        })
    }

    /// Opens a connection of a process to the server.
    ///
    /// # Errors
    /// If the server accepts none.
    pub async fn connect(world: &Arc<World>, process: &Process) -> io::Result<Box<dyn Stream>> {
        let (opened, opening) = oneshot::channel();
        tokio::spawn(accept(world.clone(), process.clone(), opened));
        let stream = opening.await.map_err(|_| io::ErrorKind::ConnectionRefused)?;
        Ok(Box::new(stream))
    }

    /// Half of the time between a command and its reply.
    fn pause(&self, step: Step) -> Duration {
        let (least, most) = match step {
            Step::Connect => (3, 30),
            Step::Message => (5, 80),
            _ => (1, 8),
        };
        self.chance.between(millis(least), millis(most))
    }
}

/// Serves a connection, from the attempt to open it to its end.
async fn accept(world: Arc<World>, process: Process, mut opened: oneshot::Sender<ClientEnd>) {
    let passage = Passage::of(&world, &process, Step::Connect);
    sleep(world.smtp.pause(Step::Connect)).await;
    let greeting = match passage.before().await {
        Way::On => None,
        Way::Reply(reply) => Some(reply),
        Way::Close => return,
        Way::Hang => return opened.closed().await,
    };
    let present = mode(&world, TransportId::Smtp);
    if present == Some(Mode::Down) {
        passage.note("no connection");
        return;
    }
    let (theirs, ours) = duplex(BUFFER);
    let (client, answers) = ClientEnd::new(theirs, world.clone());
    if opened.send(client).is_err() {
        return;
    }
    let mut conversation = Conversation::new(world.clone(), process.clone(), ours, answers);
    let greeting = match (greeting, passage.after(greeting.is_none()).await) {
        (_, Way::Close) => return,
        (_, Way::Hang) => return conversation.hang().await,
        (_, Way::Reply(reply)) | (Some(reply), Way::On) => reply,
        (None, Way::On) => "220 mail.bank.example ESMTP",
    };
    match present {
        Some(Mode::Drops(Step::Connect)) => return passage.note("closed"),
        Some(Mode::Unanswering) => {
            passage.note("no greeting");
            return conversation.hang().await;
        }
        _ => {}
    }
    sleep(world.smtp.pause(Step::Connect) + millis(present.map_or(0, Mode::delay))).await;
    passage.note(&greeting[..3]);
    if conversation.say(greeting).await == Heard::Yes {
        conversation.go_on().await;
    }
}
