//! What a batch reports once all of its notifications are final.

use domain::PushId;
use domain::push::Tally;

use super::Pushes;
use super::batch_number::BatchNumber;
use super::partial::partial_name;
use super::slices::{SliceItem, added, slice_sk, with_counters};
use crate::StoreError;
use crate::attributes::{number, numbers};
use crate::table::{Attempts, Conditional};

/// The result of reporting a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportResult {
    /// Its outcomes are counted.
    Counted,
    /// They were counted before, or never will be: its page or slice is scanned again, or no scan queued it.
    NotOutstanding,
    /// The batch's page is not committed yet. Report it again in a moment.
    TooEarly,
}

/// The outcomes of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// The push.
    pub push: PushId,
    /// The slice's number within the push.
    pub slice: u32,
    /// Which scan of the slice queued the batch.
    pub generation: u32,
    /// The batch's number within that scan.
    pub batch: u32,
    /// The outcomes of its notifications, and the reasons of those that were not sent.
    pub tally: Tally,
}

impl Pushes {
    /// Counts the outcomes of a batch, in place of its counts so far. Reporting it again changes nothing.
    pub async fn report(&self, report: &Report) -> Result<ReportResult, StoreError> {
        let batch = BatchNumber::from(report.batch);
        let counts: Vec<_> = report.tally.named().collect();
        let update = with_counters(self.update_now(report.push, slice_sk(report.slice)), &counts)
            .update_expression(format!(
                "DELETE batchesOpen :batches, partials :batches ADD {} SET heartbeat = :now REMOVE #partial",
                added(&counts)
            ))
            .condition_expression("generation = :generation AND contains(batchesOpen, :batch)")
            .expression_attribute_names("#partial", partial_name(batch))
            .expression_attribute_values(":generation", number(report.generation))
            .expression_attribute_values(":batch", number(batch))
            .expression_attribute_values(":batches", numbers([batch]));
        // A repeated call that finds its page committed and its number gone has most likely removed it itself. If another
        // invocation has, or a rescan, the batch is in the metrics once too often. The table's counts are right.
        let is_own = |item: &SliceItem, attempts: &Attempts| {
            attempts.is_repeated() && item.generation == report.generation && item.has_committed(batch)
        };
        match self.table.update_if(update, is_own).await? {
            // No scan queued this batch. A sample event's batch, for example.
            Conditional::NotMet(None) => Ok(ReportResult::NotOutstanding),
            Conditional::NotMet(Some(item)) => {
                if item.generation == report.generation && !item.has_committed(batch) {
                    return Ok(ReportResult::TooEarly);
                }
                // The invocation that reported it may have died before it counted the slice.
                self.count_slice_if_done(report.push, report.slice, &item).await?;
                Ok(ReportResult::NotOutstanding)
            }
            Conditional::Done(item) => {
                self.count_slice_if_done(report.push, report.slice, &item).await?;
                Ok(ReportResult::Counted)
            }
        }
    }
}
