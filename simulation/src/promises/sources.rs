//! What the logs of providers, people and services hold, as facts.

use std::collections::BTreeMap;

use domain::TransportId;
use jiff::Timestamp;

use super::collect::Lift;
use super::facts::{Handover, Published};
use crate::world::World;

/// What providers were handed.
pub fn handovers(_world: &World) -> Vec<Handover> {
    Vec::new()
}

/// The codes of the offers of which the API said that they are stored, and when.
pub fn confirmed(_world: &World) -> BTreeMap<String, Timestamp> {
    BTreeMap::new()
}

/// What operators lifted.
pub fn lifts(_world: &World) -> Vec<Lift> {
    Vec::new()
}

/// The highest rate to which operators changed each transport's.
pub fn rates(_world: &World) -> BTreeMap<TransportId, u32> {
    BTreeMap::new()
}

/// Whether an operator purged a queue.
pub fn purges(_world: &World) -> bool {
    false
}

/// The events that the bus took.
pub fn published(_world: &World) -> Vec<Published> {
    Vec::new()
}

/// The number of messages in each dead-letter queue that has any.
pub fn dead_letters(_world: &World) -> BTreeMap<String, usize> {
    BTreeMap::new()
}
