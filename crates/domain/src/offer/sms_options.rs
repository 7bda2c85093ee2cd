//! What holds for an offer's text messages only.

use serde::{Deserialize, Serialize};

use crate::fields::Fields;

/// What holds for an offer's text messages only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SmsOptions {
    /// Whether a text that takes more segments than allowed is cut. If not, it is not sent.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub cut: bool,
    /// The id under which the bank is registered for text messages in India (DLT). `None`: the stack's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dlt_entity_id: Option<String>,
    /// The id under which this text is registered there. `None`: the stack's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dlt_template_id: Option<String>,
}

impl Default for SmsOptions {
    fn default() -> Self {
        Self { cut: true, dlt_entity_id: None, dlt_template_id: None }
    }
}

impl SmsOptions {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn read(fields: &mut Fields) -> Self {
        let read = |f: &mut Fields| Self {
            cut: f.boolean("cut").unwrap_or(true),
            dlt_entity_id: f.parsed("dltEntityId", parse_dlt_id),
            dlt_template_id: f.parsed("dltTemplateId", parse_dlt_id),
        };
        fields.nested("sms", &["cut", "dltEntityId", "dltTemplateId"], read).unwrap_or_default()
    }
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_yes(value: &bool) -> bool {
    *value
}

/// Reads an id of DLT. Operators issue numbers of 19 digits; SNS takes up to 50 letters and digits.
///
/// # Errors
/// What is wrong, to follow the field's name.
pub fn parse_dlt_id(id: &str) -> Result<String, String> {
    let is_valid = (1..=50).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric());
    is_valid.then(|| id.to_owned()).ok_or_else(|| "must have 1 to 50 letters and digits".to_owned())
}
