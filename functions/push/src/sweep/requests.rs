//! Requests that the stream did not deliver.

use jiff::{SignedDuration, Timestamp};
use runtime::telemetry;
use tracing::Instrument;

use super::report::{SweepError, Swept};
use crate::start::PushStarter;

/// A request younger than this is left to the stream.
const STREAM_GRACE: SignedDuration = SignedDuration::from_mins(3);
/// How far back to look for requests: the stream's retention of 24 hours, and an hour more. What was not started by
/// then is in the dead-letter queue, where an alarm reports it.
const REQUEST_LOOKBACK: SignedDuration = SignedDuration::from_hours(25);

/// Starts the pushes that were requested but that the stream did not deliver. Returns how many could not be started;
/// each is logged.
pub(super) async fn start_missed(starter: &PushStarter, now: Timestamp, swept: &mut Swept) -> Result<u32, SweepError> {
    let mut failed = 0;
    for push in starter.offers.requested_between(now - REQUEST_LOOKBACK, now - STREAM_GRACE).await? {
        if starter.pushes.get(push).await?.is_some() {
            continue;
        }
        let work = telemetry::work_span();
        let started = starter.start_push(push).instrument(work.clone()).await;
        let _in_span = work.entered();
        telemetry::record_push(push, None);
        match started {
            Ok(()) => {
                tracing::warn!("push started by the sweep; the stream did not deliver its request");
                swept.started += 1;
            }
            Err(error) => {
                tracing::error!(error = %error, "push not started; the next sweep tries again");
                failed += 1;
            }
        }
    }
    Ok(failed)
}
