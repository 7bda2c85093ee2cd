//! The size of an offer's audience: counted, or estimated from a part of the customers.
//!
//! Whatever the store does, it is known, or known to be unknown, by the time that the caller sets.

use std::pin::pin;
use std::time::Duration;

use api::Problem;
use domain::Channel;
use domain::customer::Projection;
use futures::future::{Either, ready, select, try_join_all};
use futures::{Stream, StreamExt, stream};
use store::customers::{CustomersPage, Segment};
use store::{Customers, StoreError};
use tokio::time::{Instant, timeout_at};

use super::tally::{ChannelTally, Survey, Tally};

/// Segments of the table that are scanned concurrently. One page of each is in memory at a time.
const SEGMENTS: u32 = 4;
/// Customers in a page of a segment.
const PAGE_SIZE: u16 = 500;
/// After this long without a pause, other calls go on.
const LONGEST_BLOCK: Duration = Duration::from_millis(5);

/// What was counted of an offer's audience, and of how much of it.
#[derive(Debug, Default)]
pub(super) struct AudienceCount {
    pub(super) tally: Tally,
    /// Whether the time ended before all customers were read.
    pub(super) timed_out: bool,
    /// About how many customers there are, if the time ended.
    approximate_customers: u64,
}

impl AudienceCount {
    fn merge(&mut self, other: Self) {
        self.tally.merge(other.tally);
        self.timed_out |= other.timed_out;
    }

    /// Counts the customers of a page, as many as the time allows. Between them, the calls for other pages go on: a rule
    /// may take long, and without that they would time out.
    async fn add_page(&mut self, survey: &Survey<'_>, page: &CustomersPage, until: Instant) {
        self.tally.scan.count_unreadable(page.unreadable.len());
        let mut yielded = Instant::now();
        for customer in &page.customers {
            let is_enough = self.tally.scan.customers_read >= survey.most_customers / u64::from(SEGMENTS);
            if is_enough || Instant::now() >= until {
                self.timed_out = true;
                return;
            }
            self.tally.add(survey, customer);
            if yielded.elapsed() >= LONGEST_BLOCK {
                tokio::task::yield_now().await;
                yielded = Instant::now();
            }
        }
    }

    /// A count among all customers: exact if every customer was read, otherwise scaled up from those who were.
    pub(super) fn estimate(&self, count: u64) -> u64 {
        if self.timed_out { scale(count, self.approximate_customers, self.tally.scan.customers_read) } else { count }
    }

    /// A count among the messages of a channel, which are composed for a part of its customers if there are many.
    pub(super) fn estimate_messages(&self, channel: Channel, count: u64) -> u64 {
        match self.tally.channels.get(&channel) {
            None => 0,
            Some(tally) if tally.is_composed() => self.estimate(count),
            Some(ChannelTally { notifications, composed, .. }) => {
                scale(count, self.estimate(*notifications), *composed)
            }
        }
    }

    /// Whether the counts among the messages of a channel are exact.
    pub(super) fn has_exact_messages(&self, channel: Channel) -> bool {
        !self.timed_out && self.tally.channels.get(&channel).is_none_or(ChannelTally::is_composed)
    }
}

/// Why an audience has no count.
#[derive(Debug)]
pub(super) enum CountError {
    Store(StoreError),
    /// Too little was counted in time for an estimate, because this was slow.
    OutOfTime(Slow),
}

/// What most of the time was spent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slow {
    /// Waiting for the store.
    Store,
    /// Evaluating the rule.
    Rule,
}

impl Slow {
    fn of(count: &AudienceCount, time: Duration) -> Self {
        let Tally { evaluating, composing, .. } = count.tally;
        if evaluating > time.saturating_sub(composing) / 2 { Self::Rule } else { Self::Store }
    }
}

impl From<StoreError> for CountError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<CountError> for Problem {
    fn from(error: CountError) -> Self {
        match error {
            CountError::Store(error) => error.into(),
            CountError::OutOfTime(slow) => {
                tracing::error!(?slow, "customers not counted in time; returning an error to the caller");
                Self::unavailable(match slow {
                    Slow::Store => {
                        "The store is too slow to count customers. No test message was sent; please try again."
                    }
                    Slow::Rule => {
                        "The eligibility rule takes too long to evaluate to count customers. No test message was sent; \
                         please simplify the rule."
                    }
                })
            }
        }
    }
}

/// Counts the audience among all customers, or until `until` among as many as the store returns.
pub(super) async fn count(
    customers: &Customers,
    survey: &Survey<'_>,
    until: Instant,
) -> Result<AudienceCount, CountError> {
    let projection = survey.projection();
    let segments = (0..SEGMENTS).map(|number| pages(customers, Segment { number, of: SEGMENTS }, &projection));
    count_segments(segments, customers.estimate_count(), survey, until).await
}

/// The pages of a segment, each read when the one before is counted.
fn pages(
    customers: &Customers,
    segment: Segment,
    projection: &Projection,
) -> impl Stream<Item = Result<CustomersPage, StoreError>> {
    // Where the next page starts: `Some(None)` for the first page, `None` after the last one.
    stream::try_unfold(Some(None), move |position| async move {
        let Some(after) = position else { return Ok(None) };
        let page = customers.scan(segment, projection, after.as_ref(), PAGE_SIZE).await?;
        let next = page.next.clone().map(Some);
        Ok(Some((page, next)))
    })
}

/// Counts the audience in these segments. `estimated_customers` runs beside the scan, because no time is left for it when
/// it turns out to be needed. A complete scan does not wait for it.
async fn count_segments(
    segments: impl IntoIterator<Item = impl Stream<Item = Result<CustomersPage, StoreError>>>,
    estimated_customers: impl Future<Output = Result<u64, StoreError>>,
    survey: &Survey<'_>,
    until: Instant,
) -> Result<AudienceCount, CountError> {
    let began = Instant::now();
    let scan = pin!(scan(segments, survey, until));
    let estimated_customers = pin!(timeout_at(until, estimated_customers));
    let (mut count, estimated_customers) = match select(scan, estimated_customers).await {
        Either::Left((count, pending)) => (count?, Either::Left(pending)),
        Either::Right((known, scan)) => (scan.await?, Either::Right(ready(known))),
    };
    if count.timed_out {
        let slow = Slow::of(&count, began.elapsed());
        let estimated = estimated_customers.await.map_err(|_elapsed| CountError::OutOfTime(slow))??;
        if count.tally.scan.customers_read == 0 {
            return Err(CountError::OutOfTime(slow));
        }
        count.approximate_customers = estimated.max(count.tally.scan.customers_read);
    }
    Ok(count)
}

/// Counts the pages of all segments that come in time.
async fn scan(
    segments: impl IntoIterator<Item = impl Stream<Item = Result<CustomersPage, StoreError>>>,
    survey: &Survey<'_>,
    until: Instant,
) -> Result<AudienceCount, StoreError> {
    let segments = segments.into_iter().map(|pages| count_pages(pages, survey, until));
    let mut total = AudienceCount::default();
    try_join_all(segments).await?.into_iter().for_each(|segment| total.merge(segment));
    Ok(total)
}

async fn count_pages(
    pages: impl Stream<Item = Result<CustomersPage, StoreError>>,
    survey: &Survey<'_>,
    until: Instant,
) -> Result<AudienceCount, StoreError> {
    let mut count = AudienceCount::default();
    let mut pages = pin!(pages);
    while !count.timed_out {
        match timeout_at(until, pages.next()).await {
            Ok(Some(page)) => count.add_page(survey, &page?, until).await,
            Ok(None) => return Ok(count),
            Err(_elapsed) => count.timed_out = true,
        }
    }
    Ok(count)
}

/// Scales `count`, found among `read` customers, to `all` customers.
fn scale(count: u64, all: u64, read: u64) -> u64 {
    let share = u128::from(count) * u128::from(all) / u128::from(read.max(1));
    u64::try_from(share).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
