//! The slices of one running push: those without progress are queued again, or scanned again in a new generation.

use std::collections::BTreeMap;

use domain::Channel;
use domain::channel::Channels;
use jiff::{SignedDuration, Timestamp};
use runtime::Queue;
use store::pushes::{Push, SliceState, SliceStatus};

use super::lost::{LOST_BATCH_AFTER, Outstanding, awaits_any};
use super::report::{SweepError, Swept};
use super::requeue::{queue_again, restart_scan};
use crate::start::{FIRST_GENERATION, PushStarter};

/// A slice without progress for this long is looked at. An invocation of `audience` ends within a minute.
const STALE_AFTER: SignedDuration = SignedDuration::from_mins(3);
/// The maximum pause between two scans of a slice whose batches never report, for example because one of them kills its
/// function every time.
const MAX_PAUSE: SignedDuration = SignedDuration::from_hours(6);

/// The slices that a sweep acts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// Those without recent progress.
    Idle,
    /// All of them: an operator reports that something is missing.
    All,
}

/// What a sweep does with a slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    /// Queue it in this generation, if nothing is in its queue.
    Resume { generation: u32 },
    /// Scan it again in a new generation, if a channel that it waits for has no messages.
    RestartIfLost,
    /// Mark it as done on the push.
    MarkDone,
    /// It makes progress, or is marked already.
    Leave,
}

/// Acts on the slices of a running push, and adds what they wait for to `outstanding`.
pub(super) async fn sweep_slices(
    starter: &PushStarter,
    channels: &BTreeMap<Channel, Queue>,
    push: &Push,
    scope: Scope,
    outstanding: &mut Outstanding,
    swept: &mut Swept,
) -> Result<(), SweepError> {
    let now = starter.sources.now();
    let mut again = Vec::new();
    let mut waiting = Vec::new();
    for slice in starter.pushes.slices(push).await? {
        let idle = idle_time(push, &slice, now);
        outstanding.add(push, &slice, idle >= pause(&slice).max(LOST_BATCH_AFTER));
        match action(push, &slice, scope == Scope::All || idle >= pause(&slice)) {
            Action::Resume { generation } => again.push((slice.slice, generation)),
            Action::RestartIfLost => waiting.push(slice),
            Action::MarkDone => {
                starter.pushes.mark_slice_done(push.id, slice.slice).await?;
                swept.closed += 1;
            }
            Action::Leave => {}
        }
    }
    // A slice that is in its queue, or that an invocation is scanning, continues by itself.
    if !again.is_empty() && starter.audience_queue.depth().await? > 0 {
        again.clear();
    }
    swept.resumed += again.len() as u64;
    if !waiting.is_empty() {
        let empty = empty_queues(channels).await?;
        for slice in waiting.into_iter().filter(|slice| awaits_any(slice, &empty)) {
            again.extend(restart_scan(starter, push, &slice, swept).await?);
        }
    }
    queue_again(starter, push, again).await
}

/// How long a slice has been without progress.
fn idle_time(push: &Push, slice: &SliceStatus, now: Timestamp) -> SignedDuration {
    now.duration_since(slice.heartbeat.or(push.started_at).unwrap_or(Timestamp::MIN))
}

fn action(push: &Push, slice: &SliceStatus, is_due: bool) -> Action {
    match &slice.state {
        SliceState::NotStarted if is_due => Action::Resume { generation: FIRST_GENERATION },
        SliceState::Scanning if is_due => Action::Resume { generation: slice.generation },
        SliceState::Scanned { .. } if is_due => Action::RestartIfLost,
        SliceState::Done if !push.slices_done.contains(&slice.slice) => Action::MarkDone,
        // If all slices are marked as done but the push is still open, the invocation that marked the last one ended
        // before it completed the push. Marking one again completes it.
        SliceState::Done if slice.slice == 0 && push.slices_done.len() >= push.slices as usize => Action::MarkDone,
        SliceState::NotStarted | SliceState::Scanning | SliceState::Scanned { .. } | SliceState::Done => Action::Leave,
    }
}

/// How long a slice may be without progress. It doubles with every scan of the slice, so that a batch that never
/// reports does not keep the pipeline busy.
fn pause(slice: &SliceStatus) -> SignedDuration {
    let doublings = slice.generation.saturating_sub(1).min(10);
    (STALE_AFTER * 2_i32.pow(doublings)).min(MAX_PAUSE)
}

/// The channels whose queue is empty.
async fn empty_queues(channels: &BTreeMap<Channel, Queue>) -> Result<Channels, SweepError> {
    let mut empty = Channels::new();
    for (channel, queue) in channels {
        if queue.depth().await? == 0 {
            empty.insert(*channel);
        }
    }
    Ok(empty)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use domain::PushId;
    use domain::push::PushState;

    use super::*;

    fn push(slices: u32, slices_done: impl IntoIterator<Item = u32>) -> Push {
        Push {
            id: PushId { offer: "01980000-0000-7000-8000-000000000001".parse().unwrap(), number: 1 },
            state: PushState::Running,
            slices,
            slices_done: slices_done.into_iter().collect(),
            requested_by: "bank".to_owned(),
            requested_at: Timestamp::UNIX_EPOCH,
            starts_at: None,
            started_at: Some(Timestamp::UNIX_EPOCH),
            cancelled_by: None,
            completed_at: None,
            published: BTreeSet::new(),
        }
    }

    fn slice(slice: u32, generation: u32, state: SliceState) -> SliceStatus {
        SliceStatus { slice, generation, heartbeat: None, state }
    }

    fn scanned() -> SliceState {
        SliceState::Scanned { version: 1, outstanding_batches: BTreeMap::from([(Channel::Email, 2)]) }
    }

    #[test]
    fn slices_without_progress_are_queued_by_their_state() {
        let push = push(8, 0..3);
        for (state, generation, due) in [
            (SliceState::NotStarted, 0, Action::Resume { generation: FIRST_GENERATION }),
            (SliceState::Scanning, 4, Action::Resume { generation: 4 }),
            (scanned(), 4, Action::RestartIfLost),
        ] {
            let slice = slice(5, generation, state);
            assert_eq!(action(&push, &slice, true), due, "{slice:?}");
            assert_eq!(action(&push, &slice, false), Action::Leave, "{slice:?}");
        }
    }

    #[test]
    fn done_slice_is_marked_once_and_one_of_them_again_to_complete_the_push() {
        for (slices_done, number, expected) in [
            (vec![], 0, Action::MarkDone),
            (vec![0, 1], 5, Action::MarkDone),
            (vec![0, 5], 0, Action::Leave),
            (vec![0, 5], 5, Action::Leave),
            ((0..8).collect(), 0, Action::MarkDone),
            ((0..8).collect(), 5, Action::Leave),
        ] {
            let push = push(8, slices_done);
            assert_eq!(action(&push, &slice(number, 1, SliceState::Done), false), expected, "{number} of {push:?}");
        }
    }

    #[test]
    fn pause_doubles_with_each_generation_up_to_its_maximum() {
        for (generation, minutes) in [(0, 3), (1, 3), (2, 6), (3, 12), (7, 192), (8, 360), (u32::MAX, 360)] {
            let pause = pause(&slice(0, generation, SliceState::Scanning));
            assert_eq!(pause, SignedDuration::from_mins(minutes), "{generation}");
        }
    }

    #[test]
    fn slice_before_its_first_scan_is_idle_since_the_push_started() {
        let now = Timestamp::UNIX_EPOCH + SignedDuration::from_mins(5);
        let mut slice = slice(0, 1, SliceState::NotStarted);
        assert_eq!(idle_time(&push(8, []), &slice, now), SignedDuration::from_mins(5));
        slice.heartbeat = Some(now - SignedDuration::from_mins(1));
        assert_eq!(idle_time(&push(8, []), &slice, now), SignedDuration::from_mins(1));
    }
}
