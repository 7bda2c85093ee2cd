//! SMTP against servers that follow a script, over TCP. They share no code with the client.
#![allow(clippy::unwrap_used, reason = "a test that cannot continue has failed")]

use std::time::{Duration, Instant};

use delivery::compose::mime::InvalidEmail;
use delivery::{Email, RefusalKind, SendError, SmtpTransport, Transport};
use futures::FutureExt;
use jiff::Timestamp;
use lettre::Message;

use scripted_server::Do::{Close, Say, SayAfter, SayAndBreak};
use scripted_server::{DATA, DOT, HELLO, MAIL, RCPT, Server, Step, email};

mod changed_settings;
mod scripted_server;

#[track_caller]
fn assert_refused(sent: Result<(), SendError>, kind: RefusalKind, text: &str) {
    let Err(SendError::Refused(refusal)) = sent else { panic!("{sent:?}") };
    assert_eq!((refusal.kind, refusal.text.as_str()), (kind, text));
}

#[tokio::test]
async fn connection_is_used_again_also_after_a_refusal() {
    let no: Step = ("RCPT TO:<asha@example.com>\r\n", Say("550 5.1.1 <asha@example.com> unknown\r\n"));
    let reset: Step = ("RSET\r\n", Say("250 ok\r\n"));
    let server = Server::start(&[&[HELLO, MAIL, RCPT, DATA, DOT, MAIL, no, reset, MAIL, RCPT, DATA, DOT]]).await;
    server.send().await.unwrap();
    assert_refused(server.send().await, RefusalKind::UnknownAddress, "RCPT TO: 550 5.1.1 (address) unknown");
    server.send().await.unwrap();
    let received = server.received().await;
    assert_eq!((received.len(), received[0].matches("\r\n.\r\n").count()), (1, 2));
}

#[tokio::test]
async fn connection_that_is_gone_is_replaced_before_the_message() {
    let closing: Step = ("MAIL FROM:<offers@bank.example>\r\n", Say("421 4.4.2 too many messages\r\n"));
    let silent: Step = ("MAIL FROM:<offers@bank.example>\r\n", Say(""));
    let late: Step = ("DATA\r\n", Close);
    let first: &[&[Step]] =
        &[&[closing], &[silent], &[MAIL, RCPT, late], &[MAIL, ("RCPT TO:<asha@example.com>\r\n", Close)]];
    let tests = first.iter().map(async |gone: &&[Step]| {
        let first = [&[HELLO, MAIL, RCPT, DATA, DOT][..], gone].concat();
        let server = Server::start(&[&first, &[HELLO, MAIL, RCPT, DATA, DOT]]).await;
        server.send().await.unwrap();
        server.send().await.unwrap();
        let received = server.received().await;
        let dots: Vec<_> = received.iter().map(|text| text.matches("\r\n.\r\n").count()).collect();
        assert_eq!(dots, [1, 1], "one message each");
    });
    futures::future::join_all(tests).await;
}

#[tokio::test]
async fn new_connection_that_breaks_is_an_outage() {
    for step in [
        ("MAIL FROM:<offers@bank.example>\r\n", Close),
        ("MAIL FROM:<offers@bank.example>\r\n", Say("hello\r\n")),
        ("MAIL FROM:<offers@bank.example>\r\n", Say("550 5.7.1 not you\r\n")),
        ("MAIL FROM:<offers@bank.example>\r\n", Say("421 4.7.0 bye\r\n")),
    ] {
        let server = Server::start(&[&[HELLO, step]]).await;
        let error = server.send().await.unwrap_err();
        assert!(matches!(&error, SendError::Unreachable(text) if text.starts_with("MAIL FROM: ")), "{error:?}");
    }
}

#[tokio::test]
async fn connection_that_ends_before_the_end_of_the_message_is_an_outage() {
    // The message is larger than the buffers of both sides.
    let large = "line of text\r\n".repeat(2_000_000);
    let breaks: Step = ("DATA\r\n", SayAndBreak("354 go\r\n"));
    let server = Server::start(&[&[HELLO, MAIL, RCPT, breaks]]).await;
    let error = server.send_until(&large, Timestamp::MAX).await.unwrap_err();
    assert!(matches!(&error, SendError::Unreachable(text) if text.starts_with("DATA: ")), "{error:?}");
}

#[tokio::test]
async fn second_connection_that_the_server_ends_is_an_outage() {
    let slow: Step = ("\r\n.\r\n", SayAfter(Duration::from_millis(500), "250 queued\r\n"));
    let ends: Step = ("MAIL FROM:<offers@bank.example>\r\n", Say("421 4.7.0 too many messages\r\n"));
    let ends_later: Step = (
        "MAIL FROM:<offers@bank.example>\r\n",
        SayAfter(Duration::from_millis(1_000), "421 4.7.0 too many messages\r\n"),
    );
    let server =
        Server::start(&[&[HELLO, MAIL, RCPT, DATA, slow, ends], &[HELLO, MAIL, RCPT, DATA, DOT, ends_later]]).await;
    let others = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        server.send().await.unwrap();
        // Over the same connection, and then over the one that was used meanwhile.
        server.send().await
    };
    let (first, last) = tokio::join!(server.send(), others);
    first.unwrap();
    assert_eq!(last, Err(SendError::Unreachable("MAIL FROM: 421 4.7.0 too many messages".to_owned())));
}

#[tokio::test(start_paused = true)]
async fn url_that_does_not_come_is_an_outage() {
    let transport = SmtpTransport::new(
        Box::new(|| std::future::pending().boxed()),
        "bank.example".parse().unwrap(),
        runtime::sources::system(),
    );
    let message = Message::builder()
        .from("offers@bank.example".parse().unwrap())
        .to("asha@example.com".parse().unwrap())
        .body(String::new())
        .unwrap();
    let email = Email::new(&message).unwrap();
    let error = transport.send(&email, Timestamp::MAX).await.unwrap_err();
    assert!(matches!(error, SendError::Unreachable(_)), "{error:?}");
}

#[tokio::test]
async fn recipient_checked_for_longer_than_six_seconds_is_served() {
    let slow: Step = ("RCPT TO:<asha@example.com>\r\n", SayAfter(Duration::from_secs(7), "250 ok\r\n"));
    let server = Server::start(&[&[HELLO, MAIL, RCPT, DATA, DOT, MAIL, slow, DATA, DOT]]).await;
    server.send().await.unwrap();
    let began = Instant::now();
    server.send().await.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(7));
    assert_eq!(server.received().await.len(), 1);
}

#[tokio::test]
async fn nothing_is_handed_over_after_the_lease() {
    let server = Server::start(&[&[HELLO, MAIL, RCPT, DATA]]).await;
    let error = server.send_until("Hello", Timestamp::UNIX_EPOCH).await.unwrap_err();
    assert!(matches!(error, SendError::TooLate), "{error:?}");
    let received = server.received().await;
    assert!(received[0].ends_with("DATA\r\n"), "{received:?}");
}

#[tokio::test]
async fn server_that_asks_for_a_refused_message_does_not_get_it() {
    let pipelining: Step = ("EHLO bank.example\r\n", Say("250-mx.example\r\n250-PIPELINING\r\n250 SIZE 1000000\r\n"));
    let refused: Step = ("DATA\r\n", Say("250 ok\r\n550 5.2.1 closed\r\n354 go\r\n"));
    let accepted: Step = ("DATA\r\n", Say("250 ok\r\n250 ok\r\n354 go\r\n"));
    let server = Server::start(&[&[pipelining, refused], &[pipelining, accepted, DOT]]).await;
    assert_refused(server.send().await, RefusalKind::Recipient, "RCPT TO: 550 5.2.1 closed");
    server.send().await.unwrap();
    let received = server.received().await;
    assert!(received[0].ends_with("DATA\r\n") && received[0].contains(" SIZE="), "{received:?}");
    assert_eq!(received[1].matches("\r\n.\r\n").count(), 1);
}

#[tokio::test]
async fn message_above_the_size_limit_is_not_offered() {
    let small: Step = ("EHLO bank.example\r\n", Say("250-mx.example\r\n250 SIZE 500\r\n"));
    let sized: Step = ("\r\n", Say("250 ok\r\n"));
    let server = Server::start(&[&[small, sized, RCPT, DATA, DOT]]).await;
    let sent = server.send_until(&"long ".repeat(200), Timestamp::MAX).await;
    let Err(SendError::Refused(refusal)) = sent else { panic!("{sent:?}") };
    assert_eq!(refusal.kind, RefusalKind::Message);
    assert!(refusal.text.ends_with("the server accepts 500"), "{refusal}");
    server.send().await.unwrap();
    assert_eq!(server.received().await.len(), 1, "the connection is used for the next message");
}

#[tokio::test]
async fn text_cannot_end_the_message() {
    // With a bare CR there is no e-mail: SES would send it on. (`crates/smtp` repairs one by itself; its tests show that.)
    for body in ["a\r.\r\nMAIL FROM:<x@y.example>", "a\r\n.\rMAIL"] {
        assert_eq!(email(body).unwrap_err(), InvalidEmail::LineBreak);
    }
    for body in ["a\n.\nMAIL", "a\n.\r\nMAIL", ".\r\nMAIL"] {
        let server = Server::start(&[&[HELLO, MAIL, RCPT, DATA, DOT]]).await;
        server.send_until(body, Timestamp::MAX).await.unwrap();
        let received = server.received().await;
        assert_eq!(received[0].matches("\r\n.\r\n").count(), 1, "{received:?}");
        let lone = received[0].replace("\r\n", "");
        assert!(!lone.contains(['\r', '\n']), "{received:?}");
    }
}

#[tokio::test]
async fn any_code_after_the_message_is_an_answer_and_no_code_is_none() {
    let long: &'static str = format!("250 {}\r\n", "x".repeat(5_000)).leak();
    for reply in ["250\r\n", "250 \n", "250-a\r\n250 b\r\n", "299 odd\r\n", long] {
        let server = Server::start(&[&[HELLO, MAIL, RCPT, DATA, ("\r\n.\r\n", Say(reply))]]).await;
        server.send().await.unwrap();
    }
    for reply in ["554 5.6.0 bad\r\n", "554-5.6.0 bad\r\n554 5.6.0 bad\r\n"] {
        let server = Server::start(&[&[HELLO, MAIL, RCPT, DATA, ("\r\n.\r\n", Say(reply))]]).await;
        let Err(SendError::Refused(refusal)) = server.send().await else { panic!("{reply}") };
        assert_eq!(refusal.kind, RefusalKind::Message);
        assert!(refusal.text.starts_with("message: 554 5.6.0 bad"), "{refusal}");
    }
    for reply in [Close, Say("hello\r\n"), Say("25x\r\n"), Say("354 go\r\n"), Say("150 a\r\n"), Say("600 b\r\n")] {
        let server = Server::start(&[&[HELLO, MAIL, RCPT, DATA, ("\r\n.\r\n", reply)]]).await;
        let error = server.send().await.unwrap_err();
        assert!(matches!(error, SendError::Unanswered(_)), "{error:?}");
    }
}

#[tokio::test]
async fn server_without_starttls_gets_nothing_but_the_greeting() {
    let server = Server::at("smtp+starttls", &[&[HELLO]]).await;
    let error = server.send().await.unwrap_err();
    assert_eq!(error.to_string(), "unreachable: STARTTLS: the server does not offer STARTTLS", "{}", server.url);
    let offers: Step = ("EHLO bank.example\r\n", Say("250-mx\r\n250 STARTTLS\r\n"));
    let injects: Step = ("STARTTLS\r\n", Say("220 go\r\n250 injected\r\n"));
    let server = Server::at("smtp+starttls", &[&[offers, injects]]).await;
    let error = server.send().await.unwrap_err();
    assert_eq!(error.to_string(), "unreachable: STARTTLS: the server sent a reply too many");
    let received = server.received().await;
    assert!(received[0].ends_with("STARTTLS\r\n"), "{received:?}");
}
