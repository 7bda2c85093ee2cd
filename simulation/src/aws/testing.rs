//! Worlds for the tests of the models.

use std::sync::Arc;

use crate::fault::{Fault, Moment, Planned};
use crate::scenario::{Scenario, Settings};
use crate::world::World;

/// A world in which these faults are planned.
pub(crate) fn world(faults: Vec<Planned>) -> Arc<World> {
    let settings = Settings::plain();
    let (customers, actions, outages) = (Vec::new(), Vec::new(), Vec::new());
    World::new(Scenario { seed: 1, settings, customers, actions, outages, faults, calm_after_ms: 0 }, true)
}

pub(crate) fn planned(faults: &[(&str, u32, Moment, Fault)]) -> Vec<Planned> {
    let planned = |(point, nth, moment, fault): &(&str, u32, Moment, Fault)| Planned {
        point: (*point).to_owned(),
        nth: *nth,
        moment: *moment,
        fault: *fault,
    };
    faults.iter().map(planned).collect()
}
