//! One e-mail for whoever invokes the function directly: no record, no retry, the answer says what became of it.

use delivery::compose::mime::message_id;
use delivery::{Email, EmailDraft, SendOneError};
use domain::faults::Faults;
use domain::fields::{Fields, Lines};
use domain::offer::{DESCRIPTION_LIMIT, SUBJECT_LIMIT};
use domain::{AddressHash, Channel};
use lettre::message::Mailbox;
use runtime::Deadline;
use serde_json::{Value, json};
use store::StoreError;
use store::suppressions::Reason;
use url::Url;
use uuid::Uuid;

use crate::Function;

/// DeferReason the e-mail was not sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DirectError {
    #[error("bad request: {0}")]
    Request(#[from] Faults),
    #[error("sending is disabled (SendingEnabled=false); nothing was sent")]
    Disabled,
    #[error("the recipient's address is suppressed ({}); nothing was sent", .0.as_str())]
    Suppressed(Reason),
    #[error("{0}")]
    Unwritable(String),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Send(#[from] SendOneError),
}

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
        let recipient = mailbox("recipient");
        let from = mailbox("emailFromAddress");
        let reply_to = mailbox("emailReplyToAddress");
        let subject = fields.required("subject", |f| f.text("subject", SUBJECT_LIMIT, Lines::One));
        let content = fields.required("content", |f| f.text("content", DESCRIPTION_LIMIT, Lines::Many));
        let unsubscribe_url = fields.parsed("unsubscribeUrl", |string| match Url::parse(string) {
            // As the URL's own characters, none of which breaks a header.
            Ok(url) if url.scheme() == "https" => Ok(String::from(url)),
            _ => Err("must be an https:// URL"),
        });
        let known = ["recipient", "emailFromAddress", "emailReplyToAddress", "subject", "content", "unsubscribeUrl"];
        fields.finish(&known)?;
        match (recipient, from, reply_to, subject, content) {
            (Some(recipient), Some(from), Some(reply_to), Some(subject), Some(content)) => {
                Ok(Self { recipient, from, reply_to, subject, content, unsubscribe_url })
            }
            _ => unreachable!("a missing or wrong required field is a fault, and faults have been returned"),
        }
    }
}

/// Sends `{recipient, emailFromAddress, emailReplyToAddress, subject, content, unsubscribeUrl?}` and answers `{messageId}`.
pub(crate) async fn send(function: &Function, payload: Value, deadline: Deadline) -> Result<Value, DirectError> {
    let Function { worker, is_sending_enabled } = function;
    let email = &worker.deliverer;
    let request = Request::parse(payload)?;
    if !is_sending_enabled {
        return Err(DirectError::Disabled);
    }
    let address = AddressHash::of(Channel::Email, request.recipient.email.as_ref());
    if let Some(suppression) = email.suppressions.for_address(&address).await? {
        return Err(DirectError::Suppressed(suppression.reason));
    }
    let letterhead = email.composer.letterhead();
    let content = letterhead
        .write(&request.subject, &request.content, request.unsubscribe_url.as_deref())
        .map_err(DirectError::Unwritable)?;
    let message = EmailDraft {
        from: &request.from,
        reply_to: &request.reply_to,
        to: request.recipient,
        content,
        unsubscribe_url: request.unsubscribe_url,
        message_id: message_id(&Uuid::now_v7().to_string(), &request.from),
    }
    .message()
    .map_err(DirectError::Unwritable)?;
    let accepted = email.send_one(&Email { message, tags: Vec::new() }, deadline.at()).await?;
    Ok(json!({"messageId": accepted.message_id}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_request_names_every_fault() {
        let faults = Request::parse(json!({
            "recipient": "asha@example.com\r\nBcc: spy@example.net", "emailFromAddress": "x", "subject": "", "contents": "y"
        }))
        .map(|_| ())
        .unwrap_err()
        .into_vec();
        let fields: Vec<_> = faults.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(fields, ["recipient", "emailFromAddress", "emailReplyToAddress", "subject", "content", "contents"]);
    }
}
