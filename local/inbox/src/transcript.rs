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

/// Notes what is said on one connection.
#[derive(Default)]
pub(crate) struct Recorder {
    current: Transcript,
    /// What was said before the first message: the greeting, and what the server can do.
    opening: Option<String>,
    /// The octets of the message so far.
    octets: usize,
}

impl Recorder {
    /// The conversation of the present message.
    pub(crate) fn current(&self) -> Transcript {
        self.current.clone()
    }

    /// Notes a command. Each message has the opening of its connection, and its own commands.
    pub(crate) fn command(&mut self, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        let line = line.trim_end();
        let is = |command: &str| line.get(..command.len()).is_some_and(|start| start.eq_ignore_ascii_case(command));
        if is("MAIL ") {
            let opening = self.opening.get_or_insert_with(|| self.current.text()).clone();
            self.current = Transcript::of(&opening);
        }
        match line.split_once(' ').and_then(|(_, rest)| rest.split_once(' ')) {
            // What follows is the password.
            Some((mechanism, _)) if is("AUTH ") => self.current.add('C', &format!("AUTH {mechanism} …")),
            _ => self.current.add('C', line),
        }
    }

    /// Notes a line of the message, of which only the size is kept, and `is_last` with its end.
    pub(crate) fn data(&mut self, line: &[u8], is_last: bool) {
        self.octets += line.len();
        if is_last {
            let octets = std::mem::take(&mut self.octets) - line.len();
            self.current.add('C', &format!("… the message, {octets} octets …"));
            self.current.add('C', ".");
        }
    }

    /// Notes a reply, of one or more lines.
    pub(crate) fn reply(&self, reply: &[u8]) {
        self.current.add('S', &String::from_utf8_lossy(reply));
    }

    /// Notes what else the server did.
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
        recorder.command(b"AUTH PLAIN AGEAc2VjcmV0\r\n");
        recorder.reply(b"235 ok\r\n");
        let mut stored = Vec::new();
        for to in ["a", "b"] {
            recorder.command(format!("MAIL FROM:<o@bank.example>\r\nRCPT TO:<{to}>\r\n").as_bytes());
            recorder.data(b"Subject: x\r\n", false);
            stored.push(recorder.current());
            recorder.data(b".\r\n", true);
            recorder.reply(b"250-one\r\n250 two\r\n");
        }
        let expected = |to| {
            format!(
                "S: 220 inbox\nC: AUTH PLAIN …\nS: 235 ok\nC: MAIL FROM:<o@bank.example>\nC: RCPT TO:<{to}>\n\
                 C: … the message, 12 octets …\nC: .\nS: 250-one\nS: 250 two\n"
            )
        };
        assert_eq!(stored.iter().map(Transcript::text).collect::<Vec<_>>(), ["a", "b"].map(expected));
    }
}
