//! Queueing slices again, in the same generation or in a new one.

use store::pushes::{Push, SliceStatus};

use super::depths::Depths;
use super::report::{SweepError, Swept};
use crate::start::PushStarter;

/// Restarts the scan of a slice in a new generation. Returns the slice with that generation, or `None` if the slice has
/// moved since it was read.
pub(super) async fn restart_scan(
    starter: &PushStarter,
    push: &Push,
    slice: &SliceStatus,
    swept: &mut Swept,
) -> Result<Option<(u32, u32)>, SweepError> {
    let generation = starter.pushes.restart_scan(push.id, slice).await?;
    swept.restarted += u64::from(generation.is_some());
    Ok(generation.map(|generation| (slice.slice, generation)))
}

/// Queues slices of a push, each with its generation.
pub(super) async fn queue_again(
    starter: &PushStarter,
    depths: &Depths<'_>,
    push: &Push,
    slices: impl IntoIterator<Item = (u32, u32)>,
) -> Result<(), SweepError> {
    let slices: Vec<_> = slices.into_iter().collect();
    if slices.is_empty() {
        return Ok(());
    }
    depths.before_queueing_slices().await;
    tracing::warn!(slices = slices.len(), "slices without progress; queued again");
    Ok(starter.queue_slices(push.id, slices).await?)
}
