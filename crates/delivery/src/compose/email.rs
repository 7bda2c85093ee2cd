//! The e-mail of an offer, with its unsubscribe link. One [`Email`] serves every e-mail transport.

use std::sync::Arc;

use domain::unsubscribe::{KeyRing, Subscription};
use domain::{AddressHash, AllowedSenders, Channel, Customer, Offer, ReturnPath};
use language::Language;
use lettre::Address;

use super::Compose;
use super::letterhead::{Letterhead, one_line};
use super::links::Links;
use super::mailbox::Mailbox;
use super::mime::{CommonHeaders, Email, EmailDraft, feedback_id, list_id, message_id};

/// Composes offers as e-mail.
#[derive(Debug)]
pub struct EmailComposer {
    from: Mailbox,
    headers: CommonHeaders,
    letterhead: Letterhead,
    links: Links,
    return_path: Option<ReturnPath>,
    default_language: Language,
    stack: String,
    senders: AllowedSenders,
}

impl EmailComposer {
    /// Both mailboxes are the bank's.
    pub fn new(from: Mailbox, reply_to: Mailbox, letterhead: Letterhead, links: Links) -> Self {
        let (default_language, stack) = (Language::english(), "offercast".to_owned());
        let senders = AllowedSenders::of_domain(from.domain());
        let headers =
            CommonHeaders::new(from.clone(), reply_to).of_list(one_line(&letterhead.brand_name), list_id(&from));
        Self { from, headers, letterhead, links, return_path: None, default_language, stack, senders }
    }

    /// For offers that do not say their language, and customers whose language an offer lacks. Otherwise English.
    #[must_use]
    pub fn with_default_language(self, default_language: Language) -> Self {
        Self { default_language, ..self }
    }

    /// With the name of the stack, by which receivers count complaints about its e-mails: letters, digits and `-`.
    /// Otherwise `offercast`.
    #[must_use]
    pub fn with_stack(self, stack: String) -> Self {
        Self { stack, ..self }
    }

    /// With an envelope sender of its own, tagged for each delivery. `None`: the sender of the message.
    #[must_use]
    pub fn with_return_path(self, return_path: Option<ReturnPath>) -> Self {
        Self { return_path, ..self }
    }

    /// With these senders of direct messages. Otherwise the addresses of the domain of the bank's own.
    #[must_use]
    pub fn with_senders(self, senders: AllowedSenders) -> Self {
        Self { senders, ..self }
    }

    /// The senders that a direct message may have.
    pub fn senders(&self) -> &AllowedSenders {
        &self.senders
    }

    /// The envelope sender of an e-mail that belongs to no delivery: reports to it say nothing of whom they are about.
    pub fn return_path(&self) -> Option<Address> {
        self.return_path.as_ref().and_then(|path| path.to_string().parse().ok())
    }

    /// The domain of the sender's address.
    pub fn sender_domain(&self) -> &str {
        self.from.domain()
    }

    /// The language of e-mails that do not say their own.
    pub fn default_language(&self) -> &Language {
        &self.default_language
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
        let address = customer.email.as_ref().ok_or("the customer has no e-mail address")?;
        let subscription = Subscription { customer: customer.id.clone(), channel: Channel::Email, address: *hash };
        let rendered = offer.render(customer, Channel::Email, &self.default_language)?;
        let language = Some(&rendered.language).filter(|language| **language != self.default_language);
        let unsubscribe_url = self.links.to(&subscription, ring, language);
        let mut email = EmailDraft {
            headers: &self.headers,
            to: Mailbox::named(one_line(&customer.name), address.clone()),
            content: self.letterhead.write_offer(&rendered, &unsubscribe_url)?,
            message_id: message_id(&format!("{}#{}", offer.id, customer.id), &self.from),
            unsubscribe_url: Some(unsubscribe_url),
            feedback_id: Some(feedback_id(offer.id, &self.stack)),
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

    use super::super::links::RingSource;
    use super::*;

    fn keys() -> RingSource {
        let ring = json!({"current": "k1", "k1": "0123456789012345678901234567890123456789"});
        let ring = Arc::new(KeyRing::parse(&ring.to_string()).unwrap());
        Box::new(move || std::future::ready(Ok(ring.clone())).boxed())
    }

    fn hash() -> AddressHash {
        testing::address_hash(Channel::Email, "asha@example.com")
    }

    fn composer() -> EmailComposer {
        EmailComposer::new(
            "Offers <offers@bank.example>".parse().unwrap(),
            "service@bank.example".parse().unwrap(),
            Letterhead {
                brand_name: "A <Bank>".into(),
                postal_address: "1 High Street".into(),
                logo_url: None,
                brand_colours: "#1d4fa8".parse().unwrap(),
            },
            Links::new("https://offers.bank.example/v1/".parse().unwrap(), keys()),
        )
    }

    fn compose(offer: Value, customer: Value) -> Vec<u8> {
        let composer = composer();
        let ring = composer.prepare().now_or_never().unwrap().unwrap();
        let customer = Customer::parse("c-1", customer).unwrap();
        composer.compose(&ring, &testing::offer(offer), &customer, &hash()).unwrap().bytes().to_vec()
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
            ("🎉 Ünï \"quoted\" O'Hara, Jr.", "Grüße 🎉 &lt;script>alert(1)&lt;/script> & more"),
            ("شيماء", "عرض خاص لك"),
            ("Evil <evil@example.net>, c@d.example", "A\r\n.\r\nB\n\n.C"),
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
            assert_eq!(content[..content.len() - 1], text.replace("&lt;", "<").lines().collect::<Vec<_>>());
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
                "Auto-Submitted",
                "List-ID",
                "To",
                "Subject",
                "Message-ID",
                "Date",
                "Content-Language",
                "List-Unsubscribe",
                "List-Unsubscribe-Post",
                "Feedback-ID",
                "MIME-Version",
                "Content-Type"
            ]
        );
    }

    /// The subject as a reader sees it, or why there is no message.
    fn subject_seen(subject: &str, value: &str) -> Result<String, String> {
        let composer = composer();
        let ring = composer.prepare().now_or_never().unwrap().unwrap();
        let customer = json!({"name": "Asha", "email": "asha@example.com", "channels": ["email"],
                              "attributes": {"value": value}});
        let customer = Customer::parse("c-1", customer).unwrap();
        let offer = testing::offer(json!({"code": "A", "subject": subject, "description": "Hello"}));
        let email = composer.compose(&ring, &offer, &customer, &hash())?;
        assert!(parsed(email.bytes()).bcc().is_none());
        Ok(parsed(email.bytes()).subject().unwrap().to_owned())
    }

    #[test]
    fn subject_that_gets_too_long_is_not_sent_and_shorter_ones_are_folded() {
        let error = subject_seen("{{ customer.value }}", &"x".repeat(1_500)).unwrap_err();
        assert_eq!(error, "subject: with the customer's values, the text has more than 400 characters");
        for value in ["x".repeat(400), "🎁".repeat(400), "مرحبا ".repeat(66) + "x"] {
            assert_eq!(subject_seen("{{ customer.value }}", &value).unwrap(), value);
        }
    }

    #[test]
    fn subject_with_encoded_words_is_read_as_it_was_written() {
        for subject in ["=?utf-8?B?RlJFRQ==?=", "=?utf-8?Q?=0D=0ABcc:_x@y.zz?=", "a =?utf-8?B?RlJFRQ==?= b", "=?"] {
            assert_eq!(subject_seen(subject, "").unwrap(), subject);
            assert_eq!(subject_seen("Hi {{ customer.value }}", subject).unwrap(), format!("Hi {subject}"));
        }
    }

    #[test]
    fn rendered_description_is_bounded_however_large_the_attributes_are() {
        let description = "{{customer.x}}".repeat(714);
        let offer = testing::offer(json!({"code": "A", "description": description}));
        let customer = json!({"name": "Asha", "email": "asha@example.com", "channels": ["email"],
                              "attributes": {"x": "x".repeat(16_000)}});
        let customer = Customer::parse("c-1", customer).unwrap();
        let composer = composer();
        let ring = composer.prepare().now_or_never().unwrap().unwrap();
        assert_eq!(
            composer.compose(&ring, &offer, &customer, &hash()).unwrap_err(),
            "description: with the customer's values, the text has more than 100000 characters"
        );
        // The most that can be sent, of what takes the most room.
        for text in ["\"".repeat(9_980), "🎁".repeat(9_980), "a\n\n".repeat(3_320), "\n".repeat(9_980) + "a"] {
            let offer = testing::offer(json!({"code": "A", "description": text.clone() + "{{customer.x}}"}));
            let many =
                Customer { attributes: json!({"x": text.repeat(9)}).as_object().unwrap().clone(), ..customer.clone() };
            let email = composer.compose(&ring, &offer, &many, &hash()).unwrap();
            assert!(email.bytes().len() < 5_000_000, "{}", email.bytes().len());
        }
    }

    #[test]
    fn sender_with_quotes_and_commas_in_its_name_is_shown_as_it_was_written() {
        let composer = EmailComposer::new(
            "Banco \"Ágil\", S.A. <offers@bank.example>".parse().unwrap(),
            "\"Service, A Bank\" <service@bank.example>".parse().unwrap(),
            composer().letterhead,
            composer().links,
        );
        let ring = composer.prepare().now_or_never().unwrap().unwrap();
        let customer = json!({"name": "Asha", "email": "asha@example.com", "channels": ["email"]});
        let customer = Customer::parse("c-1", customer).unwrap();
        let offer = testing::offer(json!({"code": "A", "description": "Hello"}));
        let email = composer.compose(&ring, &offer, &customer, &hash()).unwrap();
        let mail = parsed(email.bytes());
        assert_eq!(addresses(mail.from()), [("Banco \"Ágil\", S.A.".into(), "offers@bank.example".into())]);
        assert_eq!(addresses(mail.reply_to()), [("Service, A Bank".into(), "service@bank.example".into())]);
    }

    #[test]
    fn the_return_path_names_the_delivery_and_only_the_envelope_has_it() {
        let composer = composer().with_return_path(Some("bounces@bank.example".parse().unwrap()));
        let ring = composer.prepare().now_or_never().unwrap().unwrap();
        let customer = json!({"name": "Asha", "email": "asha@example.com", "channels": ["email"]});
        let customer = Customer::parse("c-1", customer).unwrap();
        let offer = testing::offer(json!({"code": "A", "description": "Hello"}));
        let email = composer.compose(&ring, &offer, &customer, &hash()).unwrap();
        let return_path = email.return_path.as_ref().unwrap().to_string();
        let tag = ReturnTag::find(&return_path).unwrap();
        assert_eq!(tag.offer, offer.id);
        assert!(tag.is_of(&customer.id, &ring));
        assert!(!String::from_utf8(email.bytes().to_vec()).unwrap().contains("bounces"));
        assert_eq!(composer.return_path().unwrap().to_string(), "bounces@bank.example", "of a direct message");
    }
}
