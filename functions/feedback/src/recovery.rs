//! Recovering events about customers that the stream lost, for the records of one invocation. Each period costs a read of
//! the whole Suppressions table, so records share it, and what waits behind them must not wait for it.

use std::ops::Range;

use aws_lambda_events::sqs::{SqsEvent, SqsMessage};
use jiff::{SignedDuration, Timestamp};

use crate::source;
use crate::{App, FeedbackError};

/// How long after its beginning an invocation begins to read the table for another period.
const START_FOR: SignedDuration = SignedDuration::from_secs(12);
/// How long after its beginning an invocation reads it. The function has 30 seconds, and a call may need some.
const READ_FOR: SignedDuration = SignedDuration::from_secs(20);

/// The periods of an invocation, none of which overlaps another.
pub(crate) struct Recovery {
    started: Timestamp,
    periods: Vec<(Range<Timestamp>, State)>,
}

/// How far the events of a period are published.
#[derive(Debug, Clone)]
enum State {
    Waiting,
    /// Whether there were any.
    Published(bool),
    /// Why they are not. It is not attempted again in this invocation.
    Failed(String),
}

impl Recovery {
    pub(crate) fn of(periods: impl IntoIterator<Item = Range<Timestamp>>, started: Timestamp) -> Self {
        let periods = merge(periods.into_iter().collect()).into_iter().map(|period| (period, State::Waiting)).collect();
        Self { started, periods }
    }

    /// Publishes the events of this period, unless it was done with another one. Returns whether there were any.
    pub(crate) async fn publish(&mut self, app: &App, stored: &Range<Timestamp>) -> Result<bool, FeedbackError> {
        let includes = |period: &Range<Timestamp>| period.start <= stored.start && stored.end <= period.end;
        let Some((period, state)) = self.periods.iter_mut().find(|(period, _)| includes(period)) else {
            // It ends before it begins.
            return Ok(false);
        };
        match state {
            State::Published(any) => return Ok(*any),
            State::Failed(why) => return Err(FeedbackError::NotRecovered(why.clone())),
            State::Waiting if app.sources.now() >= self.started + START_FOR => return Err(FeedbackError::NoTimeLeft),
            State::Waiting => {}
        }
        let published = app.publish_period(period, self.started + READ_FOR).await;
        *state = match &published {
            Ok(any) => State::Published(*any),
            Err(error) => State::Failed(error.to_string()),
        };
        published
    }
}

/// Joins the periods that overlap or touch.
fn merge(mut periods: Vec<Range<Timestamp>>) -> Vec<Range<Timestamp>> {
    periods.retain(|period| !period.is_empty());
    periods.sort_by_key(|period| period.start);
    let mut merged: Vec<Range<Timestamp>> = Vec::new();
    for period in periods {
        match merged.last_mut() {
            Some(last) if period.start <= last.end => last.end = last.end.max(period.end),
            _ => merged.push(period),
        }
    }
    merged
}

/// Puts the records that ask for events about customers behind all others. Returns the periods that they ask for as well.
pub(crate) fn last(mut event: SqsEvent) -> (SqsEvent, Vec<Range<Timestamp>>) {
    let periods_of = |record: &SqsMessage| -> Vec<_> {
        // What cannot be parsed fails when it is handled.
        let sources = source::parse(record.body.as_deref().unwrap_or_default()).unwrap_or_default();
        source::periods(&sources).collect()
    };
    let (mut others, mut asking, mut all) = (Vec::new(), Vec::new(), Vec::new());
    for record in std::mem::take(&mut event.records) {
        let periods = periods_of(&record);
        if periods.is_empty() {
            others.push(record);
        } else {
            asking.push(record);
        }
        all.extend(periods);
    }
    others.append(&mut asking);
    event.records = others;
    (event, all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_periods_become_one() {
        let period = |(start, end)| {
            let time = |second| Timestamp::from_second(second).unwrap();
            time(start)..time(end)
        };
        for (periods, expected) in [
            (vec![], vec![]),
            (vec![(10, 20)], vec![(10, 20)]),
            (vec![(10, 20), (10, 20)], vec![(10, 20)]),
            (vec![(15, 30), (10, 20)], vec![(10, 30)]),
            (vec![(10, 40), (20, 30), (35, 50)], vec![(10, 50)]),
            (vec![(10, 20), (20, 30)], vec![(10, 30)]),
            (vec![(30, 40), (10, 20)], vec![(10, 20), (30, 40)]),
            (vec![(30, 20), (10, 10)], vec![]),
        ] {
            let merged = merge(periods.iter().copied().map(period).collect());
            assert_eq!(merged, expected.into_iter().map(period).collect::<Vec<_>>(), "{periods:?}");
        }
    }
}
