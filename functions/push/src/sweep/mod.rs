//! The sweep finishes what a killed invocation, a lost message or a restored table left unfinished.
//!
//! It reads from the tables what is missing, so it does not depend on where the failure was.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | what runs independently of what; what is logged if one fails | [`duty`] |
//! | how long a sweep takes, and each duty of it | [`time`] |
//! | what the next one begins with | [`place`] |
//! | which requests are started because the stream did not deliver them | [`requests`] |
//! | how the open pushes are read, one after the other | [`open`] |
//! | which pushes are started; which slices are queued or scanned again, and after how long; which are counted as done | [`plan`] |
//! | how that is done | [`slices`] |
//! | how lost batches are found while their queue is not empty | [`lost`] |
//! | when the depth of a queue is read | [`depths`] |
//! | how a slice is queued again | [`requeue`] |
//! | which events are published because they are overdue | [`events`] |
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
//! - A slice that is done but not counted on its push is counted.
//! - An event that is overdue is published.

mod depths;
mod duty;
mod events;
mod lost;
mod open;
mod place;
mod plan;
mod report;
mod requests;
mod requeue;
mod slices;
#[cfg(test)]
mod tests;
mod time;

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::{Channel, OfferId, PushId};
use runtime::{Deadline, Queue};

use self::depths::Depths;
use self::duty::{Duty, DutyReport, log_out_of_time, run, sum_up};
use self::events::publish_overdue;
use self::lost::{Outstanding, restart_lost};
use self::place::Place;
use self::plan::Scope;
use self::report::{SweepError, Swept};
use self::requests::start_missed;
use self::time::{Completion, TimeLimit};
use crate::publish::Publisher;
use crate::start::PushStarter;

/// Starts, continues and publishes what was left unfinished.
pub(crate) struct Sweeper {
    pub(crate) starter: PushStarter,
    /// The queue of each channel, which holds its batches until they are delivered.
    channels: BTreeMap<Channel, Queue>,
    pub(crate) publisher: Publisher,
}

impl Sweeper {
    pub(crate) fn new(starter: PushStarter, channels: BTreeMap<Channel, Queue>, publisher: Publisher) -> Self {
        Self { starter, channels, publisher }
    }

    /// Starts what was missed, sweeps every open push, and publishes what is overdue: at the same time, so that one
    /// that is slow or fails does not keep the others from running. What time does not suffice for is left to the next
    /// sweep.
    ///
    /// # Errors
    /// If anything failed. All else was done.
    pub(crate) async fn sweep_all(&self, deadline: Deadline) -> Result<Swept, SweepError> {
        let time = &TimeLimit::new(deadline, &self.starter.sources);
        let depths = &self.depths();
        let (missed, (open, lost), overdue) = tokio::join!(
            self.run_round(Duty::MissedRequests, time, async |place, report| {
                start_missed(&self.starter, place, time, depths, report).await
            }),
            self.sweep_open_and_lost(time, depths),
            self.run_round(Duty::OverdueEvents, time, async |place, report| {
                publish_overdue(&self.publisher, place, time, report).await
            }),
        );
        sum_up(&[
            (Duty::MissedRequests, missed),
            (Duty::OpenPushes, open),
            (Duty::LostBatches, lost),
            (Duty::OverdueEvents, overdue),
        ])
    }

    /// Runs a duty that goes through pushes, from where the sweep before has left off.
    async fn run_round(
        &self,
        duty: Duty,
        time: &TimeLimit,
        work: impl AsyncFnOnce(&Place<'_>, &mut DutyReport) -> Result<Completion, SweepError>,
    ) -> DutyReport {
        let place = Place::new(&self.starter.pushes, duty);
        let mut is_complete = false;
        let report = run(duty, time, async |report| {
            let completion = work(&place, report).await?;
            is_complete = completion == Completion::Complete;
            Ok(completion)
        });
        let report = report.await;
        if !is_complete || report.failed > 0 {
            place.store().await;
        }
        report
    }

    async fn sweep_open_and_lost(&self, time: &TimeLimit, depths: &Depths<'_>) -> (DutyReport, DutyReport) {
        let mut outstanding = Outstanding::default();
        let mut covers_all = false;
        let part = &time.first_part();
        let open = self.run_round(Duty::OpenPushes, part, async |place, report| {
            let completion = self.sweep_open(place, part, depths, &mut outstanding, report).await?;
            covers_all = completion == Completion::Complete;
            Ok(completion)
        });
        let open = open.await;
        // Only a sweep that read every open push can compare the batches with the depth of the queues.
        if !covers_all {
            return (open, DutyReport::default());
        }
        let lost = run(Duty::LostBatches, time, async |report| {
            restart_lost(&self.starter, depths, outstanding, time, report).await
        });
        (open, lost.await)
    }

    /// What one sweep reads of the queues.
    fn depths(&self) -> Depths<'_> {
        Depths::new(&self.starter, &self.channels)
    }

    /// Sweeps the last push of one offer, and those before it that are open, however recently they made progress.
    pub(crate) async fn sweep_offer(&self, offer: OfferId, deadline: Deadline) -> Result<Swept, SweepError> {
        let time = TimeLimit::new(deadline, &self.starter.sources);
        let mut swept = Swept::default();
        let last = self.starter.offers.last_push_number(offer).await?.ok_or(SweepError::NoPush)?;
        let depths = &self.depths();
        for number in 1..=last {
            let id = PushId { offer, number };
            match self.starter.pushes.get(id).await? {
                Some(push) if push.state.is_open() || number == last => {
                    let push = Arc::new(push);
                    let outstanding = &mut Outstanding::default();
                    let sweep = self.sweep_push(&push, Scope::All, &time, depths, outstanding, &mut swept);
                    if sweep.await? == Completion::OutOfTime {
                        log_out_of_time(Duty::OpenPushes);
                    }
                }
                // The stream has not delivered the request yet, or lost it.
                None if number == last => {
                    self.starter.start_push(id).await?;
                    swept.started += 1;
                }
                Some(_) | None => {}
            }
        }
        swept.published += self.publisher.publish(PushId { offer, number: last }).await?;
        Ok(swept)
    }
}
