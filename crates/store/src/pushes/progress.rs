//! The sums over the slices of a push.

use domain::PushId;
use domain::channel::Channels;
use domain::push::waiting::{Activity, Delays, Wait};
use domain::push::{OutcomeCounts, ScanCounts};
use jiff::Timestamp;

use super::slices::SliceItem;
use super::{PUSH_SK, Push, Pushes};
use crate::StoreError;
use crate::attributes::text;

/// A push with the sums over its slices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The push as a whole.
    pub push: Push,
    /// What the walks found so far.
    pub scan: ScanCounts,
    /// What became of notifications so far.
    pub outcomes: OutcomeCounts,
    /// When a slice last moved.
    pub last_progress_at: Option<Timestamp>,
    /// The channels whose batches have not all reported.
    pub outstanding_channels: Channels,
}

impl Progress {
    /// Notifications without an outcome.
    pub fn pending(&self) -> u64 {
        self.scan.notifications.saturating_sub(self.outcomes.total())
    }

    /// Whether there was no progress for so long that dead letters may be the cause.
    pub fn is_stalled(&self, now: Timestamp) -> bool {
        self.activity().is_stalled(now)
    }

    /// What the push waits for, given the delays of all transports and the number of dead letters of each queue.
    pub fn wait(&self, delays: &Delays, dead_letters: &[(&str, u64)], now: Timestamp) -> Wait {
        self.activity().wait(delays, dead_letters, now)
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
    /// A push with its counts, as of now.
    ///
    /// # Errors
    /// If the store is out of reach or an item unreadable.
    pub async fn progress(&self, id: PushId) -> Result<Option<Progress>, StoreError> {
        let mut push = None;
        let mut walk = ScanCounts::default();
        let mut outcomes = OutcomeCounts::default();
        let mut last_progress_at = None;
        let mut outstanding_channels = Channels::new();
        let mut pages = self
            .client
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", text(id))
            .into_paginator()
            .items()
            .send();
        while let Some(item) = pages.next().await {
            let item = item.map_err(|error| StoreError::unavailable("Query", &self.table, &error))?;
            if item.get("sk").is_some_and(|sk| *sk == text(PUSH_SK)) {
                push = Some(self.push(self.read(Some(item))?)?);
                continue;
            }
            let slice: SliceItem = self.read(Some(item))?;
            last_progress_at = last_progress_at.max(slice.heartbeat);
            outstanding_channels.extend(slice.outstanding_by_channel().into_keys());
            walk += ScanCounts {
                customers_read: slice.customers_read,
                customers_eligible: slice.customers_eligible,
                customers_unevaluable: slice.customers_unevaluable,
                notifications: slice.notifications,
            };
            outcomes += OutcomeCounts {
                sent: slice.sent,
                failed: slice.failed,
                suppressed: slice.suppressed,
                opted_out: slice.opted_out,
                expired: slice.expired,
                cancelled: slice.cancelled,
                already_served: slice.already_served,
            };
        }
        Ok(push.map(|push| Progress { push, scan: walk, outcomes, last_progress_at, outstanding_channels }))
    }
}
