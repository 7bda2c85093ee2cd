//! An e-mail as a MIME message, with its headers.

use data_encoding::HEXLOWER;
use domain::OfferId;
use lettre::message::header::{ContentTransferEncoding, ContentType, MessageId};
use lettre::message::{Body, MessageBuilder, MultiPart, SinglePart};
use lettre::{Address, Message};
use sha2::{Digest, Sha256};

use super::headers::{
    AutoSubmitted, ContentLanguage, FeedbackId, From, ListId, ListUnsubscribe, ListUnsubscribePost, ReplyTo, Subject,
    To,
};
use super::letterhead::Content;
use super::mailbox::Mailbox;

/// The most octets of a line, without its end (RFC 5322, 2.1.1).
const LINE_LIMIT: usize = 998;

/// An e-mail, ready for any transport: its octets are those that every transport sends.
pub struct Email {
    bytes: Vec<u8>,
    sender: Address,
    recipient: Address,
    message_id: String,
    /// The envelope's sender, to which the servers on the way send reports of failure. `None`: the sender of the message.
    /// SES has its own.
    pub return_path: Option<Address>,
    /// Names and values that come back with delivery events, where the transport has them. Letters, digits, `-` and
    /// `_`.
    pub tags: Vec<(&'static str, String)>,
}

/// Why a message cannot be sent. No encoding that is used here leads to one of the octets; so this protects from
/// encoders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEmail {
    /// It does not have one sender and one recipient.
    #[error("the message does not have one sender and one recipient")]
    Envelope,
    /// A line is too long: servers may cut it, or refuse the message (RFC 5322, 2.1.1).
    #[error("the message has a line of more than {LINE_LIMIT} octets")]
    Line,
    /// A carriage return or line feed stands alone, which servers read in different ways (RFC 5322, 2.3).
    #[error("the message has a carriage return or a line feed that stands alone")]
    LineBreak,
    /// An octet is neither printable ASCII nor a tab. Not every server takes others.
    #[error("the message has an octet that is not printable ASCII")]
    Octet,
}

impl Email {
    /// The e-mail of a message, with neither a return path of its own nor tags.
    ///
    /// # Errors
    /// If servers would not accept the message, or change it.
    pub fn new(message: &Message) -> Result<Self, InvalidEmail> {
        let envelope = message.envelope();
        let (Some(sender), [recipient]) = (envelope.from(), envelope.to()) else {
            return Err(InvalidEmail::Envelope);
        };
        let bytes = message.formatted();
        check(&bytes)?;
        let message_id = message.headers().get::<MessageId>();
        Ok(Self {
            bytes,
            sender: sender.clone(),
            recipient: recipient.clone(),
            message_id: message_id.map(|id| id.as_ref().to_owned()).unwrap_or_default(),
            return_path: None,
            tags: Vec::new(),
        })
    }

    /// The message in MIME, with lines that end in CRLF.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The address in From:.
    pub fn sender(&self) -> &Address {
        &self.sender
    }

    /// The address in To:. Personal data: not for logs.
    pub fn recipient(&self) -> &Address {
        &self.recipient
    }

    /// The `Message-ID`, in angle brackets. Empty if there is none.
    pub fn message_id(&self) -> &str {
        &self.message_id
    }
}

/// Without its content, so that no address is logged by accident.
impl std::fmt::Debug for Email {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Email").field("message_id", &self.message_id).finish_non_exhaustive()
    }
}

/// Checks that every server accepts the octets of a message as they are.
fn check(bytes: &[u8]) -> Result<(), InvalidEmail> {
    if !bytes.is_ascii() {
        return Err(InvalidEmail::Octet);
    }
    // A text finds the ends of its lines many octets at a time.
    let text = std::str::from_utf8(bytes).expect("ASCII is UTF-8");
    for line in text.split_inclusive('\n') {
        let line = match line.strip_suffix('\n') {
            Some(line) => line.strip_suffix('\r').ok_or(InvalidEmail::LineBreak)?,
            // The last one need not end.
            None => line,
        };
        if line.len() > LINE_LIMIT {
            return Err(InvalidEmail::Line);
        }
        let is_allowed = |byte: u8| matches!(byte, b'\t' | b' '..=b'~');
        // To the end of the line, so that many octets are compared at a time.
        if !line.bytes().fold(true, |all, byte| all & is_allowed(byte)) {
            let first = line.bytes().find(|byte| !is_allowed(*byte));
            return Err(if first == Some(b'\r') { InvalidEmail::LineBreak } else { InvalidEmail::Octet });
        }
    }
    Ok(())
}

/// The headers that all e-mails of a sender have in common, encoded once.
#[derive(Debug, Clone)]
pub struct CommonHeaders(MessageBuilder);

impl CommonHeaders {
    /// Of e-mails from this sender, with replies to `reply_to`.
    pub fn new(from: Mailbox, reply_to: Mailbox) -> Self {
        Self(Message::builder().header(From(from)).header(ReplyTo(reply_to)).header(AutoSubmitted))
    }

    /// With the list that they belong to, by which mail programs sort: its name, such as that of the bank, and its identifier
    /// (RFC 2919), from [`list_id`].
    #[must_use]
    pub fn of_list(self, name: String, id: String) -> Self {
        Self(self.0.header(ListId { name, id }))
    }
}

/// The parts of an e-mail.
#[derive(Debug)]
pub struct EmailDraft<'a> {
    /// What it has in common with the others of its sender.
    pub headers: &'a CommonHeaders,
    /// The recipient; always one.
    pub to: Mailbox,
    /// Subject and body.
    pub content: Content,
    /// The `Message-ID`, the same for every attempt at this message.
    pub message_id: String,
    /// Where the recipient unsubscribes: a URL of printable ASCII, at most [`UNSUBSCRIBE_URL_LIMIT`] long. `None` for
    /// mail that is not a subscription.
    pub unsubscribe_url: Option<String>,
    /// The key by which receivers count complaints: from [`feedback_id`]. `None` for mail to one person.
    pub feedback_id: Option<String>,
}

/// Maximum length of a list's identifier, in octets (RFC 2919, 3).
const LIST_ID_LIMIT: usize = 255;

/// The identifier of the list of a bank's offers, within its domain (RFC 2919, 2).
pub fn list_id(from: &Mailbox) -> String {
    let id = format!("offers.{}", from.domain());
    if id.len() <= LIST_ID_LIMIT { id } else { from.domain().to_owned() }
}

/// The length of the sender's part of a Feedback-ID that Gmail takes, in characters.
const SENDER_ID: std::ops::RangeInclusive<usize> = 5..=15;

/// The Feedback-ID of an offer's messages, `<offer>:<sender>`: Gmail shows a sender which offers are reported as spam
/// (<https://support.google.com/mail/answer/6254652>). The sender is named after the stack, which has letters, digits and
/// `-`. Nothing in it says who the customer is.
pub fn feedback_id(offer: OfferId, stack: &str) -> String {
    let sender: String = stack.chars().take(*SENDER_ID.end()).collect();
    let end = if sender.len() < *SENDER_ID.start() { "-offers" } else { "" };
    format!("{offer}:{sender}{end}")
}

/// Maximum length of an unsubscribe link, in characters. Its header is one line, since it is not folded.
pub const UNSUBSCRIBE_URL_LIMIT: usize = 900;
const _: () = assert!("List-Unsubscribe: <>".len() + UNSUBSCRIBE_URL_LIMIT <= LINE_LIMIT);

impl EmailDraft<'_> {
    /// Builds the e-mail with plain text and HTML as alternatives.
    ///
    /// # Errors
    /// If it cannot be represented as MIME. The text names no address.
    pub fn email(self) -> Result<Email, String> {
        let Content { subject, text, html, language } = self.content;
        let CommonHeaders(common) = self.headers.clone();
        let mut message = common
            .header(To(self.to))
            .header(Subject(subject))
            .message_id(Some(self.message_id))
            .date_now()
            .header(ContentLanguage(language.to_string()));
        if let Some(url) = self.unsubscribe_url {
            message = message.header(ListUnsubscribe(url)).header(ListUnsubscribePost);
        }
        if let Some(feedback_id) = self.feedback_id {
            message = message.header(FeedbackId(feedback_id));
        }
        let message = message
            .multipart(
                MultiPart::alternative()
                    .singlepart(part(ContentType::TEXT_PLAIN, &text))
                    .singlepart(part(ContentType::TEXT_HTML, &html)),
            )
            .map_err(|error| format!("the e-mail cannot be built: {error}"))?;
        Email::new(&message).map_err(|error| error.to_string())
    }
}

/// The most octets of a line of a part that is sent as it is. Servers have been seen to break lines of 990.
const PLAIN_LINE_LIMIT: usize = 900;

/// A part of the message. `lettre` would encode it for any line of more than 76 octets, as HTML has, which makes it longer
/// and takes longer than laying it out.
fn part(content_type: ContentType, text: &str) -> SinglePart {
    let is_plain = text.is_ascii() && text.split('\n').all(|line| line.len() <= PLAIN_LINE_LIMIT);
    let text = with_crlf(text);
    let part = SinglePart::builder().header(content_type);
    if is_plain {
        part.body(Body::dangerous_pre_encoded(text.into_bytes(), ContentTransferEncoding::SevenBit))
    } else {
        part.body(text)
    }
}

/// Ends lines with CRLF. `lettre` does so as well, but moves all that follows for each line.
fn with_crlf(text: &str) -> String {
    text.replace('\n', "\r\n")
}

/// A `Message-ID` that is derived from `what` and does not disclose it.
pub fn message_id(what: &str, from: &Mailbox) -> String {
    let digest = Sha256::digest(what);
    format!("<{}@{}>", HEXLOWER.encode(&digest[..16]), from.domain())
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

    #[test]
    fn part_is_sent_as_it_is_if_servers_leave_it_so() {
        for (text, encoding) in [
            ("Hello\n.\n".to_owned(), "7bit"),
            (format!("a\n{}\n", "x".repeat(PLAIN_LINE_LIMIT)), "7bit"),
            (format!("a\n{}y\n", "x".repeat(PLAIN_LINE_LIMIT)), "quoted-printable"),
            ("Gr\u{fc}\u{df}e und mehr".to_owned(), "quoted-printable"),
            ("\u{645}\u{631}\u{62d}\u{628}\u{627}".to_owned(), "base64"),
        ] {
            let part = String::from_utf8(part(ContentType::TEXT_PLAIN, &text).formatted()).unwrap();
            assert!(part.contains(&format!("Content-Transfer-Encoding: {encoding}\r\n")), "{part}");
        }
    }

    #[test]
    fn list_has_a_name_within_the_senders_domain() {
        let of = |domain: &str| list_id(&format!("a@{domain}").parse().unwrap());
        assert_eq!(of("mail.bank.example"), "offers.mail.bank.example");
        let label = "a".repeat(61);
        let long = format!("{label}.{label}.{label}.{}.example", "a".repeat(58));
        assert!(of(&long).len() <= LIST_ID_LIMIT, "{}", of(&long).len());
    }

    #[test]
    fn complaints_are_counted_by_offer_and_stack() {
        let offer: OfferId = testing::OFFER.parse().unwrap();
        for (stack, sender) in [
            ("offercast", "offercast"),
            ("dev", "dev-offers"),
            ("offercast-production", "offercast-produ"),
            ("", "-offers"),
        ] {
            assert_eq!(feedback_id(offer, stack), format!("{offer}:{sender}"));
            assert!(SENDER_ID.contains(&sender.len()));
        }
    }

    #[test]
    fn what_servers_would_change_or_refuse_is_no_email() {
        let long = format!("Subject: {}", "x".repeat(LINE_LIMIT - 9));
        for (bytes, expected) in [
            ("A: b\r\n\r\nHello\r\n.\r\n", Ok(())),
            ("A: b\r\n\r\nno end", Ok(())),
            (&format!("{long}\r\n\r\n\tb"), Ok(())),
            (&format!("{long}y\r\n\r\nb"), Err(InvalidEmail::Line)),
            ("A: b\r\n\r\nHi\r.\r\n", Err(InvalidEmail::LineBreak)),
            ("A: b\r\n\r\nHi\n", Err(InvalidEmail::LineBreak)),
            ("A: b\r\n\r\nHi\r", Err(InvalidEmail::LineBreak)),
            ("A: b\r\n\r\n\r\r\n", Err(InvalidEmail::LineBreak)),
            ("A: b\r\n\r\nHi\0\r\n", Err(InvalidEmail::Octet)),
            ("A: \u{e9}\r\n\r\n", Err(InvalidEmail::Octet)),
        ] {
            assert_eq!(check(bytes.as_bytes()), expected, "{bytes:?}");
        }
    }
}
