//! One e-mail on direct invocation: no record and no retry; the response is the result.

use delivery::compose::letterhead::Letterhead;
use delivery::compose::mime::{UNSUBSCRIBE_URL_LIMIT, message_id};
use delivery::{DirectError, Email, EmailDraft, Mailbox, Transport};
use domain::faults::Faults;
use domain::fields::{Fields, Lines};
use domain::offer::{RENDERED_DESCRIPTION_LIMIT, RENDERED_SUBJECT_LIMIT};
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
    unsubscribe_url: Option<String>,
}

impl Request {
    fn parse(payload: Value) -> Result<Self, Faults> {
        let mut fields = Fields::of(payload)?;
        let mut mailbox = |field| fields.required(field, |f| f.parsed(field, str::parse::<Mailbox>));
        let recipient = mailbox("recipient");
        let from = mailbox("emailFromAddress");
        let reply_to = mailbox("emailReplyToAddress");
        let subject = fields.required("subject", |f| f.text("subject", RENDERED_SUBJECT_LIMIT, Lines::One));
        let content = fields.required("content", |f| f.text("content", RENDERED_DESCRIPTION_LIMIT, Lines::Many));
        let unsubscribe_url = fields.parsed("unsubscribeUrl", |string| match Url::parse(string) {
            // The parsed URL is percent-encoded, so it cannot break a header.
            Ok(url) if url.scheme() == "https" && url.as_str().len() <= UNSUBSCRIBE_URL_LIMIT => Ok(String::from(url)),
            Ok(url) if url.scheme() == "https" => {
                let length = url.as_str().len();
                Err(format!("must have at most {UNSUBSCRIBE_URL_LIMIT} characters (percent-encoded), not {length}"))
            }
            _ => Err("must be an https:// URL".to_owned()),
        });
        let known = ["recipient", "emailFromAddress", "emailReplyToAddress", "subject", "content", "unsubscribeUrl"];
        fields.finish(&known)?;
        match (recipient, from, reply_to, subject, content) {
            (Some(recipient), Some(from), Some(reply_to), Some(subject), Some(content)) => {
                Ok(Self { recipient, from, reply_to, subject, content, unsubscribe_url })
            }
            _ => unreachable!("a missing or invalid required field is a fault, and faults have been returned"),
        }
    }

    fn email(self, letterhead: &Letterhead, language: &Language, message_id: String) -> Result<Email, String> {
        let url = self.unsubscribe_url.as_deref();
        let content = letterhead.write_message(&self.subject, &self.content, language, url)?;
        EmailDraft {
            from: &self.from,
            reply_to: &self.reply_to,
            to: self.recipient,
            content,
            unsubscribe_url: self.unsubscribe_url,
            message_id,
            series: None,
        }
        .email()
    }
}

/// Sends `{recipient, emailFromAddress, emailReplyToAddress, subject, content, unsubscribeUrl?}` and returns
/// `{messageId}`.
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

    #[test]
    fn line_breaks_of_any_kind_leave_as_line_breaks() {
        let request = Request::parse(request(("content", "Hi\r.\r\nMAIL FROM:<a@b.example>\rend"))).unwrap();
        let letterhead = Letterhead {
            brand_name: "A Bank".into(),
            postal_address: "1 High Street".into(),
            logo_url: None,
            brand_colour: "#1d4fa8".parse().unwrap(),
        };
        let email = request.email(&letterhead, &Language::english(), "<1@bank.example>".into()).unwrap();
        let text = String::from_utf8(email.bytes().to_vec()).unwrap();
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
