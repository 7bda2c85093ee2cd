//! The messages that arrived.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use mail_parser::MessageParser;
use serde::Serialize;

/// Maximum number of stored messages; the oldest are removed first.
const MAX_MESSAGES: usize = 200_000;

/// A message, as the API returns it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Mail {
    /// Consecutive, from 1.
    pub id: u64,
    /// The sender's address from the `From` header, or else from the envelope.
    pub from: String,
    /// The sender's decoded name from the `From` header, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_name: Option<String>,
    /// The recipients' addresses from the envelope, which are the real ones.
    pub to: String,
    /// The decoded subject.
    pub subject: String,
    /// The plain text, decoded.
    pub text: String,
    /// The HTML, decoded.
    pub html: String,
    /// All headers in their original order.
    pub headers: Vec<Header>,
    /// When the whole message had been received.
    pub received_at: Timestamp,
    /// The raw message.
    #[serde(skip)]
    pub raw: Arc<[u8]>,
}

impl Mail {
    /// Whether its addresses, the sender's name or the subject contain this lower-case text.
    fn contains(&self, find: &str) -> bool {
        let name = self.from_name.as_deref().unwrap_or_default();
        find.is_empty()
            || [&self.to, &self.subject, &self.from, name].iter().any(|text| text.to_lowercase().contains(find))
    }
}

/// Which messages to list.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// At most so many.
    pub limit: usize,
    /// Only messages that arrived before the one with this id.
    pub before: Option<u64>,
    /// Only messages whose addresses or subject contain it, in upper or lower case. Empty: all.
    pub find: String,
}

/// A raw header.
#[derive(Debug, Clone, Serialize)]
pub struct Header {
    /// The name as received.
    pub name: String,
    /// The value, neither unfolded nor decoded.
    pub value: String,
}

/// The stored messages. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Messages(Arc<Mutex<Stored>>);

#[derive(Debug, Default)]
struct Stored {
    last_id: u64,
    mails: VecDeque<Arc<Mail>>,
}

impl Messages {
    /// Stores a message.
    pub fn store(&self, sender: &str, recipients: &[String], raw: Vec<u8>) {
        let mut mail = read(sender, recipients, raw);
        let mut stored = self.lock();
        stored.last_id += 1;
        mail.id = stored.last_id;
        stored.mails.push_back(Arc::new(mail));
        if stored.mails.len() > MAX_MESSAGES {
            stored.mails.pop_front();
        }
    }

    /// All messages, newest first.
    pub fn all(&self) -> Vec<Arc<Mail>> {
        self.newest(&Wanted { limit: usize::MAX, before: None, find: String::new() }).1
    }

    /// The number of all stored messages, and those that are wanted, newest first.
    pub fn newest(&self, Wanted { limit, before, find }: &Wanted) -> (usize, Vec<Arc<Mail>>) {
        let find = find.to_lowercase();
        let stored = self.lock();
        let end = before.map_or(stored.mails.len(), |id| stored.mails.partition_point(|mail| mail.id < id));
        let found = stored.mails.range(..end).rev().filter(|mail| mail.contains(&find));
        (stored.mails.len(), found.take(*limit).cloned().collect())
    }

    /// The message with this id.
    pub fn get(&self, id: u64) -> Option<Arc<Mail>> {
        let stored = self.lock();
        let found = stored.mails.binary_search_by_key(&id, |mail| mail.id).ok()?;
        stored.mails.get(found).cloned()
    }

    /// Deletes all messages.
    pub fn clear(&self) {
        self.lock().mails.clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Stored> {
        self.0.lock().expect("no code panics while holding this lock")
    }
}

fn read(sender: &str, recipients: &[String], raw: Vec<u8>) -> Mail {
    let parsed = MessageParser::default().parse(&raw);
    let body = |get: fn(&mail_parser::Message<'_>) -> Option<String>| parsed.as_ref().and_then(get).unwrap_or_default();
    let author = parsed.as_ref().and_then(|mail| mail.from()).and_then(|header| header.first());
    let headers = parsed.as_ref().map(|mail| {
        mail.headers_raw()
            .map(|(name, value)| Header { name: name.to_owned(), value: value.trim().to_owned() })
            .collect()
    });
    Mail {
        id: 0,
        from: author.and_then(|addr| addr.address()).unwrap_or(sender).to_owned(),
        from_name: author.and_then(|addr| addr.name()).map(str::to_owned),
        to: recipients.join(", "),
        subject: body(|mail| mail.subject().map(str::to_owned)),
        text: body(|mail| mail.body_text(0).map(std::borrow::Cow::into_owned)),
        html: body(|mail| mail.body_html(0).map(std::borrow::Cow::into_owned)),
        headers: headers.unwrap_or_default(),
        received_at: Timestamp::now(),
        raw: raw.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Messages, Wanted};

    /// Five messages from Café, to `c1@a.example` and so on.
    fn five() -> Messages {
        let messages = Messages::default();
        for n in 1..=5 {
            let mail = format!("From: =?utf-8?q?Caf=C3=A9?= <offers@bank.example>\r\nSubject: Number {n}\r\n\r\nHello");
            messages.store("bounces@bank.example", &[format!("c{n}@a.example")], mail.into_bytes());
        }
        messages
    }

    #[test]
    fn messages_are_paged_through_and_searched_newest_first() {
        let messages = five();
        for (limit, before, find, wanted) in [
            (2, None, "", vec![5, 4]),
            (2, Some(4), "", vec![3, 2]),
            (2, Some(2), "", vec![1]),
            (2, Some(1), "", vec![]),
            (1, Some(99), "", vec![5]),
            (0, None, "", vec![]),
            (9, None, "number 3", vec![3]),
            (9, None, "C2@A", vec![2]),
            (2, Some(5), "CAFÉ", vec![4, 3]),
            (9, None, "Hello", vec![]),
        ] {
            let (total, found) = messages.newest(&Wanted { limit, before, find: find.to_owned() });
            let ids: Vec<_> = found.iter().map(|mail| mail.id).collect();
            assert_eq!((total, ids), (5, wanted), "{limit} {before:?} {find}");
        }
    }

    #[test]
    fn the_name_of_the_sender_is_decoded() {
        let mail = five().get(1).unwrap();
        assert_eq!((mail.from.as_str(), mail.from_name.as_deref()), ("offers@bank.example", Some("Café")));
    }
}
