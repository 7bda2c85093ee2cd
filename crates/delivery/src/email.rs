//! What an e-mail looks like. One [`lettre::Message`] serves every e-mail transport.

use std::sync::{Arc, Mutex};

use askama::Template;
use data_encoding::HEXLOWER;
use domain::unsubscribe::{KeyRing, Subscription};
use domain::{AddressHash, Channel, Customer, Offer};
use futures::future::BoxFuture;
use lettre::Message;
use lettre::address::AddressError;
use lettre::message::header::{Header, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use sha2::{Digest, Sha256};

use crate::transport::Compose;

/// An e-mail, as every transport takes it.
#[derive(Debug)]
pub struct Email {
    /// The message itself.
    pub message: Message,
    /// What a transport that tells later what became of it brings back: names and values of letters, digits, `-` and `_`.
    pub tags: Vec<(&'static str, String)>,
}

/// What an e-mail says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// One line.
    pub subject: String,
    /// Plain text.
    pub text: String,
    /// The same as HTML.
    pub html: String,
}

/// Who an e-mail is from and to, and what it says.
#[derive(Debug)]
pub struct Envelope<'a> {
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

#[derive(Template)]
#[template(path = "offer.html")]
struct Html<'a> {
    subject: &'a str,
    paragraphs: Vec<Vec<&'a str>>,
    brand_name: &'a str,
    postal_address: &'a str,
    unsubscribe_url: Option<&'a str>,
}

/// How the bank appears at the foot of an e-mail.
#[derive(Debug, Clone)]
pub struct Letterhead {
    /// The bank's name.
    pub brand_name: String,
    /// Its postal address, which marketing e-mail must show.
    pub postal_address: String,
}

impl Letterhead {
    /// An e-mail: `content` is plain text of any number of lines. One that can be unsubscribed from says how.
    ///
    /// # Errors
    /// If the layout fails.
    pub fn write(&self, subject: &str, content: &str, unsubscribe_url: Option<&str>) -> Result<Content, String> {
        let subject = one_line(subject);
        let html = Html {
            subject: &subject,
            paragraphs: paragraphs(content),
            brand_name: &self.brand_name,
            postal_address: &self.postal_address,
            unsubscribe_url,
        }
        .render()
        .map_err(|error| format!("the e-mail's layout failed: {error}"))?;
        let text = match unsubscribe_url {
            Some(url) => with_foot(content, self, url),
            None => content.to_owned(),
        };
        Ok(Content { subject, text, html })
    }

    /// An offer's e-mail to one customer.
    ///
    /// # Errors
    /// Says why it cannot be written to her, without her address or name.
    pub fn write_offer(&self, offer: &Offer, customer: &Customer, unsubscribe_url: &str) -> Result<Content, String> {
        let subject = offer.subject.render(customer).map_err(|error| format!("subject: {error}"))?;
        let content = offer.description.render(customer).map_err(|error| format!("description: {error}"))?;
        self.write(&subject, &content, Some(unsubscribe_url))
    }
}

impl Envelope<'_> {
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

/// The plain text of an offer: what there is to say, and below it who says so and how to hear no more.
fn with_foot(content: &str, letterhead: &Letterhead, unsubscribe_url: &str) -> String {
    let Letterhead { brand_name, postal_address } = letterhead;
    // Mail programs know the line of two hyphens as what parts a text from its foot (RFC 3676, 4.3).
    format!("{content}\n\n-- \n{brand_name}\n{postal_address}\n\nNo more offers by e-mail: {unsubscribe_url}\n")
}

/// Tells the ring of keys, or why it cannot. Asked before each batch.
pub type RingSource = Box<dyn Fn() -> BoxFuture<'static, Result<Arc<KeyRing>, String>> + Send + Sync>;

/// The unsubscribe links of e-mails.
pub struct Links {
    /// Where customers reach the API, without a slash at the end.
    base: String,
    source: RingSource,
    ring: Mutex<Option<Arc<KeyRing>>>,
}

impl std::fmt::Debug for Links {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Links").field("base", &self.base).finish_non_exhaustive()
    }
}

impl Links {
    /// To the API at `base`, signed with the keys that `source` tells.
    pub fn new(base: &str, source: RingSource) -> Self {
        Self { base: base.trim_end_matches('/').to_owned(), source, ring: Mutex::default() }
    }

    async fn prepare(&self) -> Result<(), String> {
        let ring = (self.source)().await?;
        *self.ring.lock().expect("nothing panics while it holds this") = Some(ring);
        Ok(())
    }

    fn to(&self, subscription: &Subscription) -> Option<String> {
        let ring = self.ring.lock().expect("nothing panics while it holds this").clone()?;
        Some(format!("{}/unsubscribe/{}", self.base, ring.sign(subscription)))
    }
}

/// Writes offers as e-mail.
#[derive(Debug)]
pub struct EmailComposer {
    from: Mailbox,
    reply_to: Mailbox,
    letterhead: Letterhead,
    links: Links,
}

impl EmailComposer {
    /// With the bank's own addresses: `offers@bank.example` or `A Bank <offers@bank.example>`.
    ///
    /// # Errors
    /// If one is no mailbox.
    pub fn new(from: &str, reply_to: &str, letterhead: Letterhead, links: Links) -> Result<Self, AddressError> {
        Ok(Self { from: from.parse()?, reply_to: reply_to.parse()?, letterhead, links })
    }

    /// How the bank appears.
    pub fn letterhead(&self) -> &Letterhead {
        &self.letterhead
    }
}

impl Compose for EmailComposer {
    type Message = Email;

    fn channel(&self) -> Channel {
        Channel::Email
    }

    fn address<'c>(&self, customer: &'c Customer) -> Option<&'c str> {
        customer.email.as_ref().map(domain::EmailAddress::as_str)
    }

    async fn prepare(&self) -> Result<(), String> {
        self.links.prepare().await
    }

    fn compose(&self, offer: &Offer, customer: &Customer) -> Result<Email, String> {
        let address = self.address(customer).unwrap_or_default();
        let link = self.links.to(&Subscription {
            customer: customer.id.clone(),
            channel: Channel::Email,
            address: AddressHash::of(Channel::Email, address),
        });
        let unsubscribe_url = link.ok_or("there are no keys to sign its unsubscribe link with")?;
        let address = address.parse().map_err(|_| "the e-mail address cannot be written in a header".to_owned())?;
        let message_id = message_id(&format!("{}#{}", offer.id, customer.id), &self.from);
        let message = Envelope {
            from: &self.from,
            reply_to: &self.reply_to,
            to: Mailbox::new(Some(one_line(&customer.name)), address),
            content: self.letterhead.write_offer(offer, customer, &unsubscribe_url)?,
            message_id,
            unsubscribe_url: Some(unsubscribe_url),
        }
        .message()?;
        let tags = vec![("offer", offer.id.to_string()), ("customer", customer.id.to_string())];
        Ok(Email { message, tags })
    }
}

/// A `Message-ID` that depends on `what` alone and tells nothing of it.
pub fn message_id(what: &str, from: &Mailbox) -> String {
    let digest = Sha256::digest(what);
    format!("<{}@{}>", HEXLOWER.encode(&digest[..16]), from.email.domain())
}

/// What stands in a header stands on one line, whatever an attribute of the customer holds.
fn one_line(text: &str) -> String {
    text.split(|c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}'))
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Blank lines part paragraphs; other line breaks stay.
fn paragraphs(content: &str) -> Vec<Vec<&str>> {
    let lines: Vec<&str> = content.lines().map(str::trim_end).collect();
    lines.split(|line| line.is_empty()).filter(|lines| !lines.is_empty()).map(<[&str]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use domain::Text;
    use domain::offer::Posted;
    use futures::FutureExt;
    use mail_parser::MessageParser;
    use serde_json::{Value, json};

    use super::*;

    fn keys() -> RingSource {
        let ring = json!({"current": "k1", "k1": "0123456789012345678901234567890123456789"});
        let ring = Arc::new(KeyRing::parse(&ring.to_string()).unwrap());
        Box::new(move || std::future::ready(Ok(ring.clone())).boxed())
    }

    fn compose(offer: Value, customer: Value) -> Vec<u8> {
        let composer = EmailComposer::new(
            "Offers <offers@bank.example>",
            "service@bank.example",
            Letterhead { brand_name: "A <Bank>".into(), postal_address: "1 High Street".into() },
            Links::new("https://offers.bank.example/v1/", keys()),
        )
        .unwrap();
        composer.prepare().now_or_never().unwrap().unwrap();
        let default_subject = Text::parse("Save Cash On Transactions").unwrap();
        let posted = Posted { at: domain::clock::now(), by: "bank", default_subject: &default_subject };
        let offer = Offer::parse(offer, &posted).unwrap();
        let customer = Customer::parse("c-1", customer).unwrap();
        composer.compose(&offer, &customer).unwrap().message.formatted()
    }

    fn parsed(raw: &[u8]) -> mail_parser::Message<'_> {
        MessageParser::default().parse(raw).unwrap()
    }

    fn addresses(header: Option<&mail_parser::Address<'_>>) -> Vec<(String, String)> {
        header
            .unwrap()
            .iter()
            .map(|addr| (addr.name().unwrap_or_default().to_owned(), addr.address().unwrap_or_default().to_owned()))
            .collect()
    }

    #[test]
    fn the_worked_example_reads_as_the_bank_meant_it() {
        let raw = compose(
            json!({"code": "CASHBK", "description": "Get 5% cashback on 5000 spent"}),
            json!({"name": "Asha", "email": "asha@example.com", "channels": ["email"]}),
        );
        let mail = parsed(&raw);
        assert_eq!(addresses(mail.from()), [("Offers".into(), "offers@bank.example".into())]);
        assert_eq!(addresses(mail.reply_to()), [(String::new(), "service@bank.example".into())]);
        assert_eq!(addresses(mail.to()), [("Asha".into(), "asha@example.com".into())]);
        assert_eq!(mail.subject(), Some("Save Cash On Transactions"));
        let text = mail.body_text(0).unwrap();
        let (said, foot) = text.split_once("-- ").unwrap();
        assert_eq!(said.trim_end(), "Get 5% cashback on 5000 spent");
        assert!(foot.contains("A <Bank>") && foot.contains("1 High Street"), "{foot}");
        let html = mail.body_html(0).unwrap();
        assert!(html.contains("Get 5% cashback on 5000 spent") && html.contains("A &#60;Bank&#62;"), "{html}");
        assert!(html.contains("1 High Street"), "{html}");

        let link = mail.list_unsubscribe().as_address().unwrap().first().unwrap().address().unwrap().to_owned();
        assert!(link.starts_with("https://offers.bank.example/v1/unsubscribe/k1."), "{link}");
        assert!(foot.contains(&link) && html.contains(&link), "the reader sees the same link: {link}");
        // Unfolded, so that it is signed as it is sent; and the same for every attempt.
        let line = format!("List-Unsubscribe: <{link}>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n");
        assert!(String::from_utf8(raw.clone()).unwrap().contains(&line));
    }

    #[test]
    fn any_name_and_any_text_make_a_well_formed_message() {
        for (name, text) in [
            ("🎉 Ünï \"quoted\" O'Hara, Jr.", "Grüße 🎉 <script>alert(1)</script> & more"),
            ("شيماء", "عرض خاص لك"),
            ("Evil <evil@example.net>, c@d.example", "A\r\n.\r\nB\n\n\n.C"),
            ("x", &"w".repeat(9_999)),
            (&"name ".repeat(39), &"🎉".repeat(2_000)),
        ] {
            let raw = compose(
                json!({"code": "A", "subject": text.lines().next().unwrap().chars().take(200).collect::<String>(), "description": text}),
                json!({"name": name, "email": "asha@example.com", "channels": ["email"]}),
            );
            let mail = parsed(&raw);
            let to = addresses(mail.to());
            assert_eq!(to, [(name.trim().to_owned(), "asha@example.com".to_owned())], "{name}");
            let body = mail.body_text(0).unwrap();
            let said = body.lines().take_while(|line| *line != "-- ").collect::<Vec<_>>();
            assert_eq!(said[..said.len() - 1], text.lines().collect::<Vec<_>>());
            assert!(!mail.body_html(0).unwrap().contains("<script>"));
            // RFC 5322, 2.1.1: no line over 998 bytes; and 7-bit, so that every server takes it.
            assert!(raw.split(|b| *b == b'\n').all(|line| line.len() <= 999), "{name}");
            assert!(raw.is_ascii(), "{name}");
        }
    }

    #[test]
    fn nobody_can_add_a_header_or_a_recipient() {
        let raw = compose(
            json!({"code": "A", "subject": "For {{ customer.tier }}", "description": "Hello"}),
            json!({"name": "Asha", "email": "asha@example.com", "channels": ["email"],
                   "attributes": {"tier": "gold\r\nBcc: spy@example.net\r\n\r\nbody"}}),
        );
        let mail = parsed(&raw);
        assert_eq!(mail.subject(), Some("For gold Bcc: spy@example.net body"));
        assert!(mail.bcc().is_none());
        let names: Vec<_> = mail.headers().iter().map(mail_parser::Header::name).collect();
        assert_eq!(
            names,
            [
                "From",
                "Reply-To",
                "To",
                "Subject",
                "Message-ID",
                "Date",
                "List-Unsubscribe",
                "List-Unsubscribe-Post",
                "MIME-Version",
                "Content-Type"
            ]
        );
    }

    #[test]
    fn the_message_id_is_the_same_for_every_attempt() {
        let from: Mailbox = "offers@bank.example".parse().unwrap();
        assert_eq!(message_id("a#1", &from), message_id("a#1", &from));
        assert_ne!(message_id("a#1", &from), message_id("a#2", &from));
        assert!(message_id("a#1", &from).ends_with("@bank.example>"));
    }

    #[test]
    fn paragraphs_and_lines_stay() {
        assert_eq!(paragraphs("a\r\nb\n\n\nc"), [vec!["a", "b"], vec!["c"]]);
    }
}
