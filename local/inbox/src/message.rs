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
        self.newest(usize::MAX).1
    }

    /// The total number, and up to `limit` messages, newest first.
    pub fn newest(&self, limit: usize) -> (usize, Vec<Arc<Mail>>) {
        let stored = self.lock();
        (stored.mails.len(), stored.mails.iter().rev().take(limit).cloned().collect())
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
    let address = |header: Option<&mail_parser::Address<'_>>| {
        header.and_then(|header| header.first()).and_then(|addr| addr.address()).map(str::to_owned)
    };
    let headers = parsed.as_ref().map(|mail| {
        mail.headers_raw()
            .map(|(name, value)| Header { name: name.to_owned(), value: value.trim().to_owned() })
            .collect()
    });
    Mail {
        id: 0,
        from: parsed.as_ref().and_then(|mail| address(mail.from())).unwrap_or_else(|| sender.to_owned()),
        to: recipients.join(", "),
        subject: body(|mail| mail.subject().map(str::to_owned)),
        text: body(|mail| mail.body_text(0).map(std::borrow::Cow::into_owned)),
        html: body(|mail| mail.body_html(0).map(std::borrow::Cow::into_owned)),
        headers: headers.unwrap_or_default(),
        received_at: Timestamp::now(),
        raw: raw.into(),
    }
}
