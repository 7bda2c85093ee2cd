//! What a client and the server said to each other until a message had its reply.

use std::sync::{Arc, Mutex, MutexGuard};

/// The conversation that brought a message. Clones share it: the last reply comes after the message is stored.
#[derive(Debug, Clone, Default)]
pub struct Transcript(Arc<Mutex<String>>);

impl Transcript {
    /// A conversation in which this was said.
    pub fn of(text: &str) -> Self {
        Self(Arc::new(Mutex::new(text.to_owned())))
    }

    /// A line for each command and reply. The client's begin with `C: `, the server's with `S: `.
    pub fn text(&self) -> String {
        self.lock().clone()
    }

    fn add(&self, who: char, said: &str) {
        let mut text = self.lock();
        for line in said.lines() {
            text.push(who);
            text.push_str(": ");
            text.push_str(line);
            text.push('\n');
        }
    }

    fn lock(&self) -> MutexGuard<'_, String> {
        self.0.lock().expect("no code panics while holding this lock")
    }
}

/// Records what is said on one connection.
#[derive(Default)]
pub(crate) struct Recorder {
    current: Transcript,
    /// What was said before the first message: the greeting, and what the server can do.
    opening: Option<String>,
    /// The octets of the message so far.
    octets: usize,
    /// Whether the next reply is that to the whole message: the end of its conversation.
    is_last_reply: bool,
    /// Whether what the client says next may be its password.
    is_authenticating: bool,
}

impl Recorder {
    /// The conversation of the present message.
    pub(crate) fn current(&self) -> Transcript {
        self.current.clone()
    }

    /// Records a command. Each message has the opening of its connection, and its own commands.
    pub(crate) fn command(&mut self, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        let line = line.trim_end();
        let is = |command: &str| line.get(..command.len()).is_some_and(|start| start.eq_ignore_ascii_case(command));
        if is("MAIL ") {
            let opening = self.opening.get_or_insert_with(|| self.current.text()).clone();
            self.current = Transcript::of(&opening);
        }
        if self.is_authenticating {
            self.current.add('C', "…");
        } else if is("AUTH ") {
            self.is_authenticating = true;
            match line.split(' ').nth(1).filter(|_| line.split(' ').count() > 2) {
                // What follows is the password.
                Some(mechanism) => self.current.add('C', &format!("AUTH {mechanism} …")),
                None => self.current.add('C', line),
            }
        } else {
            self.current.add('C', line);
        }
    }

    /// Records a line of the message, of which only the size is kept, and its end.
    pub(crate) fn data(&mut self, line: &[u8], is_last: bool) {
        self.octets += line.len();
        if is_last {
            let octets = std::mem::take(&mut self.octets) - line.len();
            self.current.add('C', &format!("… the message, {octets} octets …"));
            self.current.add('C', ".");
            self.is_last_reply = true;
        }
    }

    /// Records a reply, of one or more lines.
    pub(crate) fn reply(&mut self, reply: &[u8]) {
        self.current.add('S', &String::from_utf8_lossy(reply));
        self.is_authenticating &= reply.starts_with(b"3");
        if std::mem::take(&mut self.is_last_reply) {
            // What the client says next is not about this message.
            self.current = Transcript::default();
        }
    }

    /// Records what else the server did.
    pub(crate) fn note(&self, what: &str) {
        self.current.add('S', &format!("({what})"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_message_has_the_opening_and_its_own_commands_and_no_password() {
        let mut recorder = Recorder::default();
        recorder.reply(b"220 inbox\r\n");
        for said in ["AUTH PLAIN AGEAc2VjcmV0", "AUTH LOGIN", "dXNlcg==", "c2VjcmV0"] {
            recorder.command(format!("{said}\r\n").as_bytes());
            recorder.reply(if said == "AUTH LOGIN" || said == "dXNlcg==" { b"334 go on\r\n" } else { b"235 ok\r\n" });
        }
        let mut stored = Vec::new();
        for to in ["a", "b"] {
            recorder.command(format!("MAIL FROM:<o@bank.example>\r\nRCPT TO:<{to}>\r\n").as_bytes());
            recorder.data(b"Subject: x\r\n", false);
            stored.push(recorder.current());
            recorder.data(b".\r\n", true);
            recorder.reply(b"250-one\r\n250 two\r\n");
            recorder.command(b"RSET\r\n");
            recorder.reply(b"250 ok\r\n");
        }
        let expected = |to| {
            format!(
                "S: 220 inbox\nC: AUTH PLAIN …\nS: 235 ok\nC: AUTH LOGIN\nS: 334 go on\nC: …\nS: 334 go on\nC: …\nS: 235 ok\n\
                 C: MAIL FROM:<o@bank.example>\nC: RCPT TO:<{to}>\n\
                 C: … the message, 12 octets …\nC: .\nS: 250-one\nS: 250 two\n"
            )
        };
        assert_eq!(stored.iter().map(Transcript::text).collect::<Vec<_>>(), ["a", "b"].map(expected));
    }
}
