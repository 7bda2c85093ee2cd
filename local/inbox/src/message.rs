//! The messages that arrived.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use mail_parser::MessageParser;
use mail_parser::decoders::html::html_to_text;
use serde::Serialize;

use crate::transcript::Transcript;

/// Maximum number of stored messages; the oldest are removed first.
const MAX_MESSAGES: usize = 200_000;

/// A message, as the API returns it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Mail {
    #[serde(flatten)]
    pub entry: Arc<Entry>,
    /// The plain text, decoded.
    pub text: String,
    /// The HTML, decoded.
    pub html: String,
    /// All headers in their original order.
    pub headers: Vec<Header>,
}

/// What is kept of a message: what lists show, and the raw message. The rest is read from that when it is asked for, so that a
/// hundred thousand messages take little more than their own size.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
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
    /// When the whole message had been received.
    pub received_at: Timestamp,
    /// The raw message.
    #[serde(skip)]
    pub raw: Box<[u8]>,
    /// The conversation that brought it.
    #[serde(skip)]
    pub transcript: Transcript,
}

/// A message in a list: without its body.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Listed {
    /// What is kept of it.
    #[serde(flatten)]
    pub entry: Arc<Entry>,
    /// Its first words, as the list of a mail program shows them: the preheader, or else the text.
    pub start: String,
    /// The language in `Content-Language`. Empty if there is none.
    pub language: String,
}

impl Entry {
    fn is_wanted(&self, Wanted { find, to, .. }: &Wanted) -> bool {
        let name = self.from_name.as_deref().unwrap_or_default();
        let is_found = find.is_empty()
            || [&self.to, &self.subject, &self.from, name].iter().any(|text| text.to_lowercase().contains(find));
        is_found && self.to.ends_with(to)
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
    /// Only messages whose recipient's address ends with it. Empty: all.
    pub to: String,
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
    entries: VecDeque<Arc<Entry>>,
}

impl Messages {
    /// Stores a message.
    pub fn store(&self, sender: &str, recipients: &[String], raw: Vec<u8>, transcript: Transcript) {
        let mut entry = read(sender, recipients, raw, transcript);
        let mut stored = self.lock();
        stored.last_id += 1;
        entry.id = stored.last_id;
        stored.entries.push_back(Arc::new(entry));
        if stored.entries.len() > MAX_MESSAGES {
            stored.entries.pop_front();
        }
    }

    /// All messages, newest first.
    pub fn all(&self) -> Vec<Mail> {
        let all = Wanted { limit: usize::MAX, before: None, find: String::new(), to: String::new() };
        self.newest(&all).1.into_iter().map(Mail::from).collect()
    }

    /// The number of all stored messages, and those that are wanted, newest first.
    pub fn newest(&self, wanted: &Wanted) -> (usize, Vec<Arc<Entry>>) {
        let wanted = Wanted { find: wanted.find.to_lowercase(), ..wanted.clone() };
        let (total, candidates) = {
            let stored = self.lock();
            let is_older = |entry: &Arc<Entry>| wanted.before.is_some_and(|id| entry.id < id);
            let end = wanted.before.map_or(stored.entries.len(), |_| stored.entries.partition_point(is_older));
            (stored.entries.len(), stored.entries.range(..end).rev().cloned().collect::<Vec<_>>())
        };
        // Messages go on arriving while they are searched.
        (total, candidates.into_iter().filter(|entry| entry.is_wanted(&wanted)).take(wanted.limit).collect())
    }

    /// The message with this id.
    pub fn get(&self, id: u64) -> Option<Mail> {
        let stored = self.lock();
        let found = stored.entries.binary_search_by_key(&id, |entry| entry.id).ok()?;
        stored.entries.get(found).cloned().map(Mail::from)
    }

    /// Deletes all messages.
    pub fn clear(&self) {
        self.lock().entries.clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Stored> {
        self.0.lock().expect("no code panics while holding this lock")
    }
}

fn read(sender: &str, recipients: &[String], raw: Vec<u8>, transcript: Transcript) -> Entry {
    let parsed = MessageParser::default().parse_headers(&raw);
    let author = parsed.as_ref().and_then(|mail| mail.from()).and_then(|header| header.first());
    Entry {
        id: 0,
        from: author.and_then(|addr| addr.address()).unwrap_or(sender).to_owned(),
        from_name: author.and_then(|addr| addr.name()).map(str::to_owned),
        to: recipients.join(", "),
        subject: parsed.as_ref().and_then(|mail| mail.subject()).unwrap_or_default().to_owned(),
        received_at: Timestamp::now(),
        raw: raw.into(),
        transcript,
    }
}

impl From<Arc<Entry>> for Mail {
    fn from(entry: Arc<Entry>) -> Self {
        let parsed = MessageParser::default().parse(&*entry.raw);
        let body =
            |get: fn(&mail_parser::Message<'_>) -> Option<String>| parsed.as_ref().and_then(get).unwrap_or_default();
        let text = body(|mail| mail.body_text(0).map(std::borrow::Cow::into_owned));
        let html = body(|mail| mail.body_html(0).map(std::borrow::Cow::into_owned));
        let headers = parsed.as_ref().map(|mail| {
            mail.headers_raw()
                .map(|(name, value)| Header { name: name.to_owned(), value: value.trim().to_owned() })
                .collect()
        });
        let headers = headers.unwrap_or_default();
        Self { entry, text, html, headers }
    }
}

/// How many characters of a message a list shows.
const START: usize = 140;
/// What begins another line, where words end as well.
const BLOCKS: [&str; 6] = ["<p", "<div", "<td", "<li", "<h", "<br"];

impl From<Arc<Entry>> for Listed {
    fn from(entry: Arc<Entry>) -> Self {
        let parsed = MessageParser::default().parse(&*entry.raw);
        let language = parsed.as_ref().and_then(|mail| Some(mail.header_raw("Content-Language")?.trim().to_owned()));
        let html = parsed.as_ref().and_then(|mail| mail.body_html(0)).unwrap_or_default();
        let text =
            html_to_text(&BLOCKS.iter().fold(html.into_owned(), |html, tag| html.replace(tag, &format!(" {tag}"))));
        Self { start: start(&text), language: language.unwrap_or_default(), entry }
    }
}

/// The first words of a text, to where invisible characters keep the rest of it out of lists, as after a preheader.
fn start(text: &str) -> String {
    let is_invisible = |c: char| matches!(c, '\u{34f}' | '\u{ad}' | '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}');
    let is_space = |c: char| c.is_whitespace() || is_invisible(c);
    let mut words = Vec::new();
    let mut rest = text.trim_start_matches(is_space);
    while !rest.is_empty() {
        let end = rest.find(is_space).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        words.push(word);
        rest = after.trim_start_matches(is_space);
        let gap = &after[..after.len() - rest.len()];
        // The padding of a preheader, however much there is room for.
        if gap.contains("\u{34f}\u{200c}") {
            break;
        }
    }
    words.join(" ").chars().take(START).collect()
}

#[cfg(test)]
mod tests {
    use super::{Listed, Messages, Wanted};
    use crate::Transcript;

    /// Five messages from Café, to `c1@a.example` and so on.
    fn five() -> Messages {
        let messages = Messages::default();
        for n in 1..=5 {
            let mail = format!("From: =?utf-8?q?Caf=C3=A9?= <offers@bank.example>\r\nSubject: Number {n}\r\n\r\nHello");
            messages.store(
                "bounces@bank.example",
                &[format!("c{n}@a.example")],
                mail.into_bytes(),
                Transcript::default(),
            );
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
            let (total, found) = messages.newest(&Wanted { limit, before, find: find.to_owned(), to: String::new() });
            let ids: Vec<_> = found.iter().map(|mail| mail.id).collect();
            assert_eq!((total, ids), (5, wanted), "{limit} {before:?} {find}");
        }
    }

    #[test]
    fn a_list_shows_the_first_words_as_mail_programs_do() {
        let messages = Messages::default();
        let padded = format!("Content-Type: text/html\r\n\r\n<div>Only now{}</div><p>Bank</p>", "&#847;&zwnj;&nbsp;");
        for body in [
            &padded,
            "Content-Type: text/html\r\nContent-Language: de\r\n\r\n<head><title>no</title><style>p{}</style></head>\
             <div>Only&shy;&nbsp;now</div><p>Get <b>5%</b></p><!-- no -->",
            "\r\nOnly now\r\n\r\nGet 5%\r\n",
        ] {
            let mail = format!("Subject: a\r\n{body}").into_bytes();
            messages.store("o@bank.example", &["a@b.example".to_owned()], mail, Transcript::default());
        }
        let all = Wanted { limit: 9, before: None, find: String::new(), to: String::new() };
        let listed: Vec<_> = messages.newest(&all).1.into_iter().map(Listed::from).collect();
        let starts: Vec<_> = listed.iter().map(|mail| (mail.start.as_str(), mail.language.as_str())).collect();
        assert_eq!(starts, [("Only now Get 5%", ""), ("Only now Get 5%", "de"), ("Only now", "")]);
    }

    #[test]
    fn the_name_of_the_sender_is_decoded() {
        let mail = five().get(1).unwrap().entry;
        assert_eq!((mail.from.as_str(), mail.from_name.as_deref()), ("offers@bank.example", Some("Café")));
    }
}
