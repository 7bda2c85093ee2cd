//! Which events about pushes are published, and which are not yet.

use aws_sdk_dynamodb::types::AttributeValue;
use domain::PushId;
use domain::event::EventKind;

use super::{PUSH_SK, Push, PushItem, Pushes, UNPUBLISHED, id_of};
use crate::StoreError;
use crate::attributes::text;
use crate::cursor::{Cursor, Page};
use crate::table::never_own;

/// The sparse index of pushes with unpublished events.
const UNPUBLISHED_PUSHES: &str = "unpublishedPushes";

impl Pushes {
    /// Records that these events were published. `push` is as it was read before publishing: if its state has changed
    /// since, it stays marked as unpublished. Makes up to two calls.
    pub async fn mark_published(&self, push: &Push, kinds: &[EventKind]) -> Result<(), StoreError> {
        if kinds.is_empty() {
            return Ok(());
        }
        let mark = |expression: &str| {
            let names = kinds.iter().map(ToString::to_string).collect();
            self.update(push.id, PUSH_SK)
                .update_expression(expression)
                .expression_attribute_values(":kinds", AttributeValue::Ss(names))
        };
        if push.unpublished().all(|kind| kinds.contains(&kind)) {
            // The state decides which events there are. If it has not changed since, none is left.
            let mark_all = mark("ADD published :kinds REMOVE unpublished")
                .condition_expression("#state = :state")
                .expression_attribute_names("#state", "state")
                .expression_attribute_values(":state", text(push.state));
            if self.table.write_if(mark_all, never_own::<PushItem>).await?.is_done() {
                return Ok(());
            }
        }
        let mark_these = mark("ADD published :kinds").condition_expression("attribute_exists(pk)");
        self.table.write_if(mark_these, never_own::<PushItem>).await.map(|_| ())
    }

    /// Pushes with unpublished events, in the order of their ids. The most recent ones may be missing.
    pub async fn list_unpublished(&self, limit: u16, after: Option<Cursor>) -> Result<Page<PushId>, StoreError> {
        let query = self
            .table
            .query()
            .index_name(UNPUBLISHED_PUSHES)
            .key_condition_expression("unpublished = :unpublished")
            .expression_attribute_values(":unpublished", text(UNPUBLISHED))
            .limit(i32::from(limit))
            .set_exclusive_start_key(after.map(Cursor::into_key));
        let page = self.table.query_page(query).await?;
        Ok(Page {
            next: page.last_evaluated_key.as_ref().map(Cursor::from_key),
            items: page.items.unwrap_or_default().iter().filter_map(id_of).collect(),
        })
    }
}

/// The push that the item with this key belongs to; `None` for the items of its slices.
pub fn push_of_key(pk: &str, sk: &str) -> Option<PushId> {
    (sk == PUSH_SK).then(|| pk.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_key_of_a_push_itself_names_it() {
        let pk = "01980000-0000-7000-8000-000000000001#0002";
        assert_eq!(push_of_key(pk, "push").map(|push| push.number), Some(2));
        assert_eq!(push_of_key(pk, "slice#0000"), None);
        assert_eq!(push_of_key("01980000-0000-7000-8000-000000000001", "push"), None);
    }
}
