//! Events that the stream did not deliver, or that the bus did not take.

use domain::PushId;
use jiff::{SignedDuration, Timestamp};
use store::Page;
use store::pushes::Push;

use super::duty::DutyReport;
use super::place::Place;
use super::report::SweepError;
use super::time::{Completion, TimeLimit};
use crate::publish::{PublishError, Publisher};

/// An event unpublished for this long was not delivered by the stream.
const UNPUBLISHED_AFTER: SignedDuration = SignedDuration::from_mins(1);
/// Unpublished pushes read at a time. Only their keys are read.
const PAGE: u16 = 1_000;

/// Publishes the events that are overdue. A push whose events cannot be published is logged and counted, and keeps no
/// other from being published.
pub(super) async fn publish_overdue(
    publisher: &Publisher,
    place: &Place<'_>,
    time: &TimeLimit,
    report: &mut DutyReport,
) -> Result<Completion, SweepError> {
    let before = time.now() - UNPUBLISHED_AFTER;
    let mut unpublished = Page::read_all(async |after| publisher.pushes.list_unpublished(PAGE, after).await).await?;
    place.order(&mut unpublished, |push| *push).await;
    for push in unpublished {
        if time.is_short() {
            return Ok(Completion::OutOfTime);
        }
        place.begin(push);
        match publish_if_overdue(publisher, push, before).await {
            Ok(published) => report.swept.published += published,
            Err(error) => {
                error.log(push);
                report.failed += 1;
                // Otherwise each of the others would wait for its own timeout. The next sweep begins with them.
                if error.is_bus_unavailable() {
                    return Ok(Completion::Complete);
                }
            }
        }
    }
    Ok(Completion::Complete)
}

async fn publish_if_overdue(publisher: &Publisher, id: PushId, before: Timestamp) -> Result<u64, PublishError> {
    match publisher.pushes.get(id).await? {
        Some(push) if is_overdue(&push, before) => publisher.publish(id).await,
        Some(_) | None => Ok(0),
    }
}

/// Whether a push has had something to publish since before this time.
fn is_overdue(push: &Push, before: Timestamp) -> bool {
    push.completed_at.unwrap_or(push.requested_at) < before
}

#[cfg(test)]
mod tests {
    use super::super::plan::tests::push;
    use super::*;

    #[test]
    fn an_event_is_overdue_once_the_stream_had_time_for_it() {
        let at = |second| Timestamp::from_second(second).unwrap();
        for (requested, completed, expected) in
            [(99, None, true), (100, None, false), (0, Some(99), true), (0, Some(100), false)]
        {
            let push = Push { requested_at: at(requested), completed_at: completed.map(at), ..push(1, 0) };
            assert_eq!(is_overdue(&push, at(100)), expected, "{requested} {completed:?}");
        }
    }
}
