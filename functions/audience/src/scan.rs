//! ScanStep a slice, page by page.
//!
//! The batches of a page are queued before the page is turned. Whoever dies in between leaves the page to be scanned
//! again, which queues its batches again; the Deliveries table keeps them from being sent again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use domain::channel::Channel;
use domain::eligibility::{Evaluator, Verdict};
use domain::push::{OutcomeCounts, PushState, ScanCounts};
use domain::queue::{AudienceMessage, BATCH_LIMIT, Batch, ChannelMessage, Slice};
use domain::{CustomerId, Rule};
use runtime::queue::QueueError;
use runtime::{Deadline, Queue, telemetry};
use store::customers::CustomersPage;
use store::pushes::{PAGE_BATCHES, ScanStep, SliceScan};
use store::{Customers, Pushes, StoreError};

/// Customers of one page: enough to fill batches, few enough to walk in a second or two. They make at most 20 batches of
/// each channel (see [`store::pushes::PAGE_BATCHES`]).
const PAGE: u16 = 1_000;
const _: () = assert!(PAGE as usize <= PAGE_BATCHES as usize * BATCH_LIMIT);
/// No page is begun with less than this left: the rest of the slice is handed on.
const MIN_TIME_PER_PAGE: Duration = Duration::from_secs(15);
/// How long a slice waits when the store is out of reach or too busy.
const STORE_RETRY_DELAY: Duration = Duration::from_secs(5);

/// Walks slices.
pub(crate) struct SliceScanner {
    pub(crate) customers: Customers,
    pub(crate) pushes: Pushes,
    /// The queue that slices come from.
    pub(crate) slices: Queue,
    /// Where the batches of each channel go.
    pub(crate) channels: BTreeMap<Channel, Queue>,
}

/// Why a slice was not scanned to its end. ScanStep it again is safe, and needed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScanError {
    #[error("the message is no slice: {0}")]
    Message(#[from] serde_json::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("not everything was queued: {0}")]
    Queue(#[from] QueueError),
}

impl SliceScanner {
    /// Walks a slice to its end. What is left is handed on when the deadline is near, or the store is out of reach: that is
    /// no fault of the slice, and the queue must not count it as one.
    pub(crate) async fn scan_slice(&self, slice: &Slice, deadline: Deadline) -> Result<(), ScanError> {
        telemetry::record_push(slice.push, slice.origin.as_ref());
        match self.try_scan_slice(slice, deadline).await {
            Err(ScanError::Store(error @ StoreError::Unavailable { .. })) => {
                tracing::warn!(slice = slice.slice, error = %error, "the store is out of reach");
                Ok(self.slices.send_delayed(&AudienceMessage::SliceV1(slice.clone()), STORE_RETRY_DELAY).await?)
            }
            scanned => scanned,
        }
    }

    async fn try_scan_slice(&self, slice: &Slice, deadline: Deadline) -> Result<(), ScanError> {
        let is_needed = match self.pushes.get(slice.push).await?.map(|push| push.state) {
            // An old message.
            Some(PushState::Completed) => false,
            // What was queued of a slice before it died is counted only once its page is turned. Nothing of it is sent.
            Some(PushState::Cancelled) => self.pushes.is_started(slice.push, slice.slice).await?,
            Some(PushState::Scheduled | PushState::Running) | None => true,
        };
        if !is_needed {
            return Ok(());
        }
        let mut step = self.pushes.start_scan(slice.push, slice.slice, slice.generation).await?;
        while let ScanStep::Continue(walk) = step {
            if deadline.has_less_than(MIN_TIME_PER_PAGE) {
                self.slices.send_all([AudienceMessage::SliceV1(slice.clone())]).await?;
                break;
            }
            let began = Instant::now();
            let page = self.customers.scan(slice.slice, slice.slices, walk.after.as_ref(), PAGE).await?;
            let next = page.next.clone();
            let (found, batches) = self.select(slice, &page, &walk);
            for (channel, queue) in &self.channels {
                queue
                    .send_all(batches.iter().filter(|ChannelMessage::BatchV1(batch)| batch.channel == *channel))
                    .await?;
            }
            tracing::info!(
                slice = slice.slice,
                duration_ms = telemetry::millis_since(began),
                customers = found.customers_read,
                notifications = found.notifications,
                batches = batches.len(),
                unreadable = page.unreadable,
                "page walked"
            );
            let numbers: Vec<_> = batches.iter().map(|ChannelMessage::BatchV1(batch)| batch.batch).collect();
            step = self.pushes.commit_page(&walk, found, &numbers, next).await?;
        }
        Ok(())
    }

    /// What a page holds for this offer, and the batches to queue for it.
    fn select(&self, slice: &Slice, page: &CustomersPage, walk: &SliceScan) -> (ScanCounts, Vec<ChannelMessage>) {
        let mut found = ScanCounts {
            customers_read: page.customers.len() as u64 + page.unreadable,
            customers_unevaluable: page.unreadable,
            ..ScanCounts::default()
        };
        let mut recipients: BTreeMap<Channel, Vec<CustomerId>> = BTreeMap::new();
        let evaluator = slice.offer.eligibility.as_ref().map(Rule::evaluator);
        for customer in &page.customers {
            match evaluator.as_ref().map_or(Verdict::Eligible, |evaluator: &Evaluator<'_>| evaluator.verdict(customer))
            {
                Verdict::Eligible => found.customers_eligible += 1,
                Verdict::NotEligible => continue,
                Verdict::Unevaluable => {
                    found.customers_unevaluable += 1;
                    continue;
                }
            }
            for channel in self.channels.keys().filter(|channel| slice.offer.channels.contains(channel)) {
                if customer.reachable_by(*channel) {
                    found.notifications += 1;
                    recipients.entry(*channel).or_default().push(customer.id.clone());
                }
            }
        }
        let numbered = recipients.iter().flat_map(|(channel, customers)| {
            walk.batch_numbers(*channel).zip(customers.chunks(BATCH_LIMIT)).map(move |batch| (*channel, batch))
        });
        let batches = numbered
            .map(|(channel, (number, customers))| {
                ChannelMessage::BatchV1(Batch {
                    push: slice.push,
                    offer: slice.offer.clone(),
                    slice: slice.slice,
                    generation: slice.generation,
                    batch: number,
                    channel,
                    customers: customers.to_vec(),
                    tally: OutcomeCounts::default(),
                    retry_rejected: slice.retry_rejected,
                    attempt: 0,
                    origin: slice.origin,
                })
            })
            .collect();
        (found, batches)
    }
}
