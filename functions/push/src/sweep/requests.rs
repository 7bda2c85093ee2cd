//! Requests that the stream did not deliver.

use domain::PushId;
use jiff::{SignedDuration, Timestamp};
use runtime::telemetry;
use tracing::Instrument;

use super::depths::Depths;
use super::duty::DutyReport;
use super::place::Place;
use super::report::SweepError;
use super::time::{Completion, TimeLimit};
use crate::start::PushStarter;

/// A request younger than this is left to the stream.
const STREAM_GRACE: SignedDuration = SignedDuration::from_mins(3);
/// How far back to look for requests: the stream's retention of 24 hours, and an hour more. What was not started by
/// then is in the dead-letter queue, where an alarm reports it.
const REQUEST_LOOKBACK: SignedDuration = SignedDuration::from_hours(25);
/// Requests that are compared with the pushes in one call.
const BATCH: usize = 100;

/// Starts the pushes that were requested but that the stream did not deliver. One that cannot be started is logged and
/// counted.
pub(super) async fn start_missed(
    starter: &PushStarter,
    place: &Place<'_>,
    time: &TimeLimit,
    depths: &Depths<'_>,
    report: &mut DutyReport,
) -> Result<Completion, SweepError> {
    let (from, to) = window(time.now());
    let mut requested = starter.offers.requested_between(from, to).await?;
    place.order(&mut requested, |push| *push).await;
    for batch in requested.chunks(BATCH) {
        if time.is_short() {
            return Ok(Completion::OutOfTime);
        }
        let existing = starter.pushes.existing(batch).await?;
        for push in batch {
            let is_missed = !existing.contains(push);
            if is_missed && time.is_short() {
                return Ok(Completion::OutOfTime);
            }
            place.begin(*push);
            if is_missed {
                depths.before_queueing_slices().await;
                start(starter, *push, report).await;
            }
        }
    }
    Ok(Completion::Complete)
}

/// The times between which requests are compared with the pushes.
fn window(now: Timestamp) -> (Timestamp, Timestamp) {
    (now - REQUEST_LOOKBACK, now - STREAM_GRACE)
}

async fn start(starter: &PushStarter, push: PushId, report: &mut DutyReport) {
    let work = telemetry::work_span();
    let started = starter.start_push(push).instrument(work.clone()).await;
    let _in_span = work.entered();
    telemetry::record_push(push, None);
    match started {
        Ok(()) => {
            tracing::warn!("push started by the sweep; the stream did not deliver its request");
            report.swept.started += 1;
        }
        Err(error) => {
            tracing::error!(error = %error, "push not started; the next sweep tries again");
            report.failed += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_compared_after_the_stream_had_time_and_while_it_may_hold_them() {
        let now: Timestamp = "2026-06-02T12:00:00Z".parse().unwrap();
        assert_eq!(window(now), ("2026-06-01T11:00:00Z".parse().unwrap(), "2026-06-02T11:57:00Z".parse().unwrap()));
    }
}
