//! Lists: a page holds what the caller asked for if a limited number of reads finds it, and nothing is left out or listed
//! twice.

use std::collections::BTreeSet;

use domain::notification::{DeliveryState, Outcome, ReasonCode};
use domain::{Channel, CustomerId, TraceId};
use serde_json::json;
use store::deliveries::{Delivery, DeliveryId, DeliverySelection, FinalOutcome};
use store::{Cursor, Deliveries, Page};

use crate::world::{World, customer, email_to, offer, offer_id, push, request};

const FAILED: DeliveryState = DeliveryState::Final(Outcome::Failed);

async fn unsent(world: &World, id: &DeliveryId, outcome: Outcome) {
    let outcome = FinalOutcome { outcome, ..FinalOutcome::unsent(ReasonCode::RecipientRefused, "why") };
    world.deliveries().record_unsent(id, push(1), &offer(), &outcome, None).await.unwrap();
}

/// Deliveries to this many customers, of which every `nth` has failed.
async fn deliveries(world: &World, count: usize, nth: usize) {
    for number in 0..count {
        let outcome = if number % nth == 0 { Outcome::Failed } else { Outcome::Expired };
        unsent(world, &email_to(&format!("c-{number}")), outcome).await;
    }
}

async fn list(world: &World, state: Option<DeliveryState>, limit: u16, after: Option<Cursor>) -> Page<Delivery> {
    let selection = DeliverySelection { customer: None, state };
    world.deliveries().list(offer_id(), &selection, limit, after).await.unwrap()
}

/// The cursor as a caller sends it back.
fn sent_back(cursor: &Cursor) -> Cursor {
    Deliveries::check_cursor(cursor, offer_id(), None).unwrap();
    cursor.encode().parse().unwrap()
}

/// The customers of all pages, and how many each page has.
async fn all(world: &World, state: Option<DeliveryState>, limit: u16) -> (Vec<CustomerId>, Vec<usize>) {
    let (mut listed, mut sizes, mut after) = (Vec::new(), Vec::new(), None);
    loop {
        let page = list(world, state, limit, after).await;
        sizes.push(page.items.len());
        listed.extend(page.items.into_iter().map(|delivery| delivery.customer));
        match page.next {
            Some(next) => after = Some(sent_back(&next)),
            None => return (listed, sizes),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_page_but_the_last_is_full_and_the_last_has_no_cursor() {
    let world = World::new();
    deliveries(&world, 60, 5).await;
    for (state, limit, total) in [
        (Some(FAILED), 1, 12),
        (Some(FAILED), 5, 12),
        (Some(FAILED), 12, 12),
        (Some(FAILED), 100, 12),
        (Some(DeliveryState::Retry), 1, 0),
        (None, 1, 60),
        (None, 7, 60),
        (None, 60, 60),
        (None, 100, 60),
    ] {
        let (listed, sizes) = all(&world, state, limit).await;
        let limit = usize::from(limit);
        let mut expected = vec![limit; total / limit];
        if total % limit > 0 || total == 0 {
            expected.push(total % limit);
        }
        assert_eq!(sizes, expected, "{state:?}, {limit} at a time");
        assert_eq!(listed.iter().collect::<BTreeSet<_>>().len(), total, "{state:?}, {limit} at a time");
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_continues_after_its_last_item_whatever_changes_in_between() {
    let world = World::new();
    deliveries(&world, 60, 5).await;
    let (before, _) = all(&world, None, 100).await;
    let failed: BTreeSet<_> = all(&world, Some(FAILED), 100).await.0.into_iter().collect();
    let first = list(&world, Some(FAILED), 3, None).await;
    let last = &first.items[2].customer;
    let place = before.iter().position(|customer| customer == last).unwrap();
    // One before the place and one right after it fail. Those that were listed already change as well.
    let changed = [before[..place].iter().rfind(|c| !failed.contains(*c)).unwrap(), &before[place + 1]];
    let items = world.dynamo.items("Deliveries");
    let set = |customer: &CustomerId, state: &str| {
        let item = items.iter().find(|item| item["sk"] == format!("{customer}#email")).unwrap();
        world.dynamo.set("Deliveries", json!({"pk": item["pk"], "sk": item["sk"]}), "state", state);
    };
    changed.iter().for_each(|customer| set(customer, "failed"));
    first.items.iter().for_each(|delivery| set(&delivery.customer, "retry"));
    let mut rest = Vec::new();
    let mut after = first.next;
    while let Some(cursor) = after {
        let page = list(&world, Some(FAILED), 2, Some(sent_back(&cursor))).await;
        rest.extend(page.items.into_iter().map(|delivery| delivery.customer));
        after = page.next;
    }
    let expected: Vec<_> =
        before[place + 1..].iter().filter(|c| failed.contains(*c) || **c == before[place + 1]).cloned().collect();
    assert_eq!(rest, expected);
}

#[tokio::test(start_paused = true)]
async fn a_page_ends_after_so_many_reads_and_the_next_one_continues_there() {
    let world = World::new();
    deliveries(&world, 30, 30).await;
    // So large that a read of a megabyte ends after three: more reads than a page may have, and not much more.
    let items = world.dynamo.items("Deliveries");
    for number in 0..200 {
        let sk = format!("b-{number:03}#email");
        let item = json!({"pk": items[0]["pk"], "sk": sk, "state": "expired", "push": 1, "updatedAt": 0,
            "padding": "x".repeat(390_000)});
        world.dynamo.put("Deliveries", item);
    }
    world.dynamo.forget_calls();
    let (mut found, mut after, mut pages) = (0, None, 0);
    loop {
        world.dynamo.forget_calls();
        let page = list(&world, Some(FAILED), 5, after).await;
        assert!(world.dynamo.count("Query", "Deliveries") <= 64);
        (found, pages) = (found + page.items.len(), pages + 1);
        let Some(next) = page.next else { break };
        after = Some(sent_back(&next));
    }
    assert_eq!(found, 1);
    assert!((2..=4).contains(&pages), "{pages}");
}

#[tokio::test(start_paused = true)]
async fn a_page_ends_in_time_when_the_store_is_slow() {
    let world = World::new();
    deliveries(&world, 60, 60).await;
    world.dynamo.set_latency(std::time::Duration::from_secs(2));
    let began = world.now();
    let page = list(&world, Some(FAILED), 100, None).await;
    assert!(page.next.is_some() && world.sources.age_of(began) < std::time::Duration::from_secs(9));
    let (listed, _) = all(&world, Some(FAILED), 100).await;
    assert_eq!(listed.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_customers_deliveries_are_listed_one_by_one() {
    let world = World::new();
    deliveries(&world, 20, 2).await;
    unsent(&world, &DeliveryId { channel: Channel::Sms, ..email_to("c-1") }, Outcome::Failed).await;
    let of = async |state, limit, after| {
        let selection = DeliverySelection { customer: Some(customer("c-1")), state };
        world.deliveries().list(offer_id(), &selection, limit, after).await.unwrap()
    };
    let channels = |page: &Page<Delivery>| page.items.iter().map(|delivery| delivery.channel).collect::<Vec<_>>();
    let first = of(None, 1, None).await;
    assert_eq!(channels(&first), [Channel::Email]);
    let second = of(None, 1, first.next).await;
    assert_eq!((channels(&second), second.next.is_none()), (vec![Channel::Sms], true));
    let both = of(None, 2, None).await;
    assert_eq!((channels(&both).len(), both.next.is_none()), (2, true));
    assert_eq!(channels(&of(Some(FAILED), 1, None).await), [Channel::Sms]);
}

#[tokio::test(start_paused = true)]
async fn lists_of_offers_and_open_pushes_end_without_a_needless_cursor() {
    let world = World::new();
    let trace: TraceId = "4bf92f3577b34da6a3ce929d0e0e4736".parse().unwrap();
    for number in 1..=4 {
        let id = format!("01980000-0000-7000-8000-00000000000{number}").parse().unwrap();
        world.offers().create(&domain::Offer { id, ..offer() }, None, trace).await.unwrap();
        world.pushes().create(&request(number), store::pushes::Plan::Now { slices: 1 }).await.unwrap();
    }
    for (limit, sizes) in [(1, vec![1, 1, 1, 1]), (2, vec![2, 2]), (3, vec![3, 1]), (4, vec![4])] {
        let (mut offers, mut pushes) = (Vec::new(), Vec::new());
        let mut after = None;
        loop {
            let page = world.offers().list(limit, after).await.unwrap();
            offers.push(page.items.len());
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        loop {
            let page = world.pushes().list_open(limit, after).await.unwrap();
            pushes.push(page.items.len());
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!((&offers, &pushes), (&sizes, &sizes), "{limit} at a time");
    }
}

/// A read ends after a megabyte, here after some three offers.
#[tokio::test(start_paused = true)]
async fn a_page_of_large_offers_is_full() {
    let world = World::new();
    let trace: TraceId = "4bf92f3577b34da6a3ce929d0e0e4736".parse().unwrap();
    for number in 10..20 {
        let id = format!("01980000-0000-7000-8000-0000000000{number}");
        world.offers().create(&domain::Offer { id: id.parse().unwrap(), ..offer() }, None, trace).await.unwrap();
        world.dynamo.set("Offers", json!({"pk": id, "sk": "offer"}), "padding", "x".repeat(300_000));
    }
    world.dynamo.forget_calls();
    let page = world.offers().list(8, None).await.unwrap();
    assert_eq!((page.items.len(), page.next.is_some()), (8, true));
    assert!(world.dynamo.count("Query", "Offers") > 1);
}
