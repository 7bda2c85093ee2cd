//! One text message on direct invocation: no record and no retry; the response is the result.

use delivery::compose::segments::count;
use delivery::{DirectError, DltIds, TextMessage, Transport};
use domain::faults::Faults;
use domain::fields::{Fields, Lines};
use domain::offer::DESCRIPTION_LIMIT;
use domain::{AllowedRecipients, Mobile};
use runtime::Invocation;
use serde_json::Value;

use crate::App;

/// `segments` is the maximum of a message, as for offers; `only` are the recipients that messages
/// are limited to; `None`: no limit.
fn parse(payload: Value, segments: usize, only: Option<&AllowedRecipients>) -> Result<TextMessage, Faults> {
    let mut fields = Fields::of(payload)?;
    let recipient = fields.required("recipient", |f| f.parsed("recipient", str::parse::<Mobile>));
    if let (Some(recipient), Some(only)) = (&recipient, only)
        && let Err(error) = only.check_mobile(recipient)
    {
        fields.fault("recipient", error.to_string());
    }
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
pub async fn send<T>(app: &App<T>, payload: Value, invocation: Invocation) -> Result<Value, DirectError>
where
    T: Transport<Message = TextMessage>,
{
    let segments = app.worker.deliverer.composer.segments();
    let message = parse(payload, segments, app.only_recipients(invocation.invoked_as))?;
    app.check_direct(&message.to).await?;
    app.send_direct(&message, invocation.deadline).await
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn bad_request_names_every_fault() {
        let faults = parse(json!({"recipient": "351912345678", "text": "Hello"}), 2, None).unwrap_err().into_vec();
        let fields: Vec<_> = faults.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(fields, ["recipient", "content", "text"]);
    }

    #[test]
    fn text_has_at_most_the_segments_of_an_offer() {
        let parse = |content: &str| parse(json!({"recipient": "+351912345678", "content": content}), 2, None);
        assert!(parse(&"x".repeat(306)).is_ok());
        let faults = parse(&"x".repeat(1_590)).unwrap_err().to_string();
        assert_eq!(faults, "content takes 11 segments; SmsSegments allows 2");
    }

    #[test]
    fn test_message_goes_to_allowed_numbers_only() {
        let only: AllowedRecipients = "bank.example,+35191".parse().unwrap();
        let parse =
            |to: &str, only| parse(json!({"recipient": to, "content": "Hello"}), 2, only).map(|message| message.to);
        assert_eq!(parse("+351912345678", Some(&only)).as_deref(), Ok("+351912345678"));
        let refusal = parse("+351961234567", Some(&only)).unwrap_err().to_string();
        assert!(refusal.starts_with("recipient must be one") && refusal.contains("AllowedTestRecipients"), "{refusal}");
        assert!(parse("+351961234567", None).is_ok(), "as the function itself");
    }
}
