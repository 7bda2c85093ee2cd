//! What providers report later.

use jiff::Timestamp;

use super::{Deliveries, DeliveryId, RecordResult};
use crate::StoreError;
use crate::attributes::{millis, text};

/// What the provider told later of a message that it had accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feedback {
    /// What happened.
    pub kind: FeedbackKind,
    /// The provider's words for it, without an address.
    pub detail: String,
    /// When.
    pub at: Timestamp,
}

domain::wire_enum! {
    /// What may happen to a message after the provider accepted it, the most severe last.
    pub enum FeedbackKind: "feedback" {
        /// It could not be delivered at that time.
        Delayed = "delayed",
        /// The provider refused to deliver it after all: it found a virus in it.
        Rejected = "rejected",
        /// It can never be delivered.
        Bounced = "bounced",
        /// The recipient marked it as spam.
        Complained = "complained",
    }
}

impl Deliveries {
    /// Notes beside the state what the provider told later. A complaint stays, whatever is told after it. Answers whether
    /// there is such a delivery to note it at.
    ///
    /// # Errors
    /// If the store is out of reach.
    pub async fn add_feedback(&self, id: &DeliveryId, feedback: &Feedback) -> Result<bool, StoreError> {
        let weightier = FeedbackKind::ALL.into_iter().filter(|kind| *kind > feedback.kind).map(FeedbackKind::as_str);
        let mut condition = "attribute_exists(pk)".to_owned();
        let mut call = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(id.key()))
            .update_expression("SET feedback = :kind, feedbackDetail = :detail, feedbackAt = :at")
            .expression_attribute_values(":kind", text(feedback.kind.as_str()))
            .expression_attribute_values(":detail", text(&feedback.detail))
            .expression_attribute_values(":at", millis(feedback.at));
        for kind in weightier {
            condition.push_str(&format!(" AND (attribute_not_exists(feedback) OR feedback <> :{kind})"));
            call = call.expression_attribute_values(format!(":{kind}"), text(kind));
        }
        Ok(self.write_if(call.condition_expression(condition)).await? == RecordResult::Recorded)
    }
}
