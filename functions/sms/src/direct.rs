//! One text message for whoever invokes the function directly: no record, no retry, the answer says what became of it.

use delivery::{SendOneError, TextMessage};
use domain::faults::Faults;
use domain::fields::{Fields, Lines};
use domain::offer::DESCRIPTION_LIMIT;
use domain::{AddressHash, Channel, Mobile};
use runtime::Deadline;
use serde_json::{Value, json};
use store::StoreError;
use store::suppressions::Reason;

use crate::Function;

/// DeferReason the message was not sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DirectError {
    #[error("bad request: {0}")]
    Request(#[from] Faults),
    #[error("sending is disabled (SendingEnabled=false); nothing was sent")]
    Disabled,
    #[error("the recipient's number is suppressed ({}); nothing was sent", .0.as_str())]
    Suppressed(Reason),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Send(#[from] SendOneError),
}

fn parse(payload: Value) -> Result<TextMessage, Faults> {
    let mut fields = Fields::of(payload)?;
    let recipient = fields.required("recipient", |f| f.parsed("recipient", str::parse::<Mobile>));
    let content = fields.required("content", |f| f.text("content", DESCRIPTION_LIMIT, Lines::Many));
    fields.finish(&["recipient", "content"])?;
    match (recipient, content) {
        (Some(recipient), Some(text)) => Ok(TextMessage { to: recipient.as_str().to_owned(), text }),
        _ => unreachable!("a missing or wrong required field is a fault, and faults have been returned"),
    }
}

/// Sends `{recipient, content}` as it is and answers `{messageId}`.
pub(crate) async fn send(function: &Function, payload: Value, deadline: Deadline) -> Result<Value, DirectError> {
    let Function { worker, is_sending_enabled } = function;
    let message = parse(payload)?;
    if !is_sending_enabled {
        return Err(DirectError::Disabled);
    }
    let number = AddressHash::of(Channel::Sms, &message.to);
    if let Some(suppression) = worker.deliverer.suppressions.for_address(&number).await? {
        return Err(DirectError::Suppressed(suppression.reason));
    }
    let accepted = worker.deliverer.send_one(&message, deadline.at()).await?;
    Ok(json!({"messageId": accepted.message_id}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_request_names_every_fault() {
        let faults = parse(json!({"recipient": "351912345678", "text": "Hello"})).unwrap_err().into_vec();
        let fields: Vec<_> = faults.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(fields, ["recipient", "content", "text"]);
    }
}
