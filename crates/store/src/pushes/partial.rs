//! What a batch reports while it is deferred: the counts so far.
//!
//! One recipient whom the provider refuses for days must not keep the outcomes of their whole batch from being seen. So
//! a slice has an attribute for each such batch. It is replaced each time and removed by the batch's last report, hence
//! no count is added twice. A rescan of the slice removes them all.
//!
//! | attribute | |
//! |---|---|
//! | `partials` | the numbers of these batches |
//! | `partial#` and the batch's number | its counts so far, by outcome and by reason, if not 0; `refused`: recipients refused for now |
//! | `refusal` | the last refusal for now: `transport`, `at`, `reason` |
//!
//! An entry takes some 60 bytes, and 25 for each reason that the batch has met, of which there are seldom two. DynamoDB charges
//! each write of a slice by the slice's size. So a slice has at most `MAX_PARTIALS`. Further batches count as pending as a
//! whole, as all did before.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use domain::push::Tally;
use domain::push::waiting::Refusal;
use jiff::Timestamp;
use serde::Deserialize;

use super::Pushes;
use super::batch_number::BatchNumber;
use super::report::Report;
use super::slices::{SliceItem, slice_sk};
use crate::StoreError;
use crate::attributes::{Item, millis, millis_serde, number, numbers, text};
use crate::limits::truncate_reason;
use crate::table::{Conditional, never_own};

/// Maximum number of batches of a slice whose counts so far are stored.
pub const MAX_PARTIALS: usize = 100;

/// The state of a batch that is deferred.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartialReport {
    /// The batch, with its counts so far.
    pub so_far: Report,
    /// The number of its recipients whom the provider refused for now.
    pub refused: u64,
    /// Whether any of its notifications has become final since it was deferred before.
    pub has_progressed: bool,
    /// The last refusal since then.
    pub refusal: Option<Refusal>,
}

/// The counts so far of one of the deferred batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Partial {
    #[serde(flatten)]
    pub(super) tally: Tally,
    pub(super) refused: u64,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(super) struct RefusalItem {
    transport: String,
    #[serde(with = "millis_serde")]
    at: Timestamp,
    reason: String,
}

impl RefusalItem {
    /// `None` if only a later release knows the transport.
    pub(super) fn read(self) -> Option<Refusal> {
        Some(Refusal { transport: self.transport.parse().ok()?, at: self.at, reason: self.reason })
    }
}

impl Pushes {
    /// Stores the counts so far of a deferred batch, unless it is not outstanding: its page is not committed yet, or it
    /// has reported. Reporting it again changes nothing. Returns whether they are stored.
    pub async fn report_partial(&self, partial: &PartialReport) -> Result<bool, StoreError> {
        let PartialReport { so_far, refused, has_progressed, refusal } = partial;
        let batch = BatchNumber::from(so_far.batch);
        let mut set = vec!["#partial = :partial"];
        set.extend(has_progressed.then_some("heartbeat = :now"));
        set.extend(refusal.as_ref().map(|_| "refusal = :refusal"));
        let mut update = self
            .update(so_far.push, slice_sk(so_far.slice))
            .update_expression(format!("ADD partials :batches SET {}", set.join(", ")))
            .condition_expression(
                "generation = :generation AND contains(batchesOpen, :batch) AND \
                 (attribute_not_exists(partials) OR contains(partials, :batch) OR size(partials) < :limit)",
            )
            .expression_attribute_names("#partial", partial_name(batch))
            .expression_attribute_values(":partial", entry(&so_far.tally, *refused))
            .expression_attribute_values(":batches", numbers([batch]))
            .expression_attribute_values(":batch", number(batch))
            .expression_attribute_values(":generation", number(so_far.generation))
            .expression_attribute_values(":limit", number(MAX_PARTIALS));
        if *has_progressed {
            update = update.expression_attribute_values(":now", millis(self.table.now()));
        }
        if let Some(refusal) = refusal {
            update = update.expression_attribute_values(":refusal", refusal_entry(refusal));
        }
        // Its own repeated write meets the condition.
        match self.table.write_if(update, never_own::<SliceItem>).await? {
            Conditional::Done(()) => return Ok(true),
            Conditional::NotMet(None) => return Ok(false),
            Conditional::NotMet(Some(item)) => {
                let is_full = item.generation == so_far.generation && item.is_outstanding(batch);
                if let Some(refusal) = refusal.as_ref().filter(|_| is_full) {
                    self.record_refusal(so_far, refusal).await?;
                }
            }
        }
        Ok(false)
    }

    /// Stores the last refusal of a slice without room for the batch's counts.
    async fn record_refusal(&self, batch: &Report, refusal: &Refusal) -> Result<(), StoreError> {
        let update = self
            .update(batch.push, slice_sk(batch.slice))
            .update_expression("SET refusal = :refusal")
            .condition_expression("generation = :generation")
            .expression_attribute_values(":generation", number(batch.generation))
            .expression_attribute_values(":refusal", refusal_entry(refusal));
        self.table.write_if(update, never_own::<SliceItem>).await.map(|_| ())
    }
}

/// The attribute with the counts so far of a batch.
pub(super) fn partial_name(batch: BatchNumber) -> String {
    format!("partial#{batch}")
}

/// The counts so far of a slice's deferred batches. Those of a batch that has reported since to a function of the
/// release before, which does not remove them, are left out.
pub(super) fn partials_of(slice: &SliceItem, item: &Item) -> Result<Vec<Partial>, serde_dynamo::Error> {
    slice
        .partials
        .iter()
        .filter(|batch| slice.is_outstanding(**batch))
        .filter_map(|batch| item.get(&partial_name(*batch)))
        .map(|entry| serde_dynamo::from_attribute_value(entry.clone()))
        .collect()
}

fn entry(tally: &Tally, refused: u64) -> AttributeValue {
    let counters = tally.named().chain([("refused", refused)]);
    let counters = counters.filter(|(_, count)| *count > 0).map(|(name, count)| (name.to_owned(), number(count)));
    AttributeValue::M(counters.collect())
}

fn refusal_entry(refusal: &Refusal) -> AttributeValue {
    AttributeValue::M(HashMap::from([
        ("transport".to_owned(), text(refusal.transport)),
        ("at".to_owned(), millis(refusal.at)),
        ("reason".to_owned(), text(truncate_reason(&refusal.reason))),
    ]))
}
