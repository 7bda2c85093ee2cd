//! One e-mail on direct invocation: no record and no retry; the response is the result.

use delivery::compose::letterhead::{Content, Letterhead};
use delivery::compose::mailbox::InvalidMailbox;
use delivery::compose::mime::{UNSUBSCRIBE_URL_LIMIT, message_id};
use delivery::{CommonHeaders, DirectError, Email, EmailDraft, Mailbox, Transport};
use domain::characters::with_plain_breaks;
use domain::faults::Faults;
use domain::fields::{Fields, Lines};
use domain::offer::{RENDERED_DESCRIPTION_LIMIT, RENDERED_LINE_LIMIT, RENDERED_TERMS_LIMIT};
use domain::{AllowedRecipients, AllowedSenders};
use language::Language;
use runtime::Invocation;
use serde_json::Value;
use url::Url;

use crate::App;

struct Request {
    recipient: Mailbox,
    from: Mailbox,
    reply_to: Mailbox,
    subject: String,
    content: String,
    /// The HTML part as it is; `content` is then the text part as it is. Otherwise, `content` is laid out as both.
    html: Option<String>,
    /// The language of the message. `None`: the stack's default.
    language: Option<Language>,
    unsubscribe_url: Option<String>,
}

/// The fields of a request.
const KNOWN: [&str; 8] = [
    "recipient",
    "emailFromAddress",
    "emailReplyToAddress",
    "subject",
    "content",
    "html",
    "language",
    "unsubscribeUrl",
];
/// Maximum length of HTML, in characters: more than that of the longest offer. Lambda passes 6 MB.
const HTML_LIMIT: usize = 1_000_000;
/// Maximum length of a text that is not laid out, in characters: description, terms and all that is around them.
const TEXT_LIMIT: usize = RENDERED_DESCRIPTION_LIMIT + RENDERED_TERMS_LIMIT + 10_000;

/// Which senders and recipients a direct message may have.
struct Rules<'a> {
    senders: &'a AllowedSenders,
    /// The recipients that messages are limited to; `None`: no limit.
    recipients: Option<&'a AllowedRecipients>,
}

impl Rules<'_> {
    fn recipient(&self, string: &str) -> Result<Mailbox, String> {
        let recipient: Mailbox = string.parse().map_err(|error: InvalidMailbox| error.to_string())?;
        match self.recipients.map(|only| only.check_email(recipient.email_address())) {
            Some(Err(error)) => Err(error.to_string()),
            Some(Ok(())) | None => Ok(recipient),
        }
    }

    fn sender(&self, string: &str) -> Result<Mailbox, String> {
        let sender: Mailbox = string.parse().map_err(|error: InvalidMailbox| error.to_string())?;
        self.senders.check(sender.email_address()).map_err(|error| error.to_string())?;
        Ok(sender)
    }
}

impl Request {
    fn parse(payload: Value, rules: &Rules<'_>) -> Result<Self, Faults> {
        let mut fields = Fields::of(payload)?;
        let recipient = fields.required("recipient", |f| f.parsed("recipient", |string| rules.recipient(string)));
        let from = fields.required("emailFromAddress", |f| f.parsed("emailFromAddress", |string| rules.sender(string)));
        let reply_to =
            fields.required("emailReplyToAddress", |f| f.parsed("emailReplyToAddress", str::parse::<Mailbox>));
        let subject = fields.required("subject", |f| f.text("subject", RENDERED_LINE_LIMIT, Lines::One));
        let html = fields.parsed("html", parse_html);
        let limit = if html.is_some() { TEXT_LIMIT } else { RENDERED_DESCRIPTION_LIMIT };
        let content = fields.required("content", |f| f.text("content", limit, Lines::Many));
        let language = fields.parsed("language", str::parse::<Language>);
        let unsubscribe_url = fields.parsed("unsubscribeUrl", |string| match Url::parse(string) {
            // The parsed URL is percent-encoded, so it cannot break a header.
            Ok(url) if url.scheme() == "https" && url.as_str().len() <= UNSUBSCRIBE_URL_LIMIT => Ok(String::from(url)),
            Ok(url) if url.scheme() == "https" => {
                let length = url.as_str().len();
                Err(format!("must have at most {UNSUBSCRIBE_URL_LIMIT} characters (percent-encoded), not {length}"))
            }
            _ => Err("must be an https:// URL".to_owned()),
        });
        fields.finish(&KNOWN)?;
        match (recipient, from, reply_to, subject, content) {
            (Some(recipient), Some(from), Some(reply_to), Some(subject), Some(content)) => {
                Ok(Self { recipient, from, reply_to, subject, content, html, language, unsubscribe_url })
            }
            _ => unreachable!("a missing or invalid required field is a fault, and faults have been returned"),
        }
    }

    fn email(self, letterhead: &Letterhead, default_language: &Language, message_id: String) -> Result<Email, String> {
        let language = self.language.unwrap_or_else(|| default_language.clone());
        let content = match self.html {
            Some(html) => Content { subject: self.subject, text: self.content, html, language },
            None => {
                let url = self.unsubscribe_url.as_deref();
                letterhead.write_message(&self.subject, &self.content, &language, url)?
            }
        };
        EmailDraft {
            headers: &CommonHeaders::new(self.from, self.reply_to),
            to: self.recipient,
            content,
            unsubscribe_url: self.unsubscribe_url,
            message_id,
            feedback_id: None,
        }
        .email()
    }
}

/// Reads HTML, which may have characters that texts may not: layouts use invisible ones.
fn parse_html(html: &str) -> Result<String, String> {
    let html = with_plain_breaks(html);
    let length = html.chars().count();
    if html.trim().is_empty() {
        Err("must not be empty".to_owned())
    } else if length > HTML_LIMIT {
        Err(format!("must have at most {HTML_LIMIT} characters, not {length}"))
    } else if html.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t')) {
        Err("must not contain a control character".to_owned())
    } else {
        Ok(html.into_owned())
    }
}

/// Sends `{recipient, emailFromAddress, emailReplyToAddress, subject, content, html?, language?, unsubscribeUrl?}` and
/// returns `{messageId}`.
///
/// # Errors
/// Says why nothing was sent, or perhaps nothing.
pub async fn send<T>(app: &App<T>, payload: Value, invocation: Invocation) -> Result<Value, DirectError>
where
    T: Transport<Message = Email>,
{
    let composer = &app.worker.deliverer.composer;
    let rules = Rules { senders: composer.senders(), recipients: app.only_recipients(invocation.invoked_as) };
    let request = Request::parse(payload, &rules)?;
    app.check_direct(request.recipient.address()).await?;
    let message_id = message_id(&app.worker.deliverer.sources.uuid().to_string(), &request.from);
    let email = request.email(composer.letterhead(), composer.default_language(), message_id);
    let mut email = email.map_err(DirectError::Compose)?;
    email.return_path = composer.return_path();
    app.send_direct(&email, invocation.deadline).await
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn request(changed: (&str, &str)) -> Value {
        let mut request = json!({
            "recipient": "Asha <asha@example.com>", "emailFromAddress": "Banco \"Ágil\", S.A. <offers@bank.example>",
            "emailReplyToAddress": "service@bank.example", "subject": "Hello", "content": "Hello"
        });
        request[changed.0] = json!(changed.1);
        request
    }

    /// As the function itself, in a stack with the parameters' defaults.
    fn parse(request: Value) -> Result<Request, Faults> {
        let senders = AllowedSenders::of_domain("bank.example");
        Request::parse(request, &Rules { senders: &senders, recipients: None })
    }

    fn faults(changed: (&str, &str)) -> String {
        parse(request(changed)).map(|_| ()).unwrap_err().to_string()
    }

    /// The e-mail of a request as it is sent.
    fn sent(request: Value) -> String {
        let letterhead = Letterhead {
            brand_name: "A Bank".into(),
            postal_address: "1 High Street".into(),
            logo_url: None,
            brand_colours: "#1d4fa8".parse().unwrap(),
        };
        let request = parse(request).unwrap();
        let email = request.email(&letterhead, &Language::english(), "<1@bank.example>".into()).unwrap();
        String::from_utf8(email.bytes().to_vec()).unwrap()
    }

    #[test]
    fn html_and_its_text_are_sent_as_they_are() {
        let mut request = request(("content", "The text\n\n-- \nA Bank\n"));
        let laid_out = sent(request.clone());
        assert!(laid_out.contains("Content-Language: en\r\n") && laid_out.contains("1 High Street"), "{laid_out}");
        request["html"] = json!("<p>The\r\ntext\r</p>");
        request["language"] = json!("pt-pt");
        let sent = sent(request);
        assert!(sent.contains("Content-Language: pt-PT\r\n") && !sent.contains("1 High Street"), "{sent}");
        for part in ["\r\n\r\nThe text\r\n\r\n-- \r\nA Bank\r\n", "\r\n\r\n<p>The\r\ntext\r\n</p>\r\n"] {
            assert!(sent.contains(part), "{sent}");
        }
    }

    #[test]
    fn html_has_a_limit_and_no_control_characters() {
        for (html, what) in [
            ("\u{e9}".repeat(1_000_000), None),
            ("<p>\u{feff}\u{200c}\t\n</p>".to_owned(), None),
            ("x".repeat(1_000_001), Some("html must have at most 1000000 characters, not 1000001")),
            (" \n".to_owned(), Some("html must not be empty")),
            ("a\0".to_owned(), Some("html must not contain a control character")),
        ] {
            let refused = parse(request(("html", &html))).err().map(|faults| faults.to_string());
            assert_eq!(refused.as_deref().map(|faults| faults.trim_end_matches('.')), what);
        }
        let mut long = request(("content", &"\u{e9}".repeat(130_000)));
        long["html"] = json!("<p>");
        assert!(parse(long).is_ok());
        assert!(faults(("language", "klingonisch")).starts_with("language must be a language tag"));
    }

    #[test]
    fn line_breaks_of_any_kind_leave_as_line_breaks() {
        let text = sent(request(("content", "Hi\r.\r\nMAIL FROM:<a@b.example>\rend")));
        assert!(text.contains("Hi\r\n.\r\nMAIL FROM:<a@b.example>\r\nend"), "{text}");
        assert!(!text.replace("\r\n", "").contains(['\r', '\n']));
    }

    #[test]
    fn recipient_is_an_address_that_a_customer_may_have() {
        assert!(parse(request(("recipient", "asha@example.com"))).is_ok());
        for recipient in ["ü@b.example", "\"a b\"@c.example", "a@[127.0.0.1]", "a@localhost", "A <ü@b.example>"] {
            let faults = faults(("recipient", recipient));
            assert!(faults.starts_with("recipient "), "{recipient}: {faults}");
        }
    }

    #[test]
    fn texts_and_link_are_bounded_as_those_of_offers_are() {
        assert!(parse(request(("subject", &"é".repeat(400)))).is_ok());
        assert!(parse(request(("content", &"é".repeat(100_000)))).is_ok());
        for (field, value) in [
            ("subject", "é".repeat(401)),
            ("content", "é".repeat(100_001)),
            ("unsubscribeUrl", format!("https://bank.example/{}", "ü".repeat(200))),
        ] {
            let faults = faults((field, &value));
            assert!(faults.starts_with(&format!("{field} must have at most")), "{faults}");
        }
    }

    #[test]
    fn bad_request_names_every_fault() {
        let faults = parse(json!({
            "recipient": "asha@example.com\r\nBcc: spy@example.net", "emailFromAddress": "x", "subject": "", "contents": "y"
        }))
        .map(|_| ())
        .unwrap_err()
        .into_vec();
        let fields: Vec<_> = faults.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(fields, ["recipient", "emailFromAddress", "emailReplyToAddress", "subject", "content", "contents"]);
    }

    #[test]
    fn recipient_has_the_form_that_is_suppressed() {
        for (written, normal_form) in [
            ("Asha <info@Firma.VERMÖGENSBERATUNG>", "info@firma.xn--vermgensberatung-pwb"),
            ("info@firma.xn--vermgensberatung-pwb", "info@firma.xn--vermgensberatung-pwb"),
            ("Asha.X@Example.com", "Asha.X@example.com"),
        ] {
            let mailbox: Mailbox = written.parse().unwrap();
            assert_eq!(mailbox.address(), normal_form, "{written}");
            assert_eq!(mailbox.name().is_some(), written.contains('<'));
        }
    }

    #[test]
    fn sender_is_one_that_the_stack_allows() {
        for sender in ["offers@bank.example", "News <a@NEWS.bank.example>"] {
            assert!(parse(request(("emailFromAddress", sender))).is_ok(), "{sender}");
        }
        for sender in ["CEO <ceo@other-bank.example>", "a@notbank.example"] {
            let faults = faults(("emailFromAddress", sender));
            assert!(faults.starts_with("emailFromAddress must be an allowed sender"), "{faults}");
            assert!(faults.contains("AllowedSenders") && faults.contains("bank.example"), "{faults}");
        }
    }

    #[test]
    fn test_message_goes_to_allowed_domains_only() {
        let (senders, only) = (AllowedSenders::of_domain("bank.example"), AllowedRecipients::of_domain("bank.example"));
        let rules = Rules { senders: &senders, recipients: Some(&only) };
        let parse = |recipient: &str| Request::parse(request(("recipient", recipient)), &rules).map(|_| ());
        assert_eq!(parse("Tester <tester@qa.bank.example>"), Ok(()));
        for recipient in ["outsider@evil.example", "tester@bank.example <outsider@evil.example>"] {
            let refusal = parse(recipient).unwrap_err().to_string();
            assert!(
                refusal.starts_with("recipient must be one") && refusal.contains("AllowedTestRecipients"),
                "{refusal}"
            );
            assert!(!refusal.contains("outsider"), "{refusal}");
        }
    }
}
