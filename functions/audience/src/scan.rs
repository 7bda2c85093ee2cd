//! Scanning a slice, page by page.
//!
//! The batches of a page are queued before the page is committed. If an invocation ends in between, the page is scanned
//! again and its batches are queued again; the Deliveries table prevents a second send.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use domain::customer::Projection;
use domain::eligibility::InvalidRule;
use domain::push::backlog::Backlog;
use domain::push::{PushState, ScanCounts};
use domain::queue::{AudienceMessage, BATCH_LIMIT, ChannelMessage, Slice};
use domain::{Audience, Channel, Sources};
use runtime::queue::QueueError;
use runtime::{Deadline, Queue, telemetry};
use store::customers::Segment;
use store::pushes::{FIRST_GENERATION, PAGE_BATCHES, ScanStep, SliceScan};
use store::{Customers, PushedOffer, PushedOffers, Pushes, StoreError};

use crate::select::{batches, select};

/// Customers of one page: enough to fill batches, few enough to scan in a second or two. They make at most 20 batches
/// of each channel (see [`store::pushes::PAGE_BATCHES`]).
const PAGE: u16 = 1_000;
const _: () = assert!(PAGE as usize <= PAGE_BATCHES as usize * BATCH_LIMIT);
/// With less time than this left, no page is started: the rest of the slice is queued again.
const MIN_TIME_PER_PAGE: Duration = Duration::from_secs(15);
/// With less time than this left, no further customer of a page is selected: its batches must be queued and committed.
const MIN_TIME_TO_COMMIT: Duration = Duration::from_secs(7);
/// How long a slice waits when the store is unavailable or throttles.
const STORE_RETRY_DELAY: Duration = Duration::from_secs(5);
/// How long it waits when a channel's queue refuses batches. Longer, since the page's batches for the other channel are queued
/// again each time.
const QUEUE_RETRY_DELAY: Duration = Duration::from_secs(60);

/// Scans slices.
pub struct SliceScanner {
    /// The clock.
    pub sources: Sources,
    /// The customers to scan.
    pub customers: Customers,
    /// Where each slice's checkpoint is committed.
    pub pushes: Pushes,
    /// What a slice's message is about.
    pub pushed_offers: PushedOffers,
    /// The queue that slices are received from.
    pub slice_queue: Queue,
    /// Where the batches of each channel go.
    pub channels: BTreeMap<Channel, ChannelQueue>,
}

/// Where the batches of a channel go.
#[derive(Debug, Clone)]
pub struct ChannelQueue {
    /// Their queue.
    pub queue: Queue,
    /// How many messages a second may be sent on the channel.
    pub per_second: NonZeroU32,
}

/// Why a slice was not scanned to its end. Scanning it again is safe and necessary.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// The body of the message cannot be parsed.
    #[error("the message is not a slice: {0}")]
    Message(#[from] serde_json::Error),
    /// A table is unavailable or holds something unreadable.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The message names what does not exist. Handling it again does not help: it becomes a dead letter.
    #[error("the slice is none of a stored push with its offer; nothing was scanned")]
    NotStored,
    /// Some batches may have been queued; queueing them again is harmless.
    #[error("not every message was queued: {0}")]
    Queue(#[from] QueueError),
    /// An earlier release accepted the offer's rule, this one does not. No customer is skipped: SQS delivers the slice
    /// again, and the sweep queues it again for as long as the push is open.
    #[error(
        "the offer's rule does not compile: eligibility {0}; post the offer again with a corrected rule and cancel this \
         push, or deploy a release that accepts the rule"
    )]
    Rule(#[from] InvalidRule),
}

impl ScanError {
    /// After what time to try again, if a service is unavailable, which is no fault of the message.
    const fn retry_delay(&self) -> Option<Duration> {
        match self {
            Self::Store(StoreError::Unavailable { .. }) => Some(STORE_RETRY_DELAY),
            Self::Queue(QueueError::Unavailable(_) | QueueError::Rejected { .. }) => Some(QUEUE_RETRY_DELAY),
            _ => None,
        }
    }
}

/// What is the same for every page of a slice in one invocation.
struct PageScan<'a> {
    slice: &'a Slice,
    /// Its part of the table of customers.
    segment: Segment,
    /// How many slices of the push are not done.
    slices_left: u32,
    audience: Audience<'a>,
    projection: Projection,
    deadline: Deadline,
}

impl SliceScanner {
    /// Scans a slice to its end. The rest of it is queued again if the deadline is near, or the store or a channel's queue is
    /// unavailable: none of these is a fault of the message, so SQS must not count it as a failed receive.
    pub(crate) async fn scan_slice(&self, slice: &Slice, deadline: Deadline) -> Result<(), ScanError> {
        telemetry::record_push(slice.push, None);
        match self.try_scan_slice(slice, deadline).await {
            Err(error) => {
                let Some(delay) = error.retry_delay() else { return Err(error) };
                tracing::warn!(slice = slice.index, error = %error, "scan interrupted; the slice is queued again");
                self.queue_again(slice, delay).await
            }
            done => done,
        }
    }

    async fn try_scan_slice(&self, slice: &Slice, deadline: Deadline) -> Result<(), ScanError> {
        let pushed = self.pushed_offers.get(slice.push).await?;
        let PushedOffer { push, offer, request } =
            pushed.filter(|pushed| slice.index < pushed.push.slices).ok_or(ScanError::NotStored)?;
        telemetry::record_push(slice.push, request.trace);
        if !self.is_needed(slice, push.state).await? {
            return Ok(());
        }
        // Batches of a page may be queued and sent before it is committed, which counts them: so a scan that has started goes
        // on to its end.
        if offer.has_expired(self.sources.now()) && !self.pushes.is_started(slice.push, slice.index).await? {
            return Ok(self.end_without_scanning(slice).await?);
        }
        // Compiled once for all pages of the invocation.
        let audience = Audience::of(&offer)?;
        let segment = Segment { number: slice.index, of: push.slices };
        let slices_left = push.slices.saturating_sub(push.slices_done);
        let pages = PageScan { slice, segment, slices_left, projection: audience.projection(), audience, deadline };
        let mut step = self.pushes.start_scan(slice.push, slice.index, slice.generation).await?;
        while let ScanStep::Continue(scan) = step {
            if deadline.has_less_than(MIN_TIME_PER_PAGE, self.sources.now()) {
                self.queue_again(slice, Duration::ZERO).await?;
                break;
            }
            step = self.scan_page(&pages, &scan).await?;
        }
        Ok(())
    }

    async fn queue_again(&self, slice: &Slice, delay: Duration) -> Result<(), ScanError> {
        Ok(self.slice_queue.send_delayed(&AudienceMessage::Slice(slice.clone()), delay).await?)
    }

    /// Whether the slice must be scanned, or was queued for a push that no longer needs it.
    async fn is_needed(&self, slice: &Slice, state: PushState) -> Result<bool, StoreError> {
        match state {
            // The message is old.
            PushState::Completed => Ok(false),
            // The batches of a page are counted only once it is committed. So a scan that has started goes on to its
            // end, although nothing is sent any more.
            PushState::Cancelled => self.pushes.is_started(slice.push, slice.index).await,
            PushState::Scheduled | PushState::Running => Ok(true),
        }
    }

    /// Ends a slice of an offer that expired before its scan began: its customers would get nothing. They are not counted.
    async fn end_without_scanning(&self, slice: &Slice) -> Result<(), StoreError> {
        if let ScanStep::Continue(scan) = self.pushes.start_scan(slice.push, slice.index, slice.generation).await? {
            self.pushes.commit_page(&scan, ScanCounts::default(), &[], None).await?;
            tracing::info!(slice = slice.index, "slice not scanned: the offer has expired");
        }
        Ok(())
    }

    /// Scans one page, queues its batches and commits it.
    async fn scan_page(&self, pages: &PageScan<'_>, scan: &SliceScan) -> Result<ScanStep, ScanError> {
        let PageScan { slice, segment, slices_left, audience, projection, deadline } = pages;
        let began = self.sources.now();
        let mut page = self.customers.scan(*segment, projection, scan.after.as_ref(), PAGE).await?;
        let channels = self.channels.keys().copied().collect();
        let (counts, recipients) =
            select(audience, &mut page, &channels, || deadline.has_less_than(MIN_TIME_TO_COMMIT, self.sources.now()));
        let batches = batches(slice, scan, &recipients);
        self.queue_batches(scan, &batches, *slices_left).await?;
        tracing::info!(
            slice = slice.index,
            duration_ms = self.sources.millis_since(began),
            customers = counts.customers_read,
            notifications = counts.notifications,
            batches = batches.len(),
            unreadable = page.unreadable.len(),
            "page scanned"
        );
        let numbers: Vec<_> = batches.iter().map(|ChannelMessage::Batch(batch)| batch.number).collect();
        Ok(self.pushes.commit_page(scan, counts, &numbers, page.next).await?)
    }

    /// Queues the batches of a page, each with the delay after which there may be room for it within the rate. Those of a repeated
    /// push, or of a slice that is scanned again, come at once: most of their customers have the offer, and need no room.
    async fn queue_batches(
        &self,
        scan: &SliceScan,
        batches: &[ChannelMessage],
        slices_left: u32,
    ) -> Result<(), QueueError> {
        let is_first = scan.push.number == 1 && scan.generation == FIRST_GENERATION;
        for (channel, &ChannelQueue { ref queue, per_second }) in &self.channels {
            let of_channel = batches.iter().filter(|ChannelMessage::Batch(batch)| batch.channel == *channel);
            // The last one may be smaller.
            let customers = of_channel.clone().map(|ChannelMessage::Batch(batch)| batch.customers().len()).max();
            let delayed = (scan.outstanding(*channel)..).zip(of_channel).map(|(batches, message)| {
                let before = Backlog { slices_left, batches, customers: customers.unwrap_or_default(), per_second };
                (message, if is_first { before.first_delay(|| self.sources.fraction()) } else { Duration::ZERO })
            });
            queue.send_all(delayed).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use domain::RuleText;

    use super::*;

    #[test]
    fn refused_rule_is_an_error_that_says_what_to_do() {
        let stored: RuleText = serde_json::from_str(r#""account.open""#).unwrap();
        let error = ScanError::from(stored.compile().unwrap_err()).to_string();
        assert!(error.contains("eligibility is invalid at line 1, column 1"), "{error}");
        assert!(error.contains("post the offer again with a corrected rule and cancel this push"), "{error}");
    }
}
