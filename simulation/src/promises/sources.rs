//! What the logs of providers, people and services hold, as facts.

use std::collections::BTreeMap;

use domain::TransportId;
use jiff::Timestamp;

use super::collect::Lift;
use super::facts::{Handover, Published, Refused};
use super::told::Told;
use crate::people::{Outcome as Ended, Rate, What};
use crate::providers::{self, Outcome, Refusal};
use crate::world::World;

/// What providers were handed.
pub fn handovers(world: &World) -> Vec<Handover> {
    world.handovers.all().into_iter().map(handover).collect()
}

fn handover(kept: providers::Handover) -> Handover {
    let providers::Handover {
        number, provider, process, recipient, offer, begun, taken_at, outcome, answered_at, ..
    } = kept;
    let (taken_at, refused) = match outcome {
        // A provider that says so and drops it is as good as one that takes it: nobody can tell.
        Outcome::Taken | Outcome::Dropped => (Some(taken_at), None),
        Outcome::Refused(refusal) => (None, Some(refused(provider, refusal))),
    };
    Handover {
        number,
        provider,
        process: process.number(),
        address: recipient.to_lowercase(),
        code: offer.unwrap_or_default(),
        notification: None,
        begun,
        taken_at,
        refused,
        answered_at,
    }
}

fn refused(provider: TransportId, refusal: Refusal) -> Refused {
    match refusal {
        _ if refusal.is_permanent() => Refused::Deserved,
        _ if refusal.is_ambiguous() => Refused::Unclear,
        Refusal::ForNow => Refused::ForNow,
        // A mail server says so by closing the connection.
        Refusal::TooFast if provider != TransportId::Smtp => Refused::ForNow,
        _ => Refused::Ours,
    }
}

/// The codes of the offers of which the API said that they are stored, and when.
pub fn confirmed(world: &World) -> BTreeMap<String, Timestamp> {
    let entries = world.people.log.entries().into_iter();
    let confirmed = entries.filter_map(|entry| match &entry.what {
        What::Post { code, .. } => Some((code.clone(), entry.confirmed()?)),
        _ => None,
    });
    confirmed.collect()
}

/// What operators lifted, or may have.
pub fn lifts(world: &World) -> Vec<Lift> {
    let entries = world.people.log.entries().into_iter();
    let lifts = entries.filter_map(|entry| match &entry.what {
        What::Lift { customer, channel, address } => Some(Lift {
            customer: customer.clone(),
            channel: *channel,
            address: address.to_lowercase(),
            begun: entry.begun,
            ended: entry.ended.filter(|_| matches!(entry.outcome, Some(Ended::Done | Ended::Refused(_)))),
        }),
        _ => None,
    });
    lifts.collect()
}

/// What was confirmed to people.
pub fn told(world: &World) -> Vec<Told> {
    world.people.log.entries().iter().filter_map(Told::of).collect()
}

/// The highest rate to which operators changed each transport's.
pub fn rates(world: &World) -> BTreeMap<TransportId, u32> {
    let settings = &world.scenario.settings;
    let mut rates: BTreeMap<TransportId, u32> = BTreeMap::new();
    for entry in world.people.log.entries() {
        if let What::RateChanged { rate, per_second, .. } = entry.what {
            let transport = match rate {
                Rate::Email => Some(settings.email_transport),
                Rate::FallbackEmail => settings.fallback_email_transport,
                Rate::Sms => Some(TransportId::Sns),
            };
            if let Some(transport) = transport {
                let most = rates.entry(transport).or_default();
                *most = per_second.max(*most);
            }
        }
    }
    rates
}

/// Whether an operator purged a queue.
pub fn purges(world: &World, name: &str) -> bool {
    world.people.log.entries().iter().any(|entry| matches!(&entry.what, What::Purged { queue } if queue == name))
}

/// The events that the bus took.
pub fn published(world: &World) -> Vec<Published> {
    world.bus.events().into_iter().map(|(at, kind, detail)| Published { at, kind, detail }).collect()
}

/// The number of messages in each dead-letter queue that has any.
pub fn dead_letters(world: &World) -> BTreeMap<String, usize> {
    let mut letters = BTreeMap::new();
    for (queue, _) in world.queues.dead_letters() {
        *letters.entry(queue.to_owned()).or_default() += 1;
    }
    letters
}
