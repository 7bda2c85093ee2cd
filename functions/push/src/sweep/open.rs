//! The open pushes: each is started or continued.

use std::sync::Arc;

use jiff::Timestamp;
use runtime::metrics::{self, Unit};
use store::Page;
use store::pushes::Push;

use super::Sweeper;
use super::depths::Depths;
use super::duty::DutyReport;
use super::lost::Outstanding;
use super::place::Place;
use super::plan::{NextStep, Scope, next_step};
use super::report::{SweepError, Swept};
use super::slices::sweep_slices;
use super::time::{Completion, TimeLimit};

/// Open pushes read at a time.
const PAGE: u16 = 100;

impl Sweeper {
    /// Sweeps every open push, and adds what they wait for to `outstanding`. One that fails is logged and counted, and
    /// keeps no other from being swept.
    pub(super) async fn sweep_open(
        &self,
        place: &Place<'_>,
        time: &TimeLimit,
        depths: &Depths<'_>,
        outstanding: &mut Outstanding,
        report: &mut DutyReport,
    ) -> Result<Completion, SweepError> {
        // All are listed before the first is swept, so that the metric does not depend on the time they take.
        let open = Page::read_all(async |after| self.starter.pushes.list_open(PAGE, after).await).await?;
        let mut open: Vec<_> = open.into_iter().map(Arc::new).collect();
        // Emitted also as 0: an alarm on missing data reports that the sweep does not run.
        metrics::emit(&[], &[("OldestOpenPush", Unit::Seconds, oldest_age(&open, time.now()))]);
        place.order(&mut open, |push| push.id).await;
        for push in open {
            if time.is_short() {
                return Ok(Completion::OutOfTime);
            }
            place.begin(push.id);
            let sweep =
                async |swept: &mut Swept| self.sweep_push(&push, Scope::Idle, time, depths, outstanding, swept).await;
            if report.sweep_push(push.id, sweep).await == Some(Completion::OutOfTime) {
                return Ok(Completion::OutOfTime);
            }
        }
        Ok(Completion::Complete)
    }

    pub(super) async fn sweep_push(
        &self,
        push: &Arc<Push>,
        scope: Scope,
        time: &TimeLimit,
        depths: &Depths<'_>,
        outstanding: &mut Outstanding,
        swept: &mut Swept,
    ) -> Result<Completion, SweepError> {
        match next_step(push, time.now()) {
            NextStep::Start => {
                depths.before_queueing_slices().await;
                self.starter.start_scheduled(push.id).await?;
                swept.started += 1;
                Ok(Completion::Complete)
            }
            NextStep::ContinueSlices => {
                sweep_slices(&self.starter, depths, push, scope, time, outstanding, swept).await
            }
            NextStep::Nothing => Ok(Completion::Complete),
        }
    }
}

/// Seconds since the oldest of these pushes started; 0 if none has.
fn oldest_age(open: &[Arc<Push>], now: Timestamp) -> u64 {
    let oldest = open.iter().filter_map(|push| push.started_at).min().unwrap_or(now);
    u64::try_from(now.duration_since(oldest).as_secs()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::plan::tests::push;
    use super::*;

    #[test]
    fn age_is_that_of_the_oldest_push_that_started() {
        let started = |second: Option<i64>| {
            let started_at = second.map(|second| Timestamp::from_second(second).unwrap());
            Arc::new(Push { started_at, ..push(1, 0) })
        };
        let now = Timestamp::from_second(100).unwrap();
        for (open, expected) in [
            (vec![], 0),
            (vec![None], 0),
            (vec![Some(90), None, Some(40), Some(70)], 60),
            // Another machine's clock may be ahead.
            (vec![Some(101)], 0),
        ] {
            let pushes: Vec<_> = open.iter().copied().map(started).collect();
            assert_eq!(oldest_age(&pushes, now), expected, "{open:?}");
        }
    }
}
