//! A push with the sums over its slices.

use domain::PushId;
use domain::channel::Channels;
use domain::push::waiting::{Activity, Delays, Refusal, Wait};
use domain::push::{PushState, ScanCounts, Tally};
use jiff::Timestamp;

use super::partial::{Partial, RefusalItem, partials_of};
use super::slices::SliceItem;
use super::{Push, Pushes, is_push};
use crate::StoreError;
use crate::attributes::text;

/// A push with the sums over its slices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The push.
    pub push: Push,
    /// The counts of the scans so far.
    pub scan: ScanCounts,
    /// The outcomes of notifications so far, and the reasons of those that were not sent.
    pub tally: Tally,
    /// When a slice last made progress.
    pub last_progress_at: Option<Timestamp>,
    /// The channels with batches that have not reported.
    pub outstanding_channels: Channels,
    /// The number of slices that are scanned to their end.
    pub slices_scanned: u32,
    /// Notifications without an outcome whose recipients were refused for now when they were last tried.
    pub refused: u64,
    /// The last message that was refused for now.
    pub refusal: Option<Refusal>,
}

impl Progress {
    /// The number of notifications without an outcome.
    pub fn pending(&self) -> u64 {
        self.scan.notifications.saturating_sub(self.tally.outcomes.total())
    }

    /// The progress of a push that no function has started.
    pub fn not_started(push: Push) -> Self {
        Self {
            push,
            scan: ScanCounts::default(),
            tally: Tally::default(),
            last_progress_at: None,
            outstanding_channels: Channels::new(),
            slices_scanned: 0,
            refused: 0,
            refusal: None,
        }
    }

    /// Whether all that is left of a running push are recipients whom the provider refuses for now.
    pub fn waits_for_recipients_only(&self) -> bool {
        self.push.state == PushState::Running
            && self.slices_scanned == self.push.slices
            && self.refused == self.pending()
    }

    /// Whether there was no progress for so long that dead letters may be the cause.
    pub fn is_stalled(&self, now: Timestamp) -> bool {
        self.activity().is_stalled(now)
    }

    /// What the push waits for, given the delays of all transports and the number of dead letters of each queue.
    pub fn wait(&self, delays: &Delays, dead_letters: &[(&str, u64)], now: Timestamp) -> Wait {
        self.activity().wait_reason(delays, dead_letters, now)
    }

    fn add(&mut self, slice: SliceItem, partials: Vec<Partial>) {
        self.last_progress_at = self.last_progress_at.max(slice.heartbeat);
        self.outstanding_channels.extend(slice.outstanding_by_channel().into_keys());
        self.slices_scanned += u32::from(slice.is_scanned);
        self.scan += slice.scan;
        self.tally += slice.tally.checked();
        for partial in partials {
            self.tally += partial.tally.checked();
            self.refused += partial.refused;
        }
        let refusal = slice.refusal.and_then(RefusalItem::read);
        if refusal.as_ref().map(|refusal| refusal.at) > self.refusal.as_ref().map(|refusal| refusal.at) {
            self.refusal = refusal;
        }
    }

    fn activity(&self) -> Activity<'_> {
        Activity {
            state: self.push.state,
            started_at: self.push.started_at,
            last_progress_at: self.last_progress_at,
            outstanding_channels: &self.outstanding_channels,
            refusal: self.refusal.as_ref(),
        }
    }
}

impl Pushes {
    /// A push with its counts, read consistently. Makes one call for each megabyte of slices.
    pub async fn progress(&self, id: PushId) -> Result<Option<Progress>, StoreError> {
        let query = self
            .table
            .query()
            .consistent_read(true)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", text(id));
        // The push's own item comes first: `push` sorts before `slice#`.
        let mut progress = None;
        let each = |item| {
            if is_push(&item) {
                progress = Some(Progress::not_started(self.push(self.table.read(item)?)?));
                return Ok(());
            }
            let slice: SliceItem = self.table.read(item.clone())?;
            let partials = partials_of(&slice, &item).map_err(|error| self.table.unreadable(error))?;
            if let Some(progress) = &mut progress {
                progress.add(slice, partials);
            }
            Ok(())
        };
        self.table.query_each(query, each).await?;
        Ok(progress)
    }
}
