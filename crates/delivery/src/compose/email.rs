//! The e-mail of an offer, with its unsubscribe link. One [`lettre::Message`] serves every e-mail transport.

use std::sync::Arc;

use domain::unsubscribe::{KeyRing, Subscription};
use domain::{AddressHash, Channel, Customer, Offer, ReturnPath};
use futures::future::BoxFuture;
use lettre::Address;
use lettre::address::AddressError;
use lettre::message::Mailbox;

use super::Compose;
use super::letterhead::{Letterhead, one_line};
use super::mime::{Email, EmailDraft, message_id};

/// Returns the ring of keys, or why it is not available. Called before each batch.
pub type RingSource = Box<dyn Fn() -> BoxFuture<'static, Result<Arc<KeyRing>, String>> + Send + Sync>;

/// Makes the unsubscribe links of e-mails.
pub struct Links {
    /// The URL at which customers reach the API, without a slash at the end.
    base: String,
    source: RingSource,
}

impl std::fmt::Debug for Links {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Links").field("base", &self.base).finish_non_exhaustive()
    }
}

impl Links {
    /// Makes links to the API at `base`, signed with the keys that `source` returns.
    pub fn new(base: &str, source: RingSource) -> Self {
        Self { base: base.trim_end_matches('/').to_owned(), source }
    }

    fn to(&self, subscription: &Subscription, ring: &KeyRing) -> String {
        format!("{}/unsubscribe/{}", self.base, ring.link_token(subscription))
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
    /// Both addresses are the bank's: `offers@bank.example` or `A Bank <offers@bank.example>`.
    ///
    /// # Errors
    /// If one of them is not a mailbox.
    pub fn new(from: &str, reply_to: &str, letterhead: Letterhead, links: Links) -> Result<Self, AddressError> {
        Ok(Self { from: from.parse()?, reply_to: reply_to.parse()?, letterhead, links, return_path: None })
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
        self.from.email.domain()
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

    fn compose(
        &self,
        ring: &Arc<KeyRing>,
        offer: &Offer,
        customer: &Customer,
        hash: &AddressHash,
    ) -> Result<Email, String> {
        let address = self.address(customer).unwrap_or_default();
        let subscription = Subscription { customer: customer.id.clone(), channel: Channel::Email, address: *hash };
        let unsubscribe_url = self.links.to(&subscription, ring);
        let address = address.parse().map_err(|_| "the e-mail address cannot be represented in a header".to_owned())?;
        let message_id = message_id(&format!("{}#{}", offer.id, customer.id), &self.from);
        let message = EmailDraft {
            from: &self.from,
            reply_to: &self.reply_to,
            to: Mailbox::new(Some(one_line(&customer.name)), address),
            content: self.letterhead.write_offer(offer, customer, &unsubscribe_url)?,
            message_id,
            unsubscribe_url: Some(unsubscribe_url),
        }
        .message()?;
        let tags = vec![("offer", offer.id.to_string()), ("customer", customer.id.to_string())];
        let return_path = self.return_path.as_ref().map(|path| path.tagged(ring, offer.id, &customer.id).parse());
        let return_path =
            return_path.transpose().map_err(|_| "the return path cannot be represented in an envelope".to_owned())?;
        Ok(Email { message, return_path, tags })
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
            "Offers <offers@bank.example>",
            "service@bank.example",
            Letterhead { brand_name: "A <Bank>".into(), postal_address: "1 High Street".into() },
            Links::new("https://offers.bank.example/v1/", keys()),
        )
        .unwrap()
    }

    fn compose(offer: Value, customer: Value) -> Vec<u8> {
        let composer = composer();
        let ring = composer.prepare().now_or_never().unwrap().unwrap();
        let customer = Customer::parse("c-1", customer).unwrap();
        composer
            .compose(
                &ring,
                &testing::offer(offer),
                &customer,
                &testing::address_hash(Channel::Email, "asha@example.com"),
            )
            .unwrap()
            .message
            .formatted()
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
        let email = composer
            .compose(&ring, &offer, &customer, &testing::address_hash(Channel::Email, "asha@example.com"))
            .unwrap();
        let return_path = email.return_path.unwrap().to_string();
        let tag = ReturnTag::find(&return_path).unwrap();
        assert_eq!(tag.offer, offer.id);
        assert!(tag.is_of(&customer.id, &ring));
        assert!(!String::from_utf8(email.message.formatted()).unwrap().contains("bounces"));
        assert_eq!(composer.return_path().unwrap().to_string(), "bounces@bank.example", "of a direct message");
    }
}
