//! One e-mail on direct invocation: no record and no retry; the response is the result.

use delivery::compose::mime::message_id;
use delivery::{DirectError, Email, EmailDraft, Transport};
use domain::EmailAddress;
use domain::faults::Faults;
use domain::fields::{Fields, Lines};
use domain::offer::{DESCRIPTION_LIMIT, SUBJECT_LIMIT};
use lettre::message::Mailbox;
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
        let mut mailbox = |field| {
            fields.required(field, |f| {
                f.parsed(field, |string| {
                    string
                        .parse::<Mailbox>()
                        .ok()
                        .filter(|_| !string.contains(char::is_control))
                        .ok_or("is not an e-mail address; expected something like asha@example.com")
                })
            })
        };
        let recipient = mailbox("recipient").map(normal);
        let from = mailbox("emailFromAddress");
        let reply_to = mailbox("emailReplyToAddress");
        let subject = fields.required("subject", |f| f.text("subject", SUBJECT_LIMIT, Lines::One));
        let content = fields.required("content", |f| f.text("content", DESCRIPTION_LIMIT, Lines::Many));
        let unsubscribe_url = fields.parsed("unsubscribeUrl", |string| match Url::parse(string) {
            // The parsed URL is percent-encoded, so it cannot break a header.
            Ok(url) if url.scheme() == "https" => Ok(String::from(url)),
            _ => Err("must be an https:// URL"),
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
}

/// The mailbox with its address in the form that is stored and hashed, if it has one.
fn normal(Mailbox { name, email }: Mailbox) -> Mailbox {
    let parsed = EmailAddress::parse_or_stored(email.as_ref()).ok().and_then(|address| address.as_str().parse().ok());
    Mailbox::new(name, parsed.unwrap_or(email))
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
    app.check_direct(request.recipient.email.as_ref()).await?;
    let letterhead = app.worker.deliverer.composer.letterhead();
    let content = letterhead
        .write(&request.subject, &request.content, request.unsubscribe_url.as_deref())
        .map_err(DirectError::Compose)?;
    let message = EmailDraft {
        from: &request.from,
        reply_to: &request.reply_to,
        to: request.recipient,
        content,
        unsubscribe_url: request.unsubscribe_url,
        message_id: message_id(&app.worker.deliverer.sources.uuid().to_string(), &request.from),
    }
    .message()
    .map_err(DirectError::Compose)?;
    let return_path = app.worker.deliverer.composer.return_path();
    app.send_direct(&Email { message, return_path, tags: Vec::new() }, deadline).await
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
            let normal = normal(written.parse().unwrap());
            assert_eq!(AsRef::<str>::as_ref(&normal.email), normal_form, "{written}");
            assert_eq!(normal.name.is_some(), written.contains('<'));
        }
    }
}
