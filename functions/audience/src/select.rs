//! Which customers of a page get a notification, and the batches that carry them.

use std::collections::BTreeMap;

use domain::channel::Channels;
use domain::push::{OutcomeCounts, ScanCounts};
use domain::queue::{BATCH_LIMIT, Batch, ChannelMessage, Notifications, Slice};
use domain::{Audience, Channel, CustomerId, Selection};
use store::customers::CustomersPage;
use store::pushes::SliceScan;

/// The customers of a page to notify, by channel.
pub(crate) type Recipients = BTreeMap<Channel, Vec<CustomerId>>;

/// Selects and counts the customers of a page, until `is_time_up`: the page then ends after those who were counted. On
/// channels other than `with_queue`, those that have a queue, no customer is notified or counted.
pub(crate) fn select(
    audience: &Audience<'_>,
    page: &mut CustomersPage,
    with_queue: &Channels,
    is_time_up: impl Fn() -> bool,
) -> (ScanCounts, Recipients) {
    let mut counts = ScanCounts::default();
    let mut recipients = Recipients::new();
    let mut selected = 0;
    for customer in &page.customers {
        if is_time_up() && selected > 0 {
            break;
        }
        selected += 1;
        let mut selection = audience.select(customer);
        if let Selection::Eligible(channels) = &mut selection {
            channels.retain(|channel| with_queue.contains(channel));
            for channel in channels.iter() {
                recipients.entry(*channel).or_default().push(customer.id.clone());
            }
        }
        counts.count(&selection);
    }
    page.end_after(selected);
    counts.count_unreadable(page.unreadable.len());
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
    use std::cell::Cell;

    use domain::Customer;
    use serde_json::json;

    use super::*;

    fn page(customers: Vec<Customer>, unreadable: Vec<usize>) -> CustomersPage {
        CustomersPage { customers, unreadable, next: None }
    }

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
            let mut page = page(customers.to_vec(), vec![0, 3]);
            let (counts, recipients) = select(&audience, &mut page, &with_queue, || false);
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

    #[test]
    fn page_ends_when_the_time_is_up_but_not_before_its_first_customer() {
        let offer = testing::offer(json!({"code": "A", "description": "B"}));
        let audience = Audience::of(&offer).unwrap();
        let body = json!({"name": "A", "channels": []});
        let customers: Vec<_> =
            (0..4).map(|number| Customer::parse(&format!("c-{number}"), body.clone()).unwrap()).collect();
        for (time_for, selected, next) in
            [(0, 1, Some("c-0")), (1, 1, Some("c-0")), (2, 2, Some("c-1")), (4, 4, None), (9, 4, None)]
        {
            let asked = Cell::new(0);
            let is_time_up = || {
                asked.set(asked.get() + 1);
                asked.get() > time_for
            };
            let mut page = page(customers.clone(), vec![0, 2, 4]);
            let (counts, _) = select(&audience, &mut page, &Channels::new(), is_time_up);
            assert_eq!(page.next.map(|next| next.to_string()).as_deref(), next, "{time_for}");
            // What cannot be read after the last customer of the page is left to the next one.
            let unreadable = [0, 2, 4].into_iter().filter(|before| *before < selected || selected == 4).count() as u64;
            assert_eq!((counts.customers_eligible, counts.customers_read), (selected, selected + unreadable));
        }
    }
}
