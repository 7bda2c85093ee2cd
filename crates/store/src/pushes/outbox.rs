//! What the bus has yet to be told.

use aws_sdk_dynamodb::types::AttributeValue;
use domain::PushId;
use domain::event::EventKind;

use super::{Conditional, PUSH_SK, Push, Pushes, UNPUBLISHED};
use crate::StoreError;
use crate::attributes::{Item, text};

const UNPUBLISHED_PUSHES: &str = "unpublishedPushes";

impl Pushes {
    /// Notes that the bus was told these events of a push as it was read.
    ///
    /// # Errors
    /// If the store is out of reach.
    pub async fn mark_published(&self, push: &Push, kinds: &[EventKind]) -> Result<(), StoreError> {
        if kinds.is_empty() {
            return Ok(());
        }
        let call = |expression: &str| {
            self.update(push.id, PUSH_SK).update_expression(expression).expression_attribute_values(
                ":kinds",
                AttributeValue::Ss(kinds.iter().map(ToString::to_string).collect()),
            )
        };
        let is_all = push.unpublished().all(|kind| kinds.contains(&kind));
        if is_all {
            // If it has not moved on since, there is nothing more to tell.
            let all = call("ADD published :kinds REMOVE unpublished")
                .condition_expression("#state = :state")
                .expression_attribute_names("#state", "state")
                .expression_attribute_values(":state", text(push.state));
            if let Conditional::Done(_) = self.conditionally_without_now(all).await? {
                return Ok(());
            }
        }
        let some = call("ADD published :kinds").condition_expression("attribute_exists(pk)");
        self.conditionally_without_now(some).await.map(|_| ())
    }

    /// Pushes of which the bus has yet to be told something, as far as the index has them already.
    ///
    /// # Errors
    /// If the store is out of reach or an item unreadable.
    pub async fn list_unpublished(&self, limit: u16) -> Result<Vec<PushId>, StoreError> {
        let answer = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(UNPUBLISHED_PUSHES)
            .key_condition_expression("unpublished = :unpublished")
            .expression_attribute_values(":unpublished", text(UNPUBLISHED))
            .limit(i32::from(limit))
            .send()
            .await
            .map_err(|error| StoreError::unavailable("Query", &self.table, &error))?;
        let id = |item: Item| item.get("pk")?.as_s().ok()?.parse().ok();
        Ok(answer.items.unwrap_or_default().into_iter().filter_map(id).collect())
    }
}

/// Which push a stream record's key tells of; `None` for its slices.
pub fn push_of_key(pk: &str, sk: &str) -> Option<PushId> {
    (sk == PUSH_SK).then(|| pk.parse().ok())?
}
