//! The size of an offer's audience: counted, or estimated from a part of the customers.
//!
//! Whatever the store does, it is known, or known to be unknown, by the time that the caller sets.

use std::collections::BTreeMap;
use std::pin::pin;

use api::Problem;
use domain::audience::{Audience, Selection};
use domain::channel::Channels;
use domain::push::ScanCounts;
use domain::{Channel, Customer};
use futures::future::{Either, ready, select, try_join_all};
use futures::{Stream, StreamExt, stream};
use store::customers::CustomersPage;
use store::{Customers, StoreError};
use tokio::time::{Instant, timeout_at};

use super::view::AudienceView;

/// Segments of the table that are scanned concurrently. One page of each is in memory at a time.
const SEGMENTS: u32 = 4;
/// Customers in a page of a segment.
const PAGE_SIZE: u16 = 500;

/// What was counted of an offer's audience.
#[derive(Debug, Default)]
pub(super) struct AudienceCount {
    pub(super) scan: ScanCounts,
    notifications: BTreeMap<Channel, u64>,
    /// For each channel, the eligible customer with the smallest id, so that every full count selects the same one.
    pub(super) samples: BTreeMap<Channel, Customer>,
    /// Whether the time ended before all customers were read.
    timed_out: bool,
    /// About how many customers there are, if the time ended.
    approximate_customers: u64,
}

impl AudienceCount {
    fn add(&mut self, other: Self) {
        self.scan += other.scan;
        self.timed_out |= other.timed_out;
        for (channel, count) in other.notifications {
            *self.notifications.entry(channel).or_default() += count;
        }
        for (channel, customer) in other.samples {
            self.consider_sample(channel, &customer);
        }
    }

    fn add_page(&mut self, audience: &Audience<'_>, page: &CustomersPage) {
        self.scan.count_unreadable(page.unreadable);
        for customer in &page.customers {
            let selection = audience.select(customer);
            self.scan.count(&selection);
            if let Selection::Eligible(channels) = selection {
                for channel in channels {
                    *self.notifications.entry(channel).or_default() += 1;
                    self.consider_sample(channel, customer);
                }
            }
        }
    }

    fn consider_sample(&mut self, channel: Channel, customer: &Customer) {
        if self.samples.get(&channel).is_none_or(|sample| customer.id < sample.id) {
            self.samples.insert(channel, customer.clone());
        }
    }

    /// The size of the audience on these channels: exact if every customer was read, otherwise scaled up from those who
    /// were.
    pub(super) fn view(&self, channels: &Channels) -> AudienceView {
        let ScanCounts { customers_read, customers_eligible, customers_unevaluable, .. } = self.scan;
        let exact = !self.timed_out;
        let estimate =
            |count: u64| if exact { count } else { scale(count, self.approximate_customers, customers_read) };
        let notifications = |channel| estimate(self.notifications.get(channel).copied().unwrap_or_default());
        AudienceView {
            customers: estimate(customers_eligible),
            notifications: channels.iter().map(|channel| (*channel, notifications(channel))).collect(),
            unevaluable: estimate(customers_unevaluable),
            exact,
            customers_read,
        }
    }
}

/// Why an audience has no count.
#[derive(Debug)]
pub(super) enum CountError {
    Store(StoreError),
    /// Too little was read in time for an estimate.
    OutOfTime,
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
            CountError::OutOfTime => {
                tracing::error!("customers not counted in time; returning an error to the caller");
                Self::unavailable(
                    "The store is too slow to count customers. No test message was sent; please try again.",
                )
            }
        }
    }
}

/// Counts the audience among all customers, or until `until` among as many as the store returns.
pub(super) async fn count(
    customers: &Customers,
    audience: &Audience<'_>,
    until: Instant,
) -> Result<AudienceCount, CountError> {
    let segments = (0..SEGMENTS).map(|segment| pages(customers, segment));
    count_segments(segments, customers.approximate_count(), audience, until).await
}

/// The pages of a segment, each read when the one before is counted.
fn pages(customers: &Customers, segment: u32) -> impl Stream<Item = Result<CustomersPage, StoreError>> {
    // Where the next page starts: `Some(None)` for the first page, `None` after the last one.
    stream::try_unfold(Some(None), move |position| async move {
        let Some(after) = position else { return Ok(None) };
        let page = customers.scan(segment, SEGMENTS, after.as_ref(), PAGE_SIZE).await?;
        let next = page.next.clone().map(Some);
        Ok(Some((page, next)))
    })
}

/// Counts the audience in these segments. `approximate_count` runs beside the scan, because no time is left for it when
/// it turns out to be needed. A complete scan does not wait for it.
async fn count_segments(
    segments: impl IntoIterator<Item = impl Stream<Item = Result<CustomersPage, StoreError>>>,
    approximate_count: impl Future<Output = Result<u64, StoreError>>,
    audience: &Audience<'_>,
    until: Instant,
) -> Result<AudienceCount, CountError> {
    let scan = pin!(scan(segments, audience, until));
    let approximate_count = pin!(timeout_at(until, approximate_count));
    let (mut count, approximate_count) = match select(scan, approximate_count).await {
        Either::Left((count, pending)) => (count?, Either::Left(pending)),
        Either::Right((known, scan)) => (scan.await?, Either::Right(ready(known))),
    };
    if count.timed_out {
        let approximate_count = approximate_count.await.map_err(|_elapsed| CountError::OutOfTime)??;
        if count.scan.customers_read == 0 {
            return Err(CountError::OutOfTime);
        }
        count.approximate_customers = approximate_count.max(count.scan.customers_read);
    }
    Ok(count)
}

/// Counts the pages of all segments that come in time.
async fn scan(
    segments: impl IntoIterator<Item = impl Stream<Item = Result<CustomersPage, StoreError>>>,
    audience: &Audience<'_>,
    until: Instant,
) -> Result<AudienceCount, StoreError> {
    let segments = segments.into_iter().map(|pages| count_pages(pages, audience, until));
    let mut total = AudienceCount::default();
    try_join_all(segments).await?.into_iter().for_each(|segment| total.add(segment));
    Ok(total)
}

async fn count_pages(
    pages: impl Stream<Item = Result<CustomersPage, StoreError>>,
    audience: &Audience<'_>,
    until: Instant,
) -> Result<AudienceCount, StoreError> {
    let mut count = AudienceCount::default();
    let mut pages = pin!(pages);
    loop {
        match timeout_at(until, pages.next()).await {
            Ok(Some(page)) => count.add_page(audience, &page?),
            Ok(None) => return Ok(count),
            Err(_elapsed) => {
                count.timed_out = true;
                return Ok(count);
            }
        }
    }
}

/// Scales `count`, found among `read` customers, to `all` customers.
fn scale(count: u64, all: u64, read: u64) -> u64 {
    let share = u128::from(count) * u128::from(all) / u128::from(read.max(1));
    u64::try_from(share).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::time::Duration;

    use axum::http::StatusCode;
    use axum::response::IntoResponse;
    use domain::Offer;
    use futures::stream::BoxStream;
    use serde_json::{Value, json};

    use super::*;

    type Pages = BoxStream<'static, Result<CustomersPage, StoreError>>;

    fn offer() -> Offer {
        testing::offer(json!({"code": "A", "description": "B", "eligibility": "customer.tier == 'gold'"}))
    }

    fn customer(id: &str, channels: &Value, attributes: &Value) -> Customer {
        let body = json!({
            "name": "A", "email": "a@b.example", "mobile": "+351912345678", "channels": channels, "attributes": attributes,
        });
        Customer::parse(id, body).unwrap()
    }

    /// A page of one eligible customer with an e-mail address, and one who is not eligible.
    fn page() -> Result<CustomersPage, StoreError> {
        let customer = |id, tier| customer(id, &json!(["email"]), &json!({"tier": tier}));
        Ok(CustomersPage { customers: vec![customer("a", "gold"), customer("b", "silver")], unreadable: 0, next: None })
    }

    /// A segment of this many pages, with no response to the request for the next one.
    fn stalled_after(pages: usize) -> Pages {
        stream::iter(0..pages).map(|_| page()).chain(stream::pending()).boxed()
    }

    fn complete() -> Pages {
        stream::iter([page(), page()]).boxed()
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(20)
    }

    #[tokio::test]
    async fn count_is_exact_and_does_not_wait_for_the_approximate_one() {
        let offer = offer();
        let audience = Audience::of(&offer).unwrap();
        let until = Instant::now() + Duration::from_secs(600);
        let count = count_segments([complete(), complete()], pending(), &audience, until).await.unwrap();
        let view = count.view(&offer.channels);
        assert_eq!((view.customers, view.exact, view.customers_read), (4, true, 8));
        assert_eq!(view.notifications, BTreeMap::from([(Channel::Email, 4), (Channel::Sms, 0)]));
    }

    #[tokio::test]
    async fn pages_that_do_not_come_in_time_leave_an_estimate() {
        let offer = offer();
        let audience = Audience::of(&offer).unwrap();
        let segments = [complete(), stalled_after(1), stalled_after(0)];
        let count = count_segments(segments, ready(Ok(600)), &audience, soon()).await.unwrap();
        let view = count.view(&offer.channels);
        assert_eq!((view.customers, view.exact, view.customers_read), (300, false, 6));
        assert_eq!(view.notifications, BTreeMap::from([(Channel::Email, 300), (Channel::Sms, 0)]));
        assert!(count.samples.contains_key(&Channel::Email));
    }

    #[tokio::test]
    async fn estimate_is_never_less_than_what_was_counted() {
        let offer = offer();
        let audience = Audience::of(&offer).unwrap();
        let count = count_segments([stalled_after(3)], ready(Ok(2)), &audience, soon()).await.unwrap();
        assert_eq!(count.view(&offer.channels).customers, 3);
    }

    #[tokio::test]
    async fn too_little_in_time_is_an_error_that_permits_a_retry() {
        let offer = offer();
        let audience = Audience::of(&offer).unwrap();
        for (what, read, approximate_count) in
            [("no page", 0, Either::Left(ready(Ok(600)))), ("no approximate count", 2, Either::Right(pending()))]
        {
            let started = Instant::now();
            let until = soon();
            let error = count_segments([stalled_after(read)], approximate_count, &audience, until).await.unwrap_err();
            assert!(matches!(error, CountError::OutOfTime), "{what}");
            assert!(started.elapsed() < Duration::from_secs(10), "{what}");
            let response = Problem::from(error).into_response();
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE, "{what}");
        }
    }

    #[tokio::test]
    async fn failed_page_is_an_error() {
        let failed = || StoreError::Unreadable { table: "customers".to_owned(), reason: "for a test".to_owned() };
        let segments = [complete(), stream::iter([page(), Err(failed())]).boxed()];
        let offer = offer();
        let audience = Audience::of(&offer).unwrap();
        let error = count_segments(segments, pending(), &audience, soon()).await.unwrap_err();
        assert!(matches!(error, CountError::Store(_)));
    }

    #[test]
    fn estimate_is_proportional() {
        assert_eq!(scale(250, 10_000_000, 1_000), 2_500_000);
        assert_eq!(scale(0, 10, 0), 0);
    }

    #[test]
    fn pages_add_up_and_each_sample_has_the_smallest_id() {
        let offer = offer();
        let audience = Audience::of(&offer).unwrap();
        let gold = json!({"tier": "gold"});
        let page = |customers, unreadable| {
            let mut count = AudienceCount::default();
            count.add_page(&audience, &CustomersPage { customers, unreadable, next: None });
            count
        };
        let both = json!(["email", "sms"]);
        let mut count = page(vec![customer("c", &both, &gold), customer("a", &json!([]), &gold)], 2);
        count.add(page(
            vec![
                customer("b", &json!(["email"]), &gold),
                customer("0", &both, &json!({"tier": "silver"})),
                customer("1", &both, &json!({})),
            ],
            0,
        ));
        let expected =
            ScanCounts { customers_read: 7, customers_eligible: 3, customers_unevaluable: 3, notifications: 3 };
        assert_eq!(count.scan, expected);
        assert_eq!(count.notifications, BTreeMap::from([(Channel::Email, 2), (Channel::Sms, 1)]));
        let samples: Vec<_> =
            count.samples.iter().map(|(channel, customer)| (*channel, customer.id.as_str())).collect();
        assert_eq!(samples, [(Channel::Email, "b"), (Channel::Sms, "c")]);
        assert!(!count.timed_out);
    }
}
