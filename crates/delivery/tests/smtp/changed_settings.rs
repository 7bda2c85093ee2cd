//! The URL of the server changes, or cannot be read any more, while functions run.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use delivery::transport::smtp::{ServerSettings, SettingsError};
use delivery::{SendError, SmtpTransport, Transport};
use futures::FutureExt;
use jiff::Timestamp;
use testing::clock::Clock;

use crate::scripted_server::Do::Say;
use crate::scripted_server::{DATA, DOT, HELLO, MAIL, RCPT, Server, Step, email};

/// The check of a connection that was idle.
const CHECK: Step = ("RSET\r\n", Say("250 ok\r\n"));

/// The URL, or why it cannot be read.
type Secret = Result<String, &'static str>;

/// A transport by a secret that the test changes.
struct Sender {
    transport: SmtpTransport,
    clock: Clock,
    secret: Arc<Mutex<Secret>>,
    reads: Arc<AtomicUsize>,
}

impl Sender {
    fn to(server: &Server) -> Self {
        let (clock, reads) = (Clock::new(), Arc::<AtomicUsize>::default());
        let secret: Arc<Mutex<Secret>> = Arc::new(Mutex::new(Ok(server.url.clone())));
        let (read_secret, count) = (secret.clone(), reads.clone());
        let settings = move || {
            count.fetch_add(1, Ordering::Relaxed);
            let settings = match read_secret.lock().unwrap().clone() {
                Ok(url) => Ok(ServerSettings::of(url)),
                Err(error) => Err(SettingsError::Unavailable(error.to_owned())),
            };
            std::future::ready(settings).boxed()
        };
        let hello = "bank.example".parse().unwrap();
        Self { transport: SmtpTransport::new(Box::new(settings), hello, clock.sources()), clock, secret, reads }
    }

    fn set(&self, secret: Secret) {
        *self.secret.lock().unwrap() = secret;
    }

    async fn send_after(&self, seconds: u64) -> Result<(), SendError> {
        self.clock.skip(Duration::from_secs(seconds));
        self.transport.send(&email("Hello").unwrap(), Timestamp::MAX).await.map(drop)
    }
}

async fn messages_to(server: &Server) -> usize {
    server.received().await.iter().map(|connection| connection.matches("\r\n.\r\n").count()).sum()
}

/// The old one works on, so that no failure says that it is no longer the one.
#[tokio::test]
async fn a_new_server_gets_all_messages_within_a_minute_of_the_change() {
    let old = Server::start(&[&[HELLO, MAIL, RCPT, DATA, DOT, CHECK, MAIL, RCPT, DATA, DOT]]).await;
    let new = Server::start(&[&[HELLO, MAIL, RCPT, DATA, DOT, MAIL, RCPT, DATA, DOT]]).await;
    let sender = Sender::to(&old);
    sender.send_after(0).await.unwrap();
    sender.set(Ok(new.url.clone()));
    sender.send_after(58).await.unwrap();
    assert_eq!((messages_to(&old).await, messages_to(&new).await), (2, 0));
    sender.send_after(2).await.unwrap();
    sender.send_after(0).await.unwrap();
    assert_eq!((messages_to(&old).await, messages_to(&new).await), (2, 2));
    assert_eq!(sender.reads.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn settings_that_stay_the_same_keep_the_connection() {
    let server = Server::start(&[&[HELLO, MAIL, RCPT, DATA, DOT, CHECK, MAIL, RCPT, DATA, DOT]]).await;
    let sender = Sender::to(&server);
    sender.send_after(0).await.unwrap();
    sender.send_after(60).await.unwrap();
    assert_eq!((server.received().await.len(), sender.reads.load(Ordering::Relaxed)), (1, 2));
}

#[tokio::test]
async fn a_server_that_works_stays_in_use_while_its_settings_cannot_be_read() {
    for broken in [Err("Secrets Manager is unavailable"), Ok("smtps://".to_owned())] {
        let server = Server::start(&[&[
            HELLO, MAIL, RCPT, DATA, DOT, CHECK, MAIL, RCPT, DATA, DOT, CHECK, MAIL, RCPT, DATA, DOT,
        ]])
        .await;
        let sender = Sender::to(&server);
        sender.send_after(0).await.unwrap();
        sender.set(broken);
        sender.send_after(60).await.unwrap();
        // Tried again after a minute, not for each message.
        sender.send_after(59).await.unwrap();
        assert_eq!((messages_to(&server).await, sender.reads.load(Ordering::Relaxed)), (3, 2));
    }
}

/// Who refuses us may have another password by now.
const REFUSES_US: &[Step] = &[HELLO, ("MAIL FROM:<offers@bank.example>\r\n", Say("530 5.7.0 who are you\r\n"))];

/// The error says what an operator has to mend.
#[tokio::test]
async fn a_server_that_fails_is_not_used_by_settings_that_are_wrong() {
    let server = Server::start(&[REFUSES_US, &[HELLO, MAIL, RCPT, DATA, DOT]]).await;
    let sender = Sender::to(&server);
    assert!(matches!(sender.send_after(0).await, Err(SendError::Unreachable(_))));
    sender.set(Ok("smtps://".to_owned()));
    for _ in 0..2 {
        let Err(SendError::Unreachable(error)) = sender.send_after(0).await else { panic!("it was sent") };
        assert!(error.starts_with("the URL in SmtpUrl has no host"), "{error}");
    }
    assert_eq!(sender.reads.load(Ordering::Relaxed), 2, "messages that wait for it fail together");
    sender.set(Ok(server.url.clone()));
    sender.send_after(1).await.unwrap();
}

/// Else an outage of Secrets Manager would prolong that of the mail server.
#[tokio::test]
async fn a_server_that_failed_is_tried_again_while_its_settings_cannot_be_read() {
    let server = Server::start(&[REFUSES_US, &[HELLO, MAIL, RCPT, DATA, DOT]]).await;
    let sender = Sender::to(&server);
    assert!(matches!(sender.send_after(0).await, Err(SendError::Unreachable(_))));
    sender.set(Err("Secrets Manager is unavailable"));
    sender.send_after(0).await.unwrap();
}
