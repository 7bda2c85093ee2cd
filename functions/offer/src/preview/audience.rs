//! How many an offer would reach, counted or reckoned up.

use std::collections::BTreeMap;
use std::time::Instant;

use domain::eligibility::{Evaluator, Verdict};
use domain::{Channel, Customer, Offer, Rule};
use futures::future::try_join_all;
use store::{Customers, StoreError};

use super::view::AudienceView;

/// Segments counted at a time: what stays in memory is a page of each.
const SEGMENTS: u32 = 4;
const PAGE: u16 = 500;

/// Whom an offer would reach, as far as customers were read.
#[derive(Default)]
pub(super) struct Audience {
    pub(super) read: u64,
    pub(super) customers: u64,
    unevaluable: u64,
    notifications: BTreeMap<Channel, u64>,
    /// Of each channel, who has the smallest id: the same at every preview.
    pub(super) samples: BTreeMap<Channel, Customer>,
    /// Whether the time was over before all were read.
    is_cut_short: bool,
}

impl Audience {
    fn add(&mut self, other: Self) {
        self.read += other.read;
        self.customers += other.customers;
        self.unevaluable += other.unevaluable;
        self.is_cut_short |= other.is_cut_short;
        for (channel, count) in other.notifications {
            *self.notifications.entry(channel).or_default() += count;
        }
        for (channel, customer) in other.samples {
            self.offer_sample(channel, &customer);
        }
    }

    fn offer_sample(&mut self, channel: Channel, customer: &Customer) {
        if self.samples.get(&channel).is_none_or(|sample| customer.id < sample.id) {
            self.samples.insert(channel, customer.clone());
        }
    }
}

/// Reads customers until the time is over.
pub(super) async fn count(customers: &Customers, offer: &Offer, until: Instant) -> Result<Audience, StoreError> {
    let mut audience = Audience::default();
    for segment in try_join_all((0..SEGMENTS).map(|segment| count_segment(customers, offer, segment, until))).await? {
        audience.add(segment);
    }
    Ok(audience)
}

async fn count_segment(
    customers: &Customers,
    offer: &Offer,
    segment: u32,
    until: Instant,
) -> Result<Audience, StoreError> {
    let mut audience = Audience::default();
    let mut after = None;
    loop {
        let page = customers.scan(segment, SEGMENTS, after.as_ref(), PAGE).await?;
        audience.read += page.customers.len() as u64 + page.unreadable;
        audience.unevaluable += page.unreadable;
        let evaluator = offer.eligibility.as_ref().map(Rule::evaluator);
        for customer in &page.customers {
            let verdict =
                evaluator.as_ref().map_or(Verdict::Eligible, |evaluator: &Evaluator<'_>| evaluator.verdict(customer));
            match verdict {
                Verdict::Eligible => audience.customers += 1,
                Verdict::NotEligible => continue,
                Verdict::Unevaluable => {
                    audience.unevaluable += 1;
                    continue;
                }
            }
            for channel in offer.channels.iter().filter(|channel| customer.reachable_by(**channel)) {
                *audience.notifications.entry(*channel).or_default() += 1;
                audience.offer_sample(*channel, customer);
            }
        }
        after = page.next;
        if after.is_none() {
            return Ok(audience);
        }
        if Instant::now() >= until {
            audience.is_cut_short = true;
            return Ok(audience);
        }
    }
}

/// The size of the audience: counted, or reckoned up from what was read.
pub(super) async fn reckon(
    customers: &Customers,
    offer: &Offer,
    audience: &Audience,
) -> Result<AudienceView, StoreError> {
    let exact = !audience.is_cut_short;
    let all = if exact { audience.read } else { customers.approximate_count().await?.max(audience.read) };
    let reckon = |count: u64| if exact { count } else { in_proportion(count, all, audience.read) };
    Ok(AudienceView {
        customers: reckon(audience.customers),
        notifications: offer
            .channels
            .iter()
            .map(|channel| (*channel, reckon(audience.notifications.get(channel).copied().unwrap_or_default())))
            .collect(),
        unevaluable: reckon(audience.unevaluable),
        exact,
        customers_read: audience.read,
    })
}

/// `count` of `read`, as so many of `all`.
fn in_proportion(count: u64, all: u64, read: u64) -> u64 {
    let share = u128::from(count) * u128::from(all) / u128::from(read.max(1));
    u64::try_from(share).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_is_in_proportion() {
        assert_eq!(in_proportion(250, 10_000_000, 1_000), 2_500_000);
        assert_eq!(in_proportion(0, 10, 0), 0);
    }
}
