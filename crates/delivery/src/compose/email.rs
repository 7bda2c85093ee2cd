//! The e-mail of an offer, with its unsubscribe link. One [`Email`] serves every e-mail transport.

use std::str::FromStr;
use std::sync::Arc;

use domain::unsubscribe::{KeyRing, Subscription};
use domain::{AddressHash, Channel, Customer, Offer, ReturnPath};
use futures::future::BoxFuture;
use lettre::Address;
use url::{Host, Url};

use super::Compose;
use super::letterhead::{Letterhead, one_line};
use super::mailbox::Mailbox;
use super::mime::{Email, EmailDraft, UNSUBSCRIBE_URL_LIMIT, message_id};

/// Returns the ring of keys, or why it is not available. Called before each batch.
pub type RingSource = Box<dyn Fn() -> BoxFuture<'static, Result<Arc<KeyRing>, String>> + Send + Sync>;

/// The URL at which customers reach the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl(String);

/// Maximum length of the public URL, in characters.
const PUBLIC_URL_LIMIT: usize = 500;
/// Length that a token may have, in characters.
const TOKEN_LIMIT: usize = 300;
const PATH: &str = "/unsubscribe/";
const _: () = assert!(PUBLIC_URL_LIMIT + PATH.len() + TOKEN_LIMIT <= UNSUBSCRIBE_URL_LIMIT);

/// Why a text cannot be the beginning of links.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}; expected something like https://offers.bank.example")]
pub struct InvalidPublicUrl(&'static str);

impl FromStr for PublicUrl {
    type Err = InvalidPublicUrl;

    fn from_str(string: &str) -> Result<Self, Self::Err> {
        let url = Url::parse(string).map_err(|_| InvalidPublicUrl("is not a URL"))?;
        let is_here = match url.host() {
            Some(Host::Domain(domain)) => domain == "localhost",
            Some(Host::Ipv4(ip)) => ip.is_loopback(),
            Some(Host::Ipv6(ip)) => ip.is_loopback(),
            None => false,
        };
        if url.scheme() != "https" && !(url.scheme() == "http" && is_here) {
            return Err(InvalidPublicUrl("must begin with https://, except on this machine"));
        }
        if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
            return Err(InvalidPublicUrl("must have no user, no ? and no #"));
        }
        // Percent-encoded and in punycode, so that it can stand in a header.
        let url = String::from(url);
        let url = url.trim_end_matches('/');
        if url.len() > PUBLIC_URL_LIMIT {
            return Err(InvalidPublicUrl("is too long: links must fit into a line, which leaves it 500 characters"));
        }
        Ok(Self(url.to_owned()))
    }
}

/// Makes the unsubscribe links of e-mails.
pub struct Links {
    base: PublicUrl,
    source: RingSource,
}

impl std::fmt::Debug for Links {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Links").field("base", &self.base).finish_non_exhaustive()
    }
}

impl Links {
    /// Makes links to the API at `base`, signed with the keys that `source` returns.
    pub fn new(base: PublicUrl, source: RingSource) -> Self {
        Self { base, source }
    }

    fn to(&self, subscription: &Subscription, ring: &KeyRing) -> String {
        format!("{}{PATH}{}", self.base.0, ring.sign(subscription))
    }
}

/// Composes offers as e-mail.
#[derive(Debug)]
pub struct EmailComposer {
    from: Mailbox,
    reply_to: Mailbox,
    letterhead: Letterhead,
    links: Links,
    return_path: Option<ReturnPath>,
}

impl EmailComposer {
    /// Both mailboxes are the bank's.
    pub fn new(from: Mailbox, reply_to: Mailbox, letterhead: Letterhead, links: Links) -> Self {
        Self { from, reply_to, letterhead, links, return_path: None }
    }

    /// With an envelope sender of its own, tagged for each delivery. `None`: the sender of the message.
    #[must_use]
    pub fn with_return_path(self, return_path: Option<ReturnPath>) -> Self {
        Self { return_path, ..self }
    }

    /// The envelope sender of an e-mail that belongs to no delivery: reports to it say nothing of whom they are about.
    pub fn return_path(&self) -> Option<Address> {
        self.return_path.as_ref().and_then(|path| path.to_string().parse().ok())
    }

    /// The domain of the sender's address.
    pub fn sender_domain(&self) -> &str {
        self.from.domain()
    }

    /// The letterhead of its e-mails.
    pub fn letterhead(&self) -> &Letterhead {
        &self.letterhead
    }
}

impl Compose for EmailComposer {
    type Message = Email;
    type Keys = Arc<KeyRing>;

    fn channel(&self) -> Channel {
        Channel::Email
    }

    fn address<'c>(&self, customer: &'c Customer) -> Option<&'c str> {
        customer.email.as_ref().map(domain::EmailAddress::as_str)
    }

    async fn prepare(&self) -> Result<Arc<KeyRing>, String> {
        (self.links.source)().await
    }

    fn compose(&self, ring: &Arc<KeyRing>, offer: &Offer, customer: &Customer) -> Result<Email, String> {
        let address = customer.email.as_ref().ok_or("the customer has no e-mail address")?;
        let subscription = Subscription {
            customer: customer.id.clone(),
            channel: Channel::Email,
            address: AddressHash::of(Channel::Email, address.as_str()),
        };
        let unsubscribe_url = self.links.to(&subscription, ring);
        let mut email = EmailDraft {
            from: &self.from,
            reply_to: &self.reply_to,
            to: Mailbox::named(one_line(&customer.name), address.clone()),
            content: self.letterhead.write_offer(offer, customer, &unsubscribe_url)?,
            message_id: message_id(&format!("{}#{}", offer.id, customer.id), &self.from),
            unsubscribe_url: Some(unsubscribe_url),
        }
        .email()?;
        let return_path = self.return_path.as_ref().map(|path| path.tagged(ring, offer.id, &customer.id).parse());
        let return_path =
            return_path.transpose().map_err(|_| "the return path cannot be represented in an envelope".to_owned())?;
        email.return_path = return_path;
        email.tags = vec![("offer", offer.id.to_string()), ("customer", customer.id.to_string())];
        Ok(email)
    }
}

#[cfg(test)]
mod tests {
    use domain::return_path::ReturnTag;
    use futures::FutureExt;
    use mail_parser::MessageParser;
    use serde_json::{Value, json};

    use super::*;

    fn keys() -> RingSource {
        let ring = json!({"current": "k1", "k1": "0123456789012345678901234567890123456789"});
        let ring = Arc::new(KeyRing::parse(&ring.to_string()).unwrap());
        Box::new(move || std::future::ready(Ok(ring.clone())).boxed())
    }

    fn composer() -> EmailComposer {
        EmailComposer::new(
            "Offers <offers@bank.example>".parse().unwrap(),
            "service@bank.example".parse().unwrap(),
            Letterhead { brand_name: "A <Bank>".into(), postal_address: "1 High Street".into() },
            Links::new("https://offers.bank.example/v1/".parse().unwrap(), keys()),
        )
    }

    fn compose(offer: Value, customer: Value) -> Vec<u8> {
        let composer = composer();
        let ring = composer.prepare().now_or_never().unwrap().unwrap();
        let customer = Customer::parse("c-1", customer).unwrap();
        composer.compose(&ring, &testing::offer(offer), &customer).unwrap().bytes().to_vec()
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
    fn offer_becomes_a_complete_email() {
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
        let (content, foot) = text.split_once("-- ").unwrap();
        assert_eq!(content.trim_end(), "Get 5% cashback on 5000 spent");
        assert!(foot.contains("A <Bank>") && foot.contains("1 High Street"), "{foot}");
        let html = mail.body_html(0).unwrap();
        assert!(html.contains("Get 5% cashback on 5000 spent") && html.contains("A &#60;Bank&#62;"), "{html}");
        assert!(html.contains("1 High Street"), "{html}");

        let link = mail.list_unsubscribe().as_address().unwrap().first().unwrap().address().unwrap().to_owned();
        assert!(link.starts_with("https://offers.bank.example/v1/unsubscribe/k1."), "{link}");
        assert!(foot.contains(&link) && html.contains(&link), "header, text and HTML have the same link: {link}");
        // Not folded, so that it is sent as it was signed.
        let line = format!("List-Unsubscribe: <{link}>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n");
        assert!(String::from_utf8(raw.clone()).unwrap().contains(&line));
    }

    #[test]
    fn any_name_and_text_make_a_well_formed_message() {
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
            let content = body.lines().take_while(|line| *line != "-- ").collect::<Vec<_>>();
            assert_eq!(content[..content.len() - 1], text.lines().collect::<Vec<_>>());
            assert!(!mail.body_html(0).unwrap().contains("<script>"));
            // RFC 5322, 2.1.1: no line over 998 bytes. 7-bit, so that every server accepts it.
            assert!(raw.split(|b| *b == b'\n').all(|line| line.len() <= 999), "{name}");
            assert!(raw.is_ascii(), "{name}");
        }
    }

    #[test]
    fn customer_attributes_cannot_inject_headers_or_recipients() {
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
    fn the_return_path_names_the_delivery_and_only_the_envelope_has_it() {
        let composer = composer().with_return_path(Some("bounces@bank.example".parse().unwrap()));
        let ring = composer.prepare().now_or_never().unwrap().unwrap();
        let customer = json!({"name": "Asha", "email": "asha@example.com", "channels": ["email"]});
        let customer = Customer::parse("c-1", customer).unwrap();
        let offer = testing::offer(json!({"code": "A", "description": "Hello"}));
        let email = composer.compose(&ring, &offer, &customer).unwrap();
        let return_path = email.return_path.as_ref().unwrap().to_string();
        let tag = ReturnTag::find(&return_path).unwrap();
        assert_eq!(tag.offer, offer.id);
        assert!(tag.is_of(&customer.id, &ring));
        assert!(!String::from_utf8(email.bytes().to_vec()).unwrap().contains("bounces"));
        assert_eq!(composer.return_path().unwrap().to_string(), "bounces@bank.example", "of a direct message");
    }
}
