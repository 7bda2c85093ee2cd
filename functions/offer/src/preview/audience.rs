//! The size of an offer's audience: counted, or estimated from a part of the customers.

use std::collections::BTreeMap;
use std::time::Instant;

use domain::audience::{Audience, Selection};
use domain::push::ScanCounts;
use domain::{Channel, Customer, Offer};
use futures::future::try_join_all;
use store::customers::CustomersPage;
use store::{Customers, StoreError};

use super::view::AudienceView;

/// Segments of the table that are scanned concurrently. One page of each is in memory at a time.
const SEGMENTS: u32 = 4;
/// Customers in a page of a segment.
const PAGE_SIZE: u16 = 500;

/// What was counted of an offer's audience.
#[derive(Default)]
pub(super) struct AudienceCount {
    pub(super) scan: ScanCounts,
    notifications: BTreeMap<Channel, u64>,
    /// For each channel, the eligible customer with the smallest id, so that every full count selects the same one.
    pub(super) samples: BTreeMap<Channel, Customer>,
    /// Whether the time limit was reached before all customers were read.
    timed_out: bool,
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
}

/// Reads customers until `until`. At least one page of each segment is read.
pub(super) async fn count(
    customers: &Customers,
    audience: &Audience<'_>,
    until: Instant,
) -> Result<AudienceCount, StoreError> {
    let mut total = AudienceCount::default();
    for segment in try_join_all((0..SEGMENTS).map(|segment| count_segment(customers, audience, segment, until))).await?
    {
        total.add(segment);
    }
    Ok(total)
}

async fn count_segment(
    customers: &Customers,
    audience: &Audience<'_>,
    segment: u32,
    until: Instant,
) -> Result<AudienceCount, StoreError> {
    let mut count = AudienceCount::default();
    let mut after = None;
    loop {
        let page = customers.scan(segment, SEGMENTS, after.as_ref(), PAGE_SIZE).await?;
        count.add_page(audience, &page);
        after = page.next;
        if after.is_none() {
            return Ok(count);
        }
        if Instant::now() >= until {
            count.timed_out = true;
            return Ok(count);
        }
    }
}

/// The size of the audience: exact if every customer was read, otherwise scaled up from those who were.
pub(super) async fn estimate(
    customers: &Customers,
    offer: &Offer,
    count: &AudienceCount,
) -> Result<AudienceView, StoreError> {
    let ScanCounts { customers_read, customers_eligible, customers_unevaluable, .. } = count.scan;
    let exact = !count.timed_out;
    let all = if exact { customers_read } else { customers.approximate_count().await?.max(customers_read) };
    let estimate = |count: u64| if exact { count } else { scale(count, all, customers_read) };
    let notifications = |channel| estimate(count.notifications.get(channel).copied().unwrap_or_default());
    Ok(AudienceView {
        customers: estimate(customers_eligible),
        notifications: offer.channels.iter().map(|channel| (*channel, notifications(channel))).collect(),
        unevaluable: estimate(customers_unevaluable),
        exact,
        customers_read,
    })
}

/// Scales `count`, found among `read` customers, to `all` customers.
fn scale(count: u64, all: u64, read: u64) -> u64 {
    let share = u128::from(count) * u128::from(all) / u128::from(read.max(1));
    u64::try_from(share).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use domain::Text;
    use domain::offer::Posted;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn estimate_is_proportional() {
        assert_eq!(scale(250, 10_000_000, 1_000), 2_500_000);
        assert_eq!(scale(0, 10, 0), 0);
    }

    #[test]
    fn pages_add_up_and_each_sample_has_the_smallest_id() {
        let default_subject = Text::parse("Save").unwrap();
        let posted = Posted {
            id: "01980000-0000-7000-8000-000000000001".parse().unwrap(),
            at: "2026-06-01T12:00:00Z".parse().unwrap(),
            by: "bank",
            default_subject: &default_subject,
        };
        let body = json!({"code": "A", "description": "B", "eligibility": "customer.tier == 'gold'"});
        let offer = Offer::parse(body, &posted).unwrap();
        let audience = Audience::of(&offer).unwrap();
        let customer = |id: &str, channels: Value, attributes: Value| {
            let body = json!({
                "name": "A", "email": "a@b.example", "mobile": "+351912345678", "channels": channels,
                "attributes": attributes,
            });
            Customer::parse(id, body).unwrap()
        };
        let gold = || json!({"tier": "gold"});
        let page = |customers, unreadable| {
            let mut count = AudienceCount::default();
            count.add_page(&audience, &CustomersPage { customers, unreadable, next: None });
            count
        };
        let mut count = page(vec![customer("c", json!(["email", "sms"]), gold()), customer("a", json!([]), gold())], 2);
        count.add(page(
            vec![
                customer("b", json!(["email"]), gold()),
                customer("0", json!(["email", "sms"]), json!({"tier": "silver"})),
                customer("1", json!(["email", "sms"]), json!({})),
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
