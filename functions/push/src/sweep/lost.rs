//! Batches that were lost although their channel's queue is not empty.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::Channel;
use domain::channel::Channels;
use jiff::{SignedDuration, Timestamp};
use store::pushes::{Push, SliceState, SliceStatus};

use super::depths::Depths;
use super::duty::DutyReport;
use super::plan::{awaited_channels, idle_time, pause};
use super::report::{SweepError, Swept};
use super::requeue::{queue_again, restart_scan};
use super::time::{Completion, TimeLimit};
use crate::start::PushStarter;

/// A slice without progress for this long may have lost a batch although its queue is not empty: three times the
/// longest deferral of a batch.
const LOST_BATCH_AFTER: SignedDuration = SignedDuration::from_mins(45);
/// Stalled slices that one sweep scans again. Few, because SQS reports the depth of a queue only approximately.
const MAX_LOST_RESTARTS: usize = 10;

/// What the open pushes wait for.
#[derive(Debug, Default)]
pub(super) struct Outstanding {
    /// Batches that have not reported, by channel.
    batches: BTreeMap<Channel, usize>,
    /// The slices without progress for longest that wait for batches of a channel: at most [`MAX_LOST_RESTARTS`] of each.
    long_idle: BTreeMap<Channel, Vec<(Arc<Push>, SliceStatus)>>,
}

impl Outstanding {
    /// Adds the batches that a slice waits for, and the slice if it has been idle for long.
    pub(super) fn add(&mut self, push: &Arc<Push>, slice: &SliceStatus, now: Timestamp) {
        let SliceState::Scanned { outstanding_batches, .. } = &slice.state else { return };
        let is_long_idle = idle_time(push, slice, now) >= pause(slice).max(LOST_BATCH_AFTER);
        for (channel, batches) in outstanding_batches {
            *self.batches.entry(*channel).or_default() += batches;
            if is_long_idle {
                keep_longest_idle(self.long_idle.entry(*channel).or_default(), [(Arc::clone(push), slice.clone())]);
            }
        }
    }

    /// The channels whose queues decide which slices have lost batches.
    fn channels(&self) -> Channels {
        self.long_idle.values().flatten().flat_map(|(_, slice)| awaited_channels(&slice.state)).collect()
    }

    /// The slices that wait for a channel whose queue holds fewer messages than batches are outstanding, given the
    /// depth of each queue: at most [`MAX_LOST_RESTARTS`], those that have been idle for longest.
    fn lost(self, depths: &BTreeMap<Channel, u64>) -> Vec<(Arc<Push>, SliceStatus)> {
        let mut lost = Vec::new();
        for (channel, slices) in self.long_idle {
            let batches = self.batches.get(&channel).copied().unwrap_or_default();
            if depths.get(&channel).is_some_and(|depth| is_short(*depth, batches as u64)) {
                keep_longest_idle(&mut lost, slices);
            }
        }
        lost
    }
}

/// Adds slices, without those that are listed already, and keeps the [`MAX_LOST_RESTARTS`] that have been idle for longest.
fn keep_longest_idle(
    kept: &mut Vec<(Arc<Push>, SliceStatus)>,
    slices: impl IntoIterator<Item = (Arc<Push>, SliceStatus)>,
) {
    for (push, slice) in slices {
        if !kept.iter().any(|(other, known)| (other.id, known.slice) == (push.id, slice.slice)) {
            let at = kept.partition_point(|(_, other)| other.heartbeat <= slice.heartbeat);
            kept.insert(at, (push, slice));
            kept.truncate(MAX_LOST_RESTARTS);
        }
    }
}

/// Whether a queue holds fewer messages than batches are outstanding: more than a tenth fewer, because its depth is
/// approximate.
fn is_short(depth: u64, batches: u64) -> bool {
    depth.saturating_mul(10) < batches.saturating_mul(9)
}

/// Restarts the scan of slices whose batches were lost. `outstanding` must cover every open push. A slice that fails is
/// logged and counted.
pub(super) async fn restart_lost(
    starter: &PushStarter,
    depths: &Depths<'_>,
    outstanding: Outstanding,
    time: &TimeLimit,
    report: &mut DutyReport,
) -> Result<Completion, SweepError> {
    let mut messages = BTreeMap::new();
    for channel in outstanding.channels() {
        messages.extend(depths.channel(channel).await?.map(|depth| (channel, depth)));
    }
    for (push, slice) in outstanding.lost(&messages) {
        if time.is_short() {
            return Ok(Completion::OutOfTime);
        }
        let restart = async |swept: &mut Swept| {
            let again = restart_scan(starter, &push, &slice, swept).await?;
            queue_again(starter, depths, &push, again).await
        };
        report.sweep_push(push.id, restart).await;
    }
    Ok(Completion::Complete)
}

#[cfg(test)]
mod tests {
    use super::super::plan::tests::{DONE, push, scanned, slice};
    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn idle_for(minutes: i64, slice: SliceStatus) -> SliceStatus {
        SliceStatus { heartbeat: Some(NOW - SignedDuration::from_mins(minutes)), ..slice }
    }

    fn outstanding(slices: &[SliceStatus]) -> Outstanding {
        let mut outstanding = Outstanding::default();
        let push = Arc::new(push(100, 0));
        slices.iter().for_each(|slice| outstanding.add(&push, slice, NOW));
        outstanding
    }

    fn lost(slices: &[SliceStatus], depths: &[(Channel, u64)]) -> Vec<u32> {
        let lost = outstanding(slices).lost(&depths.iter().copied().collect());
        lost.into_iter().map(|(_, slice)| slice.slice).collect()
    }

    #[test]
    fn queue_is_short_below_nine_tenths_of_the_batches() {
        for (depth, batches, expected) in [(0, 0, false), (0, 1, true), (9, 10, false), (8, 10, true), (20, 10, false)]
        {
            assert_eq!(is_short(depth, batches), expected, "{depth} of {batches}");
        }
    }

    #[test]
    fn long_idle_slices_of_a_short_queue_have_lost_batches() {
        let slices = [
            idle_for(50, slice(0, 1, scanned([(Channel::Email, 10)]))),
            idle_for(50, slice(1, 1, scanned([(Channel::Sms, 10)]))),
            idle_for(60, slice(2, 1, scanned([(Channel::Email, 5), (Channel::Sms, 5)]))),
            // These count, but make progress.
            idle_for(44, slice(3, 1, scanned([(Channel::Email, 5)]))),
            // Its fifth scan: the pause is 48 minutes.
            idle_for(47, slice(4, 5, scanned([(Channel::Email, 5)]))),
            idle_for(50, slice(5, 1, SliceState::Scanning)),
            idle_for(50, slice(6, 1, DONE)),
        ];
        // 25 batches of e-mail are outstanding, and 15 texts.
        for (email, sms, expected) in
            [(23, 14, vec![]), (22, 14, vec![2, 0]), (23, 13, vec![2, 1]), (0, 0, vec![2, 0, 1]), (100, 100, vec![])]
        {
            assert_eq!(lost(&slices, &[(Channel::Email, email), (Channel::Sms, sms)]), expected, "{email} {sms}");
        }
        assert!(lost(&slices, &[]).is_empty(), "a queue of unknown depth is not short");
    }

    #[test]
    fn batches_of_all_pushes_are_compared_with_the_queue() {
        let slices = [idle_for(50, slice(0, 1, scanned([(Channel::Email, 10)])))];
        let mut outstanding = outstanding(&slices);
        let busy = idle_for(1, slice(0, 1, scanned([(Channel::Email, 90)])));
        outstanding.add(&Arc::new(push(1, 0)), &busy, NOW);
        // The ten messages may be those of the other push.
        assert_eq!(outstanding.lost(&BTreeMap::from([(Channel::Email, 10)])).len(), 1);
    }

    #[test]
    fn one_sweep_restarts_few_scans_longest_idle_first() {
        let slices: Vec<_> = (0..50)
            .map(|number| idle_for(50 + i64::from(number), slice(number, 1, scanned([(Channel::Sms, 1)]))))
            .collect();
        assert_eq!(lost(&slices, &[(Channel::Sms, 0)]), (40..50).rev().collect::<Vec<_>>());
    }

    #[test]
    fn only_queues_that_long_idle_slices_wait_for_are_asked() {
        let slices = [
            idle_for(50, slice(0, 1, scanned([(Channel::Sms, 1)]))),
            idle_for(1, slice(1, 1, scanned([(Channel::Email, 1)]))),
        ];
        assert_eq!(outstanding(&slices).channels(), Channels::from([Channel::Sms]));
        assert_eq!(outstanding(&slices[1..]).channels(), Channels::new());
    }
}
