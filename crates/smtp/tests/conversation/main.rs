//! Conversations with a server that follows a script. It shares no code with the client.
#![allow(clippy::unwrap_used, reason = "a test that cannot continue has failed")]

use std::time::Duration;

use smtp::{Error, ErrorKind, Message, Reply, Session, Stage};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

mod auth;

const RAW: &[u8] = b"Subject: Hello\r\n\r\n.Hello\r\n";
const DOTTED: &str = "Subject: Hello\r\n\r\n..Hello\r\n.\r\n";
const PIPELINING: &str = "250-mx.example\r\n250 PIPELINING\r\n";

/// A step of a server: it waits until the client has sent this, then sends that.
type Step<'s> = (&'s str, &'s [u8]);

/// Starts a server. Its result is what it got besides the script, until the client closed the connection.
fn server(script: &[Step]) -> (DuplexStream, JoinHandle<String>) {
    let (client, mut stream) = duplex(1 << 20);
    let script: Vec<(String, Vec<u8>)> =
        script.iter().map(|(wait, reply)| ((*wait).to_owned(), reply.to_vec())).collect();
    let task = tokio::spawn(async move {
        for (wait, reply) in script {
            let mut got = vec![0; wait.len()];
            if let Err(error) = stream.read_exact(&mut got).await {
                return format!("instead of {wait:?}: {error}");
            }
            assert_eq!(String::from_utf8_lossy(&got), wait);
            // The client may have closed the connection.
            let _ = stream.write_all(&reply).await;
        }
        let _ = stream.shutdown().await;
        let mut rest = String::new();
        stream.read_to_string(&mut rest).await.unwrap();
        rest
    });
    (client, task)
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(25)
}

fn message() -> Message {
    Message::new("bank@b.example", "asha@c.example", RAW).unwrap()
}

async fn greeted(stream: DuplexStream) -> Session<DuplexStream> {
    let mut session = Session::start(stream, soon()).await.unwrap();
    session.hello("bank.example", soon()).await.unwrap();
    session
}

/// One message through a server with these steps after `EHLO`.
async fn send(hello: &str, steps: &[Step<'_>]) -> (Result<Reply, Error>, bool, String) {
    let mut script: Vec<Step> = vec![("", b"220 mx\r\n"), ("EHLO bank.example\r\n", hello.as_bytes())];
    script.extend_from_slice(steps);
    let (stream, rest) = server(&script);
    let mut session = greeted(stream).await;
    let sent = match session.open_message(&message(), soon(), soon()).await {
        Ok(()) => session.finish_message(&message(), soon()).await,
        Err(error) => Err(error),
    };
    // The script has ended, which closes the connection, so look before that is seen.
    let is_usable = format!("{session:?}").contains("state: Idle") || format!("{session:?}").contains("NeedsReset");
    drop(session);
    (sent, is_usable, rest.await.unwrap())
}

fn stage_and_code(sent: &Result<Reply, Error>) -> (Stage, u16) {
    match sent {
        Ok(reply) => (Stage::Message, reply.code),
        Err(error) => (error.stage, error.reply().map_or(0, |reply| reply.code)),
    }
}

const MAIL: &str = "MAIL FROM:<bank@b.example>\r\n";
const RCPT: &str = "RCPT TO:<asha@c.example>\r\n";
const ALL: &str = "MAIL FROM:<bank@b.example>\r\nRCPT TO:<asha@c.example>\r\nDATA\r\n";

#[tokio::test]
async fn message_goes_one_command_at_a_time_or_all_at_once() {
    let (sent, is_usable, rest) =
        send("250 mx\r\n", &[(MAIL, b"250\r\n"), (RCPT, b"250 \n"), ("DATA\r\n", b"354\r\n"), (DOTTED, b"250 ok\r\n")])
            .await;
    assert_eq!((stage_and_code(&sent), is_usable, rest.as_str()), ((Stage::Message, 250), true, ""));
    let (sent, is_usable, rest) =
        send(PIPELINING, &[(ALL, b"250 a\r\n250-b\r\n250 c\r\n354 d\r\n"), (DOTTED, b"250 2.0.0 queued \xe9\r\n")])
            .await;
    assert_eq!((stage_and_code(&sent), is_usable, rest.as_str()), ((Stage::Message, 250), true, ""));
    assert_eq!(sent.unwrap().to_string(), "250 2.0.0 queued \u{fffd}");
}

#[tokio::test]
async fn server_that_refuses_never_gets_the_message() {
    type Case<'c> = (&'c str, &'c [u8], (Stage, u16), bool);
    let cases: [Case; 12] = [
        ("RCPT, in step", b"250 a\r\n550 5.1.1 no\r\n503 no\r\n", (Stage::Rcpt, 550), true),
        ("RCPT, then 354", b"250 a\r\n550 5.1.1 no\r\n354 go\r\n", (Stage::Rcpt, 550), false),
        ("RCPT, then 250", b"250 a\r\n550 5.1.1 no\r\n250 go\r\n", (Stage::Rcpt, 550), false),
        ("RCPT, then silence", b"250 a\r\n450 4.2.1 no\r\n", (Stage::Rcpt, 450), false),
        ("MAIL, in step", b"550 a\r\n503 b\r\n503 c\r\n", (Stage::Mail, 550), true),
        ("MAIL, then 354", b"550 a\r\n250 b\r\n354 c\r\n", (Stage::Mail, 550), false),
        ("MAIL, then end", b"421 bye\r\n", (Stage::Mail, 421), false),
        ("DATA", b"250 a\r\n250 b\r\n451 c\r\n", (Stage::Data, 451), true),
        ("DATA with 250", b"250 a\r\n250 b\r\n250 c\r\n", (Stage::Data, 250), false),
        ("a reply too many", b"250 a\r\n250 b\r\n354 c\r\n250 d\r\n", (Stage::Data, 0), false),
        ("no reply", b"hello\r\n", (Stage::Mail, 0), false),
        ("part of a refusal", b"250 a\r\n550 5.1", (Stage::Rcpt, 550), false),
    ];
    for (what, replies, expected, expected_usable) in cases {
        let (sent, is_usable, rest) = send(PIPELINING, &[(ALL, replies)]).await;
        assert_eq!((stage_and_code(&sent), is_usable), (expected, expected_usable), "{what}: {sent:?}");
        assert_eq!(rest, "", "{what}: nothing more is sent");
    }
}

#[tokio::test]
async fn any_code_after_the_message_is_its_answer() {
    let long = [b"250 ", "x".repeat(5_000).as_bytes(), b"\r\n"].concat();
    let longer = [b"250 ", "x".repeat(100_000).as_bytes(), b"\r\n"].concat();
    let endless = b"250-x\r\n".repeat(20_000);
    type Case<'c> = (&'c [u8], u16, bool);
    let cases: [Case; 19] = [
        (b"250\r\n", 250, true),
        (b"250\n", 250, true),
        (b"250 \r\n", 250, true),
        (b"250", 250, false),
        (b"250-\r\n", 250, false),
        (b"250-\r\n250 \r\n", 250, true),
        (b"250-\n250", 250, false),
        (b"250 caf\xe9\r\n", 250, true),
        (b"250ok\r\n", 250, true),
        (b"250-a\r\nb\r\n250 c\r\n", 250, true),
        (b"299 odd\r\n", 299, true),
        (b"550 no\r\n", 550, true),
        (b"599 odd\r\n", 599, true),
        (b"421 bye\r\n", 421, false),
        (b"354 odd\r\n", 354, false),
        (b"100 odd\r\n", 100, false),
        (&long, 250, true),
        (&longer, 250, false),
        (&endless, 250, false),
    ];
    for (reply, code, expected_usable) in cases {
        let (sent, is_usable, _) = send(PIPELINING, &[(ALL, b"250\r\n250\r\n354\r\n"), (DOTTED, reply)]).await;
        let text = String::from_utf8_lossy(&reply[..reply.len().min(40)]);
        assert_eq!((stage_and_code(&sent), is_usable), ((Stage::Message, code), expected_usable), "{text}: {sent:?}");
        assert_eq!(sent.is_ok(), code / 100 == 2, "{text}");
        assert!(sent.map_or(0, |reply| reply.text.len()) <= 1_000, "{text}");
    }
    for reply in [&b""[..], b"2", b"25", b"hello\r\n", b"2500 x\r\n", b"\r\n"] {
        let (sent, is_usable, _) = send(PIPELINING, &[(ALL, b"250\r\n250\r\n354\r\n"), (DOTTED, reply)]).await;
        assert_eq!((stage_and_code(&sent), is_usable, sent.is_err()), ((Stage::Message, 0), false, true), "{reply:?}");
    }
}

#[tokio::test]
async fn refused_message_is_forgotten_before_the_next() {
    let hello: &[u8] = PIPELINING.as_bytes();
    let all_after_reset = format!("RSET\r\n{ALL}");
    let (stream, rest) = server(&[
        ("", b"220 mx\r\n"),
        ("EHLO bank.example\r\n", hello),
        (ALL, b"250 a\r\n550 no\r\n503 no\r\n"),
        (&all_after_reset, b"250 r\r\n250 a\r\n250 b\r\n354 go\r\n"),
        (DOTTED, b"250 ok\r\n"),
        (ALL, b"250 a\r\n250 b\r\n354 go\r\n"),
        (DOTTED, b"554 5.7.1 spam\r\n"),
        ("RSET\r\n", b"250 ok\r\n"),
        (ALL, b"250 a\r\n250 b\r\n354 go\r\n"),
        (DOTTED, b"250 ok\r\n"),
        ("QUIT\r\n", b"221 bye\r\n"),
    ]);
    let mut session = greeted(stream).await;
    session.open_message(&message(), soon(), soon()).await.unwrap_err();
    session.open_message(&message(), soon(), soon()).await.unwrap();
    session.finish_message(&message(), soon()).await.unwrap();
    session.open_message(&message(), soon(), soon()).await.unwrap();
    session.finish_message(&message(), soon()).await.unwrap_err();
    session.reset(soon()).await.unwrap();
    session.open_message(&message(), soon(), soon()).await.unwrap();
    session.finish_message(&message(), soon()).await.unwrap();
    assert!(session.is_usable());
    session.quit(soon()).await;
    assert_eq!(rest.await.unwrap(), "");
}

#[tokio::test]
async fn slow_reply_is_waited_for_and_a_late_one_is_not_taken_for_another() {
    let (client, mut server) = duplex(1 << 16);
    let task: JoinHandle<()> = tokio::spawn(async move {
        server.write_all(b"220 mx\r\n").await.unwrap();
        server.read_exact(&mut [0; 19]).await.unwrap();
        server.write_all(PIPELINING.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        server.write_all(b"250 a\r\n250 b\r\n354 c\r\n").await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        server.write_all(b"250 late\r\n").await.unwrap();
        std::future::pending::<()>().await;
    });
    let mut session = greeted(client).await;
    session.open_message(&message(), soon(), soon()).await.unwrap();
    let error = session.finish_message(&message(), Instant::now() + Duration::from_millis(100)).await.unwrap_err();
    assert_eq!(error.to_string(), "message: no reply in time");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!session.is_usable());
    let error = session.open_message(&message(), soon(), soon()).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::NotUsable), "{error}");
    task.abort();
}

#[tokio::test]
async fn cancelled_exchange_leaves_no_usable_session() {
    let (stream, _rest) =
        server(&[("", b"220 mx\r\n"), ("EHLO bank.example\r\n", b"250 mx\r\n"), (MAIL, b""), ("x", b"")]);
    let mut session = greeted(stream).await;
    timeout(Duration::from_millis(50), session.open_message(&message(), soon(), soon())).await.unwrap_err();
    assert!(!session.is_usable());
}

#[tokio::test]
async fn session_that_the_server_left_or_spoke_in_is_not_used() {
    for stray in [&b""[..], b"250 stray\r\n", b"421 4.4.2 idle\r\n", b"\x01"] {
        let (stream, rest) = server(&[("", b"220 mx\r\n"), ("EHLO bank.example\r\n", b"250 mx\r\n"), ("", stray)]);
        let mut session = greeted(stream).await;
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
        assert!(!session.is_usable(), "{stray:?}");
        drop(session);
        assert_eq!(rest.await.unwrap(), "");
    }
    // The same between the server's go-ahead and the message: nothing is handed over.
    let (client, mut server) = duplex(1 << 16);
    server.write_all(b"220 mx\r\n").await.unwrap();
    server.write_all(b"").await.unwrap();
    let mut session = Session::start(client, soon()).await.unwrap();
    server.write_all(b"250 mx\r\n").await.unwrap();
    assert!(session.hello("bank.example", soon()).await.is_err(), "a reply before its command");
}

#[tokio::test]
async fn reply_before_the_message_does_not_accept_it() {
    let (client, mut server) = duplex(1 << 16);
    let task = tokio::spawn(async move {
        server.write_all(b"220 mx\r\n").await.unwrap();
        server.read_exact(&mut [0; 19]).await.unwrap();
        server.write_all(PIPELINING.as_bytes()).await.unwrap();
        server.read_exact(&mut [0; ALL.len()]).await.unwrap();
        server.write_all(b"250 a\r\n250 b\r\n354 c\r\n").await.unwrap();
        server
    });
    let mut session = greeted(client).await;
    session.open_message(&message(), soon(), soon()).await.unwrap();
    let mut server = task.await.unwrap();
    server.write_all(b"250 too early\r\n").await.unwrap();
    let error = session.finish_message(&message(), soon()).await.unwrap_err();
    assert_eq!(error.stage, Stage::Data, "{error}");
    drop(session);
    let mut rest = String::new();
    server.read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest, "", "nothing was sent");
}

#[tokio::test]
async fn helo_is_said_where_ehlo_is_refused() {
    for refusal in [&b"500 what\r\n"[..], b"502\r\n", b"550 5.5.1 no\r\n"] {
        let (stream, rest) = server(&[
            ("", b"220 mx\r\n"),
            ("EHLO bank.example\r\n", refusal),
            ("HELO bank.example\r\n", b"250 mx\r\n"),
        ]);
        drop(greeted(stream).await);
        assert_eq!(rest.await.unwrap(), "");
    }
    for (refusals, code) in [
        (&[&b"421 4.7.0 no\r\n"[..]][..], 421),
        (&[b"451 no\r\n"], 451),
        (&[b"554 no\r\n", b"501 no\r\n"], 501),
        (&[b"554 no\r\n", b"hello\r\n"], 554),
    ] {
        let mut script: Vec<Step> = vec![("", b"220 mx\r\n")];
        script.extend(["EHLO bank.example\r\n", "HELO bank.example\r\n"].into_iter().zip(refusals.iter().copied()));
        let (stream, _rest) = server(&script);
        let mut session = Session::start(stream, soon()).await.unwrap();
        let error = session.hello("bank.example", soon()).await.unwrap_err();
        assert_eq!((error.stage, error.reply().unwrap().code), (Stage::Hello, code));
    }
}

#[tokio::test]
async fn bytes_before_the_encryption_are_not_read_after_it() {
    let tls: &[u8] = b"250-mx\r\n250-STARTTLS\r\n250 PIPELINING\r\n";
    for (reply, is_refused) in [
        (&b"220 go\r\n"[..], false),
        (b"220 go\r\n250 injected\r\n", true),
        (b"220 go\r\n2", true),
        (b"220 go\r\n\r\n", true),
        (b"454 4.7.0 no\r\n", true),
        (b"250-go\r\n", true),
    ] {
        let (stream, _rest) = server(&[("", b"220 mx\r\n"), ("EHLO bank.example\r\n", tls), ("STARTTLS\r\n", reply)]);
        let started = greeted(stream).await.start_tls(soon()).await;
        assert_eq!(started.is_err(), is_refused, "{:?}", String::from_utf8_lossy(reply));
        if let Ok(stream) = started {
            assert!(!Session::encrypted(stream).capabilities().pipelining, "forgotten");
        }
    }
    let (stream, rest) = server(&[("", b"220 mx\r\n"), ("EHLO bank.example\r\n", b"250 mx\r\n")]);
    let error = greeted(stream).await.start_tls(soon()).await.unwrap_err();
    assert_eq!(error.to_string(), "STARTTLS: the server does not offer STARTTLS");
    assert_eq!(rest.await.unwrap(), "");
}

#[tokio::test]
async fn message_whose_end_was_not_sent_was_not_handed_over() {
    for (is_end_read, stage) in [(false, Stage::Data), (true, Stage::Message)] {
        let (client, mut server) = duplex(256);
        let task = tokio::spawn(async move {
            server.write_all(b"220 mx\r\n").await.unwrap();
            server.read_exact(&mut [0; 19]).await.unwrap();
            server.write_all(PIPELINING.as_bytes()).await.unwrap();
            server.read_exact(&mut [0; ALL.len()]).await.unwrap();
            server.write_all(b"250 a\r\n250 b\r\n354 c\r\n").await.unwrap();
            // The last byte has come, or the client still has most of them.
            server.read_exact(&mut vec![0; if is_end_read { 10_005 } else { 1_000 }]).await.unwrap();
        });
        let message = Message::new("bank@b.example", "asha@c.example", &[b'x'; 10_000]).unwrap();
        let mut session = greeted(client).await;
        session.open_message(&message, soon(), soon()).await.unwrap();
        let error = session.finish_message(&message, soon()).await.unwrap_err();
        assert_eq!((error.stage, error.reply()), (stage, None), "{error}");
        assert!(!session.is_usable());
        task.await.unwrap();
    }
}

#[tokio::test]
async fn message_is_announced_as_the_server_wants_it() {
    let long = vec![b'x'; 1_000];
    for (offered, to, raw, command) in [
        ("X", "a@b.example", RAW, "MAIL FROM:<bank@b.example>\r\n"),
        ("SIZE", "a@b.example", RAW, "MAIL FROM:<bank@b.example> SIZE=26\r\n"),
        ("SIZE 0", "a@b.example", RAW, "MAIL FROM:<bank@b.example> SIZE=26\r\n"),
        ("SIZE 26", "a@b.example", RAW, "MAIL FROM:<bank@b.example> SIZE=26\r\n"),
        ("SIZE 1001", "a@b.example", &long, "MAIL FROM: the message has 1002 octets, the server accepts 1001"),
        ("8BITMIME", "a@b.example", RAW, "MAIL FROM:<bank@b.example>\r\n"),
        ("8BITMIME", "a@b.example", b"\r\n\r\n\xe9", "MAIL FROM:<bank@b.example> BODY=8BITMIME\r\n"),
        ("X", "a@b.example", b"\r\n\r\n\xe9", "MAIL FROM:<bank@b.example>\r\n"),
        ("SMTPUTF8", "a@b.example", RAW, "MAIL FROM:<bank@b.example>\r\n"),
        ("SMTPUTF8", "\u{e9}@b.example", RAW, "MAIL FROM:<bank@b.example> SMTPUTF8\r\n"),
        ("X", "\u{e9}@b.example", RAW, "RCPT TO: the server does not offer SMTPUTF8"),
    ] {
        let message = Message::new("bank@b.example", to, raw).unwrap();
        let hello = format!("250-mx\r\n250 {offered}\r\n");
        let mut script: Vec<Step> = vec![("", b"220 mx\r\n"), ("EHLO bank.example\r\n", hello.as_bytes())];
        let is_sent = command.ends_with("\r\n");
        if is_sent {
            script.push((command, b"250\r\n"));
        }
        let (stream, rest) = server(&script);
        let mut session = greeted(stream).await;
        let error = session.open_message(&message, soon(), soon()).await.unwrap_err();
        if !is_sent {
            assert_eq!(error.to_string(), command);
        }
        drop(session);
        assert!(!rest.await.unwrap().contains("instead of"), "{offered}");
    }
    // The sender's address is not the recipient's fault.
    let message = Message::new("b\u{e4}nk@b.example", "a@b.example", RAW).unwrap();
    let (stream, _rest) = server(&[("", b"220 mx\r\n"), ("EHLO bank.example\r\n", b"250 mx\r\n")]);
    let error = greeted(stream).await.open_message(&message, soon(), soon()).await.unwrap_err();
    assert_eq!(error.to_string(), "MAIL FROM: the server does not offer SMTPUTF8");
}
