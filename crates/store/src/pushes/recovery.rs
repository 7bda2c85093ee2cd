//! What the sweep needs to find lost batches: the status of each slice, and a way to scan one again.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_dynamodb::types::AttributeValue;
use domain::push::{OutcomeCounts, ReasonCounts, ScanCounts};
use domain::{Channel, PushId};
use jiff::Timestamp;

use super::partial::partial_name;
use super::slices::{SLICE_PREFIX, ScannerId, SliceItem, slice_sk};
use super::{Push, Pushes};
use crate::StoreError;
use crate::attributes::{Item, number, text};
use crate::table::Attempts;

/// The status of a slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SliceStatus {
    /// The slice's number within the push.
    pub slice: u32,
    /// Which scan of the slice this is; 0 before the first.
    pub generation: u32,
    /// When it last made progress.
    pub heartbeat: Option<Timestamp>,
    /// Scanners that started since a page of this scan was committed, or since the scan began.
    pub starts_in_vain: u32,
    /// Its state.
    pub state: SliceState,
    /// The numbers of its deferred batches whose counts so far are stored.
    pub partials: BTreeSet<u32>,
}

/// The state of a slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SliceState {
    /// No scanner has started it.
    NotStarted,
    /// A scanner is scanning it, or has died.
    Scanning,
    /// It is scanned, but not every batch has reported.
    Scanned {
        /// Changes with every committed page.
        version: u32,
        /// The number of batches of each channel that have not reported. Channels without any are left out.
        outstanding_batches: BTreeMap<Channel, usize>,
    },
    /// Every batch has reported.
    Done {
        /// Whether it is counted on the push.
        is_counted: bool,
    },
}

impl SliceStatus {
    const fn not_started(slice: u32) -> Self {
        Self {
            slice,
            generation: 0,
            heartbeat: None,
            starts_in_vain: 0,
            state: SliceState::NotStarted,
            partials: BTreeSet::new(),
        }
    }

    fn of(slice: u32, item: &SliceItem) -> Self {
        Self {
            slice,
            generation: item.generation,
            heartbeat: item.heartbeat,
            starts_in_vain: item.starts_in_vain,
            state: SliceState::from(item),
            partials: item.partials.iter().copied().map(u32::from).collect(),
        }
    }
}

impl From<&SliceItem> for SliceState {
    fn from(item: &SliceItem) -> Self {
        if item.is_done() {
            Self::Done { is_counted: item.is_counted }
        } else if item.is_scanned {
            Self::Scanned { version: item.version, outstanding_batches: item.outstanding_by_channel() }
        } else {
            Self::Scanning
        }
    }
}

impl Pushes {
    /// Reads the status of each slice of a push, in their order, including those that are not started. Makes one call for each
    /// megabyte of slices.
    pub async fn each_slice(&self, push: &Push, mut each: impl FnMut(SliceStatus)) -> Result<(), StoreError> {
        // The first that is still to come. Those without an item are not started.
        let mut next = 0;
        let query = self
            .table
            .query()
            .consistent_read(true)
            .key_condition_expression("pk = :pk AND begins_with(sk, :slice)")
            .expression_attribute_values(":pk", text(push.id))
            .expression_attribute_values(":slice", text(SLICE_PREFIX));
        let each_item = |item: Item| {
            let slice = item.get("sk").and_then(|sk| sk.as_s().ok()?.strip_prefix(SLICE_PREFIX)?.parse::<u32>().ok());
            let item: SliceItem = self.table.read(item)?;
            if let Some(slice) = slice.filter(|slice| (next..push.slices).contains(slice)) {
                (next..slice).map(SliceStatus::not_started).for_each(&mut each);
                each(SliceStatus::of(slice, &item));
                next = slice + 1;
            }
            Ok(())
        };
        self.table.query_each(query, each_item).await?;
        (next..push.slices).map(SliceStatus::not_started).for_each(each);
        Ok(())
    }

    /// Prepares a scanned slice with outstanding batches to be scanned again: a new generation, without counts. Returns
    /// the new generation, or `None` if the slice has changed since.
    pub async fn restart_scan(&self, push: PushId, status: &SliceStatus) -> Result<Option<u32>, StoreError> {
        let SliceState::Scanned { version, outstanding_batches } = &status.state else {
            return Ok(None);
        };
        let generation = status.generation + 1;
        // No scanner has it yet; this id marks the restart.
        let scanner = ScannerId::generate(self.table.sources());
        let counters: Vec<_> = ScanCounts::default()
            .named()
            .into_iter()
            .chain(OutcomeCounts::default().named())
            .map(|(name, _)| name)
            .chain(ReasonCounts::names())
            .collect();
        let partials: Vec<_> = (0..status.partials.len()).map(|index| format!(", #partial{index}")).collect();
        // Of one that was added since, the counts would be left in the item for good.
        let same_partials =
            if partials.is_empty() { "attribute_not_exists(partials)" } else { "size(partials) = :partials" };
        let mut restart = self
            .update_now(push, slice_sk(status.slice))
            .update_expression(format!(
                "SET generation = :generation, walked = :false, heartbeat = :now, walker = :scanner \
                 REMOVE resumeAfter, startsInVain, batches, batchesOpen, partials, refusal, {}{} ADD version :one",
                counters.join(", "),
                partials.concat()
            ))
            // Not met either if a batch has reported since: if it was the last one, the slice is done and counted.
            .condition_expression(format!(
                "generation = :seen AND version = :version AND walked = :true AND size(batchesOpen) = :outstanding \
                 AND {same_partials}"
            ))
            .expression_attribute_values(":outstanding", number(outstanding_batches.values().sum::<usize>()))
            .expression_attribute_values(":generation", number(generation))
            .expression_attribute_values(":seen", number(status.generation))
            .expression_attribute_values(":version", number(version))
            .expression_attribute_values(":true", AttributeValue::Bool(true))
            .expression_attribute_values(":false", AttributeValue::Bool(false))
            .expression_attribute_values(":scanner", text(&scanner))
            .expression_attribute_values(":one", number(1));
        if !partials.is_empty() {
            restart = restart.expression_attribute_values(":partials", number(partials.len()));
        }
        for (index, batch) in status.partials.iter().enumerate() {
            restart = restart.expression_attribute_names(format!("#partial{index}"), partial_name((*batch).into()));
        }
        let is_own = |item: &SliceItem, _: &Attempts| item.generation == generation && item.scanner == scanner;
        let is_restarted = self.table.write_if(restart, is_own).await?.is_done();
        Ok(is_restarted.then_some(generation))
    }
}
