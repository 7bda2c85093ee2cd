//! One text message on direct invocation: no record and no retry; the response is the result.

use delivery::compose::segments::count;
use delivery::{DirectError, DltIds, TextMessage, Transport};
use domain::Mobile;
use domain::faults::Faults;
use domain::fields::{Fields, Lines};
use domain::offer::DESCRIPTION_LIMIT;
use runtime::Deadline;
use serde_json::Value;

use crate::App;

/// `segments` is the maximum of a message, as for offers.
fn parse(payload: Value, segments: usize) -> Result<TextMessage, Faults> {
    let mut fields = Fields::of(payload)?;
    let recipient = fields.required("recipient", |f| f.parsed("recipient", str::parse::<Mobile>));
    let content = fields.required("content", |f| f.text("content", DESCRIPTION_LIMIT, Lines::Many));
    if let Some(needed) = content.as_deref().map(count).filter(|needed| *needed > segments) {
        fields.fault("content", format!("takes {needed} segments; SmsSegments allows {segments}"));
    }
    fields.finish(&["recipient", "content"])?;
    match (recipient, content) {
        (Some(recipient), Some(text)) => {
            Ok(TextMessage { to: recipient.as_str().to_owned(), text, dlt: DltIds::default() })
        }
        _ => unreachable!("a missing or invalid required field is a fault, and faults have been returned"),
    }
}

/// Sends `{recipient, content}` unchanged and returns `{messageId}`.
///
/// # Errors
/// Says why nothing was sent, or perhaps nothing.
pub async fn send<T>(app: &App<T>, payload: Value, deadline: Deadline) -> Result<Value, DirectError>
where
    T: Transport<Message = TextMessage>,
{
    let message = parse(payload, app.worker.deliverer.composer.segments())?;
    app.check_direct(&message.to).await?;
    app.send_direct(&message, deadline).await
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn bad_request_names_every_fault() {
        let faults = parse(json!({"recipient": "351912345678", "text": "Hello"}), 2).unwrap_err().into_vec();
        let fields: Vec<_> = faults.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(fields, ["recipient", "content", "text"]);
    }

    #[test]
    fn text_has_at_most_the_segments_of_an_offer() {
        let parse = |content: &str| parse(json!({"recipient": "+351912345678", "content": content}), 2);
        assert!(parse(&"x".repeat(306)).is_ok());
        let faults = parse(&"x".repeat(1_590)).unwrap_err().to_string();
        assert_eq!(faults, "content takes 11 segments; SmsSegments allows 2");
    }
}
