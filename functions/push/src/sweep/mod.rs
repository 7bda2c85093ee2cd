//! The sweep finishes what a killed invocation, a lost message or a restored table left unfinished.
//!
//! It reads from the tables what is missing, so it does not depend on where the failure was.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | which requests are started because the stream did not deliver them | [`requests`] |
//! | which pushes are started; which slices are queued or scanned again, and after how long; which are marked as done | [`plan`] |
//! | how that is done | [`slices`] |
//! | how lost batches are found while their queue is not empty | [`lost`] |
//! | how a slice is queued again | [`requeue`] |
//! | what a sweep returns | [`report`] |
//!
//! # What it does
//! - A requested push that the stream did not deliver is started.
//! - A scheduled push whose time has come is started.
//! - A slice without progress, while the audience queue is empty, is queued again. The invocation that receives it
//!   takes the scan over at its checkpoint.
//! - A scanned slice whose batches have not all reported, while their channel's queue is empty, is scanned again in a
//!   new generation. The Deliveries table prevents a second send.
//! - A slice that is idle for long is scanned again even if its channel's queue is not empty, when that queue holds
//!   fewer messages than batches are outstanding in all open pushes: one message that waits for weeks must not hide
//!   that others are lost.
//! - A slice that is done but not marked as done on its push is marked.
//! - An event that is overdue is published.

mod lost;
mod plan;
mod report;
mod requests;
mod requeue;
mod slices;

use std::collections::BTreeMap;
use std::time::Duration;

use domain::{Channel, OfferId, PushId};
use jiff::{SignedDuration, Timestamp};
use runtime::metrics::{self, Unit};
use runtime::{Deadline, Queue, telemetry};
use store::Cursor;
use store::pushes::Push;
use tokio::sync::Mutex;
use tracing::Instrument;

use self::lost::{Outstanding, restart_lost};
use self::plan::{NextStep, Scope, next_step};
use self::report::{SweepError, Swept};
use self::requests::start_missed;
use self::slices::sweep_slices;
use crate::publish::Publisher;
use crate::start::PushStarter;

/// With less time than this left, the remaining pushes are left to the next sweep.
const MIN_TIME_PER_PUSH: Duration = Duration::from_secs(15);
/// An event unpublished for this long was not delivered by the stream.
const UNPUBLISHED_AFTER: SignedDuration = SignedDuration::from_mins(1);
/// Open pushes read at a time.
const PAGE: u16 = 100;

/// Sweeps open pushes.
pub(crate) struct Sweeper {
    pub(crate) starter: PushStarter,
    /// The queue of each channel, which holds its batches until they are delivered.
    pub(crate) channels: BTreeMap<Channel, Queue>,
    pub(crate) publisher: Publisher,
    /// Where the last sweep ran out of time. The next one continues there, so that the last pushes are swept too.
    pub(crate) resume_at: Mutex<Option<Cursor>>,
}

/// What a sweep found about the pushes that it read.
#[derive(Debug)]
struct OpenPushes {
    outstanding: Outstanding,
    /// When the oldest of them started; now, if there are none.
    oldest: Timestamp,
    /// Pushes that could not be swept. Each is logged.
    failed: u32,
    /// Whether every open push was read.
    is_complete: bool,
}

impl Sweeper {
    /// Sweeps every open push. One that fails is logged and does not keep the others from being swept.
    /// When time runs short, the next sweep continues with the rest of the pushes.
    pub(crate) async fn sweep_all(&self, deadline: Deadline) -> Result<Swept, SweepError> {
        let mut swept = Swept::default();
        let now = self.starter.sources.now();
        let not_started = start_missed(&self.starter, now, &mut swept).await?;
        let open = self.sweep_open(now, deadline, &mut swept).await?;
        // Only a sweep that read every open push can compare the batches with the depth of the queues.
        if open.is_complete {
            restart_lost(&self.starter, &self.channels, open.outstanding, &mut swept).await?;
        }
        // Emitted by every sweep that comes this far, also as 0: an alarm on missing data reports that the sweep does
        // not run.
        let age = u64::try_from(now.duration_since(open.oldest).as_secs()).unwrap_or_default();
        metrics::emit(&[], &[("OldestOpenPush", Unit::Seconds, age)]);
        swept.published += self.publisher.publish_overdue(now - UNPUBLISHED_AFTER).await?;
        match not_started + open.failed {
            0 => Ok(swept),
            failed => Err(SweepError::Failed(failed)),
        }
    }

    /// Sweeps the last push of one offer, however recently it made progress.
    pub(crate) async fn sweep_offer(&self, offer: OfferId) -> Result<Swept, SweepError> {
        let mut swept = Swept::default();
        let number = self.starter.offers.last_push_number(offer).await?.ok_or(SweepError::NoPush)?;
        let id = PushId { offer, number };
        match self.starter.pushes.get(id).await? {
            Some(push) => self.sweep_push(&push, Scope::All, &mut Outstanding::default(), &mut swept).await?,
            // The stream has not delivered the request yet, or lost it.
            None => {
                self.starter.start_push(id).await?;
                swept.started += 1;
            }
        }
        swept.published += self.publisher.publish(id).await?;
        Ok(swept)
    }

    /// Sweeps the open pushes page by page, from where the last sweep ran out of time.
    async fn sweep_open(
        &self,
        now: Timestamp,
        deadline: Deadline,
        swept: &mut Swept,
    ) -> Result<OpenPushes, SweepError> {
        let mut after = self.resume_at.lock().await.take();
        let from_start = after.is_none();
        let mut open =
            OpenPushes { outstanding: Outstanding::default(), oldest: now, failed: 0, is_complete: from_start };
        loop {
            let page = self.starter.pushes.list_open(PAGE, after.clone()).await?;
            for push in page.items {
                if deadline.has_less_than(MIN_TIME_PER_PUSH, self.starter.sources.now()) {
                    break;
                }
                open.oldest = open.oldest.min(push.started_at.unwrap_or(now));
                let work = telemetry::work_span();
                let sweep = self.sweep_push(&push, Scope::Idle, &mut open.outstanding, swept);
                if let Err(error) = sweep.instrument(work.clone()).await {
                    let _in_span = work.entered();
                    telemetry::record_push(push.id, None);
                    tracing::error!(error = %error, "push not swept; the next sweep tries again");
                    open.failed += 1;
                }
            }
            if deadline.has_less_than(MIN_TIME_PER_PUSH, self.starter.sources.now()) {
                tracing::warn!("sweep out of time with pushes left; the next sweep continues with them");
                *self.resume_at.lock().await = after;
                open.is_complete = false;
                return Ok(open);
            }
            after = page.next;
            if after.is_none() {
                return Ok(open);
            }
        }
    }

    async fn sweep_push(
        &self,
        push: &Push,
        scope: Scope,
        outstanding: &mut Outstanding,
        swept: &mut Swept,
    ) -> Result<(), SweepError> {
        match next_step(push, self.starter.sources.now()) {
            NextStep::Start => {
                self.starter.start_scheduled(push.id).await?;
                swept.started += 1;
                Ok(())
            }
            NextStep::ContinueSlices => {
                sweep_slices(&self.starter, &self.channels, push, scope, outstanding, swept).await
            }
            NextStep::Nothing => Ok(()),
        }
    }
}
