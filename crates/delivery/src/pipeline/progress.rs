//! What a deferred batch reports, for those who watch the push: its counts so far, and why the provider refuses the rest.

use domain::push::OutcomeCounts;
use domain::push::waiting::Refusal;
use domain::queue::Batch;
use jiff::Timestamp;
use runtime::metrics::{self, Unit};
use store::pushes::{PartialReport, Report};

use super::checked::CheckedBatch;
use super::deferral::{DeferReason, Deferral, Unfinished};
use super::deliverer::Deliverer;
use crate::compose::Compose;
use crate::transport::Transport;

impl<C, T> Deliverer<C, T>
where
    C: Compose,
    T: Transport<Message = C::Message>,
{
    /// Stores the counts so far of a deferred batch. `refused` are those of its notifications that the provider refused
    /// for now, `refusal` is its last reason. Best effort: without it nothing is lost, but with an error what this
    /// round has done would be repeated.
    pub(super) async fn report_partial(
        &self,
        batch: &Batch,
        deferral: &Deferral,
        refused: usize,
        refusal: Option<Refusal>,
    ) {
        let tally = deferral.again.tally();
        let is_empty = tally.is_empty() && refused == 0 && refusal.is_none();
        if is_empty || !lasts(deferral.reason) {
            return;
        }
        let partial = PartialReport {
            so_far: Report {
                push: batch.push,
                slice: batch.slice,
                generation: batch.generation,
                batch: batch.number,
                tally,
            },
            refused: refused as u64,
            has_progressed: tally != batch.tally(),
            refusal,
        };
        if let Err(error) = self.pushes.report_partial(&partial).await {
            tracing::warn!(error = %error, "failed to store the counts so far of a deferred batch");
        }
    }
}

/// Emits how long after its first possible moment a batch was counted, if any of it was sent.
pub(super) fn emit_age(batch: &CheckedBatch, counts: OutcomeCounts, now: Timestamp) {
    if counts.sent > 0 {
        let age = u64::try_from(now.duration_since(batch.due_at()).as_secs()).unwrap_or_default();
        metrics::emit(&[("channel", batch.channel.as_str())], &[("Age", Unit::Seconds, age)]);
    }
}

/// Whether a batch may be deferred for this reason again and again. For the others it comes again at once, or the store
/// would not take its counts either.
const fn lasts(reason: DeferReason) -> bool {
    match reason {
        DeferReason::BreakerOpen | DeferReason::Held | DeferReason::Refused => true,
        DeferReason::Leased
        | DeferReason::Deadline
        | DeferReason::Rate
        | DeferReason::Store
        | DeferReason::Composer
        | DeferReason::PageNotCommitted => false,
    }
}

/// How many of these notifications the provider refused for now.
pub(super) fn refused<I>(unfinished: &[(I, Unfinished)]) -> usize {
    unfinished.iter().filter(|(_, why)| matches!(why, Unfinished::NotAccepted)).count()
}
