//! Batches that were lost although their channel's queue is not empty.

use std::collections::BTreeMap;

use domain::Channel;
use domain::channel::Channels;
use jiff::SignedDuration;
use runtime::Queue;
use store::pushes::{Push, SliceState, SliceStatus};

use super::report::{SweepError, Swept};
use super::requeue::{queue_again, restart_scan};
use crate::start::PushStarter;

/// A slice without progress for this long may have lost a batch although its queue is not empty: three times the
/// longest deferral of a batch.
pub(super) const LOST_BATCH_AFTER: SignedDuration = SignedDuration::from_mins(45);
/// Stalled slices that one sweep scans again. Few, because SQS reports the depth of a queue only approximately.
const MAX_LOST_RESTARTS: usize = 10;

/// What the open pushes wait for.
#[derive(Debug, Default)]
pub(super) struct Outstanding {
    /// Batches that have not reported, by channel.
    batches: BTreeMap<Channel, usize>,
    /// Slices without progress for long.
    long_idle: Vec<(Push, SliceStatus)>,
}

impl Outstanding {
    /// Adds the batches that a slice waits for, and the slice itself if it has been idle for long.
    pub(super) fn add(&mut self, push: &Push, slice: &SliceStatus, is_stalled: bool) {
        let SliceState::Scanned { outstanding_batches, .. } = &slice.state else {
            return;
        };
        for (channel, batches) in outstanding_batches {
            *self.batches.entry(*channel).or_default() += batches;
        }
        if is_stalled {
            self.long_idle.push((push.clone(), slice.clone()));
        }
    }
}

/// Restarts the scan of slices that have been idle for long and wait for a channel whose queue holds fewer messages
/// than batches are outstanding. `outstanding` must cover every open push.
pub(super) async fn restart_lost(
    starter: &PushStarter,
    channels: &BTreeMap<Channel, Queue>,
    mut outstanding: Outstanding,
    swept: &mut Swept,
) -> Result<(), SweepError> {
    let mut short = Channels::new();
    for (channel, batches) in &outstanding.batches {
        let Some(queue) = channels.get(channel) else {
            continue;
        };
        if is_short(queue.depth().await?, *batches as u64) {
            short.insert(*channel);
        }
    }
    outstanding.long_idle.retain(|(_, slice)| awaits_any(slice, &short));
    outstanding.long_idle.sort_by_key(|(_, slice)| slice.heartbeat);
    for (push, slice) in outstanding.long_idle.iter().take(MAX_LOST_RESTARTS) {
        let again = restart_scan(starter, push, slice, swept).await?;
        queue_again(starter, push, again).await?;
    }
    Ok(())
}

/// Whether a queue holds fewer messages than batches are outstanding: more than a tenth fewer, because its depth is
/// approximate.
fn is_short(depth: u64, batches: u64) -> bool {
    depth.saturating_mul(10) < batches.saturating_mul(9)
}

/// Whether a scanned slice waits for batches of one of these channels.
pub(super) fn awaits_any(slice: &SliceStatus, channels: &Channels) -> bool {
    match &slice.state {
        SliceState::Scanned { outstanding_batches, .. } => {
            outstanding_batches.keys().any(|channel| channels.contains(channel))
        }
        SliceState::NotStarted | SliceState::Scanning | SliceState::Done => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queue_is_short_below_nine_tenths_of_the_batches() {
        for (depth, batches, expected) in [(0, 0, false), (0, 1, true), (9, 10, false), (8, 10, true), (20, 10, false)]
        {
            assert_eq!(is_short(depth, batches), expected, "{depth} of {batches}");
        }
    }

    #[test]
    fn only_scanned_slices_wait_for_channels() {
        let slice = |state| SliceStatus { slice: 0, generation: 1, heartbeat: None, state };
        let scanned = SliceState::Scanned { version: 1, outstanding_batches: BTreeMap::from([(Channel::Sms, 1)]) };
        assert!(awaits_any(&slice(scanned.clone()), &Channels::from([Channel::Sms])));
        assert!(!awaits_any(&slice(scanned), &Channels::from([Channel::Email])));
        assert!(!awaits_any(&slice(SliceState::Scanning), &Channels::from(Channel::ALL)));
    }
}
