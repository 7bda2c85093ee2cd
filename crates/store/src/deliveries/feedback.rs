//! What a provider reports about a message after it accepted it.

use jiff::Timestamp;
use serde::de::IgnoredAny;

use super::{Deliveries, DeliveryId};
use crate::StoreError;
use crate::attributes::{millis, text};
use crate::table::{Conditional, never_own};

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
        /// The provider, or the recipient's, refused it after all: for its content, as for a virus, or by its policy.
        Rejected = "rejected",
        /// It can never be delivered.
        Bounced = "bounced",
        /// The recipient marked it as spam.
        Complained = "complained",
    }
}

/// The result of storing feedback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeedbackResult {
    /// It is stored.
    Stored,
    /// More severe feedback is stored already.
    LessSevere,
    /// There is no such delivery, or no longer.
    NoDelivery,
}

impl Deliveries {
    /// Stores feedback beside the state, which does not change. Feedback does not replace more severe feedback.
    pub async fn add_feedback(&self, id: &DeliveryId, feedback: &Feedback) -> Result<FeedbackResult, StoreError> {
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
        let update = update.condition_expression(condition);
        // Its own repeated write meets the condition.
        Ok(match self.table.write_if(update, never_own::<IgnoredAny>).await? {
            Conditional::Done(()) => FeedbackResult::Stored,
            Conditional::NotMet(Some(_)) => FeedbackResult::LessSevere,
            Conditional::NotMet(None) => FeedbackResult::NoDelivery,
        })
    }
}
