//! What a fuzzer runs: any bytes from a server, in any pieces. What must hold is checked with code of its own, which
//! knows replies only as lines.
//!
//! Shared with the targets in `fuzz`, which feed it for as long as one likes.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use smtp::reply::MAX_REPLY;
use smtp::{Credentials, Error, Message, Replies, Reply, Session};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// Ends what the server says before it waits for the client.
const TURN: u8 = b'|';
/// The bytes that one read may add to what belongs to a reply.
const READ: usize = 1_024;
/// The end of the message that is sent.
const END: &[u8] = b"\r\n..Hello\r\n.\r\n";
const PASSWORD: &str = "s3cret-s3cret";
/// The password as each mechanism sends it: alone, and after the user `bank`.
const ENCODED_PASSWORDS: [&str; 2] = ["czNjcmV0LXMzY3JldA==", "AGJhbmsAczNjcmV0LXMzY3JldA=="];

/// Reads bytes as replies, in pieces of the size that the first byte says. They must be the same as when they come at
/// once.
pub(crate) fn replies(data: &[u8]) {
    let Some((size, bytes)) = data.split_first() else { return };
    let bytes = &bytes[..bytes.len().min(MAX_REPLY - 1)];
    let at_once = read_all(bytes.chunks(MAX_REPLY));
    let in_pieces = read_all(bytes.chunks(usize::from(*size).max(1)));
    assert_eq!(at_once, in_pieces);
    let final_codes = final_codes(bytes);
    assert!(at_once.len() <= final_codes.len());
    for (reply, code) in at_once.iter().zip(final_codes) {
        check(reply);
        assert!(reply.is_complete);
        assert_eq!(reply.code, code);
    }
}

fn read_all<'b>(pieces: impl Iterator<Item = &'b [u8]>) -> Vec<Reply> {
    let (mut replies, mut read) = (Replies::default(), Vec::new());
    for piece in pieces {
        replies.push(piece);
        loop {
            match replies.next_reply() {
                Ok(Some(reply)) => read.push(reply),
                Ok(None) => break,
                Err(_) => return read,
            }
        }
    }
    read
}

fn check(reply: &Reply) {
    assert!(reply.code <= 999);
    assert!(reply.text.chars().count() <= 1_000);
    assert!(!reply.text.chars().any(char::is_control), "{:?}", reply.text);
    assert!(reply.enhanced.is_none_or(|status| u16::from(status.class) == reply.code / 100));
}

fn check_secrecy(error: &Error) {
    let text = format!("{error} {error:?}");
    assert!(!text.contains(PASSWORD) && ENCODED_PASSWORDS.iter().all(|encoded| !text.contains(encoded)), "{text}");
}

/// The codes of the lines that end a reply.
fn final_codes(bytes: &[u8]) -> Vec<u16> {
    let ended = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let lines = bytes[..ended].split(|byte| *byte == b'\n');
    let of_line = |line: &[u8]| match line {
        [a, b, c, rest @ ..] if [a, b, c].iter().all(|byte| byte.is_ascii_digit()) => match rest.first() {
            Some(b'-' | b'0'..=b'9') => None,
            _ => String::from_utf8_lossy(&line[..3]).parse().ok(),
        },
        _ => None,
    };
    lines.filter_map(of_line).collect()
}

/// Whether a line starts with a code that accepts.
fn is_acceptance(line: &[u8]) -> bool {
    matches!(line, [b'2', b'0'..=b'9', b'0'..=b'9', ..])
}

/// Holds a conversation with a server that says these bytes: the first says the size of the pieces, the second what the
/// client wants, the others what the server says, with a `|` before it waits for the client. Returns how many messages
/// were accepted.
pub(crate) fn conversation(data: &[u8]) -> usize {
    let [size, wants, said @ ..] = data else { return 0 };
    let server = Server::new(usize::from(*size).max(1), said);
    let log = server.log.clone();
    thread_local! {
        static RUNTIME: tokio::runtime::Runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime can be built");
    }
    let sent = RUNTIME.with(|runtime| runtime.block_on(converse(server, *wants)));
    let log = log.lock().expect("nothing panics while holding the lock");
    assert!(log.read <= log.turns.len() * 4 * (MAX_REPLY + READ), "a reply is bounded");
    let accepted = sent.iter().filter(|sent| sent.is_ok()).count();
    let mut handed_over = 0;
    let mut accepting = 0;
    for (number, turn) in log.turns.iter().enumerate() {
        if !turn.written.ends_with(END) {
            assert!(!turn.written.windows(5).any(|end| end == b"\r\n.\r\n"), "no other command looks like an end");
            continue;
        }
        handed_over += 1;
        let before = &log.turns[number - 1];
        let codes = final_codes(&before.said);
        let (go_ahead, others) = codes.split_last().expect("the server has replied");
        assert!(before.written.ends_with(b"DATA\r\n") && go_ahead / 100 == 3, "only where the server asks for it");
        assert!(others.iter().all(|code| code / 100 == 2), "never after a refusal: {codes:?}");
        accepting += usize::from(turn.said.split(|byte| *byte == b'\n').any(is_acceptance));
    }
    assert!(accepted <= accepting, "accepted only where the server said so");
    assert!(handed_over <= sent.len());
    for result in &sent {
        match result {
            Ok(reply) => {
                check(reply);
                assert!(reply.is_positive());
            }
            Err(error) => {
                error.reply().inspect(|reply| check(reply));
            }
        }
    }
    accepted
}

/// Two messages in one session.
async fn converse(server: Server, wants: u8) -> Vec<Result<Reply, Error>> {
    let deadline = Instant::now() + Duration::from_secs(3_600);
    let mut sent = Vec::new();
    let Ok(mut session) = Session::start(server, deadline).await else { return sent };
    if session.hello("bank.example", deadline).await.is_err() {
        return sent;
    }
    if wants & 1 != 0 {
        let Ok(stream) = session.start_tls(deadline).await else { return sent };
        session = Session::encrypted(stream);
        if session.hello("bank.example", deadline).await.is_err() {
            return sent;
        }
    }
    if wants & 2 != 0 {
        let credentials = Credentials::new("bank".to_owned(), PASSWORD.to_owned());
        if let Err(error) = session.authenticate(&credentials, deadline).await {
            check_secrecy(&error);
            return sent;
        }
    }
    let message = Message::new("bank@b.example", "asha@c.example", b"Subject: Hello\r\n\r\n.Hello");
    let message = message.expect("the addresses are valid");
    for _ in 0..2 {
        sent.push(match session.open_message(&message, deadline, deadline).await {
            Ok(()) => session.finish_message(&message, deadline).await,
            Err(error) => Err(error),
        });
        if !session.is_usable() {
            break;
        }
    }
    if wants & 4 != 0 {
        session.quit(deadline).await;
    }
    sent
}

/// What the client wrote at once, and what the server said then.
#[derive(Debug, Default)]
struct Turn {
    written: Vec<u8>,
    said: Vec<u8>,
}

#[derive(Debug, Default)]
struct Log {
    turns: Vec<Turn>,
    /// The bytes that the client read.
    read: usize,
}

/// A server that speaks when the client has written, without understanding it, and then closes the connection if the
/// client waits for more.
struct Server {
    piece: usize,
    to_say: VecDeque<Vec<u8>>,
    unread: VecDeque<u8>,
    written: Vec<u8>,
    log: Arc<Mutex<Log>>,
}

impl Server {
    fn new(piece: usize, said: &[u8]) -> Self {
        let to_say = said.split(|byte| *byte == TURN).map(<[u8]>::to_vec).collect();
        let (unread, written) = (VecDeque::new(), Vec::new());
        let mut server = Self { piece, to_say, unread, written, log: Arc::default() };
        server.speak();
        server
    }

    fn speak(&mut self) {
        let said = self.to_say.pop_front().unwrap_or_default();
        self.unread.extend(&said);
        let written = std::mem::take(&mut self.written);
        self.log.lock().expect("nothing panics while holding the lock").turns.push(Turn { written, said });
    }
}

impl AsyncRead for Server {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.unread.is_empty() && cx.waker().will_wake(Waker::noop()) {
            // The client only looks; it does not wait.
            return Poll::Pending;
        }
        let count = self.piece.min(buffer.remaining()).min(self.unread.len());
        let piece: Vec<u8> = self.unread.drain(..count).collect();
        buffer.put_slice(&piece);
        self.log.lock().expect("nothing panics while holding the lock").read += count;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Server {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.written.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.written.is_empty() {
            self.speak();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
