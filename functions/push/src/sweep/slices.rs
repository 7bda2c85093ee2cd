//! Continues the slices of one running push, as planned.

use std::collections::BTreeMap;

use domain::Channel;
use runtime::Queue;
use store::pushes::Push;

use super::lost::Outstanding;
use super::plan::{Queues, Scope, SlicePlan};
use super::report::{SweepError, Swept};
use super::requeue::{queue_again, restart_scan};
use crate::start::PushStarter;

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
    let slices = starter.pushes.slices(push).await?;
    outstanding.add(push, &slices, now);
    let plan = SlicePlan::with_empty_queues(push, slices, scope, now);
    let empty = empty_of(&plan.queues(), starter, channels).await?;
    carry_out(plan.with_only(&empty), starter, push, swept).await
}

/// Those of these queues that are empty. The others are not asked.
async fn empty_of(
    queues: &Queues,
    starter: &PushStarter,
    channels: &BTreeMap<Channel, Queue>,
) -> Result<Queues, SweepError> {
    let mut empty = Queues::default();
    if queues.audience {
        empty.audience = starter.audience_queue.depth().await? == 0;
    }
    for channel in &queues.channels {
        if let Some(queue) = channels.get(channel)
            && queue.depth().await? == 0
        {
            empty.channels.insert(*channel);
        }
    }
    Ok(empty)
}

async fn carry_out(plan: SlicePlan, starter: &PushStarter, push: &Push, swept: &mut Swept) -> Result<(), SweepError> {
    for slice in plan.mark_done {
        starter.pushes.mark_slice_done(push.id, slice).await?;
        swept.closed += 1;
    }
    swept.resumed += plan.resume.len() as u64;
    let mut again = plan.resume;
    for slice in plan.restart {
        again.extend(restart_scan(starter, push, &slice, swept).await?);
    }
    queue_again(starter, push, again).await
}
