//! What one customer was sent, across offers.

use std::time::Duration;

use domain::notification::{Outcome, ReasonCode};
use domain::{Channel, CustomerId, Offer, OfferId, PushId, TraceId};
use store::deliveries::{DeliveryId, FinalOutcome};
use store::history::{CustomerHistory, OfferDelivery};
use store::{Cursor, Page};

use crate::world::{World, customer, offer};

fn id(number: u32) -> OfferId {
    format!("01980000-0000-7000-8000-{number:012}").parse().unwrap()
}

/// Posts an offer each second, the first one with number 0.
async fn post(world: &World, count: u32) {
    let trace: TraceId = "4bf92f3577b34da6a3ce929d0e0e4736".parse().unwrap();
    for number in 0..count {
        let offer = Offer { id: id(number), code: format!("OFFER-{number}"), created_at: world.now(), ..offer() };
        world.offers().create(&offer, None, trace).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn deliver(world: &World, number: u32, who: &str, channel: Channel) {
    let delivery = DeliveryId { offer: id(number), customer: customer(who), channel };
    let outcome = FinalOutcome { outcome: Outcome::Sent, ..FinalOutcome::unsent(ReasonCode::RecipientRefused, "") };
    let push = PushId { offer: id(number), number: 1 };
    world.deliveries().record_unsent(&delivery, push, &offer(), &outcome, None).await.unwrap();
}

async fn list(world: &World, who: &CustomerId, limit: u16, after: Option<Cursor>) -> Page<OfferDelivery> {
    let (offers, deliveries) = (world.offers(), world.deliveries());
    let history = CustomerHistory { sources: &world.sources, offers: &offers, deliveries: &deliveries };
    let page = history.list(who, limit, after).await.unwrap();
    page.next.iter().for_each(|next| CustomerHistory::check_cursor(next).unwrap());
    page
}

/// The codes and channels of all pages, and how many each page has.
async fn all(world: &World, who: &str, limit: u16) -> (Vec<(String, Channel)>, Vec<usize>) {
    let (mut listed, mut sizes, mut after) = (Vec::new(), Vec::new(), None);
    loop {
        let page = list(world, &customer(who), limit, after).await;
        sizes.push(page.items.len());
        listed.extend(page.items.into_iter().map(|item| (item.offer.code, item.delivery.channel)));
        match page.next {
            Some(next) => after = Some(next.encode().parse().unwrap()),
            None => return (listed, sizes),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_customers_deliveries_are_listed_across_offers_the_newest_first() {
    let world = World::new();
    post(&world, 70).await;
    for (number, channels) in [(3, vec![Channel::Email]), (40, Channel::ALL.to_vec()), (69, vec![Channel::Sms])] {
        for channel in channels {
            deliver(&world, number, "c-1", channel).await;
        }
        deliver(&world, number, "c-10", Channel::Email).await;
    }
    let expected = [(69, Channel::Sms), (40, Channel::Email), (40, Channel::Sms), (3, Channel::Email)];
    let expected: Vec<_> = expected.map(|(number, channel)| (format!("OFFER-{number}"), channel)).into();
    for (limit, sizes) in [(1, vec![1; 4]), (2, vec![2, 2]), (3, vec![3, 1]), (4, vec![4]), (100, vec![4])] {
        assert_eq!(all(&world, "c-1", limit).await, (expected.clone(), sizes), "{limit} at a time");
    }
    assert_eq!(all(&world, "nobody", 5).await, (vec![], vec![0]));
}

#[tokio::test(start_paused = true)]
async fn a_page_continues_with_the_channels_that_an_offer_has_left() {
    let world = World::new();
    post(&world, 2).await;
    deliver(&world, 1, "c-1", Channel::Email).await;
    deliver(&world, 0, "c-1", Channel::Email).await;
    let first = list(&world, &customer("c-1"), 1, None).await;
    // Sent since.
    deliver(&world, 1, "c-1", Channel::Sms).await;
    post(&world, 0).await;
    let rest = list(&world, &customer("c-1"), 5, first.next).await;
    let rest: Vec<_> = rest.items.into_iter().map(|item| (item.offer.id, item.delivery.channel)).collect();
    assert_eq!(rest, [(id(1), Channel::Sms), (id(0), Channel::Email)]);
}

#[tokio::test(start_paused = true)]
async fn a_page_looks_at_so_many_offers_and_the_next_one_continues_there() {
    let world = World::new();
    post(&world, 600).await;
    deliver(&world, 2, "c-1", Channel::Email).await;
    world.dynamo.forget_calls();
    let first = list(&world, &customer("c-1"), 5, None).await;
    assert_eq!((first.items.len(), first.next.is_some()), (0, true));
    assert_eq!(world.dynamo.count("Query", "Deliveries"), 512);
    let second = list(&world, &customer("c-1"), 5, first.next).await;
    assert_eq!((second.items.len(), second.next.is_some()), (1, false));
}

#[tokio::test(start_paused = true)]
async fn a_page_ends_in_time_when_the_store_is_slow() {
    let world = World::new();
    post(&world, 300).await;
    deliver(&world, 2, "c-1", Channel::Email).await;
    world.dynamo.set_latency(Duration::from_millis(500));
    let began = world.now();
    let page = list(&world, &customer("c-1"), 5, None).await;
    assert!(page.next.is_some() && world.sources.age_of(began) < Duration::from_secs(9));
    let (listed, _) = all(&world, "c-1", 5).await;
    assert_eq!(listed.len(), 1);
}
