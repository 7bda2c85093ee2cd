//! One e-mail on direct invocation: no record and no retry; the response is the result.

use delivery::compose::letterhead::{Content, Letterhead};
use delivery::compose::mime::{UNSUBSCRIBE_URL_LIMIT, message_id};
use delivery::{DirectError, Email, EmailDraft, Mailbox, Transport};
use domain::characters::with_plain_breaks;
use domain::faults::Faults;
use domain::fields::{Fields, Lines};
use domain::offer::{RENDERED_DESCRIPTION_LIMIT, RENDERED_SUBJECT_LIMIT, RENDERED_TERMS_LIMIT};
use language::Language;
use runtime::Deadline;
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

impl Request {
    fn parse(payload: Value) -> Result<Self, Faults> {
        let mut fields = Fields::of(payload)?;
        let mut mailbox = |field| fields.required(field, |f| f.parsed(field, str::parse::<Mailbox>));
        let recipient = mailbox("recipient");
        let from = mailbox("emailFromAddress");
        let reply_to = mailbox("emailReplyToAddress");
        let subject = fields.required("subject", |f| f.text("subject", RENDERED_SUBJECT_LIMIT, Lines::One));
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
            from: &self.from,
            reply_to: &self.reply_to,
            to: self.recipient,
            content,
            unsubscribe_url: self.unsubscribe_url,
            message_id,
            list: None,
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
pub async fn send<T>(app: &App<T>, payload: Value, deadline: Deadline) -> Result<Value, DirectError>
where
    T: Transport<Message = Email>,
{
    let request = Request::parse(payload)?;
    app.check_direct(request.recipient.address()).await?;
    let message_id = message_id(&app.worker.deliverer.sources.uuid().to_string(), &request.from);
    let composer = &app.worker.deliverer.composer;
    let email = request.email(composer.letterhead(), composer.default_language(), message_id);
    let mut email = email.map_err(DirectError::Compose)?;
    email.return_path = composer.return_path();
    app.send_direct(&email, deadline).await
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

    fn faults(changed: (&str, &str)) -> String {
        Request::parse(request(changed)).map(|_| ()).unwrap_err().to_string()
    }

    /// The e-mail of a request as it is sent.
    fn sent(request: Value) -> String {
        let letterhead = Letterhead {
            brand_name: "A Bank".into(),
            postal_address: "1 High Street".into(),
            logo_url: None,
            brand_colour: "#1d4fa8".parse().unwrap(),
        };
        let request = Request::parse(request).unwrap();
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
            let refused = Request::parse(request(("html", &html))).err().map(|faults| faults.to_string());
            assert_eq!(refused.as_deref().map(|faults| faults.trim_end_matches('.')), what);
        }
        let mut long = request(("content", &"\u{e9}".repeat(130_000)));
        long["html"] = json!("<p>");
        assert!(Request::parse(long).is_ok());
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
        assert!(Request::parse(request(("recipient", "asha@example.com"))).is_ok());
        for recipient in ["ü@b.example", "\"a b\"@c.example", "a@[127.0.0.1]", "a@localhost", "A <ü@b.example>"] {
            let faults = faults(("recipient", recipient));
            assert!(faults.starts_with("recipient "), "{recipient}: {faults}");
        }
    }

    #[test]
    fn texts_and_link_are_bounded_as_those_of_offers_are() {
        assert!(Request::parse(request(("subject", &"é".repeat(400)))).is_ok());
        assert!(Request::parse(request(("content", &"é".repeat(100_000)))).is_ok());
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
        let faults = Request::parse(json!({
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
}
