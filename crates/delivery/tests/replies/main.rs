//! What becomes of a customer's e-mail, over the space of replies: every step with every code, and the registry of
//! enhanced status codes. The conversation itself has more of it (`crates/smtp/tests/space`, whose server this is).
#![allow(clippy::unwrap_used, reason = "a test that cannot continue has failed")]

#[path = "../../../smtp/tests/space/forms.rs"]
mod forms;
#[path = "../../../smtp/tests/space/server.rs"]
mod server;

use std::time::{Duration, Instant};

use delivery::transport::smtp::ServerSettings;
use delivery::{Email, RefusalKind, SendError, SmtpTransport, Transport};
use forms::{CODES, Form, Then, broken_forms, plain, whole_forms};
use futures::{FutureExt, StreamExt};
use jiff::Timestamp;
use lettre::Message;
use server::{Pieces, Plan, Seen, Step, serve};
use tokio::net::TcpListener;

/// Conversations at a time.
const AT_ONCE: usize = 8;

fn email() -> Email {
    let message = Message::builder()
        .from("offers@bank.example".parse().unwrap())
        .to("asha@example.com".parse().unwrap())
        .subject("Hello")
        .body("Hello\r\n".to_owned())
        .unwrap();
    Email::new(&message).unwrap()
}

/// Sends an e-mail to a server with this plan, which takes one connection.
async fn send(plan: Plan) -> (Result<(), SendError>, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let user = if plan.step == Step::Auth { "bank:s3cret@" } else { "" };
    let scheme = if plan.step == Step::StartTls { "smtp+starttls" } else { "smtp" };
    let url = format!("{scheme}://{user}{}", listener.local_addr().unwrap());
    let email = email();
    let expected = [email.bytes(), b".\r\n"].concat();
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        // Nothing is sent over another one.
        drop(listener);
        stream.set_nodelay(true).unwrap();
        serve(stream, expected, plan).await
    });
    let url = Box::new(move || std::future::ready(Ok(ServerSettings::of(&url))).boxed());
    let transport = SmtpTransport::new(url, "bank.example".parse().unwrap(), runtime::sources::system());
    let began = Instant::now();
    let sent = transport.send(&email, Timestamp::MAX).await.map(drop);
    assert!(began.elapsed() < transport.max_duration());
    drop(transport);
    (sent, server.await.unwrap())
}

/// The consequence for the customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Sent,
    /// Tried again, and nobody's failure.
    Waits,
    /// Tried again for some days.
    Temporary,
    /// Failed, and the address is suppressed, or not.
    Unknown,
    Failed,
    /// Failed if others are accepted.
    Ambiguous,
    /// Tried once more.
    Unanswered,
}

fn fate(sent: &Result<(), SendError>) -> Fate {
    match sent {
        Ok(()) => Fate::Sent,
        Err(SendError::Unreachable(_) | SendError::TooLate) => Fate::Waits,
        Err(SendError::Unanswered(_)) => Fate::Unanswered,
        Err(SendError::OptedOut(text)) => panic!("{text}"),
        Err(SendError::Refused(refusal)) => match refusal.kind {
            RefusalKind::Temporary => Fate::Temporary,
            RefusalKind::UnknownAddress => Fate::Unknown,
            RefusalKind::Recipient | RefusalKind::Message => Fate::Failed,
            RefusalKind::Ambiguous(_) => Fate::Ambiguous,
        },
    }
}

/// What is promised to the customer, whatever the server does.
async fn check(plan: Plan) {
    let what = format!("{:?} {} {:?} {:?}", plan.step, plan.form.name, plan.form.code, plan.form.then);
    let (sent, seen) = send(plan.clone()).await;
    let fate = fate(&sent);
    let what = format!("{what}: {sent:?}");
    assert_eq!(seen.unwanted, 0, "{what}");
    assert_eq!(usize::from(fate == Fate::Sent), seen.accepted, "{what}");
    // A copy was handed over, or it was not; without a code that accepts or refuses nobody knows what became of it.
    let is_lost = plan.step == Step::Message && !plan.form.code.is_some_and(|code| [2, 4, 5].contains(&(code / 100)));
    assert_eq!(fate == Fate::Unanswered, is_lost, "{what}");
    assert!(seen.copies == 1 || plan.step != Step::Message, "{what}");
    // Nobody is failed for what is no fault of theirs: they are not named before RCPT.
    let is_named = matches!(plan.step, Step::Rcpt | Step::Data | Step::Message);
    let fails = matches!(fate, Fate::Unknown | Fate::Failed | Fate::Ambiguous);
    let code = plan.form.code.unwrap_or(0);
    assert!(!fails || is_named && code / 100 == 5 && ![530, 535].contains(&code), "{what}");
}

async fn check_all(plans: impl Iterator<Item = Plan>) {
    let checks = plans.map(|plan| tokio::spawn(check(plan)));
    futures::stream::iter(checks).buffer_unordered(AT_ONCE).for_each(|check| async { check.unwrap() }).await;
}

fn plan(step: Step, form: Form, pipelining: bool) -> Plan {
    let refused = (step == Step::Helo).then_some(Step::Ehlo);
    let pieces = [Pieces::Together, Pieces::Bytes, Pieces::Threes][usize::from(form.code.unwrap_or(0)) % 3];
    Plan { step, form, pieces, pipelining, is_lax: false, refused }
}

/// All but the reset, whose reply decides about no message.
fn steps() -> impl Iterator<Item = Step> {
    Step::ALL.into_iter().filter(|step| *step != Step::Reset)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_code_has_its_consequence_in_any_form() {
    let forms = |code| whole_forms(code).into_iter().chain(broken_forms(code));
    // What comes in time only if time is virtual is left to the conversation's own tests. So is TLS.
    let is_quick = |plan: &Plan| plan.form.then != Then::Silence;
    let is_plain = |plan: &Plan| plan.step != Step::StartTls || plan.form.code.is_some_and(|code| code / 100 != 2);
    let coded = steps().flat_map(|step| {
        let some = |code| if [250, 354, 421, 450, 550].contains(&code) { 100 } else { 4 };
        CODES.into_iter().flat_map(move |code| forms(code).take(some(code)).map(move |form| plan(step, form, true)))
    });
    check_all(coded.filter(is_quick).filter(is_plain)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn enhanced_status_code_decides_over_a_recipient() {
    let registry = [(0, 0), (1, 10), (2, 4), (3, 6), (4, 7), (5, 6), (6, 10), (7, 30)];
    let statuses = registry.into_iter().flat_map(|(subject, last)| (0..=last).map(move |detail| (subject, detail)));
    let plans = statuses.flat_map(|(subject, detail)| {
        [(4, 451), (5, 550), (5, 554), (4, 550)].into_iter().flat_map(move |(class, code)| {
            let form = plain(code, &format!("{class}.{subject}.{detail} <asha@example.com> text"));
            [Step::Mail, Step::Rcpt, Step::Data, Step::Message].map(|step| plan(step, form.clone(), true))
        })
    });
    // A message too big for the server is the only failure at MAIL FROM, where its size is announced.
    let is_size = |plan: &Plan| plan.step == Step::Mail && plan.form.bytes.starts_with(b"55");
    check_all(plans.filter(|plan| !is_size(plan))).await;
    for (text, fate_at_rcpt) in [
        ("550 5.1.1 unknown", Fate::Unknown),
        ("550 5.2.1 disabled", Fate::Failed),
        ("552 5.2.2 full", Fate::Temporary),
        ("554 5.7.1 Client host rejected: Access denied", Fate::Ambiguous),
        ("550 4.1.1 contradicts", Fate::Ambiguous),
        ("530 5.7.0 authenticate first", Fate::Waits),
        ("421 4.7.0 later", Fate::Waits),
        ("450 4.2.1 disabled for now", Fate::Temporary),
    ] {
        let (code, text) = text.split_once(' ').unwrap();
        let form = plain(code.parse().unwrap(), text);
        let (sent, _) = send(plan(Step::Rcpt, form, false)).await;
        assert_eq!(fate(&sent), fate_at_rcpt, "{text}");
    }
}

#[tokio::test]
async fn reply_without_end_is_not_waited_for() {
    for step in steps().filter(|step| *step != Step::StartTls) {
        for form in broken_forms(250).into_iter().filter(|form| form.then == Then::Repeat) {
            let began = Instant::now();
            let (_, seen) = send(plan(step, form.clone(), true)).await;
            assert!(began.elapsed() < Duration::from_secs(5), "{step:?} {}", form.name);
            // What was read, and the buffers of both sides, which the kernel grows to some megabytes.
            assert!(seen.sent < 16 << 20, "{step:?} {}: {}", form.name, seen.sent);
        }
    }
}
