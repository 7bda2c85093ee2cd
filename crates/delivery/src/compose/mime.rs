//! E-mails as MIME.

use data_encoding::HEXLOWER;
use lettre::Message;
use lettre::message::header::{Header, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use sha2::{Digest, Sha256};

use super::letterhead::Content;

/// An e-mail, as every transport takes it.
#[derive(Debug)]
pub struct Email {
    /// The message itself.
    pub message: Message,
    /// What a transport that tells later what became of it brings back: names and values of letters, digits, `-` and `_`.
    pub tags: Vec<(&'static str, String)>,
}

/// Who an e-mail is from and to, and what it says.
#[derive(Debug)]
pub struct EmailDraft<'a> {
    /// From whom.
    pub from: &'a Mailbox,
    /// Whom an answer goes to.
    pub reply_to: &'a Mailbox,
    /// To whom: one mailbox, always.
    pub to: Mailbox,
    /// What it says.
    pub content: Content,
    /// Names the message for ever: the same for every attempt at it.
    pub message_id: String,
    /// Where the reader unsubscribes, if it is mail that one can unsubscribe from.
    pub unsubscribe_url: Option<String>,
}

/// Where a mail program unsubscribes its reader (RFC 2369).
#[derive(Debug, Clone)]
struct ListUnsubscribe(String);

/// That it may do so with one POST, without asking anybody (RFC 8058).
#[derive(Debug, Clone)]
struct ListUnsubscribePost;

type HeaderError = Box<dyn std::error::Error + Send + Sync>;

impl Header for ListUnsubscribe {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("List-Unsubscribe")
    }

    fn parse(value: &str) -> Result<Self, HeaderError> {
        Ok(Self(value.trim_matches(['<', '>']).to_owned()))
    }

    fn display(&self) -> HeaderValue {
        // As it is, on one line: folded, it has broken signatures (DKIM) on the way.
        let value = format!("<{}>", self.0);
        HeaderValue::dangerous_new_pre_encoded(Self::name(), value.clone(), value)
    }
}

impl Header for ListUnsubscribePost {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("List-Unsubscribe-Post")
    }

    fn parse(_: &str) -> Result<Self, HeaderError> {
        Ok(Self)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "List-Unsubscribe=One-Click".to_owned())
    }
}

impl EmailDraft<'_> {
    /// The message: plain text and HTML, the reader's program chooses.
    ///
    /// # Errors
    /// If it cannot be written as MIME. The text names no address.
    pub fn message(self) -> Result<Message, String> {
        let Content { subject, text, html } = self.content;
        let mut message = Message::builder()
            .from(self.from.clone())
            .reply_to(self.reply_to.clone())
            .to(self.to)
            .subject(subject)
            .message_id(Some(self.message_id))
            .date_now();
        if let Some(url) = self.unsubscribe_url {
            message = message.header(ListUnsubscribe(url)).header(ListUnsubscribePost);
        }
        message
            .multipart(MultiPart::alternative_plain_html(text, html))
            .map_err(|error| format!("the e-mail cannot be written: {error}"))
    }
}

/// A `Message-ID` that depends on `what` alone and tells nothing of it.
pub fn message_id(what: &str, from: &Mailbox) -> String {
    let digest = Sha256::digest(what);
    format!("<{}@{}>", HEXLOWER.encode(&digest[..16]), from.email.domain())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_id_is_the_same_for_every_attempt() {
        let from: Mailbox = "offers@bank.example".parse().unwrap();
        assert_eq!(message_id("a#1", &from), message_id("a#1", &from));
        assert_ne!(message_id("a#1", &from), message_id("a#2", &from));
        assert!(message_id("a#1", &from).ends_with("@bank.example>"));
    }
}
