//! Marking slices as done, and completing the push after the last one.

use domain::PushId;
use domain::push::PushState;

use super::slices::SliceItem;
use super::{PUSH_SK, PushItem, Pushes, UNPUBLISHED};
use crate::StoreError;
use crate::attributes::{numbers, text};
use crate::table::{Conditional, never_own};

impl Pushes {
    pub(super) async fn mark_slice_done_if_finished(
        &self,
        push: PushId,
        slice: u32,
        item: &SliceItem,
    ) -> Result<(), StoreError> {
        if item.is_done() { self.mark_slice_done(push, slice).await } else { Ok(()) }
    }

    /// Marks a slice done that is scanned and has no outstanding batches. The last slice completes the push. Both
    /// steps can be repeated. They are, if the invocation that finished the slice died before it took them.
    pub async fn mark_slice_done(&self, push: PushId, slice: u32) -> Result<(), StoreError> {
        let mark = self
            .update(push, PUSH_SK)
            .update_expression("ADD slicesDone :slices")
            .condition_expression("attribute_exists(pk)")
            .expression_attribute_values(":slices", numbers([slice]));
        // Its own repeated write meets the condition.
        let item = match self.table.update_if(mark, never_own::<PushItem>).await? {
            Conditional::Done(item) => item,
            Conditional::NotMet(_) => return Err(self.table.unreadable("the push of a slice is missing")),
        };
        if item.slices_done.len() < item.slices as usize {
            return Ok(());
        }
        let complete = self
            .update_now(push, PUSH_SK)
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
