//! The whole space of replies: every step, with every code in every form, in any pieces, with and without pipelining.
//!
//! The server shares no code with the client and counts the messages that it got. What is promised of every
//! conversation is in [`check`].
#![allow(clippy::unwrap_used, reason = "a test that cannot continue has failed")]

mod forms;
mod server;

use std::time::Duration;

use smtp::{Credentials, EnhancedStatus, Error, Message, Reply, Session, Stage};
use tokio::io::{DuplexStream, duplex};
use tokio::time::Instant;

use forms::{CODES, Form, Then, broken_forms, plain, whole_forms};
use server::{Pieces, Plan, Seen, Step, serve};

/// The time for each call of the client.
const CALL: Duration = Duration::from_secs(25);
/// The calls until a message is accepted, and what it waits after refusals.
const ATTEMPT: Duration = Duration::from_secs(7 * 25);
/// The most that a client may read of a reply, and what fits into the pipe.
const MAX_READ: usize = 64 * 1024 + 2 * PIPE;
const PIPE: usize = 4 * 1024;

const MESSAGE: &[u8] = b"Subject: Hello\r\n\r\nHello\r\n.\r\n250 ok\r\n";
/// The same with a doubled dot, and its end.
const ON_THE_WIRE: &[u8] = b"Subject: Hello\r\n\r\nHello\r\n..\r\n250 ok\r\n.\r\n";

fn soon() -> Instant {
    Instant::now() + CALL
}

/// What became of one message.
type Sent = Result<Reply, Error>;

async fn send(session: &mut Session<DuplexStream>) -> Sent {
    let message = Message::new("bank@b.example", "asha@c.example", MESSAGE).unwrap();
    session.open_message(&message, soon(), soon()).await?;
    session.finish_message(&message, soon()).await
}

async fn ready(stream: DuplexStream, plan: &Plan) -> Result<Session<DuplexStream>, Error> {
    let mut session = Session::start(stream, soon()).await?;
    session.hello("bank.example", soon()).await?;
    if plan.step == Step::StartTls {
        session = Session::encrypted(session.start_tls(soon()).await?);
        session.hello("bank.example", soon()).await?;
    }
    if plan.step == Step::Auth {
        let credentials = Credentials::new("bank".to_owned(), "s3cret".to_owned());
        session.authenticate(&credentials, soon()).await?;
    }
    Ok(session)
}

/// A conversation for two messages. The second one is sent on the same connection if the client thinks that it can.
async fn converse(plan: &Plan) -> (Sent, Option<Sent>, Seen) {
    let (client, server) = duplex(PIPE);
    let server = tokio::spawn(serve(server, ON_THE_WIRE.to_vec(), plan.clone()));
    let began = Instant::now();
    let (first, second) = match ready(client, plan).await {
        Err(error) => (Err(error), None),
        Ok(mut session) => {
            let first = send(&mut session).await;
            assert!(began.elapsed() <= ATTEMPT, "{plan:?}");
            let second = if session.is_usable() { Some(send(&mut session).await) } else { None };
            (first, second)
        }
    };
    assert!(began.elapsed() <= ATTEMPT * 2, "{plan:?}");
    (first, second, server.await.unwrap())
}

/// What is promised of every conversation, however broken.
async fn check(plan: &Plan) -> (Sent, Option<Sent>) {
    let (first, second, seen) = converse(plan).await;
    let what = format!("{:?} {} {:?} {:?}", plan.step, plan.form.name, plan.form.code, plan.pieces);
    let results: Vec<&Sent> = [Some(&first), second.as_ref()].into_iter().flatten().collect();
    // A message counts as accepted if, and only if, the server said so after its end.
    let accepted = results.iter().filter(|sent| sent.is_ok()).count();
    assert_eq!(accepted, seen.accepted, "{what}: {first:?} {second:?} {seen:?}");
    // A message that the server has got is one that it replied to, or one that no code came for.
    let ended = results.iter().filter(|sent| sent.as_ref().map_or_else(|e| e.stage == Stage::Message, |_| true));
    assert_eq!(ended.count(), seen.copies, "{what}: {first:?} {second:?} {seen:?}");
    let lost = results.iter().any(|sent| matches!(sent, Err(e) if e.stage == Stage::Message && e.reply().is_none()));
    assert!(!lost || plan.form.code.is_none(), "{what}: {first:?} {second:?}");
    // No message is handed over to a server that has refused it.
    assert_eq!(seen.unwanted, 0, "{what}: {first:?} {second:?}");
    // Only the step that the server refused is refused, with the server's code.
    for error in results.iter().filter_map(|sent| sent.as_ref().err()).filter(|error| error.reply().is_some()) {
        let planned = stage(plan.step) == error.stage && error.reply().map(|reply| reply.code) == plan.form.code;
        let refused = plan.refused.is_some_and(|step| stage(step) == error.stage);
        assert!(planned || refused, "{what}: {error}");
    }
    // A connection that the client thinks it can use is one that the server serves.
    let is_dead = matches!(&second, Some(Err(error)) if error.reply().is_none());
    assert!(!is_dead || plan.step == Step::Reset || plan.form.then != Then::Continue, "{what}: {first:?} {second:?}");
    let long = if plan.form.then == Then::Repeat { 0 } else { plan.form.bytes.len() };
    assert!(seen.sent <= MAX_READ.max(long + 2_000), "{what}: {}", seen.sent);
    (first, second)
}

const fn stage(step: Step) -> Stage {
    match step {
        Step::Greeting => Stage::Greeting,
        Step::Ehlo | Step::Helo => Stage::Hello,
        Step::StartTls => Stage::StartTls,
        Step::Auth => Stage::Auth,
        Step::Mail => Stage::Mail,
        Step::Rcpt => Stage::Rcpt,
        Step::Data => Stage::Data,
        Step::Message => Stage::Message,
        Step::Reset => Stage::Reset,
    }
}

/// Whether a conversation goes on after this code at this step.
fn goes_on(step: Step, code: u16) -> bool {
    match (step, code / 100) {
        (Step::Data, class) => class == 3,
        // With HELO instead, and with another mechanism.
        (Step::Ehlo, 5) => true,
        (Step::Auth, 5) => matches!(code, 500..=504 | 534),
        (Step::Auth, class) => matches!(class, 2 | 3),
        (_, class) => class == 2,
    }
}

fn plan(step: Step, form: Form, pieces: Pieces, pipelining: bool) -> Plan {
    let refused = match step {
        Step::Helo => Some(Step::Ehlo),
        Step::Reset => Some(Step::Rcpt),
        _ => None,
    };
    Plan { step, form, pieces, pipelining, is_lax: false, refused }
}

/// Checks a whole reply: the conversation goes on, or the step is refused with its code.
async fn check_whole(plan: &Plan, enhanced: Option<EnhancedStatus>) {
    let (first, second) = check(plan).await;
    let code = plan.form.code.unwrap();
    let what = format!("{:?} {} {code:03} {:?}: {first:?} {second:?}", plan.step, plan.form.name, plan.pieces);
    let sent = if plan.step == Step::Reset { second.as_ref().unwrap() } else { &first };
    if goes_on(plan.step, code) {
        assert!(sent.is_ok(), "{what}");
        return;
    }
    let Err(error) = sent else { panic!("{what}") };
    // Where HELO is refused as well, the first refusal is as good.
    let is_code = error.reply().unwrap().code == code || plan.step == Step::Helo;
    assert!(error.stage == stage(plan.step) && is_code, "{what}");
    if enhanced.is_some() {
        assert_eq!(error.reply().unwrap().enhanced, enhanced, "{what}");
    }
    // After a refusal of one message the next one is served on the same connection.
    let is_one_message = matches!(plan.step, Step::Mail | Step::Rcpt | Step::Data | Step::Message);
    if is_one_message && matches!(code / 100, 4 | 5) && code != 421 && !plan.is_lax {
        assert!(matches!(second, Some(Ok(_))), "{what}");
    }
}

async fn check_whole_forms(steps: &[Step]) {
    for step in steps {
        for code in CODES {
            for form in whole_forms(code) {
                for (pieces, pipelining) in [
                    (Pieces::Together, true),
                    (Pieces::Together, false),
                    (Pieces::Bytes, true),
                    (Pieces::Threes, false),
                ] {
                    check_whole(&plan(*step, form.clone(), pieces, pipelining), None).await;
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn whole_reply_is_understood_before_the_recipient() {
    check_whole_forms(&Step::ALL[..5]).await;
}

#[tokio::test(start_paused = true)]
async fn whole_reply_is_understood_from_the_sender_to_the_end() {
    check_whole_forms(&Step::ALL[5..]).await;
}

#[tokio::test(start_paused = true)]
async fn broken_reply_makes_no_copy_and_loses_no_code() {
    for step in Step::ALL {
        for code in [100, 220, 235, 250, 354, 421, 450, 550, 999] {
            for form in broken_forms(code) {
                for (pieces, pipelining) in [(Pieces::Together, true), (Pieces::Bytes, true), (Pieces::Threes, false)] {
                    _ = check(&plan(step, form.clone(), pieces, pipelining)).await;
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn enhanced_status_codes_of_the_registry_are_read() {
    let registry = [(0, 0), (1, 10), (2, 4), (3, 6), (4, 7), (5, 6), (6, 10), (7, 30)];
    for (subject, last) in registry {
        for detail in 0..=last {
            for (class, code) in [(4, 450), (5, 550), (5, 554)] {
                let status = EnhancedStatus::new(class, subject, detail);
                for step in [Step::Greeting, Step::Mail, Step::Rcpt, Step::Data, Step::Message] {
                    let form = plain(code, &format!("{status} text"));
                    check_whole(&plan(step, form, Pieces::Together, true), Some(status)).await;
                    // One of another class contradicts the code.
                    let form = plain(code, &format!("{} text", EnhancedStatus::new(9 - class, subject, detail)));
                    let (first, _) = check(&plan(step, form, Pieces::Together, true)).await;
                    assert_eq!(first.unwrap_err().reply().unwrap().enhanced, None);
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn server_that_asks_for_what_it_refused_does_not_get_it() {
    for step in [Step::Mail, Step::Rcpt] {
        for code in CODES.into_iter().filter(|code| code / 100 != 2) {
            for pieces in [Pieces::Together, Pieces::Bytes] {
                for pipelining in [false, true] {
                    let lax = Plan { is_lax: true, ..plan(step, plain(code, "no"), pieces, pipelining) };
                    check_whole(&lax, None).await;
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn reply_too_many_accepts_nothing() {
    for step in Step::ALL {
        for code in [220, 250, 354, 421, 450, 550] {
            for extra in ["250 extra\r\n", "354 extra\r\n", "550 5.1.1 extra\r\n", "250-extra\r\n", "x", "\0"] {
                let mut form = plain(code, "text");
                form.bytes.extend_from_slice(extra.as_bytes());
                for pipelining in [false, true] {
                    let plan = plan(step, form.clone(), Pieces::Together, pipelining);
                    let (first, second, seen) = converse(&plan).await;
                    let what = format!("{step:?} {code} {extra:?} {pipelining}: {first:?} {second:?} {seen:?}");
                    let accepted = [Some(first), second].into_iter().flatten().filter(Result::is_ok).count();
                    assert_eq!((accepted, seen.unwanted), (seen.accepted, 0), "{what}");
                }
            }
        }
    }
}
