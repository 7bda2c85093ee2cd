//! A push with the sums over its slices.

use domain::PushId;
use domain::channel::Channels;
use domain::push::waiting::{Activity, Delays, Wait};
use domain::push::{OutcomeCounts, ScanCounts};
use jiff::Timestamp;

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
    /// The outcomes of notifications so far.
    pub outcomes: OutcomeCounts,
    /// When a slice last made progress.
    pub last_progress_at: Option<Timestamp>,
    /// The channels with batches that have not reported.
    pub outstanding_channels: Channels,
}

impl Progress {
    /// The number of notifications without an outcome.
    pub fn pending(&self) -> u64 {
        self.scan.notifications.saturating_sub(self.outcomes.total())
    }

    /// Whether there was no progress for so long that dead letters may be the cause.
    pub fn is_stalled(&self, now: Timestamp) -> bool {
        self.activity().is_stalled(now)
    }

    /// What the push waits for, given the delays of all transports and the number of dead letters of each queue.
    pub fn wait(&self, delays: &Delays, dead_letters: &[(&str, u64)], now: Timestamp) -> Wait {
        self.activity().wait_reason(delays, dead_letters, now)
    }

    fn activity(&self) -> Activity<'_> {
        Activity {
            state: self.push.state,
            started_at: self.push.started_at,
            last_progress_at: self.last_progress_at,
            outstanding_channels: &self.outstanding_channels,
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
        let mut push = None;
        let mut scan = ScanCounts::default();
        let mut outcomes = OutcomeCounts::default();
        let mut last_progress_at = None;
        let mut outstanding_channels = Channels::new();
        let each = |item| {
            if is_push(&item) {
                push = Some(self.push(self.table.read(item)?)?);
                return Ok(());
            }
            let slice: SliceItem = self.table.read(item)?;
            last_progress_at = last_progress_at.max(slice.heartbeat);
            outstanding_channels.extend(slice.outstanding_by_channel().into_keys());
            scan += slice.scan;
            outcomes += slice.outcomes;
            Ok(())
        };
        self.table.query_each(query, each).await?;
        Ok(push.map(|push| Progress { push, scan, outcomes, last_progress_at, outstanding_channels }))
    }
}
