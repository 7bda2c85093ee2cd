//! Continues the slices of one running push, as planned.

use std::sync::Arc;

use store::pushes::{Push, SliceStatus};

use super::depths::Depths;
use super::lost::Outstanding;
use super::plan::{Queues, Scope, SlicePlan};
use super::report::{SweepError, Swept};
use super::requeue::{queue_again, restart_scan};
use super::time::{Completion, TimeLimit};
use crate::start::PushStarter;

/// Acts on the slices of a running push, and adds what they wait for to `outstanding`.
pub(super) async fn sweep_slices(
    starter: &PushStarter,
    depths: &Depths<'_>,
    push: &Arc<Push>,
    scope: Scope,
    time: &TimeLimit,
    outstanding: &mut Outstanding,
    swept: &mut Swept,
) -> Result<Completion, SweepError> {
    let now = time.now();
    let mut plan = SlicePlan::default();
    let each = |slice: SliceStatus| {
        outstanding.add(push, &slice, now);
        plan.add(push, &slice, scope, now);
    };
    starter.pushes.each_slice(push, each).await?;
    plan.end(push);
    let empty = empty_of(&plan.queues(), depths).await?;
    carry_out(plan.with_only(&empty), starter, depths, push, time, swept).await
}

/// Those of these queues that are empty. The others are not asked.
async fn empty_of(queues: &Queues, depths: &Depths<'_>) -> Result<Queues, SweepError> {
    let mut empty = Queues::default();
    if queues.audience {
        empty.audience = depths.audience().await? == 0;
    }
    for channel in &queues.channels {
        if depths.channel(*channel).await? == Some(0) {
            empty.channels.insert(*channel);
        }
    }
    Ok(empty)
}

async fn carry_out(
    plan: SlicePlan,
    starter: &PushStarter,
    depths: &Depths<'_>,
    push: &Push,
    time: &TimeLimit,
    swept: &mut Swept,
) -> Result<Completion, SweepError> {
    let mut restarts = Ok(Completion::Complete);
    let resumed = plan.resume.len() as u64;
    let mut again = plan.resume;
    for slice in plan.restart {
        if time.is_short() {
            restarts = Ok(Completion::OutOfTime);
            break;
        }
        match restart_scan(starter, push, &slice, swept).await {
            Ok(restarted) => again.extend(restarted),
            Err(error) => {
                restarts = Err(error);
                break;
            }
        }
    }
    // Those that were restarted are queued in any case: they no longer count as lost.
    queue_again(starter, depths, push, again).await?;
    swept.resumed += resumed;
    if restarts? == Completion::OutOfTime {
        return Ok(Completion::OutOfTime);
    }
    for slice in plan.count {
        if time.is_short() {
            return Ok(Completion::OutOfTime);
        }
        starter.pushes.count_slice(push.id, slice).await?;
        swept.closed += 1;
    }
    Ok(Completion::Complete)
}
