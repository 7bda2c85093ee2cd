//! What a sweep does with one open push, decided from what was read. Nothing here reads or writes.

use domain::Channel;
use domain::channel::Channels;
use domain::push::PushState;
use jiff::{SignedDuration, Timestamp};
use store::pushes::{FIRST_GENERATION, Push, SliceState, SliceStatus};

/// A slice without progress for this long is looked at. An invocation of `audience` ends within a minute.
const STALE_AFTER: SignedDuration = SignedDuration::from_mins(3);
/// The maximum pause between two scans of a slice whose batches never report, for example because one of them kills its
/// function every time.
const MAX_PAUSE: SignedDuration = SignedDuration::from_hours(6);
/// How often the audience queue delivers a message before it is a dead letter (`maxReceiveCount` in template.yaml).
const RECEIVES: u32 = 5;
/// Slices of a push that one sweep counts as done, queues again, or restarts for a channel, each. Whatever the number of slices, a plan has no
/// more, and the next sweeps do the rest.
const MAX_SLICES: usize = 500;

/// What a sweep does with an open push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NextStep {
    /// Start it: its time has come.
    Start,
    /// Continue its slices.
    ContinueSlices,
    /// Nothing: it is to start later, or has ended since it was listed.
    Nothing,
}

/// What a sweep does with a push.
pub(super) fn next_step(push: &Push, now: Timestamp) -> NextStep {
    match push.state {
        PushState::Scheduled if push.starts_at.is_some_and(|starts_at| starts_at <= now) => NextStep::Start,
        PushState::Running => NextStep::ContinueSlices,
        PushState::Scheduled | PushState::Completed | PushState::Cancelled => NextStep::Nothing,
    }
}

/// The slices that a sweep acts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// Those without recent progress.
    Idle,
    /// All of them: an operator reports that something is missing.
    All,
}

/// The queues that a plan depends on, or those of them that are empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Queues {
    pub(super) audience: bool,
    pub(super) channels: Channels,
}

/// What a sweep does with the slices of a running push.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct SlicePlan {
    /// To queue again, each in this generation: they were never scanned, or their scanner died. It takes the scan over
    /// at its checkpoint.
    pub(super) resume: Vec<(u32, u32)>,
    /// To scan again in a new generation: their batches were lost.
    pub(super) restart: Vec<SliceStatus>,
    /// To count on the push: they are done.
    pub(super) count: Vec<u32>,
    /// One that is done and counted, if there is any.
    counted: Option<u32>,
}

impl SlicePlan {
    /// Adds a slice of a push, as if every queue were empty. Ask [`SlicePlan::queues`] which of them matter.
    pub(super) fn add(&mut self, push: &Push, slice: &SliceStatus, scope: Scope, now: Timestamp) {
        let is_due = scope == Scope::All || idle_time(push, slice, now) >= pause(slice);
        match slice.state {
            SliceState::NotStarted if is_due => push_one(&mut self.resume, || (slice.slice, FIRST_GENERATION)),
            SliceState::Scanning if is_due => push_one(&mut self.resume, || (slice.slice, slice.generation)),
            SliceState::Scanned { .. } if is_due => self.restart(slice),
            SliceState::Done { is_counted: false } => push_one(&mut self.count, || slice.slice),
            SliceState::Done { is_counted: true } => self.counted = self.counted.or(Some(slice.slice)),
            SliceState::NotStarted | SliceState::Scanning | SliceState::Scanned { .. } => {}
        }
    }

    /// So many for each channel: if the queue of one is not empty, those that wait for it hide none that wait for another.
    fn restart(&mut self, slice: &SliceStatus) {
        let waiting = |channel: &Channel| {
            let awaits = |other: &&SliceStatus| awaited_channels(&other.state).any(|awaited| awaited == *channel);
            self.restart.iter().filter(awaits).count()
        };
        if awaited_channels(&slice.state).any(|channel| waiting(&channel) < MAX_SLICES) {
            self.restart.push(slice.clone());
        }
    }

    /// To be called once all slices are added. If all of them are counted but the push is still open, the invocation that
    /// counted the last one ended before it completed the push. Counting one again completes it.
    pub(super) fn end(&mut self, push: &Push) {
        if push.slices_done >= push.slices {
            self.count.extend(self.counted);
        }
    }

    /// The queues that the plan depends on.
    pub(super) fn queues(&self) -> Queues {
        let channels = self.restart.iter().flat_map(|slice| awaited_channels(&slice.state)).collect();
        Queues { audience: !self.resume.is_empty(), channels }
    }

    /// The plan for when only these queues are empty. A slice that is in its queue, or that an invocation is scanning,
    /// continues by itself. So does one whose batches are in theirs.
    pub(super) fn with_only(mut self, empty: &Queues) -> Self {
        if !empty.audience {
            self.resume.clear();
        }
        self.restart.retain(|slice| awaited_channels(&slice.state).any(|channel| empty.channels.contains(&channel)));
        self
    }
}

fn push_one<T>(items: &mut Vec<T>, item: impl FnOnce() -> T) {
    if items.len() < MAX_SLICES {
        items.push(item());
    }
}

/// The channels with batches that a scanned slice waits for.
pub(super) fn awaited_channels(state: &SliceState) -> impl Iterator<Item = Channel> {
    let outstanding = match state {
        SliceState::Scanned { outstanding_batches, .. } => Some(outstanding_batches),
        SliceState::NotStarted | SliceState::Scanning | SliceState::Done { .. } => None,
    };
    outstanding.into_iter().flat_map(|batches| batches.keys().copied())
}

/// How long a slice has been without progress.
pub(super) fn idle_time(push: &Push, slice: &SliceStatus, now: Timestamp) -> SignedDuration {
    now.duration_since(slice.heartbeat.or(push.started_at).unwrap_or(Timestamp::MIN))
}

/// How long a slice may be without progress. It doubles with every scan of the slice, so that a batch that never
/// reports does not keep the pipeline busy; and with every time that a message was received as often as SQS delivers it
/// and no page was scanned, so that a page that ends its function does not. The latter up to an hour only: a store that is
/// unavailable keeps pages from being scanned as well.
pub(super) fn pause(slice: &SliceStatus) -> SignedDuration {
    let doublings = slice.generation.saturating_sub(1).saturating_add((slice.starts_in_vain / RECEIVES).min(4)).min(10);
    (STALE_AFTER * 2_i32.pow(doublings)).min(MAX_PAUSE)
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use domain::PushId;

    use super::*;

    const STARTED: Timestamp = Timestamp::UNIX_EPOCH;

    /// A slice that is done and not counted.
    pub(in crate::sweep) const DONE: SliceState = SliceState::Done { is_counted: false };

    pub(in crate::sweep) fn push(slices: u32, slices_done: u32) -> Push {
        Push {
            id: PushId { offer: "01980000-0000-7000-8000-000000000001".parse().unwrap(), number: 1 },
            state: PushState::Running,
            slices,
            slices_done,
            requested_by: "bank".to_owned(),
            requested_at: STARTED,
            starts_at: None,
            started_at: Some(STARTED),
            cancelled_by: None,
            completed_at: None,
            published: BTreeSet::new(),
        }
    }

    pub(in crate::sweep) fn slice(slice: u32, generation: u32, state: SliceState) -> SliceStatus {
        SliceStatus { slice, generation, heartbeat: None, starts_in_vain: 0, state, partials: BTreeSet::new() }
    }

    pub(in crate::sweep) fn scanned(outstanding: impl IntoIterator<Item = (Channel, usize)>) -> SliceState {
        SliceState::Scanned { version: 1, outstanding_batches: outstanding.into_iter().collect() }
    }

    fn after_minutes(minutes: i64) -> Timestamp {
        STARTED + SignedDuration::from_mins(minutes)
    }

    fn with_empty_queues(push: &Push, slices: Vec<SliceStatus>, scope: Scope, now: Timestamp) -> SlicePlan {
        let mut plan = SlicePlan::default();
        slices.iter().for_each(|slice| plan.add(push, slice, scope, now));
        plan.end(push);
        plan
    }

    fn plan(push: &Push, slices: Vec<SliceStatus>, scope: Scope, now: Timestamp, empty: &Queues) -> SlicePlan {
        with_empty_queues(push, slices, scope, now).with_only(empty)
    }

    #[test]
    fn scheduled_push_starts_at_its_time() {
        let push = |state, starts_at| Push { state, starts_at, ..push(0, 0) };
        let now = after_minutes(10);
        for (state, starts_at, expected) in [
            (PushState::Scheduled, Some(after_minutes(11)), NextStep::Nothing),
            (PushState::Scheduled, Some(now), NextStep::Start),
            (PushState::Scheduled, Some(after_minutes(9)), NextStep::Start),
            (PushState::Scheduled, None, NextStep::Nothing),
            (PushState::Running, None, NextStep::ContinueSlices),
            (PushState::Running, Some(after_minutes(11)), NextStep::ContinueSlices),
            (PushState::Completed, Some(now), NextStep::Nothing),
            (PushState::Cancelled, Some(now), NextStep::Nothing),
        ] {
            assert_eq!(next_step(&push(state, starts_at), now), expected, "{state:?} {starts_at:?}");
        }
    }

    /// What is planned for one slice.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Planned {
        Resume(u32),
        Restart,
        Count,
        Nothing,
    }

    fn planned(plan: &SlicePlan, slice: u32) -> Planned {
        let resumed = plan.resume.iter().find(|(number, _)| *number == slice);
        let is_restarted = plan.restart.iter().any(|status| status.slice == slice);
        match (resumed, is_restarted, plan.count.contains(&slice)) {
            (Some((_, generation)), false, false) => Planned::Resume(*generation),
            (None, true, false) => Planned::Restart,
            (None, false, true) => Planned::Count,
            (None, false, false) => Planned::Nothing,
            other => panic!("two plans for one slice: {other:?}"),
        }
    }

    /// Every state of a slice, in every situation. A slice of generation 2 is due after six minutes, one that is not
    /// started after three.
    #[test]
    fn each_slice_is_continued_by_its_state_if_it_is_due_and_its_queue_is_empty() {
        let states = [
            (0, SliceState::NotStarted, Planned::Resume(FIRST_GENERATION)),
            (2, SliceState::Scanning, Planned::Resume(2)),
            (2, scanned([(Channel::Email, 2)]), Planned::Restart),
            (2, scanned([(Channel::Sms, 2)]), Planned::Restart),
            (2, DONE, Planned::Count),
            (2, SliceState::Done { is_counted: true }, Planned::Nothing),
        ];
        for (generation, state, if_due) in states {
            for (minutes, scope, is_due) in
                [(7, Scope::Idle, true), (2, Scope::Idle, false), (7, Scope::All, true), (0, Scope::All, true)]
            {
                for (audience, email) in [(true, true), (true, false), (false, true), (false, false)] {
                    let channels = if email { Channels::from([Channel::Email]) } else { Channels::new() };
                    let empty = Queues { audience, channels };
                    let acts = match &state {
                        SliceState::NotStarted | SliceState::Scanning => is_due && audience,
                        SliceState::Scanned { outstanding_batches, .. } => {
                            is_due && email && outstanding_batches.contains_key(&Channel::Email)
                        }
                        // Counting needs no queue and no waiting.
                        SliceState::Done { .. } => true,
                    };
                    let slices = vec![slice(5, generation, state.clone())];
                    let plan = plan(&push(8, 1), slices, scope, after_minutes(minutes), &empty);
                    let expected = if acts { if_due } else { Planned::Nothing };
                    let case = format!("{state:?} {minutes} min {scope:?} {empty:?}");
                    assert_eq!(planned(&plan, 5), expected, "{case}");
                }
            }
        }
    }

    #[test]
    fn only_queues_that_the_plan_depends_on_are_asked() {
        let queues = |slices| with_empty_queues(&push(8, 0), slices, Scope::All, after_minutes(0)).queues();
        assert_eq!(queues(vec![]), Queues::default());
        assert_eq!(queues(vec![slice(0, 1, DONE)]), Queues::default());
        let audience = Queues { audience: true, channels: Channels::new() };
        assert_eq!(queues(vec![slice(0, 1, SliceState::Scanning), slice(1, 1, DONE)]), audience);
        let sms = Queues { audience: false, channels: Channels::from([Channel::Sms]) };
        assert_eq!(queues(vec![slice(0, 1, scanned([(Channel::Sms, 1)]))]), sms);
        let slices = vec![slice(0, 1, scanned([(Channel::Sms, 1)]))];
        let idle = with_empty_queues(&push(8, 0), slices, Scope::Idle, after_minutes(1));
        assert_eq!(idle.queues(), Queues::default());
    }

    #[test]
    fn done_slice_is_counted_once_and_one_of_them_again_to_complete_the_push() {
        for (counted, expected) in
            [(vec![], vec![0, 1, 2]), (vec![0], vec![1, 2]), (vec![1, 2], vec![0]), (vec![0, 1, 2], vec![0])]
        {
            let done = |number| SliceState::Done { is_counted: counted.contains(&number) };
            let slices = (0..3).map(|number| slice(number, 1, done(number))).collect();
            let push = push(3, u32::try_from(counted.len()).unwrap());
            let plan = plan(&push, slices, Scope::Idle, after_minutes(0), &Queues::default());
            assert_eq!(plan.count, expected, "{counted:?}");
            assert_eq!((plan.resume, plan.restart), (vec![], vec![]));
        }
    }

    #[test]
    fn a_plan_is_as_small_for_many_slices() {
        for state in [SliceState::NotStarted, SliceState::Scanning, scanned([(Channel::Email, 1)]), DONE] {
            let slices = (0..10_000).map(|number| slice(number, 1, state.clone())).collect();
            let plan = with_empty_queues(&push(10_000, 0), slices, Scope::All, after_minutes(0));
            assert_eq!(plan.resume.len() + plan.restart.len() + plan.count.len(), 500, "{state:?}");
        }
        // Those that wait for e-mails do not hide those that wait for texts.
        let channel = |number| if number < 9_000 { Channel::Email } else { Channel::Sms };
        let slices = (0..10_000).map(|number| slice(number, 1, scanned([(channel(number), 1)]))).collect();
        let only_sms = Queues { audience: true, channels: Channels::from([Channel::Sms]) };
        let plan = plan(&push(10_000, 0), slices, Scope::All, after_minutes(0), &only_sms);
        assert_eq!((plan.restart.len(), plan.restart[0].slice), (500, 9_000));
    }

    #[test]
    fn slices_of_one_push_are_planned_each_by_itself() {
        let slices = vec![
            slice(0, 0, SliceState::NotStarted),
            slice(1, 4, SliceState::Scanning),
            slice(2, 1, scanned([(Channel::Email, 1), (Channel::Sms, 1)])),
            slice(3, 1, DONE),
        ];
        let empty = Queues { audience: true, channels: Channels::from([Channel::Sms]) };
        let plan = plan(&push(4, 0), slices.clone(), Scope::All, after_minutes(0), &empty);
        assert_eq!(plan.resume, [(0, FIRST_GENERATION), (1, 4)]);
        assert_eq!(plan.restart, [slices[2].clone()]);
        assert_eq!(plan.count, [3]);
    }

    #[test]
    fn pause_doubles_with_each_generation_up_to_its_maximum() {
        for (generation, minutes) in [(0, 3), (1, 3), (2, 6), (3, 12), (7, 192), (8, 360), (u32::MAX, 360)] {
            let pause = pause(&slice(0, generation, SliceState::Scanning));
            assert_eq!(pause, SignedDuration::from_mins(minutes), "{generation}");
        }
        for (starts_in_vain, minutes) in [(1, 6), (4, 6), (5, 12), (10, 24), (u32::MAX, 96)] {
            let pause = pause(&SliceStatus { starts_in_vain, ..slice(0, 2, SliceState::Scanning) });
            assert_eq!(pause, SignedDuration::from_mins(minutes), "{starts_in_vain} starts");
        }
    }

    #[test]
    fn slice_before_its_first_scan_is_idle_since_the_push_started() {
        let mut slice = slice(0, 1, SliceState::NotStarted);
        assert_eq!(idle_time(&push(8, 0), &slice, after_minutes(5)), SignedDuration::from_mins(5));
        slice.heartbeat = Some(after_minutes(4));
        assert_eq!(idle_time(&push(8, 0), &slice, after_minutes(5)), SignedDuration::from_mins(1));
    }

    #[test]
    fn only_scanned_slices_wait_for_channels() {
        let awaited = |state| awaited_channels(&state).collect::<Vec<_>>();
        assert_eq!(awaited(scanned(BTreeMap::from([(Channel::Sms, 1)]))), [Channel::Sms]);
        for state in [SliceState::NotStarted, SliceState::Scanning, DONE] {
            assert_eq!(awaited(state), []);
        }
    }
}
