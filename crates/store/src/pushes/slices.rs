//! Scanning a slice, page by page.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue;
use domain::push::{ScanCounts, Tally};
use domain::{Channel, PushId, Sources};
use jiff::Timestamp;
use serde::Deserialize;

use super::Pushes;
use super::batch_number::BatchNumber;
use super::partial::RefusalItem;
use crate::StoreError;
use crate::attributes::{key, millis_serde, number, numbers, text};
use crate::customers::ScanPosition;
use crate::table::{Attempts, Conditional};

pub(super) const SLICE_PREFIX: &str = "slice#";

/// The generation of a slice's first scan.
pub const FIRST_GENERATION: u32 = 1;

/// The scan of one slice, by one scanner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SliceScan {
    /// The push.
    pub push: PushId,
    /// The slice's number within the push.
    pub slice: u32,
    /// Which scan of the slice this is. Each restart increases it.
    pub generation: u32,
    /// Where the next page starts; `None` at the start of the segment.
    pub after: Option<ScanPosition>,
    version: u32,
    scanner: ScannerId,
    outstanding: BTreeMap<Channel, usize>,
}

impl SliceScan {
    /// How many batches of earlier pages are outstanding on a channel.
    pub fn outstanding(&self, channel: Channel) -> usize {
        self.outstanding.get(&channel).copied().unwrap_or_default()
    }

    /// The numbers that this page has for batches of a channel, [`PAGE_BATCHES`](super::PAGE_BATCHES) of them.
    pub fn batch_numbers(&self, channel: Channel) -> impl Iterator<Item = u32> {
        BatchNumber::of_page(self.version, channel).map(u32::from)
    }
}

/// Identifies one scanner of a slice. Two scanners never have the same: it holds the time and 74 random bits.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(transparent)]
pub(super) struct ScannerId(String);

impl ScannerId {
    pub(super) fn generate(sources: &Sources) -> Self {
        Self(sources.uuid().to_string())
    }
}

impl fmt::Display for ScannerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The result of starting a scan or committing a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScanStep {
    /// Scan the next page.
    Continue(SliceScan),
    /// The whole slice is scanned.
    Finished,
    /// Another scanner has taken the slice over. Stop.
    Superseded,
}

#[derive(Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct SliceItem {
    pub(super) generation: u32,
    /// Increases with every scanner and every committed page.
    pub(super) version: u32,
    /// Scanners that started since a page was committed.
    pub(super) starts_in_vain: u32,
    #[serde(rename = "walker")]
    pub(super) scanner: ScannerId,
    resume_after: Option<ScanPosition>,
    #[serde(rename = "walked")]
    pub(super) is_scanned: bool,
    #[serde(rename = "counted")]
    pub(super) is_counted: bool,
    #[serde(rename = "batchesOpen")]
    outstanding_batches: BTreeSet<BatchNumber>,
    /// Deferred batches whose counts so far are stored.
    pub(super) partials: BTreeSet<BatchNumber>,
    pub(super) refusal: Option<RefusalItem>,
    #[serde(with = "millis_serde::option")]
    pub(super) heartbeat: Option<Timestamp>,
    #[serde(flatten)]
    pub(super) scan: ScanCounts,
    #[serde(flatten)]
    pub(super) tally: Tally,
}

impl SliceItem {
    pub(super) fn is_done(&self) -> bool {
        self.is_scanned && self.outstanding_batches.is_empty()
    }

    pub(super) fn is_outstanding(&self, batch: BatchNumber) -> bool {
        self.outstanding_batches.contains(&batch)
    }

    /// Whether the page of this batch is committed, or was superseded: until then a report is too early.
    pub(super) fn has_committed(&self, batch: BatchNumber) -> bool {
        self.is_scanned || self.version != batch.version()
    }

    pub(super) fn outstanding_by_channel(&self) -> BTreeMap<Channel, usize> {
        let mut batches = BTreeMap::new();
        for channel in self.outstanding_batches.iter().filter_map(|number| number.channel()) {
            *batches.entry(channel).or_default() += 1;
        }
        batches
    }
}

/// The operands of an ADD clause that adds to these counters: `sent :sent, failed :failed`, and so on.
pub(super) fn added(counters: &[(&'static str, u64)]) -> String {
    counters.iter().map(|(name, _)| format!("{name} :{name}")).collect::<Vec<_>>().join(", ")
}

/// The values that [`added`] names.
pub(super) fn with_counters(
    mut update: UpdateItemFluentBuilder,
    counters: &[(&'static str, u64)],
) -> UpdateItemFluentBuilder {
    for (name, count) in counters {
        update = update.expression_attribute_values(format!(":{name}"), number(count));
    }
    update
}

impl Pushes {
    /// Starts scanning a slice, or continues after the last committed page. An earlier scanner is superseded. The first
    /// scan has the [`FIRST_GENERATION`]; all later generations are stored by [`Pushes::restart_scan`] before any
    /// message names them.
    pub async fn start_scan(&self, push: PushId, slice: u32, generation: u32) -> Result<ScanStep, StoreError> {
        let scanner = ScannerId::generate(self.table.sources());
        let if_first = if generation == FIRST_GENERATION { "attribute_not_exists(pk) OR " } else { "" };
        let start = self
            .update_now(push, slice_sk(slice))
            .update_expression(
                "SET generation = :generation, heartbeat = :now, walker = :scanner, \
                 walked = if_not_exists(walked, :false) ADD version :one, startsInVain :one",
            )
            .condition_expression(format!("{if_first}(generation = :generation AND walked = :false)"))
            .expression_attribute_values(":scanner", text(&scanner))
            .expression_attribute_values(":generation", number(generation))
            .expression_attribute_values(":false", AttributeValue::Bool(false))
            .expression_attribute_values(":one", number(1));
        let is_own = |item: &SliceItem, _: &Attempts| item.scanner == scanner;
        match self.table.update_if(start, is_own).await? {
            Conditional::Done(item) => Ok(ScanStep::Continue(SliceScan {
                push,
                slice,
                generation,
                outstanding: item.outstanding_by_channel(),
                after: item.resume_after,
                version: item.version,
                scanner,
            })),
            Conditional::NotMet(Some(item)) if item.generation == generation => {
                // The scanner that finished it may have died before it counted the slice.
                self.count_slice_if_done(push, slice, &item).await?;
                Ok(ScanStep::Finished)
            }
            Conditional::NotMet(_) => Ok(ScanStep::Superseded),
        }
    }

    /// Whether a scan of the slice was ever started, in any generation.
    pub async fn is_started(&self, push: PushId, slice: u32) -> Result<bool, StoreError> {
        Ok(self.table.get(key(push, slice_sk(slice))).await?.is_some())
    }

    /// How many batches of a channel are outstanding in a slice.
    pub async fn outstanding(&self, push: PushId, slice: u32, channel: Channel) -> Result<usize, StoreError> {
        let Some(item) = self.table.get(key(push, slice_sk(slice))).await? else { return Ok(0) };
        let item: SliceItem = self.table.read(item)?;
        Ok(item.outstanding_by_channel().get(&channel).copied().unwrap_or_default())
    }

    /// Commits a page whose batches are queued. The scan continues after `next`, or ends. The batches have numbers of
    /// [`SliceScan::batch_numbers`].
    pub async fn commit_page(
        &self,
        scan: &SliceScan,
        found: ScanCounts,
        batches: &[u32],
        next: Option<ScanPosition>,
    ) -> Result<ScanStep, StoreError> {
        let found = found.named();
        let outstanding = if batches.is_empty() { "" } else { ", batchesOpen :outstanding" };
        let position = if next.is_some() {
            "resumeAfter = :resumeAfter REMOVE startsInVain"
        } else {
            "walked = :true REMOVE resumeAfter, startsInVain"
        };
        let mut commit = with_counters(self.update_now(scan.push, slice_sk(scan.slice)), &found)
            .update_expression(format!(
                "ADD version :one, {}, batches :batches{outstanding} SET heartbeat = :now, {position}",
                added(&found)
            ))
            .condition_expression("version = :version AND generation = :generation")
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":version", number(scan.version))
            .expression_attribute_values(":generation", number(scan.generation))
            .expression_attribute_values(":batches", number(batches.len()));
        if !batches.is_empty() {
            commit = commit.expression_attribute_values(":outstanding", numbers(batches));
        }
        commit = match &next {
            Some(next) => commit.expression_attribute_values(":resumeAfter", text(next)),
            None => commit.expression_attribute_values(":true", AttributeValue::Bool(true)),
        };
        let is_own = |item: &SliceItem, _: &Attempts| item.scanner == scan.scanner && item.version == scan.version + 1;
        match self.table.update_if(commit, is_own).await? {
            Conditional::NotMet(_) => Ok(ScanStep::Superseded),
            Conditional::Done(item) if item.is_scanned => {
                self.count_slice_if_done(scan.push, scan.slice, &item).await?;
                Ok(ScanStep::Finished)
            }
            Conditional::Done(item) => Ok(ScanStep::Continue(SliceScan {
                after: next,
                version: item.version,
                outstanding: item.outstanding_by_channel(),
                ..scan.clone()
            })),
        }
    }
}

pub(super) fn slice_sk(slice: u32) -> String {
    format!("{SLICE_PREFIX}{slice:04}")
}

#[cfg(test)]
mod tests {
    use domain::push::OutcomeCounts;

    use super::*;
    use crate::attributes::{Item, key};

    fn read(attributes: impl IntoIterator<Item = (&'static str, AttributeValue)>) -> SliceItem {
        let mut item: Item = key("01980000-0000-7000-8000-000000000001#0001", slice_sk(7));
        item.extend(attributes.into_iter().map(|(name, value)| (name.to_owned(), value)));
        serde_dynamo::from_item(item).unwrap()
    }

    #[test]
    fn a_slice_is_read_with_all_its_counters() {
        let outcomes = OutcomeCounts {
            sent: 1,
            failed: 2,
            suppressed: 3,
            opted_out: 4,
            expired: 5,
            cancelled: 6,
            already_served: 7,
        };
        let scan = ScanCounts {
            customers_read: u64::from(u32::MAX) + 1,
            customers_eligible: 9,
            customers_unevaluable: 10,
            notifications: 11,
        };
        let counters = outcomes.named().into_iter().chain(scan.named()).map(|(name, count)| (name, number(count)));
        let attributes = [
            ("generation", number(1)),
            ("version", number(3)),
            ("walker", text("scanner")),
            ("walked", AttributeValue::Bool(false)),
            ("resumeAfter", text("c-1")),
            ("batches", number(12)),
            ("batchesOpen", numbers([64_u32, 67, 66, 1 << 31 | 7])),
            ("heartbeat", number(1_000)),
        ];
        let item = read(attributes.into_iter().chain(counters));
        assert_eq!((item.generation, item.version, item.is_scanned), (1, 3, false));
        assert_eq!(item.scanner, ScannerId("scanner".to_owned()));
        assert_eq!(item.resume_after, Some(ScanPosition("c-1".to_owned())));
        assert_eq!(item.heartbeat, Some(Timestamp::from_second(1).unwrap()));
        assert_eq!(item.outstanding_by_channel(), BTreeMap::from([(Channel::Email, 2), (Channel::Sms, 1)]));
        assert_eq!((item.scan, item.tally), (scan, outcomes.into()));
    }

    #[test]
    fn counters_that_are_not_stored_are_zero() {
        let item = read([("sent", number(0)), ("notifications", number(2)), ("walked", AttributeValue::Bool(true))]);
        assert_eq!(item.tally, Tally::default());
        assert_eq!(item.scan, ScanCounts { notifications: 2, ..ScanCounts::default() });
        assert!(item.is_done());
        assert_eq!(read([]), SliceItem::default());
    }

    #[test]
    fn counters_are_added_by_their_names() {
        let counters = ScanCounts::default().named();
        assert_eq!(
            added(&counters),
            "customersRead :customersRead, customersEligible :customersEligible, \
             customersUnevaluable :customersUnevaluable, notifications :notifications"
        );
    }
}
