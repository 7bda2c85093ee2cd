//! Counting the slices that are done, and completing the push after the last one.
//!
//! A slice that is done is counted on the push, and marked as counted in the same transaction. So the push's item stays small,
//! whatever the number of its slices: each batch reads it.

use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem, Update};
use domain::PushId;
use domain::push::PushState;

use super::slices::{SliceItem, slice_sk};
use super::{PUSH_SK, PushItem, Pushes, UNPUBLISHED};
use crate::StoreError;
use crate::attributes::{key, number, text};
use crate::table::never_own;

impl Pushes {
    pub(super) async fn count_slice_if_done(
        &self,
        push: PushId,
        slice: u32,
        item: &SliceItem,
    ) -> Result<(), StoreError> {
        if item.is_done() { self.count_slice(push, slice).await } else { Ok(()) }
    }

    /// Counts a slice that is scanned and has no outstanding batches, once. The last slice completes the push. Both
    /// steps can be repeated. They are, if the invocation that finished the slice died before it took them.
    pub async fn count_slice(&self, push: PushId, slice: u32) -> Result<(), StoreError> {
        let mark = Update::builder()
            .update_expression("SET counted = :true")
            .condition_expression("attribute_exists(pk) AND attribute_not_exists(counted)")
            .expression_attribute_values(":true", AttributeValue::Bool(true));
        let count = Update::builder()
            .update_expression("ADD slicesCounted :one")
            .condition_expression("attribute_exists(pk)")
            .expression_attribute_values(":one", number(1));
        let writes = [(mark, key(push, slice_sk(slice))), (count, key(push, PUSH_SK))].map(|(update, key)| {
            let update = update.table_name(self.table.name()).set_key(Some(key)).build();
            TransactWriteItem::builder().update(update.expect("table, key and expression are set")).build()
        });
        // Not met if it was counted before. The push may have been left open since.
        self.table.transact(writes.into()).await?;
        let push = self.get(push).await?.ok_or_else(|| self.table.unreadable("the push of a slice is missing"))?;
        if push.state != PushState::Running || push.slices_done < push.slices {
            return Ok(());
        }
        let complete = self
            .update_now(push.id, PUSH_SK)
            .update_expression("SET #state = :completed, completedAt = :now, unpublished = :unpublished REMOVE #open")
            .condition_expression("#state = :running")
            .expression_attribute_names("#state", "state")
            .expression_attribute_names("#open", "open")
            .expression_attribute_values(":completed", text(PushState::Completed))
            .expression_attribute_values(":running", text(PushState::Running))
            .expression_attribute_values(":unpublished", text(UNPUBLISHED));
        self.table.write_if(complete, never_own::<PushItem>).await.map(|_| ())
    }
}
