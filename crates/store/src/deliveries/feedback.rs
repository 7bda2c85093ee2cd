//! What a provider reports about a message after it accepted it.

use jiff::Timestamp;

use super::{Deliveries, DeliveryId};
use crate::StoreError;
use crate::attributes::{millis, text};

/// What a provider reported about a message that it had accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feedback {
    /// What happened to the message.
    pub kind: FeedbackKind,
    /// The provider's description, without an address.
    pub detail: String,
    /// When it happened.
    pub at: Timestamp,
}

domain::wire_enum! {
    /// What may happen to a message after the provider accepted it, the most severe last.
    pub enum FeedbackKind {
        /// It could not be delivered at that time.
        Delayed = "delayed",
        /// The provider refused to deliver it after all, because it found a virus in it.
        Rejected = "rejected",
        /// It can never be delivered.
        Bounced = "bounced",
        /// The recipient marked it as spam.
        Complained = "complained",
    }
}

impl Deliveries {
    /// Stores feedback beside the state, which does not change. Feedback does not replace more severe feedback. Returns
    /// whether it was stored: not if there is no such delivery, or more severe feedback is stored already.
    pub async fn add_feedback(&self, id: &DeliveryId, feedback: &Feedback) -> Result<bool, StoreError> {
        let more_severe = FeedbackKind::ALL.into_iter().filter(|kind| *kind > feedback.kind).map(FeedbackKind::as_str);
        let mut condition = "attribute_exists(pk)".to_owned();
        let mut update = self
            .table
            .update(id.key())
            .update_expression("SET feedback = :kind, feedbackDetail = :detail, feedbackAt = :at")
            .expression_attribute_values(":kind", text(feedback.kind))
            .expression_attribute_values(":detail", text(&feedback.detail))
            .expression_attribute_values(":at", millis(feedback.at));
        for kind in more_severe {
            condition.push_str(&format!(" AND (attribute_not_exists(feedback) OR feedback <> :{kind})"));
            update = update.expression_attribute_values(format!(":{kind}"), text(kind));
        }
        Ok(self.table.update_if(update.condition_expression(condition)).await?.is_done())
    }
}
