//! Which customers of a page get a notification, and the batches that carry them.

use std::collections::BTreeMap;

use domain::channel::Channels;
use domain::push::{OutcomeCounts, ScanCounts};
use domain::queue::{BATCH_LIMIT, Batch, ChannelMessage, Notifications, Slice};
use domain::{Audience, Channel, Customer, CustomerId, Selection};
use store::pushes::SliceScan;

/// The customers of a page to notify, by channel.
pub(crate) type Recipients = BTreeMap<Channel, Vec<CustomerId>>;

/// Selects and counts the customers of a page. `unreadable` is how many more items of the page could not be read.
/// On channels other than `with_queue`, those that have a queue, no customer is notified or counted.
pub(crate) fn select(
    audience: &Audience<'_>,
    customers: &[Customer],
    unreadable: u64,
    with_queue: &Channels,
) -> (ScanCounts, Recipients) {
    let mut counts = ScanCounts::default();
    counts.count_unreadable(unreadable);
    let mut recipients = Recipients::new();
    for customer in customers {
        let mut selection = audience.select(customer);
        if let Selection::Eligible(channels) = &mut selection {
            channels.retain(|channel| with_queue.contains(channel));
            for channel in channels.iter() {
                recipients.entry(*channel).or_default().push(customer.id.clone());
            }
        }
        counts.count(&selection);
    }
    (counts, recipients)
}

/// The batches of a page, each with one of the numbers that this scan has for its channel.
pub(crate) fn batches(slice: &Slice, scan: &SliceScan, recipients: &Recipients) -> Vec<ChannelMessage> {
    recipients
        .iter()
        .flat_map(|(channel, customers)| {
            let numbered = scan.batch_numbers(*channel).zip(customers.chunks(BATCH_LIMIT));
            numbered.map(|(number, customers)| batch(slice, *channel, number, customers))
        })
        .collect()
}

fn batch(slice: &Slice, channel: Channel, number: u32, customers: &[CustomerId]) -> ChannelMessage {
    let notifications = Notifications::new(customers.to_vec(), OutcomeCounts::default())
        .expect("a page has each customer once, and a chunk of it 1 to 50");
    ChannelMessage::Batch(Batch {
        push: slice.push,
        slice: slice.index,
        generation: slice.generation,
        number,
        channel,
        notifications,
        deferrals: 0,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_channels_with_a_queue_are_notified_and_counted() {
        let body = json!({"code": "A", "description": "B", "eligibility": "customer.tier == 'gold'"});
        let offer = testing::offer(body);
        let audience = Audience::of(&offer).unwrap();
        let customer = |id: &str, attributes| {
            let body = json!({"name": "A", "email": "a@b.example", "mobile": "+351912345678",
                "channels": ["email", "sms"], "attributes": attributes});
            Customer::parse(id, body).unwrap()
        };
        let customers = [
            customer("c-1", json!({"tier": "gold"})),
            customer("c-2", json!({"tier": "silver"})),
            customer("c-3", json!({})),
        ];
        let gold: CustomerId = "c-1".parse().unwrap();

        for (with_queue, notified) in [
            (Channels::from(Channel::ALL), vec![Channel::Email, Channel::Sms]),
            (Channels::from([Channel::Sms]), vec![Channel::Sms]),
            (Channels::new(), vec![]),
        ] {
            let (counts, recipients) = select(&audience, &customers, 2, &with_queue);
            let expected = ScanCounts {
                customers_read: 5,
                customers_eligible: 1,
                customers_unevaluable: 3,
                notifications: notified.len() as u64,
            };
            assert_eq!(counts, expected);
            assert_eq!(recipients, notified.into_iter().map(|channel| (channel, vec![gold.clone()])).collect());
        }
    }
}
