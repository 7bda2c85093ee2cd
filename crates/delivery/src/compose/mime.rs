//! An e-mail as a MIME message, with its headers.

use data_encoding::HEXLOWER;
use lettre::message::header::{Header, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::{Address, Message};
use sha2::{Digest, Sha256};

use super::letterhead::Content;

/// An e-mail, ready for any transport.
#[derive(Debug)]
pub struct Email {
    /// The MIME message.
    pub message: Message,
    /// The envelope's sender, to which the servers on the way send reports of failure. `None`: the sender of the message.
    /// SES has its own.
    pub return_path: Option<Address>,
    /// Names and values that come back with delivery events, where the transport has them. Letters, digits, `-` and
    /// `_`.
    pub tags: Vec<(&'static str, String)>,
}

/// The parts of an e-mail.
#[derive(Debug)]
pub struct EmailDraft<'a> {
    /// The sender.
    pub from: &'a Mailbox,
    /// Where replies go.
    pub reply_to: &'a Mailbox,
    /// The recipient; always one.
    pub to: Mailbox,
    /// Subject and body.
    pub content: Content,
    /// The `Message-ID`, the same for every attempt at this message.
    pub message_id: String,
    /// Where the recipient unsubscribes. `None` for mail that is not a subscription.
    pub unsubscribe_url: Option<String>,
}

/// The URL at which a mail program unsubscribes its user (RFC 2369).
#[derive(Debug, Clone)]
struct ListUnsubscribe(String);

/// Allows the mail program to do so with one POST, without a question (RFC 8058).
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
        // Not folded: relays have changed folded lines and so broken DKIM signatures.
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
    /// Builds the message with plain text and HTML as alternatives.
    ///
    /// # Errors
    /// If it cannot be represented as MIME. The text names no address.
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
            .map_err(|error| format!("the e-mail cannot be built: {error}"))
    }
}

/// A `Message-ID` that is derived from `what` and does not disclose it.
pub fn message_id(what: &str, from: &Mailbox) -> String {
    let digest = Sha256::digest(what);
    format!("<{}@{}>", HEXLOWER.encode(&digest[..16]), from.email.domain())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_id_is_the_same_for_every_attempt() {
        let from: Mailbox = "offers@bank.example".parse().unwrap();
        assert_eq!(message_id("a#1", &from), message_id("a#1", &from));
        assert_ne!(message_id("a#1", &from), message_id("a#2", &from));
        assert!(message_id("a#1", &from).ends_with("@bank.example>"));
    }
}
