//! What a batch reports.

use aws_sdk_dynamodb::types::AttributeValue;
use domain::PushId;
use domain::push::OutcomeCounts;

use super::batch_number::version_of;
use super::slices::{SliceItem, slice_sk};
use super::{Conditional, Pushes};
use crate::StoreError;
use crate::attributes::number;

/// What became of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportResult {
    /// It counts.
    Counted,
    /// It did before, or never will because its page was walked anew.
    Settled,
    /// Its page is not turned yet: report it again in a moment.
    TooEarly,
}

/// What a batch reports, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// Which push.
    pub push: PushId,
    /// Which slice of it.
    pub slice: u32,
    /// Which walk of the slice.
    pub generation: u32,
    /// Which batch of the walk.
    pub batch: u32,
    /// What became of its notifications.
    pub counts: OutcomeCounts,
}

impl Pushes {
    /// Reports a batch, all of whose notifications are final. Reporting it again changes nothing.
    ///
    /// # Errors
    /// If the store is out of reach or the item unreadable.
    pub async fn report(&self, report: &Report) -> Result<ReportResult, StoreError> {
        let OutcomeCounts { sent, failed, suppressed, opted_out, expired, cancelled, already_served } = report.counts;
        let call = self
            .update(report.push, slice_sk(report.slice))
            .update_expression(
                "DELETE batchesOpen :batches ADD sent :sent, failed :failed, suppressed :suppressed, \
                 optedOut :optedOut, expired :expired, cancelled :cancelled, alreadyServed :alreadyServed \
                 SET heartbeat = :now",
            )
            .condition_expression("generation = :generation AND contains(batchesOpen, :batch)")
            .expression_attribute_values(":generation", number(report.generation))
            .expression_attribute_values(":batch", number(report.batch))
            .expression_attribute_values(":batches", AttributeValue::Ns(vec![report.batch.to_string()]))
            .expression_attribute_values(":sent", number(sent))
            .expression_attribute_values(":failed", number(failed))
            .expression_attribute_values(":suppressed", number(suppressed))
            .expression_attribute_values(":optedOut", number(opted_out))
            .expression_attribute_values(":expired", number(expired))
            .expression_attribute_values(":cancelled", number(cancelled))
            .expression_attribute_values(":alreadyServed", number(already_served));
        let item: SliceItem = match self.conditionally(call).await? {
            // A batch that no walk of ours queued, such as a sample event's: nobody waits for its report.
            Conditional::Refused(None) => return Ok(ReportResult::Settled),
            Conditional::Refused(item) => {
                let item: SliceItem = self.read(item)?;
                if item.generation == report.generation && item.version == version_of(report.batch) && !item.walked {
                    return Ok(ReportResult::TooEarly);
                }
                item
            }
            Conditional::Done(item) => {
                self.mark_slice_done_if_finished(report.push, report.slice, &self.read(item)?).await?;
                return Ok(ReportResult::Counted);
            }
        };
        // Reported before, perhaps by somebody who died before closing the slice: so look either way.
        self.mark_slice_done_if_finished(report.push, report.slice, &item).await?;
        Ok(ReportResult::Settled)
    }
}
