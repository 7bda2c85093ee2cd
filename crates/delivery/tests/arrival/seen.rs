//! A message as a reader sees it.

use mail_parser::{HeaderValue, MessageParser};
use serde::Deserialize;

/// What arrives.
#[derive(Debug, Deserialize)]
pub(crate) struct Seen {
    pub(crate) subject: String,
    pub(crate) from: (String, String),
    pub(crate) to: (String, String),
    pub(crate) text: String,
    pub(crate) html: String,
    /// Name and identifier.
    pub(crate) list: (String, String),
    pub(crate) feedback_id: String,
    pub(crate) auto_submitted: String,
    pub(crate) content_language: String,
    /// In lower case, since some readers have spellings of their own.
    pub(crate) headers: Vec<String>,
    pub(crate) defects: Vec<String>,
}

impl Seen {
    /// By mail-parser.
    pub(crate) fn of(raw: &[u8]) -> Self {
        let mail = MessageParser::default().parse(raw).unwrap();
        let mailbox = |header: Option<&mail_parser::Address<'_>>| {
            let address = header.unwrap().first().unwrap();
            (address.name().unwrap_or_default().to_owned(), address.address().unwrap().to_owned())
        };
        let text = |name: &str| match mail.header(name) {
            Some(HeaderValue::Text(text)) => text.to_string(),
            Some(HeaderValue::ContentType(content)) => content.ctype().to_owned(),
            other => panic!("{name}: {other:?}"),
        };
        Self {
            subject: mail.subject().unwrap_or_default().to_owned(),
            from: mailbox(mail.from()),
            to: mailbox(mail.to()),
            text: mail.body_text(0).unwrap().into_owned(),
            html: mail.body_html(0).unwrap().into_owned(),
            list: mailbox(mail.list_id().as_address()),
            feedback_id: text("Feedback-ID"),
            auto_submitted: text("Auto-Submitted"),
            content_language: text("Content-Language"),
            headers: mail.headers().iter().map(|header| header.name().to_lowercase()).collect(),
            defects: Vec::new(),
        }
        .with_plain_breaks()
    }

    /// Lines end in CRLF on the wire. What remains may not have a bare one.
    pub(crate) fn with_plain_breaks(self) -> Self {
        let plain = |text: String| text.replace("\r\n", "\n");
        Self { text: plain(self.text), html: plain(self.html), ..self }
    }
}

impl Seen {
    /// With names without white space. Python keeps that between the encoded words of a name, which RFC 2047, 6.2,
    /// says to ignore, and shortens any other to one space.
    pub(crate) fn with_joined_names(self) -> Self {
        let joined = |(name, address): (String, String)| (name.split_whitespace().collect(), address);
        Self { from: joined(self.from), to: joined(self.to), list: joined(self.list), ..self }
    }

    /// Field by field, since the texts are long.
    pub(crate) fn assert_is(&self, expected: &Self, what: &str) {
        let lines = |seen: &Self| seen.headers.iter().chain(&seen.defects).cloned().collect::<Vec<_>>();
        assert_eq!(lines(self), lines(expected), "{what}");
        let pairs = |seen: &Self| [seen.from.clone(), seen.to.clone(), seen.list.clone()];
        assert_eq!(pairs(self), pairs(expected), "{what}");
        let short = |seen: &Self| {
            [&seen.subject, &seen.feedback_id, &seen.auto_submitted, &seen.content_language].map(Clone::clone)
        };
        assert_eq!(short(self), short(expected), "{what}");
        assert_eq!(self.text, expected.text, "{what}");
        assert_eq!(self.html, expected.html, "{what}");
    }
}
