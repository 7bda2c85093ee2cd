//! The headers of an e-mail, so encoded that every reader shows their text as it was written.
//!
//! `lettre` has encoders of its own. They leave a long word in one line, and text that looks like an encoded word
//! (RFC 2047) as it is, which readers then decode.

use std::fmt::Write;

use domain::email_address::is_atom_byte;
use email_encoding::headers::rfc2047;
use email_encoding::headers::writer::EmailWriter;
use lettre::message::header::{Header, HeaderName, HeaderValue};

use super::mailbox::Mailbox;

/// The longest word that is not encoded, in octets: with the longest header name, a line stays below the 78 that
/// RFC 5322, 2.1.1, recommends.
const WORD_LIMIT: usize = 60;
/// The beginning of an encoded word (RFC 2047, 2).
pub(super) const ENCODED: &str = "=?";

type HeaderError = Box<dyn std::error::Error + Send + Sync>;

/// The subject.
#[derive(Debug, Clone)]
pub(super) struct Subject(pub(super) String);

/// The sender.
#[derive(Debug, Clone)]
pub(super) struct From(pub(super) Mailbox);

/// Where replies go.
#[derive(Debug, Clone)]
pub(super) struct ReplyTo(pub(super) Mailbox);

/// The recipient.
#[derive(Debug, Clone)]
pub(super) struct To(pub(super) Mailbox);

/// The URL at which a mail program unsubscribes its user (RFC 2369).
#[derive(Debug, Clone)]
pub(super) struct ListUnsubscribe(pub(super) String);

/// Allows the mail program to do so with one POST, without a question (RFC 8058).
#[derive(Debug, Clone)]
pub(super) struct ListUnsubscribePost;

/// Which list a message belongs to (RFC 2919): the bank's offers. Mail programs sort by it.
#[derive(Debug, Clone)]
pub(super) struct ListId {
    /// The name that people see.
    pub(super) name: String,
    /// Of letters, digits, `-` and dots.
    pub(super) id: String,
}

/// What receivers count complaints by (Gmail's Feedback-ID): fields with `:` between them, the sender last.
#[derive(Debug, Clone)]
pub(super) struct FeedbackId(pub(super) String);

/// Keeps absence notices and other automatic replies away (RFC 3834, 5).
#[derive(Debug, Clone)]
pub(super) struct AutoSubmitted;

/// The language of the message (RFC 3282).
#[derive(Debug, Clone)]
pub(super) struct ContentLanguage(pub(super) String);

impl Header for Subject {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Subject")
    }

    fn parse(value: &str) -> Result<Self, HeaderError> {
        Ok(Self(value.to_owned()))
    }

    fn display(&self) -> HeaderValue {
        let encoded = written(Self::name(), |writer| write_text(&self.0, writer));
        HeaderValue::dangerous_new_pre_encoded(Self::name(), self.0.clone(), encoded)
    }
}

/// A header with one mailbox.
macro_rules! mailbox_header {
    ($kind:ident, $name:literal) => {
        impl Header for $kind {
            fn name() -> HeaderName {
                HeaderName::new_from_ascii_str($name)
            }

            fn parse(value: &str) -> Result<Self, HeaderError> {
                Ok(Self(value.parse()?))
            }

            fn display(&self) -> HeaderValue {
                let encoded = written(Self::name(), |writer| write_mailbox(&self.0, writer));
                // From the raw value, which is not sent, `lettre` takes the envelope.
                HeaderValue::dangerous_new_pre_encoded(Self::name(), self.0.address().to_owned(), encoded)
            }
        }
    };
}

mailbox_header!(From, "From");
mailbox_header!(ReplyTo, "Reply-To");
mailbox_header!(To, "To");

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

impl Header for ListId {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("List-Id")
    }

    fn parse(value: &str) -> Result<Self, HeaderError> {
        let (name, id) = value.rsplit_once('<').unwrap_or(("", value));
        Ok(Self { name: name.trim().to_owned(), id: id.trim_matches('>').to_owned() })
    }

    fn display(&self) -> HeaderValue {
        let encoded = written(Self::name(), |writer| write_named(&self.name, &self.id, writer));
        HeaderValue::dangerous_new_pre_encoded(Self::name(), self.id.clone(), encoded)
    }
}

/// A header whose value is always of ASCII and short.
macro_rules! token_header {
    ($kind:ident, $name:literal) => {
        impl Header for $kind {
            fn name() -> HeaderName {
                HeaderName::new_from_ascii_str($name)
            }

            fn parse(value: &str) -> Result<Self, HeaderError> {
                Ok(Self(value.to_owned()))
            }

            fn display(&self) -> HeaderValue {
                HeaderValue::new(Self::name(), self.0.clone())
            }
        }
    };
}

token_header!(FeedbackId, "Feedback-ID");
token_header!(ContentLanguage, "Content-Language");

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, HeaderError> {
        Ok(Self)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".to_owned())
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

fn written(name: HeaderName, write: impl FnOnce(&mut EmailWriter<'_>) -> std::fmt::Result) -> String {
    let mut encoded = String::new();
    let mut writer = EmailWriter::new(&mut encoded, name.len() + ": ".len(), 0, false);
    write(&mut writer).expect("writing into a string cannot fail");
    drop(writer);
    encoded
}

/// Writes unstructured text (RFC 5322, 3.2.5).
fn write_text(text: &str, writer: &mut EmailWriter<'_>) -> std::fmt::Result {
    if is_plain(text, |byte| byte.is_ascii_graphic()) {
        writer.folding().write_str(text)
    } else {
        rfc2047::encode(text, writer)
    }
}

fn write_mailbox(mailbox: &Mailbox, writer: &mut EmailWriter<'_>) -> std::fmt::Result {
    match mailbox.name() {
        Some(name) => write_named(name, mailbox.address(), writer),
        None => writer.write_str(mailbox.address()),
    }
}

/// Writes a phrase (RFC 5322, 3.2.5), and what it names in angle brackets.
fn write_named(name: &str, named: &str, writer: &mut EmailWriter<'_>) -> std::fmt::Result {
    if is_plain(name, is_atom_byte) {
        writer.folding().write_str(name)?;
    } else if is_quotable(name) {
        writer.write_str(&format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\"")))?;
    } else {
        rfc2047::encode(name, writer)?;
    }
    writer.space();
    writer.folding().write_str(&format!("<{named}>"))
}

/// Whether a text can stand as it is: words of `allowed` characters with single spaces between them, so that it can be
/// folded at any of them, and nothing that readers would decode.
fn is_plain(text: &str, allowed: impl Fn(u8) -> bool) -> bool {
    let is_word = |word: &str| !word.is_empty() && word.len() <= WORD_LIMIT && word.bytes().all(&allowed);
    text.split(' ').all(is_word) && !text.contains(ENCODED)
}

/// Whether a name can stand in quotes (RFC 5322, 3.2.4), where it is not folded.
fn is_quotable(name: &str) -> bool {
    let is_printable = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
    // Readers decode encoded words in quotes as well, although RFC 2047, 5, forbids it.
    name.trim() == name && name.len() <= WORD_LIMIT && name.bytes().all(is_printable) && !name.contains(ENCODED)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(text: &str) -> String {
        written(Subject::name(), |writer| write_text(text, writer))
    }

    fn to(name: &str) -> String {
        let mailbox = Mailbox::named(name.to_owned(), "a@b.example".parse().unwrap());
        written(To::name(), |writer| write_mailbox(&mailbox, writer))
    }

    #[test]
    fn plain_text_stays_readable_in_the_source() {
        assert_eq!(subject("Save Cash On Transactions"), "Save Cash On Transactions");
        assert_eq!(to("Asha Rao"), "Asha Rao <a@b.example>");
        assert_eq!(to("O'Hara, \"Jr.\""), r#""O'Hara, \"Jr.\"" <a@b.example>"#);
        assert_eq!(to(""), "a@b.example");
    }

    #[test]
    fn what_looks_like_an_encoded_word_is_encoded() {
        for text in ["=?utf-8?B?RlJFRQ==?=", "a=?utf-8?Q?=0D=0ABcc:_x@y.zz?=", "what=?"] {
            assert!(!subject(text).contains(text), "{text}");
            assert!(!to(text).contains(text), "{text}");
        }
    }

    #[test]
    fn encoded_words_and_lines_are_short_and_cut_between_characters() {
        for text in ["x".repeat(1_500), "🎁".repeat(400), "é".repeat(399), "مرحبا ".repeat(60), " ".repeat(1_200)]
        {
            for header in [format!("Subject: {}", subject(&text)), format!("To: {}", to(&text))] {
                assert!(header.split("\r\n").all(|line| line.len() <= 78 && !line.trim().is_empty()), "{header}");
                for word in header.split(' ').filter_map(|word| word.trim().strip_prefix("=?utf-8?b?")) {
                    // RFC 2047, 2: 75 octets in all; 5: each has whole characters.
                    assert!(word.len() <= 65, "{word}");
                    let word = word.strip_suffix("?=").unwrap();
                    assert!(String::from_utf8(data_encoding::BASE64.decode(word.as_bytes()).unwrap()).is_ok());
                }
            }
        }
    }
}
