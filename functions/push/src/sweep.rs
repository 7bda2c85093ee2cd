//! Sweeping up: what a killed function, a lost message or a restored table left unfinished.
//!
//! The tables say what is missing, so nothing here depends on who died where:
//! - a push that was requested, but that the stream did not bring, is cut;
//! - a push whose time has come is started;
//! - a slice that has not moved for a while, though its queue is empty, is queued again; whoever opens it takes it over
//!   where it stands;
//! - a slice that is walked, but whose batches have not all reported though their channel's queue is empty, is walked anew,
//!   in a new generation. The Deliveries table keeps that from sending twice;
//! - so is one that has been still for long, while its channel's queue holds fewer messages than batches are missing in all:
//!   one message that waits for weeks must not hide that others are lost;
//! - a slice that is done but not counted as done is counted;
//! - an event that was not published is.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::channel::Channels;
use domain::clock::now;
use domain::push::PushState;
use domain::{Channel, OfferId, PushId};
use jiff::{SignedDuration, Timestamp};
use runtime::metrics::{self, Unit};
use runtime::{Deadline, Queue, telemetry};
use store::Cursor;
use store::pushes::{Push, SliceState, SliceStatus};
use tokio::sync::Mutex;
use tracing::Instrument;

use crate::publish::Publisher;
use crate::start::{FIRST_GENERATION, PushStarter, StartError};

/// A slice that has not moved for this long is looked at. An invocation of `audience` ends within a minute.
const STALE_AFTER: SignedDuration = SignedDuration::from_mins(3);
/// A slice that has been still for this long may have lost a batch although its queue is not empty: three times as long as
/// the longest that a batch is put off.
const STALLED_AFTER: SignedDuration = SignedDuration::from_mins(45);
/// Slices walked anew in one sweep although their queue is not empty: a queue tells its depth only roughly.
const MAX_STALLED_RESTARTS: usize = 10;
/// With less time than this left, the rest is left to the next sweep.
const MIN_TIME_PER_PUSH: Duration = Duration::from_secs(15);
/// The longest pause between two walks of a slice whose batches never report, as when one kills its function every time.
const MAX_PAUSE: SignedDuration = SignedDuration::from_hours(6);
/// Requests are looked at for as long as the stream may hold them, and an hour more: what was not cut by then stands in
/// the dead-letter queue, and somebody knows.
const REQUEST_LOOKBACK: SignedDuration = SignedDuration::from_hours(25);
/// What is untold for this long, the stream did not bring.
const UNPUBLISHED_AFTER: SignedDuration = SignedDuration::from_mins(1);
/// Open pushes read at a time.
const PAGE: u16 = 100;

/// Sweeps up.
pub(crate) struct Sweeper<'c> {
    pub(crate) starter: &'c PushStarter,
    /// The queue of each channel: its batches on their way stand there.
    pub(crate) channels: &'c BTreeMap<Channel, Queue>,
    pub(crate) publisher: &'c Publisher,
    /// Where the last sweep ran out of time: the next one goes on there, so that the last pushes have their turn too.
    pub(crate) left_at: Mutex<Option<Cursor>>,
}

/// What open pushes wait for.
#[derive(Debug, Default)]
struct Outstanding {
    /// Batches that have not reported, by channel.
    batches: BTreeMap<Channel, usize>,
    /// Slices that have been still for long.
    stalled: Vec<(Push, SliceStatus)>,
}

/// What a sweep did.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Swept {
    /// Pushes that were cut: the stream had not brought them, or their time had come.
    pub(crate) started: u64,
    /// Slices queued again.
    pub(crate) resumed: u64,
    /// Slices walked anew.
    #[serde(rename = "anew")]
    pub(crate) restarted: u64,
    /// Slices counted as done.
    pub(crate) closed: u64,
    /// Events published that were left untold.
    pub(crate) published: u64,
}

/// How patient a sweep is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Patience {
    /// What moved lately is left alone.
    Usual,
    /// Somebody says that something is missing.
    None,
}

impl Sweeper<'_> {
    /// Sweeps every open push. One that cannot be swept is logged and does not keep the others from it.
    /// Ends in time: what is left is the next one's.
    pub(crate) async fn all(&self, deadline: Deadline) -> Result<Swept, StartError> {
        let mut swept = Swept::default();
        let mut failed = 0;
        let now = now();
        for push in self.starter.offers.requested_between(now - REQUEST_LOOKBACK, now - STALE_AFTER).await? {
            if self.starter.pushes.get(push).await?.is_none() {
                let work = telemetry::work_span();
                let cut = self.starter.start_push(push).instrument(work.clone()).await;
                let _of_it = work.entered();
                telemetry::record_push(push, None);
                match cut {
                    Ok(()) => {
                        tracing::warn!("the stream did not bring this push");
                        swept.started += 1;
                    }
                    Err(error) => {
                        tracing::error!(error = %error, "a push was not cut");
                        failed += 1;
                    }
                }
            }
        }
        let mut after = self.left_at.lock().await.take();
        let is_whole = after.is_none();
        let mut begun = now;
        let mut outstanding = Outstanding::default();
        let is_in_time = loop {
            let page = self.starter.pushes.list_open(PAGE, after.clone()).await?;
            for push in page.items {
                if deadline.has_less_than(MIN_TIME_PER_PUSH) {
                    break;
                }
                begun = begun.min(push.started_at.unwrap_or(now));
                let work = telemetry::work_span();
                let of_push = self.push(&push, Patience::Usual, &mut outstanding, &mut swept);
                if let Err(error) = of_push.instrument(work.clone()).await {
                    let _of_it = work.entered();
                    telemetry::record_push(push.id, None);
                    tracing::error!(error = %error, "a push was not swept");
                    failed += 1;
                }
            }
            if deadline.has_less_than(MIN_TIME_PER_PUSH) {
                tracing::warn!("more pushes are open than one sweep has time for; the next one goes on");
                *self.left_at.lock().await = after;
                break false;
            }
            after = page.next;
            if after.is_none() {
                break true;
            }
        };
        // Only who has seen all of them can tell that something is missing.
        if is_whole && is_in_time {
            self.find_lost(outstanding, &mut swept).await?;
        }
        // Told each time: that it is missing means that nobody sweeps.
        let unfinished = u64::try_from(now.duration_since(begun).as_secs()).unwrap_or_default();
        metrics::emit(&[], &[("OldestOpenPush", Unit::Seconds, unfinished)]);
        swept.published += self.publisher.publish_overdue(now - UNPUBLISHED_AFTER).await?;
        if failed > 0 { Err(StartError::Sweep(failed)) } else { Ok(swept) }
    }

    /// Sweeps the last push of one offer, without waiting for anything to be stale.
    pub(crate) async fn offer(&self, offer: OfferId) -> Result<Swept, StartError> {
        let mut swept = Swept::default();
        let number = self.starter.offers.last_push_number(offer).await?.ok_or(StartError::Missing)?;
        let id = PushId { offer, number };
        match self.starter.pushes.get(id).await? {
            Some(push) => self.push(&push, Patience::None, &mut Outstanding::default(), &mut swept).await?,
            // The stream has not brought it yet, or lost it.
            None => {
                self.starter.start_push(id).await?;
                swept.started += 1;
            }
        }
        swept.published += self.publisher.publish(id).await?;
        Ok(swept)
    }

    async fn push(
        &self,
        push: &Push,
        patience: Patience,
        outstanding: &mut Outstanding,
        swept: &mut Swept,
    ) -> Result<(), StartError> {
        match push.state {
            PushState::Scheduled => {
                if push.starts_at.is_some_and(|starts_at| starts_at <= now()) {
                    self.starter.start_scheduled(push.id).await?;
                    swept.started += 1;
                }
                Ok(())
            }
            PushState::Running => self.slices(push, patience, outstanding, swept).await,
            PushState::Completed | PushState::Cancelled => Ok(()),
        }
    }

    async fn slices(
        &self,
        push: &Push,
        patience: Patience,
        outstanding: &mut Outstanding,
        swept: &mut Swept,
    ) -> Result<(), StartError> {
        let now = now();
        let mut again = Vec::new();
        let mut stalled = Vec::new();
        for slice in self.starter.pushes.slices(push).await? {
            let idle = now.duration_since(slice.heartbeat.or(push.started_at).unwrap_or(Timestamp::MIN));
            let due = patience == Patience::None || idle >= pause(&slice);
            if let SliceState::Scanned { outstanding_batches, .. } = &slice.state {
                for (channel, batches) in outstanding_batches {
                    *outstanding.batches.entry(*channel).or_default() += batches;
                }
                if idle >= pause(&slice).max(STALLED_AFTER) {
                    outstanding.stalled.push((push.clone(), slice.clone()));
                }
            }
            match &slice.state {
                SliceState::NotStarted if due => again.push((slice.slice, FIRST_GENERATION)),
                SliceState::Scanning if due => again.push((slice.slice, slice.generation)),
                SliceState::Scanned { .. } if due => stalled.push(slice),
                // Where all are noted as done and the push is open all the same, whoever noted the last one died before
                // completing the push: noting one again completes it.
                SliceState::Done if push.slices_done < push.slices || slice.slice == 0 => {
                    self.starter.pushes.mark_slice_done(push.id, slice.slice).await?;
                    swept.closed += 1;
                }
                SliceState::NotStarted | SliceState::Scanning | SliceState::Scanned { .. } | SliceState::Done => {}
            }
        }
        // A slice that stands in its queue, or is in some function's hands, comes by itself.
        if !again.is_empty() && self.starter.audience.depth().await? > 0 {
            again.clear();
        }
        swept.resumed += again.len() as u64;
        if !stalled.is_empty() {
            let idle = self.idle_channels().await?;
            let is_lost = |slice: &SliceStatus| match &slice.state {
                SliceState::Scanned { outstanding_batches, .. } => {
                    outstanding_batches.keys().any(|channel| idle.contains(channel))
                }
                _ => false,
            };
            for slice in stalled.into_iter().filter(is_lost) {
                again.extend(self.restart_scan(push, &slice, swept).await?);
            }
        }
        self.queue_again(push, again).await
    }

    /// Walks slices anew that have been still for long, where a queue holds fewer messages than batches are missing. A tenth
    /// fewer at least: the queue's count is rough.
    async fn find_lost(&self, mut outstanding: Outstanding, swept: &mut Swept) -> Result<(), StartError> {
        let mut short = Channels::new();
        for (channel, batches) in &outstanding.batches {
            let depth = match self.channels.get(channel) {
                Some(queue) => queue.depth().await?,
                None => continue,
            };
            if depth.saturating_mul(10) < (*batches as u64).saturating_mul(9) {
                short.insert(*channel);
            }
        }
        outstanding.stalled.retain(|(_, slice)| match &slice.state {
            SliceState::Scanned { outstanding_batches, .. } => {
                outstanding_batches.keys().any(|channel| short.contains(channel))
            }
            _ => false,
        });
        outstanding.stalled.sort_by_key(|(_, slice)| slice.heartbeat);
        for (push, slice) in outstanding.stalled.iter().take(MAX_STALLED_RESTARTS) {
            let again = self.restart_scan(push, slice, swept).await?;
            self.queue_again(push, again).await?;
        }
        Ok(())
    }

    /// The slice with its new generation, unless it has moved since.
    async fn restart_scan(
        &self,
        push: &Push,
        slice: &SliceStatus,
        swept: &mut Swept,
    ) -> Result<Option<(u32, u32)>, StartError> {
        let generation = self.starter.pushes.restart_scan(push.id, slice).await?;
        swept.restarted += u64::from(generation.is_some());
        Ok(generation.map(|generation| (slice.slice, generation)))
    }

    async fn queue_again(&self, push: &Push, slices: impl IntoIterator<Item = (u32, u32)>) -> Result<(), StartError> {
        let slices: Vec<_> = slices.into_iter().collect();
        if slices.is_empty() {
            return Ok(());
        }
        let (request, offer) = self.starter.request(push.id).await?;
        tracing::warn!(slices = slices.len(), "slices are queued again");
        self.starter.queue(push, &offer, &request, slices).await
    }

    /// The channels of which nothing is on its way.
    async fn idle_channels(&self) -> Result<Channels, StartError> {
        let mut idle = Channels::new();
        for (channel, queue) in self.channels {
            if queue.depth().await? == 0 {
                idle.insert(*channel);
            }
        }
        Ok(idle)
    }
}

/// How long a slice may be still: longer with every walk of it, so that a batch that never reports does not keep the
/// pipeline busy.
fn pause(slice: &SliceStatus) -> SignedDuration {
    let doublings = slice.generation.saturating_sub(1).min(10);
    (STALE_AFTER * 2_i32.pow(doublings)).min(MAX_PAUSE)
}
