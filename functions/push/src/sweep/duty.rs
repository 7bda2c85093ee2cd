//! The duties of a sweep: independent of each other, so that one that fails or is slow does not keep the others from
//! running.

use std::fmt;

use domain::PushId;
use runtime::telemetry;
use tracing::Instrument;

use super::report::{SweepError, Swept};
use super::time::{Completion, TimeLimit};

/// A duty of the sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Duty {
    /// Starting the pushes that the stream did not deliver.
    MissedRequests,
    /// Continuing the open pushes.
    OpenPushes,
    /// Restarting scans whose batches were lost.
    LostBatches,
    /// Publishing the events that are overdue.
    OverdueEvents,
}

impl Duty {
    /// The attribute that has its place in the round over all pushes.
    pub(super) const fn attribute(self) -> &'static str {
        match self {
            Self::MissedRequests => "missedRequests",
            Self::OpenPushes => "openPushes",
            Self::LostBatches => "lostBatches",
            Self::OverdueEvents => "overdueEvents",
        }
    }
}

impl fmt::Display for Duty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MissedRequests => "missed requests",
            Self::OpenPushes => "open pushes",
            Self::LostBatches => "lost batches",
            Self::OverdueEvents => "overdue events",
        })
    }
}

/// What a duty did, and how much of it failed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct DutyReport {
    pub(super) swept: Swept,
    /// How many failures were logged.
    pub(super) failed: u32,
}

impl DutyReport {
    /// Sweeps one push, in a span of its own. A failure is logged there and counted, and keeps no other push from being
    /// swept; the result is `None` then.
    pub(super) async fn sweep_push<T>(
        &mut self,
        push: PushId,
        sweep: impl AsyncFnOnce(&mut Swept) -> Result<T, SweepError>,
    ) -> Option<T> {
        let work = telemetry::work_span();
        match sweep(&mut self.swept).instrument(work.clone()).await {
            Ok(result) => Some(result),
            Err(error) => {
                let _in_span = work.entered();
                telemetry::record_push(push, None);
                tracing::error!(error = %error, "push not swept; the next sweep tries again");
                self.failed += 1;
                None
            }
        }
    }
}

/// Runs a duty until it is done or the sweep's time ends. If it fails as a whole, that is logged and counted here;
/// the failure of a single push, by the duty itself.
pub(super) async fn run(
    duty: Duty,
    time: &TimeLimit,
    work: impl AsyncFnOnce(&mut DutyReport) -> Result<Completion, SweepError>,
) -> DutyReport {
    let mut report = DutyReport::default();
    let error = match tokio::time::timeout(time.until_stop(), work(&mut report)).await {
        Ok(Ok(Completion::Complete)) => return report,
        Ok(Ok(Completion::OutOfTime)) => {
            log_out_of_time(duty);
            return report;
        }
        Ok(Err(error)) => error,
        Err(_) => SweepError::Stopped,
    };
    tracing::error!(duty = %duty, error = %error, "part of the sweep failed; the next sweep tries again");
    report.failed += 1;
    report
}

pub(super) fn log_out_of_time(duty: Duty) {
    tracing::warn!(duty = %duty, "sweep out of time with pushes left; the next sweep continues with them");
}

/// What all duties did, or which of them are incomplete.
pub(super) fn sum_up(reports: &[(Duty, DutyReport)]) -> Result<Swept, SweepError> {
    let incomplete: Vec<_> = reports
        .iter()
        .filter(|(_, report)| report.failed > 0)
        .map(|(duty, report)| format!("{duty} ({} failed)", report.failed))
        .collect();
    if incomplete.is_empty() {
        Ok(reports.iter().map(|(_, report)| report.swept).sum())
    } else {
        Err(SweepError::Incomplete(incomplete.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::time::Duration;

    use tokio::time::Instant;

    use super::super::time::tests::time_limit;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_failed_duty_keeps_what_it_did() {
        let time = time_limit(Duration::from_secs(60));
        let report = run(Duty::OpenPushes, &time, async |report| {
            report.swept.resumed = 3;
            report.failed += 1;
            Err(SweepError::NoPush)
        });
        assert_eq!(report.await, DutyReport { swept: Swept { resumed: 3, ..Swept::default() }, failed: 2 });
    }

    #[tokio::test(start_paused = true)]
    async fn a_duty_that_hangs_is_stopped_before_the_deadline_and_counts_as_failed() {
        let begun = Instant::now();
        let time = time_limit(Duration::from_secs(60));
        let report = run(Duty::OverdueEvents, &time, async |report| {
            report.swept.published = 1;
            pending().await
        });
        assert_eq!(report.await, DutyReport { swept: Swept { published: 1, ..Swept::default() }, failed: 1 });
        assert_eq!(begun.elapsed(), Duration::from_secs(58));
    }

    #[tokio::test(start_paused = true)]
    async fn running_out_of_time_is_no_failure() {
        let time = time_limit(Duration::from_secs(60));
        let report = run(Duty::OpenPushes, &time, async |_| Ok(Completion::OutOfTime)).await;
        assert_eq!(report, DutyReport::default());
    }

    #[test]
    fn an_incomplete_sweep_names_its_incomplete_duties() {
        let report = |started, failed| DutyReport { swept: Swept { started, ..Swept::default() }, failed };
        let complete = sum_up(&[(Duty::MissedRequests, report(1, 0)), (Duty::OpenPushes, report(2, 0))]);
        assert_eq!(complete.unwrap(), Swept { started: 3, ..Swept::default() });
        let incomplete = sum_up(&[
            (Duty::MissedRequests, report(1, 2)),
            (Duty::OpenPushes, report(2, 0)),
            (Duty::OverdueEvents, report(0, 1)),
        ]);
        assert_eq!(
            incomplete.unwrap_err().to_string(),
            "the sweep is incomplete: missed requests (2 failed), overdue events (1 failed); each failure is logged, and \
             the next sweep, in a minute, tries again"
        );
    }
}
