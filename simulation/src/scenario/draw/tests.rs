use std::collections::BTreeMap;

use domain::Channel;

use super::*;
use crate::fault::Moment;
use crate::people::Action;
use crate::scenario::points::{Kind, POINTS};

fn drawn(seeds: u64) -> impl Iterator<Item = Scenario> {
    (0..seeds).map(|seed| Scenario::draw(seed, Options::default()))
}

#[test]
fn a_seed_has_one_scenario() {
    for seed in 0..50 {
        let text = |scenario: &Scenario| serde_json::to_string(scenario).unwrap();
        let scenario = Scenario::draw(seed, Options::default());
        assert_eq!(text(&scenario), text(&Scenario::draw(seed, Options::default())));
        let again: Scenario = serde_json::from_str(&text(&scenario)).unwrap();
        assert_eq!(text(&again), text(&scenario));
    }
}

#[test]
fn scenarios_are_of_all_sizes() {
    let mut sizes: BTreeMap<&str, u32> = BTreeMap::new();
    let mut count = |name, is| *sizes.entry(name).or_default() += u32::from(is);
    for scenario in drawn(500) {
        let customers = scenario.customers.len();
        assert!((1..=300).contains(&customers));
        count("few customers", customers <= 4);
        count("many customers", customers > 60);
        count("no fault", scenario.faults.is_empty() && scenario.outages.is_empty());
        count("one fault", scenario.faults.len() + scenario.outages.len() == 1);
        count("many faults", scenario.faults.len() >= 10);
        count("outage", !scenario.outages.is_empty());
        count("fallback", scenario.settings.fallback_email_transport.is_some());
        count("SES", scenario.settings.email_transport == TransportId::Ses);
        count(
            "one offer",
            scenario.actions.iter().filter(|timed| matches!(timed.action, Action::PostOffer(_))).count() == 1,
        );
    }
    for (name, number) in sizes {
        assert!((10..490).contains(&number), "{name}: {number}");
    }
}

#[test]
fn the_number_of_customers_may_be_given() {
    let scenario = Scenario::draw(7, Options { customers: Some(3) });
    assert_eq!(scenario.customers.len(), 3);
    assert!(scenario.customers.iter().all(|person| person.customer().id.as_str() == person.id));
}

#[test]
fn what_people_do_is_about_someone_and_after_an_offer() {
    for scenario in drawn(300) {
        let first = &scenario.actions[0];
        assert!(first.at_ms >= 20_000 && matches!(first.action, Action::PostOffer(_)), "{first:?}");
        for timed in &scenario.actions {
            match &timed.action {
                Action::PostOffer(post) => {
                    let offer = testing::offer_posted(testing::clock::START, post.body(testing::clock::START));
                    assert_eq!(offer.code, post.code);
                }
                Action::Unsubscribe { customer }
                | Action::DeleteCustomer { customer }
                | Action::AnswerStop { customer } => {
                    assert!(scenario.customers.iter().any(|person| person.id == *customer));
                }
                _ => {}
            }
        }
    }
}

/// Faults that are drawn for a point but beyond what a run passes do not strike. So many more are drawn than must.
#[test]
fn each_point_is_drawn_before_and_after_its_effect_within_3_000_seeds() {
    let mut faults: BTreeMap<(String, Moment), u32> = BTreeMap::new();
    for planned in drawn(3_000).flat_map(|scenario| scenario.faults) {
        if planned.nth <= 3 {
            *faults.entry((planned.point, planned.moment)).or_default() += 1;
        }
    }
    for point in POINTS {
        let moments: &[Moment] = match point.kind {
            Kind::Call | Kind::Smtp | Kind::Event => &[Moment::Before, Moment::After],
            _ => &[Moment::Before],
        };
        for moment in moments {
            let drawn = faults.get(&(point.name.to_owned(), *moment)).copied().unwrap_or_default();
            assert!(drawn >= 25, "{} {moment:?}: {drawn}", point.name);
        }
    }
}

#[test]
fn small_numbers_are_drawn_as_often_as_large_ones() {
    let chance = Chance::of(1, "test");
    let numbers: Vec<_> = (0..1_000).map(|_| skewed(&chance, 1, 500)).collect();
    assert!(numbers.iter().all(|number| (1..=500).contains(number)));
    assert!(numbers.iter().filter(|number| **number < 16).count() > 300);
    assert!(numbers.iter().filter(|number| **number > 250).count() > 50);
    assert_eq!(skewed(&chance, 5, 5), 5);
}

#[test]
fn customers_differ() {
    let people = customers::draw(&Chance::of(1, "customers"), Some(300));
    let count = |is: fn(&crate::people::Person) -> bool| people.iter().filter(|person| is(person)).count();
    assert!(count(|person| person.is_reachable_by(Channel::Sms)) > 100);
    assert!(count(|person| !person.attributes.contains_key("tier")) > 10);
    assert!(count(|person| person.email.as_ref().is_some_and(|email| email.starts_with("bounces."))) > 3);
    assert!(count(|person| person.channels.contains(&Channel::Email) && person.email.is_none()) > 1);
}
